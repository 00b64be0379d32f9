"""Boxes of other detectors and the changes made to them; a peer runs in a process of its own."""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest

from benchmarks import peers
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
