"""Many readers at once while one process writes: errors, and how long anybody waits for a lock."""

from __future__ import annotations

import multiprocessing
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from db import predictions, reads
from db.connection import open_reader, open_store
from db.recording import runs
from db.recording.evaluations import record_evaluation
from drf.data.synthetic import render_face
from drf.landmarks.markup import ALL, IBUG68
from drf.scoring.results import Evaluation

READERS = 20
TOLERATED_MS = 200


@dataclass
class Tally:
    """reads and writes done; errors, words of the first; longest waits for a lock, ms."""

    reads: int = 0
    writes: int = 0
    errors: int = 0
    first_error: str = ""
    longest_read_wait_ms: float = 0.0
    longest_write_wait_ms: float = 0.0


def measure(path: Path, seconds: float) -> Tally:
    """Read as 20 visitors do, in threads as the app has them, while another process records epochs
    and evaluations.

    Nobody waits for a lock longer than 200 ms without an error: that is the connections' timeout.
    The longest waits are of a reader's first statement and of the writer's BEGIN IMMEDIATE, which
    take the locks; they hold what 20 threads wait for a processor, and bound the locks from above.
    """
    context = multiprocessing.get_context("spawn")
    answers, ready, stop = context.Queue(), context.Event(), context.Event()
    writer = context.Process(target=_write, args=(path, ready, stop, answers))
    writer.start()
    ready.wait(timeout=120)
    tally, lock, ends = Tally(), threading.Lock(), time.monotonic() + seconds
    threads = [
        threading.Thread(target=_read, args=(path, ends, tally, lock)) for _ in range(READERS)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    stop.set()
    tally.writes, tally.longest_write_wait_ms, failed = answers.get(timeout=120)
    writer.join()
    if failed:
        tally.errors, tally.first_error = tally.errors + 1, failed
    return tally


def _read(path: Path, ends: float, tally: Tally, lock: threading.Lock) -> None:
    while time.monotonic() < ends:
        wait, failed = 0.0, ""
        try:
            con = open_reader(path)
            con.execute(f"PRAGMA busy_timeout = {TOLERATED_MS}")
            began = time.perf_counter()
            reads.revision(con)
            wait = 1e3 * (time.perf_counter() - began)
            (number,) = con.execute("SELECT max(id) FROM evaluations").fetchone()
            predictions.image_errors(con, number)
            reads.board_filters(con)
            con.close()
        except Exception as error:  # whatever it is, it is counted
            failed = f"{type(error).__name__}: {error}"
        with lock:
            tally.reads += 1
            tally.longest_read_wait_ms = max(tally.longest_read_wait_ms, wait)
            if failed:
                tally.errors += 1
                tally.first_error = tally.first_error or failed


def _write(
    path: Path,
    ready: multiprocessing.Event,
    stop: multiprocessing.Event,
    answers: multiprocessing.Queue,
) -> None:
    writes, longest, failed = 0, 0.0, ""
    try:
        db = open_store(path)
        db.execute(f"PRAGMA busy_timeout = {TOLERATED_MS}")
        run, evaluation = runs.start_run(db, _new_run()), _evaluation()
        ready.set()
        while not stop.is_set():
            began = time.perf_counter()
            db.execute("BEGIN IMMEDIATE")
            longest = max(longest, 1e3 * (time.perf_counter() - began))
            db.execute("ROLLBACK")
            runs.record_epoch(db, run, writes, {"loss": 1.0, "val_nme_ocular": 0.1})
            if writes % 5 == 0:
                record_evaluation(db, run, evaluation, [])
            writes += 1
            time.sleep(0.02)
        runs.end_run(
            db, run, "interrupted", reason="The benchmark is over.", wall_s=1.0, faces_per_s=1.0,
            kept_epoch=None, kept_val_nme=None,
        )  # fmt: skip
        db.close()
    except Exception as error:
        failed = f"{type(error).__name__}: {error}"
    answers.put((writes, longest, failed))


def _new_run() -> runs.NewRun:
    return runs.NewRun(
        name="writer", family="hourglass", preset=None, dataset="synthetic", track=None,
        landmarks=ALL, markup=IBUG68, seed=0, epochs=None, config={}, sources={}, provenance={},
        manifest={}, params=1, macs=1,
    )  # fmt: skip


def _evaluation() -> Evaluation:
    truth = np.repeat(render_face("common", 0).points[None], 689, axis=0).astype(np.float32)
    return Evaluation(
        dataset="synthetic", subset="val", names=tuple(f"val/{i}" for i in range(689)),
        markup=IBUG68, landmarks=ALL, ground_truth=truth, predictions=truth + 1, box="gt",
        flip_test=True, manifest={"digest": "val"}, ms_per_face=1.0,
    )  # fmt: skip
