"""One job of a sweep, brought to its end wherever it stands: trained or resumed, then evaluated."""

from __future__ import annotations

import contextlib
import shutil
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from sqlite_utils import Database

from db import reads, status
from db.connection import open_reader, open_store
from db.file import run_folder
from db.maintenance.backup import back_up
from db.recording.record import recover
from db.recording.runs import delete_run
from db.recording.sweeps import DONE, undone
from drf.errors import DrfError, NotFoundError
from drf.files import BEST, LAST, replacing_file
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import ORIGIN, Paths
from experiments.sweeps.grid import Job
from experiments.train import Result, resume_training, train_new_run

ATTEMPTS = 3
"""How often a job is begun whose process was killed. One that fails by itself would fail again."""
LOOK_EVERY_S = 2.0
PUBLISH_EVERY_S = 60.0
STORE = "drf.db"
"""Name of the store in the folder of a job."""


def work(job: Job, paths: Paths) -> None:
    """Train and evaluate a job in a store. What is there already stays as it is.

    A run that was cut off goes on from its checkpoint; one that has none begins anew. Where another
    process trains it, this one waits for its end. Raises KeyboardInterrupt where the run is
    interrupted, else as `train_new_run`, `resume_training` and `evaluate_run`.
    """
    state = _state_when_free(job, paths)
    if state not in DONE:
        result = _train(job, paths, exists=state is not None)
        if result.outcome.state == "interrupted":
            raise KeyboardInterrupt
    if not _is_evaluated(job, paths):
        evaluate_run(job.id, EvaluationSpec(job.subset), paths)


def work_in_folder(job: Job, folder: Path, paths: Paths) -> None:
    """Train and evaluate a job for a store that this machine does not reach, but for a folder that
    both do. What another machine left there is gone on with, once it is not written any more: of a
    machine that died nobody knows before its heartbeat is old. `gather` brings it into the store.

    SQLite's log is not safe on a network disk: the work is done in a scratch store of this machine,
    of which the folder gets a copy every PUBLISH_EVERY_S, and in the end, whatever ends the work.
    """
    with tempfile.TemporaryDirectory() as scratch:
        db = Path(scratch) / STORE
        if _state_when_free(job, replace(paths, db=folder / STORE)) is not None:
            _bring(folder / STORE, db, job.id)
        with _published(db, folder, job.id):
            work(job, replace(paths, db=db))


def hand_out(folder: Path, run: str, db: Path) -> None:
    """Bring what the store has of a job into its folder, so that it goes on there."""
    with tempfile.TemporaryDirectory() as scratch:
        if _bring(db, Path(scratch) / STORE, run):
            _publish(Path(scratch) / STORE, folder, run)


def gather(folder: Path, run: str, db: Path) -> bool:
    """Bring a job from its folder into the store, with its files; return whether there was one.

    May be repeated: what the store has stays where it is further. Raises UsageError while the job's
    process may still write.
    """
    return (folder / STORE).is_file() and _bring(folder / STORE, db, run)


def _bring(source: Path, target: Path, run: str) -> bool:
    with contextlib.closing(open_reader(source)) as theirs:
        if not theirs.execute("SELECT 1 FROM runs WHERE id = ?", [run]).fetchone():
            return False
        with contextlib.closing(open_store(target)) as ours:
            recover(Database(theirs), ours, run)
    _copy_files(run_folder(source, run), run_folder(target, run))
    return True


def _publish(db: Path, folder: Path, run: str) -> None:
    """Copy a job from its scratch store. The checkpoint first: the epochs of the store may be
    further than it, and never behind."""
    if not db.is_file():
        return
    folder.mkdir(parents=True, exist_ok=True)
    _copy_files(run_folder(db, run), run_folder(folder / STORE, run))
    with (
        contextlib.closing(open_reader(db)) as con,
        replacing_file(folder / STORE) as unfinished,
    ):
        back_up(con, unfinished)


@contextlib.contextmanager
def _published(db: Path, folder: Path, run: str) -> Iterator[None]:
    ended = threading.Event()

    def publish() -> None:
        while not ended.wait(PUBLISH_EVERY_S):
            with contextlib.suppress(DrfError, OSError):  # a full disk may have room in a minute
                _publish(db, folder, run)

    thread = threading.Thread(target=publish, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        _publish(db, folder, run)


def _copy_files(here: Path, there: Path) -> None:
    """Copy the files of a run but its record, which is made anew from the store."""
    if not here.is_dir():
        return
    there.mkdir(parents=True, exist_ok=True)
    for name in (BEST, LAST, ORIGIN):
        if (here / name).is_file():
            with replacing_file(there / name) as unfinished:
                shutil.copyfile(here / name, unfinished)


def _train(job: Job, paths: Paths, *, exists: bool) -> Result:
    folder = run_folder(paths.db, job.id)
    if exists and (folder / LAST).is_file():
        return resume_training(job.id, {}, paths)
    if exists:
        with contextlib.closing(open_store(paths.db)) as store:
            delete_run(store, job.id)
    shutil.rmtree(folder, ignore_errors=True)
    return train_new_run(job.request, paths, job.name, run=job.id)


def _state_when_free(job: Job, paths: Paths) -> str | None:
    """Return the status of a job's run once no process trains it, None without a run."""
    if not paths.db.exists():
        return None
    while True:
        with contextlib.closing(open_reader(paths.db)) as reader:
            try:
                row = reads.run(reader, job.id)
            except NotFoundError:
                return None
        if status.why_not_free(row) is None:
            return str(row["status"])
        time.sleep(LOOK_EVERY_S)


def _is_evaluated(job: Job, paths: Paths) -> bool:
    with contextlib.closing(open_reader(paths.db)) as reader:
        return not undone(reader, [job.id], job.subset)
