"""Boxes of other detectors, the changes made to them, and a peer that cannot run."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from benchmarks import peers
from benchmarks.timing import one_thread
from drf.errors import DrfError

BOXES = np.array([[100.0, 80, 40], [60, 70, 20]])


def test_boxes_move_by_shares_of_their_side_and_grow_around_their_centre() -> None:
    moved = peers.changed(BOXES, np.array([0.25, 0, 1]))
    np.testing.assert_allclose(moved, [[110, 80, 40], [65, 70, 20]])
    grown = peers.changed(BOXES, np.array([0, 0, 1.5]))
    np.testing.assert_allclose(grown, [[100, 80, 60], [60, 70, 30]])
    np.testing.assert_allclose(peers.corners(BOXES), [[80, 60, 40, 40], [50, 60, 20, 20]])


def test_the_box_of_a_detector_is_fitted_on_the_faces_that_it_found() -> None:
    change = np.array([0.05, 0.1, 0.8])
    boxes = np.repeat(BOXES, 4, axis=0)
    rectangles = np.array(peers.corners(peers.changed(boxes, change)))
    rectangles[0] = np.nan  # not found
    rectangles[1, :2] += 500  # another face
    np.testing.assert_allclose(peers.fitted(rectangles, boxes), change)


def test_a_shift_is_in_four_directions_and_none_is_one() -> None:
    shifts = dict(peers.variations()["shift"])
    assert len(shifts[0.0]) == 1
    np.testing.assert_allclose(shifts[0.1].sum(axis=0), [0, 0, 4])


def test_a_peer_that_cannot_run_is_said() -> None:
    with (
        peers.worker(Path(sys.executable), "nobody", [np.zeros((4, 4, 3), np.uint8)]) as run,
        pytest.raises(DrfError, match="the peer ended"),
    ):
        run.ask(do="find", centres=[[0, 0]])


def test_an_environment_that_cannot_be_made_is_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "dlib").write_text("in the way")
    with pytest.raises(DrfError, match="dlib cannot be installed here"):
        peers.environment(tmp_path, "dlib")


@pytest.fixture
def judged(monkeypatch: pytest.MonkeyPatch) -> dict[str, int]:
    """Nothing is installed or measured: peer -> the faces that it misses."""
    missed = {"dlib": 1, "mediapipe": 1}
    faces = argparse.Namespace(faces=[1, 2, 3])

    def judge(name: str, *_: Any) -> dict[str, Any]:
        return {"missed": missed[name], "nme": 3.0, "points": np.zeros((3, 68, 2))}

    monkeypatch.setattr(peers, "read", lambda *_: faces)
    monkeypatch.setattr(peers.drf, "load", lambda name: None)
    monkeypatch.setattr(peers, "robustness", lambda *_: {"shift": {"0": 3.0}, "scale": {}})
    monkeypatch.setattr(peers, "environment", lambda *_: Path("python"))
    monkeypatch.setattr(peers, "judge", judge)
    return missed


def options(tmp_path: Path) -> argparse.Namespace:
    return argparse.Namespace(
        data_root=tmp_path, environments=tmp_path, db=tmp_path / "drf.db", subset="helen",
        models=None, peers=None, quick=False, figure=None, sizes=None, json=False,
    )  # fmt: skip


def test_what_the_store_refuses_is_measured_all_the_same(
    judged: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused(*_: Any) -> None:
        raise DrfError("the store has it already")

    monkeypatch.setattr(peers, "store", refused)
    found = peers.measure(options(tmp_path))["peers"]
    for name in judged:
        said = "the store has it already"
        assert found[name] == {"missed": 1, "nme": 3.0, "not_stored": said}


def test_a_peer_without_a_box_is_stored_only_where_it_found_every_face(
    judged: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: Any
) -> None:
    stored: list[str] = []
    monkeypatch.setattr(peers, "write_predictions", lambda *_: None)
    monkeypatch.setattr(peers, "import_predictions", lambda file, *_: stored.append(file.stem))
    monkeypatch.setattr(
        peers, "read", lambda *_: argparse.Namespace(faces=[argparse.Namespace(name="a")])
    )
    found = peers.measure(options(tmp_path))
    assert stored == ["dlib"]
    why = "its detector missed 1 faces, and it takes no box"
    assert found["peers"]["mediapipe"] == {"missed": 1, "nme": 3.0, "not_stored": why}
    peers.print_table(found)
    assert f"not stored: {why}" in capsys.readouterr().out
    judged["mediapipe"] = 0
    assert "not_stored" not in peers.measure(options(tmp_path))["peers"]["mediapipe"]
    assert stored == ["dlib", "dlib", "mediapipe"]


def test_latencies_are_measured_on_one_thread_of_opencv_too(
    judged: dict[str, int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before, seen = cv2.getNumThreads(), []
    cv2.setNumThreads(2)
    try:
        measure = peers.measure
        monkeypatch.setattr(
            peers, "measure", lambda asked: seen.append(cv2.getNumThreads()) or measure(asked)
        )
        folder = str(tmp_path)
        words = ["peers", "--data-root", folder, "--environments", folder, "--json"]
        monkeypatch.setattr("sys.argv", words)
        assert peers.main() == 0
        assert seen == [1]
        with one_thread():
            assert cv2.getNumThreads() == 1
        assert cv2.getNumThreads() == 2
    finally:
        cv2.setNumThreads(before)
