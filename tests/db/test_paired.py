from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from db import predictions
from db.analysis import paired
from db.connection import open_reader, open_store
from db.recording import evaluations, runs
from drf.errors import NotFoundError
from drf.scoring import scores
from drf.scoring.results import Evaluation
from tests.db import examples


def some(of: Evaluation, faces: list[int]) -> Evaluation:
    names = tuple(of.names[i] for i in faces)
    return replace(
        of, names=names, ground_truth=of.ground_truth[faces], predictions=of.predictions[faces]
    )


@pytest.fixture
def recorded(path: Path) -> Iterator[tuple[sqlite3.Connection, list[int]]]:
    """Three evaluations of one run: faces 5..0, 2..5 and 0, 1; face names descend with the ids."""
    db = open_store(path)
    run = runs.start_run(db, examples.new_run())
    ids = []
    for faces, error_px in (([5, 4, 3, 2, 1, 0], 1.0), ([2, 3, 4, 5], 2.0), ([0, 1], 3.0)):
        made = some(examples.evaluation(error_px=error_px), faces)
        ids.append(evaluations.record_evaluation(db, run, made, []))
    db.close()
    con = open_reader(path)
    yield con, ids
    con.close()


def test_errors_are_those_of_the_shared_faces_by_name_in_the_order_asked_for(recorded) -> None:
    con, (six, four, _) = recorded
    found = paired.errors(con, [four, six, four])
    assert found.names == ("common/00002", "common/00003", "common/00004", "common/00005")
    for row, evaluation in enumerate((four, six, four)):
        one = predictions.image_errors(con, evaluation).set_index("name").loc[list(found.names)]
        assert found.faces.tolist() == one["face"].tolist()
        for norm in scores.NORMALISER_KEYS:
            assert found[norm][row].tolist() == one[norm].tolist()


def test_evaluations_without_a_face_in_common_pair_to_nothing(recorded) -> None:
    con, (_, four, two) = recorded
    found = paired.errors(con, [four, two])
    assert (found.names, found.faces.shape, found["ocular"].shape) == ((), (0,), (2, 0))


def test_one_evaluation_pairs_with_itself(recorded) -> None:
    con, (six, *_) = recorded
    found = paired.errors(con, np.array([six]))
    assert found["pupil"].shape == (1, 6)
    assert list(found.names) == sorted(found.names)


def test_an_evaluation_that_is_not_there_is_said(recorded) -> None:
    con, (six, *_) = recorded
    with pytest.raises(NotFoundError, match="no evaluation 99"):
        paired.errors(con, [six, 99])


def test_nothing_asked_for_is_a_mistake(recorded) -> None:
    with pytest.raises(ValueError, match="need an evaluation"):
        paired.errors(recorded[0], [])
