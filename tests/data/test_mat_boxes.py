"""The official boxes of 300-W as a box file, in MATLAB's own format."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from scipy.io import savemat
from typer.testing import CliRunner

from cli.data import app
from drf.data.boxes import read_box_file
from drf.data.mat_boxes import read_mat_boxes
from drf.errors import DataError
from tests.data.made_up import points_of


def write_boxes(path: Path, names: list[str], *, compressed: bool = False) -> Path:
    """Write a row of cells with one structure each, as the official files have them."""
    cells = np.empty((1, len(names)), dtype=object)
    for i, name in enumerate(names):
        points = points_of(name)
        box = np.array([[*points.min(axis=0), *points.max(axis=0)]]) + 1
        cells[0, i] = {
            "imgName": f"{name}.jpg",
            "bb_detector": box + np.array([-2, -3, 2, 1]),
            "bb_ground_truth": box,
        }
    savemat(path, {"bounding_boxes": cells}, do_compression=compressed)
    return path


@pytest.mark.parametrize("compressed", [False, True])
@pytest.mark.parametrize("n", [1, 3])
def test_boxes_become_a_box_file_of_faces(tmp_path: Path, n: int, compressed: bool) -> None:
    names = [f"{1000 + i}_1" for i in range(n)]
    file = tmp_path / "bounding_boxes_helen_testset.mat"
    write_boxes(file, names, compressed=compressed)
    out = tmp_path / "boxes.csv"
    result = CliRunner().invoke(app, ["boxes", str(file), "--out", str(out)])
    assert result.exit_code == 0, result.output
    points = np.stack([points_of(name) for name in names])
    faces = [f"helen/testset/{name}" for name in names]
    boxes = read_box_file(out, faces, points=points)
    low, high = points.min(axis=1) - [2, 3], points.max(axis=1) + np.array([2, 1])
    np.testing.assert_allclose(boxes[:, :2], (low + high) / 2, atol=1e-3)
    np.testing.assert_allclose(boxes[:, 2], (high - low).max(axis=1), atol=1e-3)
    tight = read_mat_boxes(file, "ground-truth")[faces[0]]
    np.testing.assert_allclose(tight[:2], points[0].min(axis=0), atol=1e-6)


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    named = tmp_path / "bounding_boxes_ibug.mat"
    unknown = write_boxes(tmp_path / "mine.mat", ["1_1"])
    with pytest.raises(DataError, match=r"name one of afw, .* with --folder"):
        read_mat_boxes(unknown, "detector")
    assert list(read_mat_boxes(unknown, "detector", "afw")) == ["afw/1_1"]
    whole = unknown.read_bytes()
    for data in (b"", b"no mat file at all", whole[:200], whole[:126] + b"\xff" * 200):
        named.write_bytes(data)
        with pytest.raises(DataError, match=r"bounding_boxes_ibug\.mat"):
            read_mat_boxes(named, "detector")
    savemat(named, {"other": np.zeros(3)})
    with pytest.raises(DataError, match="has no variable bounding_boxes"):
        read_mat_boxes(named, "detector")
    savemat(named, {"bounding_boxes": np.zeros(3)})
    with pytest.raises(DataError, match="an entry without imgName"):
        read_mat_boxes(named, "detector")
    savemat(named, {"bounding_boxes": np.zeros(2**23)}, do_compression=True)
    with pytest.raises(DataError, match="unpacks to more"):
        read_mat_boxes(named, "detector")


def _packed(body: bytes) -> bytes:
    """An element of the type miCOMPRESSED."""
    held = zlib.compress(body)
    return struct.pack("<II", 15, len(held)) + held


def test_what_is_packed_again_and_again_is_refused(tmp_path: Path) -> None:
    """In the format whole variables are packed, once: a file of 100 kB may have thousands of
    elements one within the other."""
    file = write_boxes(tmp_path / "bounding_boxes_ibug.mat", ["1_1"])
    head, body = file.read_bytes()[:128], file.read_bytes()[128:]
    file.write_bytes(head + _packed(body))
    assert list(read_mat_boxes(file, "detector")) == ["ibug/1_1"]
    for depth in (2, 1500):
        nested = body
        for _ in range(depth):
            nested = _packed(nested)
        file.write_bytes(head + nested)
        with pytest.raises(DataError, match=r"is no \.mat file, or is damaged"):
            read_mat_boxes(file, "detector")
