from __future__ import annotations

import contextlib
import json
import math
import os
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from db import reads, status
from db.connection import open_reader
from db.recording import evaluations, runs
from drf.errors import NotFoundError, UsageError
from tests.db import examples


def test_a_new_run_is_running_in_this_process(db: Database, path: Path) -> None:
    new = examples.new_run()
    run = runs.start_run(db, new)
    con = open_reader(path)
    row = reads.run(con, run)
    con.close()
    assert len(run) == 32
    assert int(run, 16) >= 0
    assert row["status"] == "running"
    assert (row["host"], row["pid"]) == (status.this_host(), os.getpid())
    assert row["config"] == [(key, new.config[key], new.sources[key]) for key in sorted(new.config)]
    for name in ("name", "preset", "seed", "epochs", "params", "macs", "provenance", "manifest"):
        assert row[name] == getattr(new, name)


def test_what_a_run_may_lack_is_null(db: Database, path: Path) -> None:
    run = runs.start_run(db, examples.new_run(preset=None, track=None, epochs=None))
    con = open_reader(path)
    row = reads.run(con, run)
    listed = reads.runs(con)
    con.close()
    assert (row["preset"], row["track"], row["epochs"], row["kept_val_nme"]) == (None,) * 4
    assert str(listed["epochs"].dtype) == "Int64"
    assert math.isnan(listed["kept_val_nme"].iloc[0])


def test_every_key_must_say_where_it_came_from(db: Database) -> None:
    with pytest.raises(ValueError, match=r"differ in training\.lr"):
        runs.start_run(db, examples.new_run(config={"training.lr": 1e-3}, sources={}))


def test_a_value_that_is_not_json_leaves_no_run(db: Database) -> None:
    with pytest.raises(ValueError, match="JSON"):
        runs.start_run(db, examples.new_run(config={"a": math.nan}, sources={"a": "default"}))
    assert db.table("runs").count == 0


def test_heartbeats_and_curves(db: Database, path: Path) -> None:
    run = runs.start_run(db, examples.new_run())
    runs.record_heartbeat(db, run, epoch=3, progress=0.25, faces_per_s=180.0)
    runs.record_epoch(db, run, 1, {"loss": 2.0, "val_nme": 0.05})
    runs.record_epoch(db, run, 2, {"loss": math.inf})
    runs.record_epoch(db, run, 1, {"loss": 1.0})  # resumed: the later value stands
    con = open_reader(path)
    row, curves = reads.run(con, run), reads.curves(con, run)
    con.close()
    assert (row["epoch"], row["progress"], row["faces_per_s"]) == (3, 0.25, 180.0)
    values = {(e, m): v for e, m, v in curves.itertuples(index=False)}
    assert values.pop((1, "loss")) == 1.0
    assert values.pop((1, "val_nme")) == 0.05
    assert math.isnan(values.pop((2, "loss")))
    assert not values


@pytest.mark.parametrize("progress", [-0.1, 1.1])
def test_progress_is_a_share(db: Database, progress: float) -> None:
    run = runs.start_run(db, examples.new_run())
    with pytest.raises(sqlite3.IntegrityError):
        runs.record_heartbeat(db, run, epoch=1, progress=progress, faces_per_s=1.0)


@pytest.mark.parametrize("state", status.ENDED)
def test_a_run_ends_in_one_of_four_ways(db: Database, path: Path, state: str) -> None:
    run = runs.start_run(db, examples.new_run())
    runs.end_run(
        db,
        run,
        state,
        reason="because",
        wall_s=12.5,
        faces_per_s=210.0,
        kept_epoch=4,
        kept_val_nme=0.031,
    )
    con = open_reader(path)
    row = reads.run(con, run)
    con.close()
    assert (row["status"], row["reason"], row["wall_s"]) == (state, "because", 12.5)
    assert (row["kept_epoch"], row["kept_val_nme"]) == (4, 0.031)
    assert row["ended_at"] >= row["started_at"]


def test_there_is_no_fifth_way(db: Database) -> None:
    run = runs.start_run(db, examples.new_run())
    with pytest.raises(ValueError, match="not 'running'"):
        runs.end_run(
            db, run, "running", wall_s=1, faces_per_s=1, kept_epoch=None, kept_val_nme=None
        )


def test_a_run_deleted_under_its_trainer_is_told(db: Database) -> None:
    gone = examples.add_finished_run(db)
    runs.delete_run(db, gone)
    for write in (
        lambda: runs.record_heartbeat(db, gone, epoch=1, progress=0, faces_per_s=1),
        lambda: runs.record_epoch(db, gone, 1, {"loss": 1.0}),
        lambda: runs.delete_run(db, gone),
    ):
        with pytest.raises(NotFoundError, match=f"run {gone[:8]} is not in the store any more"):
            write()
    assert db.table("epochs").count == 0


def test_a_running_run_is_not_deleted(db: Database) -> None:
    run = runs.start_run(db, examples.new_run())
    with pytest.raises(UsageError, match=r"is running: process .* stop it first"):
        runs.delete_run(db, run)
    assert db.table("runs").count == 1


def test_an_ended_run_goes_on_in_this_process(db: Database, path: Path) -> None:
    run = examples.add_finished_run(db)
    db.execute("UPDATE runs SET pid = 1, reason = 'stopped by the user'")
    claim = runs.resume_run(db, run, {"training.epochs": 50, "training.lr": 5e-4})
    con = open_reader(path)
    row = reads.run(con, run)
    curves = reads.curves(con, run)
    con.close()
    assert (row["status"], row["pid"], row["epochs"]) == ("running", os.getpid(), 50)
    assert (row["reason"], row["ended_at"]) == (None, None)
    config = {key: (value, source) for key, value, source in row["config"]}
    assert config["training.lr"] == (5e-4, "resume")
    assert config["training.epochs"] == (50, "resume")
    assert config["model.width"] == (96, "preset hourglass")
    assert len(curves) == 4  # what was learnt before stays
    assert row["claim"] == claim == runs.FIRST_CLAIM + 1
    with pytest.raises(UsageError, match=r"is running: process .* when that has ended"):
        runs.resume_run(db, run, {})


def test_a_resumed_run_that_is_killed_has_kept_the_best_of_all_its_epochs(
    db: Database, path: Path
) -> None:
    run = runs.start_run(db, examples.new_run())
    runs.record_epoch(db, run, 1, {"val_nme_ocular": 0.05})
    end = {"kept_epoch": 1, "kept_val_nme": 0.05}
    runs.end_run(db, run, "interrupted", reason="by the user", wall_s=60, faces_per_s=200, **end)
    runs.resume_run(db, run, {})
    runs.record_epoch(db, run, 2, {"val_nme_ocular": 0.03})
    runs.record_epoch(db, run, 3, {"val_nme_ocular": 0.04})
    db.execute("UPDATE runs SET pid = 2147483647")  # of a process that is gone
    assert runs.reap(db) == [run]
    with contextlib.closing(open_reader(path)) as con:
        row = reads.run(con, run)
    assert (row["status"], row["kept_epoch"], row["kept_val_nme"]) == ("failed", 2, 0.03)
    assert (row["wall_s"], row["faces_per_s"]) == (60, 200)


def test_deleting_removes_what_only_this_run_shows(db: Database) -> None:
    kept = examples.add_finished_run(db)
    before = _counts(db)
    doomed = examples.add_finished_run(db)
    other = examples.evaluation(9, subset="challenging", names=tuple(f"c/{i}" for i in range(9)))
    evaluations.record_evaluation(db, doomed, other, examples.crops(other))
    assert _counts(db)["faces"] == before["faces"] + 9
    runs.delete_run(db, doomed)
    boards = 2  # of each, "What is new" tells that a run was deleted
    assert _counts(db) == before | {"deletions": boards}
    assert [row["id"] for row in db.table("runs").rows] == [kept]
    assert not db.execute("PRAGMA foreign_key_check").fetchall()


def test_the_configuration_is_json_that_sqlite_reads(db: Database) -> None:
    runs.start_run(db, examples.new_run())
    (lr,) = db.execute(
        "SELECT json_extract(value, '$') FROM run_config WHERE key = 'training.lr'"
    ).fetchone()
    assert lr == 1e-3
    (provenance,) = db.execute("SELECT provenance FROM runs").fetchone()
    assert json.loads(provenance)["precision"] == "fp32"


def _counts(db: Database) -> dict[str, int]:
    return {name: db.table(name).count for name in db.table_names() if name != "sqlite_sequence"}


def test_the_dead_are_recorded_as_failed_and_the_living_are_left_alone(db: Database) -> None:
    alive, dead, ended = (runs.start_run(db, examples.new_run(seed=seed)) for seed in range(3))
    db.execute("UPDATE runs SET process_started = 1.0, heartbeat_at = ? WHERE id = ?",
               ["2026-01-01T00:00:00.000Z", dead])  # fmt: skip
    db.execute("UPDATE runs SET state = 'finished' WHERE id = ?", [ended])
    db.conn.commit()
    assert runs.reap(db) == [dead]
    rows = {row["id"]: row for row in db.table("runs").rows}
    assert [rows[run]["state"] for run in (alive, dead, ended)] == ["running", "failed", "finished"]
    assert rows[dead]["ended_at"] == "2026-01-01T00:00:00.000Z"
    assert runs.reap(db) == []
