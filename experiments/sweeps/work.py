"""One job of a sweep, brought to its end wherever it stands: trained or resumed, then evaluated."""

from __future__ import annotations

import contextlib
import filecmp
import shlex
import shutil
import sqlite3
import sys
import tempfile
import threading
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from db import reads, status
from db.connection import open_reader, open_store
from db.file import on_store, run_folder
from db.maintenance.backup import back_up
from db.recording.record import RECORD, open_record, recover
from db.recording.runs import LostRun, delete_run
from db.recording.sweeps import DONE, undone
from drf.errors import DrfError, NotFoundError, UsageError, reason_of
from drf.files import BEST, LAST, replacing_file
from drf.text import printable
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import ORIGIN, Paths
from experiments.sweeps.grid import Job
from experiments.train import Result, resume_training, train_new_run

ATTEMPTS = 3
"""How often a job is begun whose process was killed. One that fails by itself would fail again."""
LOOK_EVERY_S = 2.0
PUBLISH_EVERY_S = 20.0
"""Less than `status.STALE_AFTER_S` by the time that copying takes."""
TRY_FOR_S = 300.0
"""How long the last copy of a job is tried for, where its folder cannot be written."""
STORE = "drf.db"
"""Name of the store in the folder of a job."""
FAILS = (DrfError, OSError, sqlite3.Error)
"""What a store or a folder that cannot be read or written for a while raises."""


def work(job: Job, paths: Paths) -> None:
    """Train and evaluate a job in a store. What is there already stays as it is.

    A run that was cut off goes on from its checkpoint; one that has none begins anew. Where another
    process trains it, this one waits for its end. Raises KeyboardInterrupt where the run is
    interrupted, UsageError where the store has lost it, else as `train_new_run`, `resume_training`
    and `evaluate_run`.
    """
    found = _when_free(paths.db, job.id)
    if found is None or found["status"] not in DONE:
        result = _train(job, paths, exists=found is not None)
        if result.outcome.state == "interrupted":
            raise KeyboardInterrupt
    if not _is_evaluated(job, paths):
        evaluate_run(job.id, EvaluationSpec(job.subset), paths)


def work_in_folder(job: Job, folder: Path, paths: Paths) -> None:
    """Train and evaluate a job for a store that this machine does not reach, but for a folder that
    both do. What another machine left there is gone on with, once it is not written any more: of a
    machine that died nobody knows before its heartbeat is old. `gather` brings it into the store.

    SQLite's log is not safe on a network disk: the work is done in a scratch store of this machine,
    of which the folder gets a copy as `_published` says. Raises LostRun where another process goes
    on with the job, DrfError where the folder cannot be written.
    """
    with tempfile.TemporaryDirectory() as scratch:
        db = Path(scratch) / STORE
        found = _when_free(folder / STORE, job.id)
        if found is not None:
            _bring(folder / STORE, db, job.id)
        with _published(db, folder, job.id, found):
            work(job, replace(paths, db=db))


def hand_out(jobs: Sequence[Job], root: Path, db: Path) -> list[Job]:
    """Bring what the store has of jobs into their folders below `root`, so that they go on there;
    return these jobs.

    A folder that is being written, or is as far as the store, stays as it is. A job that another
    process trains in the store, or of which something is damaged, is told and left out.
    """
    ready = []
    for job in jobs:
        try:
            _hand_out(root / job.id, job.id, db)
        except DrfError as error:
            tell(job, error)
        else:
            ready.append(job)
    return ready


def gather(folder: Path, run: str, db: Path) -> bool:
    """Bring a job from its folder into the store, with its files; return whether there was one.

    May be repeated: what the store has stays where it is further. Raises UsageError while the job's
    process may still write, and as `recover`.
    """
    if run_in(folder / STORE, run) is None:
        return False
    _bring(folder / STORE, db, run)
    return True


def run_in(db: Path, run: str) -> dict[str, Any] | None:
    """Return `reads.run` of a run, None where there is no store or no such run in it."""
    if not db.is_file():
        return None
    with contextlib.closing(open_reader(db)) as reader:
        try:
            return reads.run(reader, run)
        except NotFoundError:
            return None


def why_written(run: str, *stores: Path) -> str | None:
    """Return why a process may still write a run in one of some stores, in one sentence, or
    None."""
    found = [row for db in stores if (row := run_in(db, run)) is not None]
    return next(filter(None, map(status.why_not_free, found)), None)


def tell(job: Job, error: object) -> None:
    """Print on stderr what keeps a job from its end, while the others go on."""
    said = (str(error).strip() or type(error).__name__).splitlines()[-1]
    print(printable(f"{job.name}, seed {job.seed}: {said}"), file=sys.stderr, flush=True)


def _hand_out(folder: Path, run: str, db: Path) -> None:
    _refuse_lost(db, run)
    there = folder / STORE
    if why_written(run, there) or run_in(db, run) is None:
        return
    found = run_in(there, run)
    with tempfile.TemporaryDirectory() as scratch:
        ours = Path(scratch) / STORE
        _bring(db, ours, run)
        if found is None or not _bring(there, ours, run):
            _publish(ours, folder, run, {_owner(found)})


def _bring(source: Path, target: Path, run: str) -> bool:
    """Bring a run with its files from one store into another; return whether the other has this
    state of it now, and no further one of its own.

    A job that began anew has another run in each. One that has neither ended nor got a checkpoint
    gives way: nothing can go on from it. Raises UsageError while a process may still write either.
    """
    if why := why_written(run, source, target):
        raise UsageError(f"{why}; call this again when that has ended")
    _refuse_lost(target, run)
    theirs, ours = run_in(source, run), run_in(target, run)
    if theirs and ours and theirs["started_at"] != ours["started_at"]:
        if not _is_of_use(target, ours):
            _remove(target, run)
        elif not _is_of_use(source, theirs):
            return False
    with (
        contextlib.closing(open_reader(source)) as reader,
        contextlib.closing(open_store(target)) as store,
    ):
        if not recover(Database(reader), store, run):
            return False
        folder = run_folder(target, run)
        _copy_files(run_folder(source, run), folder)
        for suffix in ("", "-wal", "-shm"):  # it may be of an earlier state
            (folder / f"{RECORD}{suffix}").unlink(missing_ok=True)
        if folder.is_dir():
            open_record(folder, store, run).close()
    return True


def _publish(db: Path, folder: Path, run: str, known: set[object]) -> None:
    """Copy a job from its scratch store. The checkpoint first: the epochs of the store may be
    further than it, and never behind.

    known: owners of what may lie in the folder and be replaced, see `_owner`; that of the copy is
    added. Raises LostRun where the folder has another's.
    """
    ours, there = run_in(db, run), run_in(folder / STORE, run)
    if ours is None:
        return
    if there is not None and _owner(there) not in known:
        raise LostRun(
            f"process {there['pid']} on {there['host']} goes on with run {run[:8]}: nothing more of"
            " it is written here"
        )
    known.add(_owner(ours))
    folder.mkdir(parents=True, exist_ok=True)
    _copy_files(run_folder(db, run), run_folder(folder / STORE, run))
    with (
        contextlib.closing(open_reader(db)) as con,
        replacing_file(folder / STORE) as unfinished,
    ):
        back_up(con, unfinished)


@contextlib.contextmanager
def _published(db: Path, folder: Path, run: str, found: Mapping[str, Any] | None) -> Iterator[None]:
    """Publish a job while a block works on it: as soon as this process has begun it, so that others
    wait; then every PUBLISH_EVERY_S; and in the end, whatever ends the block. Where another process
    goes on with the job nothing more is published, and LostRun raised in the end.

    found: the row of the job's run in the folder before
    """
    ended = threading.Event()
    known: set[object] = {_owner(found)}

    def publish() -> None:
        due = 0.0
        while not ended.wait(LOOK_EVERY_S):
            try:
                if _owner(run_in(db, run)) not in known or time.monotonic() >= due:
                    due = time.monotonic() + PUBLISH_EVERY_S
                    _publish(db, folder, run, known)
            except LostRun:
                return
            except FAILS:  # a full disk may have room in a while
                continue

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _publish_at_last(db, folder, run, known)


def _publish_at_last(db: Path, folder: Path, run: str, known: set[object]) -> None:
    """Publish a job, for TRY_FOR_S where that fails or until an interrupt; then keep the scratch
    store, and raise DrfError that says where."""
    until = time.monotonic() + TRY_FOR_S
    while True:
        try:
            return _publish(db, folder, run, known)
        except LostRun:
            raise
        except FAILS as error:
            if time.monotonic() >= until:
                why = reason_of(error, folder) if isinstance(error, OSError) else error
                place = run_folder(db.parent.rename(f"{db.parent}-kept") / STORE, run)
                raise DrfError(
                    f"run {run[:8]} could not be copied to {folder}: {why}; it is in {place} on"
                    f" {status.this_host()}: `drf runs recover {place}` brings it back"
                ) from error
        try:
            time.sleep(LOOK_EVERY_S)
        except KeyboardInterrupt:
            until = 0.0


def _owner(row: Mapping[str, Any] | None) -> tuple[object, ...] | None:
    """Return what tells who goes on with a run, from its row; None without one."""
    return None if row is None else tuple(row[key] for key in _OWNER)


_OWNER = ("started_at", "claim", "host", "pid")


def _copy_files(here: Path, there: Path) -> None:
    """Copy the files of a run that have changed, but not its record, which is made anew from the
    store."""
    if not here.is_dir():
        return
    there.mkdir(parents=True, exist_ok=True)
    for name in (BEST, LAST, ORIGIN):
        new, old = here / name, there / name
        if new.is_file() and not (old.is_file() and filecmp.cmp(new, old)):
            with replacing_file(old) as unfinished:
                shutil.copy2(new, unfinished)  # with its time, by which `cmp` knows it again


def _train(job: Job, paths: Paths, *, exists: bool) -> Result:
    folder = run_folder(paths.db, job.id)
    if exists and (folder / LAST).is_file():
        return resume_training(job.id, {}, paths)
    if exists:
        _remove(paths.db, job.id)
    _refuse_lost(paths.db, job.id)
    shutil.rmtree(folder, ignore_errors=True)
    return train_new_run(job.request, paths, job.name, run=job.id)


def _remove(db: Path, run: str) -> None:
    """Delete a run from which nothing can go on, with its folder."""
    with contextlib.closing(open_store(db)) as store:
        delete_run(store, run)
    shutil.rmtree(run_folder(db, run), ignore_errors=True)


def _refuse_lost(db: Path, run: str) -> None:
    """Raise UsageError where a store lacks a run whose results lie in its folder: it was lost, or
    put back to an earlier state."""
    folder = run_folder(db, run)
    if (folder / RECORD).is_file() and run_in(db, run) is None:
        back = on_store(f"drf runs recover {shlex.quote(str(folder))}", db)
        raise UsageError(
            f"the store lacks run {run[:8]}, whose results are in {folder}: `{back}` brings it"
            " back; remove this folder to train it anew"
        )


def _is_of_use(db: Path, row: Mapping[str, Any]) -> bool:
    """Return whether a run in a store has ended as it should, or can go on from a checkpoint."""
    return row["status"] in DONE or (run_folder(db, row["id"]) / LAST).is_file()


def _when_free(db: Path, run: str) -> dict[str, Any] | None:
    """Return the row of a run in a store once no process trains it, as `run_in`."""
    while (row := run_in(db, run)) is not None and status.why_not_free(row):
        time.sleep(LOOK_EVERY_S)
    return row


def _is_evaluated(job: Job, paths: Paths) -> bool:
    with contextlib.closing(open_reader(paths.db)) as reader:
        return not undone(reader, [job.id], job.subset)
