"""The numbers that drf states: what they are over, that they are the same everywhere, and when a
board has moved on. Each is a claim of the leaderboard that did not hold once.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from sqlite_utils import Database

from db import additions, evaluations, reads, runs
from db.connection import open_store
from drf.ranking import places
from tests.db import examples
from tests.webapp.boards import store_with_seeds
from tests.webapp.conftest import opened, texts

BOARD = {"dataset": "300w", "subset": "full", "landmarks": "all", "box": "gt"}


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Three seeds of `forest`, two of `wide`, one of a floor."""
    path = tmp_path / "drf.db"
    store_with_seeds(path)
    monkeypatch.setenv("DRF_DB", str(path))
    return path


@pytest.fixture
def store(path: Path) -> Iterator[Database]:
    db = open_store(path)
    yield db
    db.close()


def revision(db: Database) -> int:
    return reads.revision(db.conn)


def beat(db: Database) -> None:
    """What a training on the same store writes all the time."""
    run = runs.start_run(db, examples.new_run(name="training", dataset="300w"))
    for epoch in range(5):
        runs.record_heartbeat(db, run, epoch=epoch, progress=epoch / 9, faces_per_s=1.0)
        runs.record_epoch(db, run, epoch, {"loss": 1.0})


def evaluate(db: Database, name: str, subset: str = "full") -> str:
    run = runs.start_run(db, examples.new_run(name=name, dataset="300w"))
    result = examples.evaluation(40, 1.0, dataset="300w", subset=subset)
    evaluations.record_evaluation(db, run, result, [])
    return run


PAGES = {
    None: {},
    "views/compare.py": {"cmp_eval": "300w/full/gt"},
    "views/images.py": {"img_eval": "300w/full/gt"},
    "views/ablations.py": {"abl_eval": "300w/full/gt"},
    "views/run.py": {"run": "wide-s1"},
}


@pytest.mark.parametrize("page", PAGES)
def test_heartbeats_do_not_move_a_board_on(store, page) -> None:
    then = revision(store)
    beat(store)
    evaluate(store, "elsewhere", subset="challenging")
    assert revision(store) > then
    app = opened(page, rev=str(then), **PAGES[page])
    assert not app.exception
    assert "made at revision" not in texts(app)


@pytest.mark.parametrize("page", list(PAGES)[:4])
def test_a_board_that_moved_on_says_what_is_new(store, page) -> None:
    then = revision(store)
    beat(store)
    evaluate(store, "late *one*")
    said = texts(opened(page, rev=str(then), **PAGES[page]))
    assert f"made at revision {then} of the store; since then, 1 run was added: late" in said
    assert r"\*one\*" in said


def test_a_run_that_was_evaluated_again_is_no_new_run(store) -> None:
    then = revision(store)
    (run,) = [r for r, n in store.execute("SELECT id, name FROM runs") if n == "wide-s1"]
    result = examples.evaluation(40, 1.0, dataset="300w", subset="full")
    evaluations.record_evaluation(store, run, result, [])
    assert additions.since(store.conn, then, BOARD) == [additions.Addition(run, "wide-s1", True)]
    for page in (None, "views/run.py"):
        assert "1 run was evaluated again: wide" in texts(
            opened(page, rev=str(then), **PAGES[page])
        )


def test_runs_that_a_link_does_not_show_do_not_move_it_on(store) -> None:
    ids = [run[:8] for (run,) in store.execute("SELECT id FROM runs WHERE name LIKE 'wide%'")]
    then = revision(store)
    evaluate(store, "late")
    for page, key in (("views/compare.py", "cmp_runs"), ("views/images.py", "img_runs")):
        link = {**PAGES[page], key: ",".join(ids)}
        assert "made at revision" not in texts(opened(page, rev=str(then), **link))


def test_a_link_of_a_later_store_is_told(store) -> None:
    said = texts(opened(rev=str(revision(store) + 5)))
    assert "an earlier copy of it, or another store" in said


def test_where_several_are_first_nobody_is_second() -> None:
    values = [0.0, 0.0, 0.0, 0.0, 75.09, float("nan")]
    assert places(values)[:5].tolist() == [1, 1, 1, 1, 5]
    assert np.isnan(places(values)[5])
    assert places([2.861, 2.858, 2.87]).tolist() == [1, 1, 3]  # what reads 2.86 is 2.86
    assert places([50.0, 60.0, 60.0, 70.0], "higher").tolist() == [4, 2, 2, 1]
