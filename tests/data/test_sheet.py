"""The contact sheet, and the check of other datasets, on the command line."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from typer.testing import CliRunner

from cli.data import app
from drf.data import sheet
from drf.data.sheet import TILE_PX
from drf.data.synthetic_dataset import SyntheticDataset
from drf.errors import CheckFailed, UsageError
from drf.landmarks import overlay
from drf.landmarks.markup import HIDDEN, VISIBLE
from tests.data.other_trees import write_pts_folder, write_wflw


def run(*args: object):
    return CliRunner().invoke(app, [str(arg) for arg in args])


def test_a_sheet_shows_every_face_with_its_landmarks(tmp_path: Path) -> None:
    root = write_pts_folder(tmp_path / "in")
    out = tmp_path / "sheet.png"
    args = ("sheet", "--dataset", "folder", "--data-root", root, "--out", out)
    result = run(*args)
    assert result.exit_code == 0, result.output
    assert "Wrote 3 faces of mine train" in result.stderr
    whole = cv2.imread(str(out), cv2.IMREAD_COLOR_RGB)
    assert whole.shape[1] == 2 * TILE_PX
    for x, y in ((0, 0), (1, 0), (0, 1)):
        tile = whole[y * whole.shape[0] // 2 :, x * TILE_PX :][:TILE_PX, :TILE_PX]
        assert (abs(tile.astype(int) - overlay.GROUND_TRUTH).max(axis=2) < 40).sum() > 20
    first = out.read_bytes()
    run(*args)
    assert out.read_bytes() == first


def test_a_hidden_landmark_is_drawn_as_one() -> None:
    dataset = SyntheticDataset(size=2)
    face = dataset.subset("train").faces[0]
    hidden = np.where(np.arange(68) == 30, HIDDEN, VISIBLE).astype(np.uint8)
    tiles = [
        sheet._drawn(replace(face, visibility=seen), dataset.picture(face), dataset)
        for seen in (None, hidden)
    ]
    assert not np.array_equal(*tiles)


def test_an_output_that_cannot_be_written_is_named_as_it_was_given(tmp_path: Path) -> None:
    root, out = write_pts_folder(tmp_path), tmp_path / "gone/sheet.png"
    result = run("sheet", "--dataset", "folder", "--data-root", root, "--out", out)
    assert isinstance(result.exception, OSError)
    assert result.exception.filename == str(out)


def test_a_sheet_is_a_png_file(tmp_path: Path) -> None:
    result = run("sheet", "--dataset", "synthetic", "--out", tmp_path / "sheet.jpg")
    assert isinstance(result.exception, UsageError)
    assert not list(tmp_path.iterdir())


def test_other_datasets_are_checked(tmp_path: Path) -> None:
    root = write_pts_folder(tmp_path / "own")
    result = run("check", root, "--dataset", "folder", "--json")
    assert result.exit_code == 0, result.output
    assert [s["faces"] for s in json.loads(result.stdout)["subsets"]] == [3, 1, 1]
    assert "mine in" in run("check", root, "--dataset", "folder").stdout
    part = run("check", write_wflw(tmp_path / "wflw", 10, 4), "--dataset", "wflw")
    assert isinstance(part.exception, CheckFailed)
    assert "test: test has 4 of 2500 faces" in part.stdout
    assert isinstance(run("check", root, "--dataset", "synthetic").exception, UsageError)
