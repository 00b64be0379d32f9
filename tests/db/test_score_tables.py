"""A score and a normaliser are one entry each: the whole store follows, without a migration."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import numpy as np
import pytest

from db import method_ids, predictions, reads
from db.analysis import paired
from db.boards import board, entries
from db.connection import open_reader, open_store
from db.maintenance import integrity
from db.tables import derived
from drf.landmarks.markup import Markup
from drf.scoring import scores
from tests.db import examples


@pytest.fixture
def more(monkeypatch: pytest.MonkeyPatch) -> None:
    """drf with one score and one normaliser more: the worst error; the height of the face."""

    def height(gt: np.ndarray, markup: Markup) -> np.ndarray:
        return np.ptp(gt[:, :, 1], axis=1)

    worst = scores.Score("worst", "Worst", "lower", "Largest error.", lambda e: float(e.max()))
    tall = scores.Normaliser("tall", "Height", "Height of the landmarks.", height, False)
    monkeypatch.setattr(scores, "SCORES", (*scores.SCORES, worst))
    monkeypatch.setattr(scores, "NORMALISERS", (*scores.NORMALISERS, tall))
    monkeypatch.setattr(scores, "SCORE_KEYS", (*scores.SCORE_KEYS, "worst"))
    monkeypatch.setattr(scores, "NORMALISER_KEYS", (*scores.NORMALISER_KEYS, "tall"))
    columns = tuple(f"{n}_{s}" for n in scores.NORMALISER_KEYS for s in scores.SCORE_KEYS)
    monkeypatch.setattr(scores, "COLUMNS", columns)


def expected_of(seed: int, error_px: float) -> np.ndarray:
    made = examples.evaluation(error_px=error_px, seed=seed)
    truth, predicted = made.ground_truth.astype(float), made.predictions.astype(float)
    height = truth[:, :, 1].max(axis=1) - truth[:, :, 1].min(axis=1)
    return np.linalg.norm(predicted - truth, axis=2).mean(axis=1) / height


def test_they_are_in_everything_that_is_recorded_and_read(more: None, path: Path) -> None:
    examples.filled_store(path)
    con = open_reader(path)
    rows = reads.leaderboard(con)
    (row,) = rows[rows["name"] == "mean-shape"].to_dict("records")
    errors = expected_of(0, 9.0)
    assert row["tall_nme"] == pytest.approx(100 * errors.mean())
    assert row["tall_worst"] == pytest.approx(100 * errors.max())
    assert row["ocular_worst"] > row["ocular_nme"]
    assert entries.entry(row)["scores"]["tall"]["worst"] == row["tall_worst"]
    view = con.execute("SELECT tall_worst FROM leaderboard WHERE name = 'mean-shape'").fetchone()
    assert view == (row["tall_worst"],)
    assert reads.evaluations(con, row["run"])["tall_worst"].tolist() == [row["tall_worst"]]
    means = board.by_method(rows, method_ids.method_of_runs(con))
    assert {"tall_worst", "tall_worst_sd"} <= set(means.columns)
    images = predictions.image_errors(con, row["evaluation"])
    assert images["tall"].tolist() == pytest.approx(errors.tolist())
    assert paired.errors(con, [row["evaluation"]])["tall"][0].tolist() == images["tall"].tolist()
    assert integrity.faults(con) == []
    assert "tall" in scores.defined_for(reads.markup(con, row["markup"]))
    con.close()


@pytest.fixture
def older(filled: list[str], path: Path, request: pytest.FixtureRequest) -> list[str]:
    """A store from before `more`."""
    request.getfixturevalue("more")
    return filled


def test_what_older_evaluations_lack_is_nan_and_a_fault(older: list[str], path: Path) -> None:
    con = open_reader(path)
    rows = reads.leaderboard(con)
    assert rows["tall_nme"].isna().all()
    assert rows["ocular_worst"].isna().all()
    assert rows["ocular_nme"].notna().all()
    assert np.isnan(predictions.image_errors(con, 1)["tall"]).all()
    assert paired.errors(con, [1, 2])["tall"].shape == (2, 0)
    problems = {fault.problem for fault in integrity.faults(con)}
    assert "has no tall errors yet: `drf db migrate` adds them" in problems
    assert "ocular worst do not follow from the errors" in problems
    con.close()


def test_opening_an_older_store_completes_a_few_evaluations(older: list[str], path: Path) -> None:
    before = sqlite3.connect(path)
    held = before.execute("SELECT * FROM scores ORDER BY 1, 2, 3").fetchall()
    revision = reads.revision(before)
    open_store(path).close()
    after = before.execute("SELECT * FROM scores ORDER BY 1, 2, 3").fetchall()
    assert set(held) < set(after)
    assert len(after) == 4 * len(scores.COLUMNS)
    assert integrity.faults(before) == []
    assert reads.revision(before) > revision  # what pages have cached is outdated
    row = before.execute("SELECT tall_nme FROM leaderboard WHERE name = 'mean-shape'").fetchone()
    assert row[0] == pytest.approx(100 * expected_of(0, 9.0).mean())
    before.close()


def test_more_evaluations_wait_for_the_command_and_are_completed_step_by_step(
    older: list[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    db = open_store(path, at_once=3)
    left = derived.lacking(db.conn)
    assert left == [1, 2, 3, 4]
    monkeypatch.setattr(derived, "_A_TRANSACTION", 2)
    told: list[tuple[int, int]] = []

    def stop(done: int, total: int) -> None:
        told.append((done, total))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        derived.complete(db, left, stop)
    assert told == [(2, 4)]
    assert derived.lacking(db.conn) == [3, 4]
    assert derived.seconds_for(db, [3, 4]) == 0  # both were done to find out
    assert derived.lacking(db.conn) == []
    derived.note_completed(db)
    assert integrity.faults(db.conn) == []
    db.close()


def test_an_older_drf_that_writes_later_is_noticed(
    filled: list[str], path: Path, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
) -> None:
    older = open_store(path)  # stays open while a newer drf completes the store
    with monkeypatch.context() as newer:
        newer.setattr(scores, "SCORE_KEYS", (*scores.SCORE_KEYS, "worst"))
        worst = scores.Score("worst", "Worst", "lower", "Largest.", lambda e: float(e.max()))
        newer.setattr(scores, "SCORES", (*scores.SCORES, worst))
        columns = [f"{n}_{s}" for n in scores.NORMALISER_KEYS for s in scores.SCORE_KEYS]
        newer.setattr(scores, "COLUMNS", tuple(columns))
        open_store(path).close()
    late = examples.evaluations.record_evaluation(older, filled[0], examples.evaluation(), [])
    older.close()
    request.getfixturevalue("more")
    con = open_reader(path)
    assert late in derived.lacking(con)
    con.close()
