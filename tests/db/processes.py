"""What tests run in other processes: creating, writing, reading, dying."""

from __future__ import annotations

import multiprocessing
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any

from db import reads
from db.connection import open_reader, open_store
from db.recording import evaluations, runs
from tests.db import examples

SPAWN = multiprocessing.get_context("spawn")  # an SQLite connection must not cross a fork


def in_parallel(work: Callable[..., Any], calls: Sequence[tuple[Any, ...]]) -> list[Any]:
    """Run each call in a process of its own at the same time; their results in order."""
    with ProcessPoolExecutor(len(calls), mp_context=SPAWN) as pool:
        return [future.result(240) for future in [pool.submit(work, *call) for call in calls]]


def create(path: Path) -> str:
    open_store(path).close()
    return "ok"


def write_evaluations(path: Path, times: int, faces: int) -> int:
    db = open_store(path)
    run = runs.start_run(db, examples.new_run(name="writer"))
    for seed in range(times):
        runs.record_heartbeat(db, run, epoch=seed, progress=seed / times, faces_per_s=1.0)
        result = examples.evaluation(faces, seed=seed)
        evaluations.record_evaluation(db, run, result, examples.crops(result))
    runs.end_run(
        db, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=None, kept_val_nme=None
    )
    db.close()
    return times


def read_until_finished(path: Path, faces: int) -> int:
    """Read as fast as possible; the number of reads. Fails where an evaluation is seen in part."""
    count, last_revision, deadline = 0, -1, time.monotonic() + 50
    while time.monotonic() < deadline:
        con = open_reader(path)
        con.execute("BEGIN")  # one snapshot for all that follows
        revision = reads.revision(con)
        assert revision >= last_revision
        partial = con.execute(
            "SELECT e.id FROM evaluations AS e WHERE n != ? OR n != (SELECT count(*) FROM"
            " predictions WHERE evaluation = e.id) OR 18 != (SELECT count(*) FROM scores"
            " WHERE evaluation = e.id)",
            [faces],
        ).fetchall()
        assert not partial
        states = reads.runs(con)["state"].tolist()
        con.close()
        count, last_revision = count + 1, revision
        if states and all(state == "finished" for state in states):
            return count
    raise TimeoutError("the writer did not finish")


def write_for_ever(path: Path) -> None:
    """Write evaluations as fast as possible until killed."""
    db = open_store(path)
    run = runs.start_run(db, examples.new_run(name="doomed"))
    seed = 0
    while True:
        seed += 1
        runs.record_epoch(db, run, seed, {"loss": 1 / seed})
        runs.record_heartbeat(db, run, epoch=seed, progress=0.5, faces_per_s=1.0)
        result = examples.evaluation(200, seed=seed)
        evaluations.record_evaluation(db, run, result, examples.crops(result))
