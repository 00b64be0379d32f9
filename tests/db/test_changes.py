"""What is new on a board since a revision or a day."""

from __future__ import annotations

import pytest
from sqlite_utils import Database

from db import method_ids, reads
from db.boards import board, changes
from db.boards.changes import Changes
from db.recording import evaluations, runs
from db.transactions import writing
from drf.errors import UsageError
from tests.db import examples

BOARD = {"dataset": "synthetic", "subset": "common", "landmarks": "all", "box": "gt"}


def found(db: Database, since: int, *, methods: bool = False) -> Changes:
    of_run = method_ids.method_of_runs(db.conn)
    rows_of = board.by_method if methods else board.by_run
    before, now = (
        rows_of(reads.leaderboard(db.conn, **BOARD, at_revision=at), of_run) for at in (since, None)
    )
    gone = changes.deletions(db.conn, since, BOARD, now)
    return changes.compared(since, before, now, "ocular", gone)


def test_rows_that_came_and_moved_are_told_apart(db: Database) -> None:
    first = examples.add_finished_run(db, error_px=2.0)
    worst = examples.add_finished_run(db, name="worst", error_px=4.0)
    since = reads.revision(db.conn)
    assert not found(db, since)
    best = examples.add_finished_run(db, name="best", error_px=1.0)
    new = found(db, since)
    assert [(one.id, one.place, one.nme_before) for one in new.added] == [(best, 1, None)]
    assert [(one.id, one.place_before, one.place) for one in new.moved] == [
        (first, 1, 2),
        (worst, 2, 3),
    ]
    assert all(one.nme == one.nme_before for one in new.moved)


def test_a_row_with_another_error_is_told_even_at_its_place(db: Database) -> None:
    run = examples.add_finished_run(db, error_px=2.0)
    since = reads.revision(db.conn)
    again = examples.evaluation(error_px=1.0)
    evaluations.record_evaluation(db, run, again, [])
    (moved,) = found(db, since).moved
    assert (moved.place_before, moved.place) == (1, 1)
    assert moved.nme_before is not None
    assert moved.nme < moved.nme_before


def test_another_seed_changes_a_method_and_adds_none(db: Database) -> None:
    examples.add_finished_run(db, seed=0, error_px=2.0)
    since = reads.revision(db.conn)
    examples.add_finished_run(db, seed=1, error_px=3.0)
    new = found(db, since, methods=True)
    assert new.added == ()
    assert len(new.moved) == 1


def test_a_deleted_run_leaves_its_name_on_its_boards_until_it_comes_back(db: Database) -> None:
    run = examples.add_finished_run(db, name="gone")
    unevaluated = runs.start_run(db, examples.new_run(name="unevaluated"))
    db.execute("UPDATE runs SET state = 'failed' WHERE id = ?", [unevaluated])
    since = reads.revision(db.conn)
    for one in (run, unevaluated):
        runs.delete_run(db, one)
    assert [(one.run, one.name) for one in found(db, since).deleted] == [(run, "gone")]
    assert found(db, reads.revision(db.conn)).deleted == ()
    other = examples.add_finished_run(db, name="gone")
    with writing(db):
        db.execute("PRAGMA defer_foreign_keys = ON")
        for table, column in (("runs", "id"), ("run_config", "run"), ("epochs", "run")):
            db.execute(f"UPDATE {table} SET {column} = ? WHERE {column} = ?", [run, other])
        db.execute("UPDATE evaluations SET run = ? WHERE run = ?", [run, other])
    assert found(db, since).deleted == ()


def test_a_day_stands_for_the_last_revision_before_what_came_after_it(db: Database) -> None:
    run = examples.add_finished_run(db)
    early = reads.revision(db.conn)
    late = examples.add_finished_run(db, seed=1)
    with writing(db):
        for one, day in ((run, "2026-11-20"), (late, "2026-11-22")):
            when = [f"{day}T12:00:00.000Z", one]
            db.execute("UPDATE evaluations SET created_at = ? WHERE run = ?", when)
    of = lambda text: changes.revision_of(db.conn, text)  # noqa: E731
    (first, second) = (
        revision for (revision,) in db.execute("SELECT revision FROM evaluations ORDER BY id")
    )
    assert of("2026-11-19") == first - 1
    assert of("2026-11-21") == of("2026-11-22T11:59") == second - 1 >= early
    assert of("2026-11-22T14:00:00+02:00") == reads.revision(db.conn)  # that is noon in UTC
    runs.delete_run(db, late)
    assert of("2026-11-23") == reads.revision(db.conn) - 1
    assert of("7") == 7


@pytest.mark.parametrize(
    "text",
    [
        *("", "yesterday", "2026-13-01", "-1", "1.5", "9999"),
        *("0001-01-01T00:00+05:00", "9999-12-31T23:59-05:00"),  # no years of UTC
    ],
)
def test_what_is_no_day_and_no_revision_is_refused(db: Database, text: str) -> None:
    with pytest.raises(UsageError):
        changes.revision_of(db.conn, text)
