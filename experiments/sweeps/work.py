"""One job of a sweep, brought to its end wherever it stands: trained or resumed, then evaluated."""

from __future__ import annotations

import contextlib
import shutil
import time
from dataclasses import replace
from pathlib import Path

from db import reads, status
from db.connection import open_reader, open_store
from db.file import run_folder
from db.record import recover
from db.runs import delete_run
from db.sweeps import DONE
from drf.errors import NotFoundError
from drf.files import LAST, replacing_file
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import Paths
from experiments.sweeps.grid import Job
from experiments.train import Result, resume_training, train_new_run

ATTEMPTS = 3
"""How often a job is begun whose process was killed. One that fails by itself would fail again."""
LOOK_EVERY_S = 2.0
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
    """Train and evaluate a job in a store of its own, for machines that do not share the store but
    this folder. `gather` brings it into the store."""
    folder.mkdir(parents=True, exist_ok=True)
    work(job, replace(paths, db=folder / STORE))


def hand_out(folder: Path, run: str, db: Path) -> None:
    """Bring what the store has of a job into its folder, so that it goes on there."""
    if db.is_file():
        folder.mkdir(parents=True, exist_ok=True)
        _bring(db, folder / STORE, run)


def gather(folder: Path, run: str, db: Path) -> bool:
    """Bring a job from its folder into the store, with its files; return whether there was one.

    May be repeated: what the store has stays where it is further. Raises UsageError while the job's
    process may still write.
    """
    return (folder / STORE).is_file() and _bring(folder / STORE, db, run)


def _bring(source: Path, target: Path, run: str) -> bool:
    with contextlib.closing(open_store(source)) as theirs:
        if not theirs.execute("SELECT 1 FROM runs WHERE id = ?", [run]).fetchone():
            return False
        with contextlib.closing(open_store(target)) as ours:
            recover(theirs, ours, run)
    here, there = run_folder(source, run), run_folder(target, run)
    there.mkdir(parents=True, exist_ok=True)
    for path in here.iterdir():
        with replacing_file(there / path.name) as unfinished:
            shutil.copyfile(path, unfinished)
    return True


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
        return bool((reads.evaluations(reader, job.id)["subset"] == job.subset).any())
