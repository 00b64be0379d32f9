"""Rows of boards that are ready to be read say what the tables say from which they follow."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from sqlite_utils import Database

from db import file, method_ids, reads, status
from db.connection import open_reader, open_store
from db.maintenance import integrity
from db.recording import evaluations, runs
from db.tables import board_rows
from db.tables.derived import score_columns
from db.transactions import writing
from drf.scoring import scores
from tests.db import examples

LONG_AGO = "2026-01-01T00:00:00.000Z"


def old_leaderboard(
    con: sqlite3.Connection, at_revision: int | None = None, **board: str
) -> pd.DataFrame:
    """The board as it follows from the tables alone, one row after the other."""
    where = " AND ".join([f"{column} = '{value}'" for column, value in board.items()] or ["1"])
    then = 2**62 if at_revision is None else at_revision
    found = con.execute(
        f"""{status.measured(at_revision)}
        SELECT r.name, r.family, e.dataset, e.subset, e.landmarks, e.box, e.markup, e.flip_test,
            e.n, r.preset, r.track, r.trained_on, r.seed,
            {status.known_as("params", "r.")}, {status.known_as("macs", "r.")},
            json_extract(r.provenance, '$.precision') AS precision, {status.SPENT}, r.wall_s,
            {status.MS_PER_FACE}, r.id, r.state, r.started_at, r.heartbeat_at, r.host, r.pid,
            r.process_started, e.id AS evaluation, e.run, e.checkpoint, e.manifest_digest,
            e.created_at, e.precision AS eval_precision, e.crop_version, {status.FLOOR} AS floor,
            {score_columns()}
        FROM evaluations AS e JOIN runs AS r ON r.id = e.run {status.MEASURED}
        WHERE e.id IN (
            SELECT max(id) FROM evaluations WHERE {where} AND revision <= {then}
            GROUP BY run, dataset, subset, landmarks, box, flip_test
        )"""
    )
    names = [name for name, *_ in found.description]
    rows = [dict(zip(names, values, strict=True)) for values in found]
    headlines = [scores.column(norm, "nme") for norm in scores.NORMALISER_KEYS]
    for row in rows:
        row["flip_test"] = bool(row["flip_test"])
        row["status"] = row["condition"] = status.of_run(row)
        if row["wall_s"] is None:
            row["wall_s"] = status.wall_s(row)
        own = next((row[name] for name in headlines if row[name] is not None), None)
        if row["status"] == "finished" and None not in (own, row["floor"]):
            row["condition"] = "worse than floor" if own >= 100 * row["floor"] else "finished"
    for row in rows:
        others = [one for one in rows if all(one[key] == row[key] for key in reads.BOARD)]
        by = next((name for name in headlines if any(o[name] is not None for o in others)), None)
        row["by"] = np.inf if by is None or row[by] is None else row[by]
        row["last"] = row["condition"] != "finished"
    for row in rows:
        better = [
            one
            for one in rows
            if all(one[key] == row[key] for key in reads.BOARD)
            and not one["last"]
            and one["by"] < row["by"]
        ]
        row["rank"] = None if row["last"] else 1 + len(better)
    rows.sort(key=lambda r: (*(r[key] for key in reads.BOARD), r["last"], r["by"], r["evaluation"]))
    return pd.DataFrame(rows, columns=list(reads.leaderboard(con).columns))


def assert_same(con: sqlite3.Connection, at_revision: int | None = None, **board: str) -> int:
    chosen = {"landmarks": None, **board}
    found = reads.leaderboard(con, at_revision=at_revision, **chosen)
    expected = old_leaderboard(con, at_revision, **board)
    pd.testing.assert_frame_equal(found, expected.astype(found.dtypes.to_dict()), check_exact=True)
    return len(found)


@pytest.fixture
def history(path: Path) -> Iterator[tuple[Database, list[int]]]:
    """A store with every kind of row, and its revisions on the way."""
    db = open_store(path)
    revisions = []

    def evaluate(run: str, **changes: object) -> None:
        evaluations.record_evaluation(db, run, examples.evaluation(**changes), [])
        revisions.append(reads.revision(db.conn))

    floor = examples.add_finished_run(
        db, name="mean-shape", family="mean-shape", preset=None, error_px=9.0
    )
    seeds = [examples.add_finished_run(db, seed=seed, error_px=2 + seed / 5) for seed in (0, 1, 2)]
    examples.add_finished_run(db, name="unsound", error_px=30.0)
    for run in seeds[:2]:
        evaluate(run, box="gt_jitter", error_px=3.0)
        evaluate(run, landmarks="eyes", flip_test=False)
    evaluate(floor, error_px=8.0, n=9)
    evaluate(seeds[0], error_px=0.5, n=9, precision="fp16")
    for name in ("running", "stale", "crashed", "of another host"):
        evaluate(runs.start_run(db, examples.new_run(name=name)), error_px=1.0)
    lives = {
        "stale": {"host": "elsewhere", "heartbeat_at": LONG_AGO},
        "crashed": {"pid": 2**22 - 1, "process_started": 0.0},
        "of another host": {"host": "elsewhere", "heartbeat_at": file.now()},
    }
    with writing(db):
        for name, values in lives.items():
            for column, value in values.items():
                db.execute(f"UPDATE runs SET {column} = ? WHERE name = ?", [value, name])
    for state in ("failed", "interrupted", "collapsed", "diverged"):
        run = runs.start_run(db, examples.new_run(name=state))
        runs.record_epoch(db, run, 1, {"steps": 10.0, "faces_seen": 160.0})
        evaluate(run, error_px=2.5)
        runs.end_run(
            db, run, state, reason="a reason", wall_s=None, faces_per_s=None, kept_epoch=None,
            kept_val_nme=None,
        )  # fmt: skip
    external = runs.start_run(
        db, examples.new_run(name="theirs", family="external", params=0, macs=0, epochs=None)
    )
    evaluate(external, ms_per_face=0.0)
    runs.end_run(
        db, external, "finished", wall_s=None, faces_per_s=None, kept_epoch=None, kept_val_nme=None
    )
    gone = examples.add_finished_run(db, name="gone")
    runs.delete_run(db, gone)
    yield db, revisions
    db.close()


def test_the_board_is_that_of_the_tables(history: tuple[Database, list[int]], path: Path) -> None:
    db, revisions = history
    assert db.execute("SELECT count(*) FROM board_stale").fetchone() == (0,)
    with closing(open_reader(path)) as con:
        assert assert_same(con) == 18
        assert {"finished", "worse than floor", "running", "stale", "crashed", "diverged"} <= set(
            reads.leaderboard(con)["condition"]
        )
        assert assert_same(con, subset="common", landmarks="all", box="gt") == 14
        assert assert_same(con, subset="nowhere") == 0
        sizes = [assert_same(con, at_revision=then) for then in (0, *revisions)]
        assert sizes == sorted(sizes)
        assert len(set(sizes)) > 5


CHANGES = {
    "a name": "UPDATE runs SET name = 'another' WHERE name = 'hourglass' AND seed = 0",
    "an end": "UPDATE runs SET state = 'failed', wall_s = 3 WHERE name = 'unsound'",
    "a provenance": """UPDATE runs SET provenance = '{"device": "cuda", "threads": 4}'""",
    "epochs": "UPDATE epochs SET epoch = 7 WHERE epoch = 2",
    "an epoch more": "INSERT INTO epochs SELECT id, 9, 'steps', 90 FROM runs",
    "epochs that are taken back": "DELETE FROM epochs WHERE epoch = 2",
    "a score": "UPDATE scores SET value = 0.5 WHERE score = 'nme' AND evaluation < 4",
    "scores that are gone": "DELETE FROM scores WHERE norm = 'ocular' AND evaluation = 3",
    "a score of another drf": "INSERT INTO scores SELECT id, 'jaw', 'nme', 0.1 FROM evaluations",
    "a box file": "UPDATE evaluations SET box = 'file-a' WHERE box = 'gt_jitter'",
    "an evaluation": "DELETE FROM evaluations WHERE id IN (2, 3)",
    "the first seed": "DELETE FROM runs WHERE name = 'hourglass' AND seed = 0",
    "a key": "UPDATE run_config SET value = '0.5' WHERE key = 'training.lr'",
    "a key more": """INSERT INTO run_config SELECT id, 'model.x', '1', '--set' FROM runs""",
    "a key that is gone": "DELETE FROM run_config WHERE key = 'model.width'",
    "another drf": "UPDATE meta SET value = 'other columns' WHERE key = 'board_rows'",
}


@pytest.mark.parametrize("what", CHANGES)
def test_no_change_is_forgotten_whoever_makes_it(
    history: tuple[Database, list[int]], path: Path, what: str
) -> None:
    """Read after a change by plain SQL, then after the next transaction of drf."""
    db, revisions = history
    db.execute(CHANGES[what])
    with closing(open_reader(path)) as con:
        assert_same(con)
        assert_same(con, at_revision=revisions[3])
        methods = method_ids.method_of_runs(con)
    with writing(db):
        pass
    assert board_rows.wrong(db.conn) == []
    assert db.execute("SELECT count(*) FROM board_stale").fetchone() == (0,)
    with closing(open_reader(path)) as con:
        assert_same(con)
        assert_same(con, at_revision=revisions[3])
        pd.testing.assert_series_equal(method_ids.method_of_runs(con), methods)


def test_a_heartbeat_makes_no_row_anew(db: Database) -> None:
    run = examples.add_finished_run(db)
    before = db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
    db.execute("BEGIN")
    db.table("runs").update(run, {"heartbeat_at": file.now(), "epoch": 2, "progress": 0.5})
    assert db.execute("SELECT count(*) FROM board_stale").fetchone() == (0,)
    db.execute("ROLLBACK")
    assert db.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone() == before


@pytest.mark.parametrize(
    "change",
    [
        "UPDATE board_entries SET name = 'winner'",
        "UPDATE board_entries SET numbers = zeroblob(length(numbers))",
        "UPDATE board_methods SET method = '000000000000'",
        "DELETE FROM board_entries",
        "INSERT INTO board_methods VALUES ('00000000000000000000000000000000', 'x')",
    ],
)
def test_rows_that_say_something_else_are_found(db: Database, change: str) -> None:
    examples.add_finished_run(db)
    assert integrity.faults(db.conn) == []
    db.execute(change)
    (fault,) = integrity.faults(db.conn)
    assert fault.check == "board rows"


def test_a_run_that_nobody_can_read_can_be_deleted(db: Database, path: Path) -> None:
    odd, sound = examples.add_finished_run(db, name="odd"), examples.add_finished_run(db)
    db.execute("PRAGMA ignore_check_constraints = ON")
    db.execute("UPDATE runs SET provenance = '{' WHERE id = ?", [odd])
    db.execute("PRAGMA ignore_check_constraints = OFF")
    runs.delete_run(db, odd)
    with closing(open_reader(path)) as con:
        assert reads.leaderboard(con)["run"].tolist() == [sound]


def test_facts_are_what_their_columns_hold(con: sqlite3.Connection) -> None:
    (text,) = con.execute("SELECT facts FROM board_entries ORDER BY evaluation DESC").fetchone()
    facts = dict(zip(board_rows.FACTS, json.loads(text), strict=True))
    assert facts["family"] == "hourglass"
    assert facts["device"] == "cpu"
    assert facts["n"] == 6
