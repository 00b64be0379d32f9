"""COFW: its markup, and its MATLAB 7.3 files as its archives unpack."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from click.testing import Result
from typer.testing import CliRunner

from cli.data import app
from drf.data.cofw import COFW, SIZES
from drf.data.dataset import open_dataset
from drf.data.synthetic import face_points
from drf.errors import CheckFailed, DataError, UsageError
from drf.landmarks.markup import COFW29, HIDDEN, IBUG68, MISSING, VISIBLE
from tests.data.other_trees import face, write_cofw
from tests.markups import points_of

h5py = pytest.importorskip("h5py")


def opened(root: Path) -> COFW:
    dataset = open_dataset("cofw", root)
    assert isinstance(dataset, COFW)
    return dataset


def change(path: Path, name: str, values: object, **more: object) -> None:
    """Write an array of a file anew."""
    with h5py.File(path, "r+") as file:
        del file[name]
        file.create_dataset(name, data=values, **more)


def test_mirroring_a_symmetric_face_gives_it_back() -> None:
    points = np.mean([face_points("train", i, 0) for i in range(30)], axis=0, dtype=np.float64)
    points -= points.mean(axis=0)
    symmetric = (points + points[list(IBUG68.flip)] * [-1, 1]) / 2
    cofw = points_of(COFW29, symmetric)
    np.testing.assert_allclose(cofw[list(COFW29.flip)] * [-1, 1], cofw, atol=1e-9)
    assert (cofw[[8, 16, 0, 22], 0] < 0).all()  # the right of the face, left in a picture


def test_the_original_counts_are_known() -> None:
    assert SIZES["train"] + SIZES["val"] == 1345
    assert SIZES["test"] == 507


@pytest.mark.parametrize("color", [True, False])
def test_faces_come_back_as_they_were_written(tmp_path: Path, color: bool) -> None:
    dataset = opened(write_cofw(tmp_path / "COFW", 10, 4, color).parent)
    train, test = dataset.subset("train"), dataset.subset("test")
    assert len(train.faces) + len(dataset.subset("val").faces) == 10
    assert [found.name for found in test.faces] == [f"test/{i:04d}" for i in range(1, 5)]
    pictures = list(dataset.pictures(test.faces))
    for i, found in enumerate(test.faces):
        picture, points = face(i, COFW29, 10)
        np.testing.assert_allclose(found.points, points, atol=1e-4)
        seen = np.full(29, VISIBLE) if found.visibility is None else found.visibility
        expected = np.full(29, VISIBLE)
        expected[8] = HIDDEN if i % 4 == 0 else VISIBLE
        np.testing.assert_array_equal(seen, expected)
        if i == 0 or not color:
            grey = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
            picture = np.repeat(grey[..., None], 3, axis=2)
        np.testing.assert_array_equal(pictures[i], picture)
        np.testing.assert_array_equal(dataset.picture(found), picture)
    assert dataset.source(test.faces[0]) != dataset.source(test.faces[1])
    x, y, w, h = dataset.entries["test/0001"].box or (0, 0, 0, 0)
    low, high = face(0, COFW29, 10)[1].min(axis=0), face(0, COFW29, 10)[1].max(axis=0)
    np.testing.assert_allclose([x, y, x + w, y + h], [*low, *high], atol=1e-6)


def test_it_is_checked_and_shown_like_any_other(tmp_path: Path) -> None:
    def drf(*words: object) -> Result:
        return CliRunner().invoke(app, [str(word) for word in words])

    write_cofw(tmp_path / "in", 10, 4)
    answer = drf("check", tmp_path / "in", "--dataset", "cofw", "--json")
    assert isinstance(answer.exception, CheckFailed)  # it is not whole
    found = {one["subset"]: one for one in json.loads(answer.stdout)["subsets"]}
    assert found["test"]["faces"] == 4
    assert found["test"]["missing"] == ["test has 4 of 507 faces"]
    assert not found["test"]["unreadable"]
    assert not found["test"]["odd_labels"]
    where = ("--dataset", "cofw", "--data-root", tmp_path / "in")
    assert drf("sheet", *where, "--out", tmp_path / "sheet.png").exit_code == 0
    boxes = tmp_path / "boxes.csv"
    assert drf("boxes", *where, "--out", boxes).exit_code == 0
    assert len(boxes.read_text().splitlines()) == 15


def test_placeholders_are_missing_and_faults_cost_their_own_face(tmp_path: Path) -> None:
    root = write_cofw(tmp_path, 20, 3)
    path = root / "COFW_test_color.mat"
    with h5py.File(path) as file:
        phis = file["phisT"][()].T
    phis[0, [3, 32]] = 0  # x and y of landmark 3
    phis[1, [4, 33]] = np.nan
    phis[2, 5] = 1e9
    change(path, "phisT", phis.T)
    entries = opened(root).entries
    first, second = entries["test/0001"].face, entries["test/0002"].face
    assert first is not None
    assert first.visibility is not None
    assert first.visibility[3] == MISSING
    assert first.visibility[8] == HIDDEN
    assert second is not None
    assert np.isnan(second.points[4]).all()
    assert entries["test/0003"].face is None
    assert "no place in a picture" in entries["test/0003"].fault
    assert len(opened(root).subset("test").faces) == 2


def test_pictures_that_are_none_are_told(tmp_path: Path) -> None:
    root = write_cofw(tmp_path, 2, 3)
    path = root / "COFW_test_color.mat"
    with h5py.File(path, "r+") as file:
        cells = file["IsT"][0]
        odd = file.create_dataset("#refs#/odd", data=np.zeros((4, 5, 6), np.uint8)).ref
        wide = file.create_dataset("#refs#/wide", (40_000, 40_000), np.uint8).ref
        file["IsT"][0] = [h5py.Reference(), odd, wide]
        assert len(cells) == 3
    dataset = opened(root)
    said = [str(one) for one in dataset.pictures(dataset.subset("test").faces)]
    assert "picture 1 of COFW_test_color.mat is not there" in said[0]
    assert "has shape (4, 5, 6)" in said[1]
    assert "is 40000 x 40000 pixels" in said[2]


def test_other_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="is not the root of COFW"):
        opened(tmp_path)
    path = tmp_path / "COFW_test_color.mat"
    whole = (write_cofw(tmp_path / "whole", 2, 2) / "COFW_test_color.mat").read_bytes()
    for data in (b"", b"no file of MATLAB", whole[:600], whole[: len(whole) // 2]):
        path.write_bytes(data)
        with pytest.raises(DataError, match=r"COFW_test_color\.mat"):
            opened(tmp_path)
    path.write_bytes(whole)
    change(path, "phisT", np.zeros((86, 2)))
    with pytest.raises(DataError, match=r"phisT has shape \(86, 2\)"):
        opened(tmp_path)
    with h5py.File(path, "w") as file:
        file["other"] = 1
    with pytest.raises(DataError, match="has no array IsT"):
        opened(tmp_path)


def test_bytes_of_other_files_are_not_read(tmp_path: Path) -> None:
    """HDF5 can name a part of any file as the content of an array, and another file's arrays."""
    root = write_cofw(tmp_path, 2, 2)
    secret = tmp_path / "secret"
    secret.write_bytes(bytes(87 * 2 * 8))
    path = root / "COFW_test_color.mat"
    with h5py.File(path, "r+") as file:
        del file["phisT"]
        outside = [(str(secret), 0, h5py.h5f.UNLIMITED)]
        file.create_dataset("phisT", (87, 2), "<f8", external=outside)
    with pytest.raises(DataError, match="stored outside of the file"):
        opened(root)
    with h5py.File(path, "r+") as file:
        del file["phisT"]
        file["phisT"] = h5py.ExternalLink(str(root / "COFW_train_color.mat"), "phisTr")
    with pytest.raises(DataError, match="has no array phisT"):
        opened(root)


def test_without_h5py_a_sentence_names_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = write_cofw(tmp_path, 2, 2)
    monkeypatch.setitem(__import__("sys").modules, "h5py", None)
    with pytest.raises(UsageError, match="pip install h5py"):
        opened(root)
