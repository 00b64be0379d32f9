"""Runs a sweep: what is missing of a grid is trained and evaluated, and told as it comes."""

from __future__ import annotations

import contextlib
import shlex
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Protocol

from db.connection import open_reader, open_store
from db.file import on_store
from db.recording import sweeps
from drf.errors import DrfError, UsageError, quoted
from experiments.paths import Paths, load_packs
from experiments.request import configure
from experiments.sweeps.grid import Grid, Job
from experiments.sweeps.work import run_in


class Engine(Protocol):
    """What brings jobs to their end. When it yields a job, its run is in the store."""

    def run(self, jobs: Sequence[Job], paths: Paths) -> Iterator[Job]: ...


def run_sweep(grid: Grid, engine: Engine, paths: Paths, say: Callable[[str], None]) -> None:
    """Run what is missing of a grid, with a sentence for each job that ends.

    Raises UsageError for a grid that makes no sense, and DrfError in the end where jobs failed:
    the same call begins these anew.
    """
    jobs, there = missing(grid, paths)
    n = len(jobs) + there
    if there:
        say(f"{there} of {n} jobs are in {paths.db} already.")
    for number, job in enumerate(engine.run(jobs, paths) if jobs else (), there + 1):
        say(f"{number} of {n}: {job.name}, seed {job.seed}: {outcome(job, paths.db)}")
    if failed := len(_left(grid.name, paths.db)):
        why = on_store(f"drf sweep status {shlex.quote(grid.name)}", paths.db)
        raise DrfError(
            f"{failed} of {n} jobs did not end as they should: `{why}` says why, and the same"
            " command begins them again"
        )


def missing(grid: Grid, paths: Paths) -> tuple[list[Job], int]:
    """Return the jobs of a grid that are not done, their faces packed, and how many are done.

    The store knows the grid from then on; not one whose faces cannot be packed, which is refused.
    """
    jobs = {job.id: job for job in grid.jobs()}
    undone = list(jobs)
    if paths.db.exists():
        with contextlib.closing(open_reader(paths.db)) as reader:
            undone = sweeps.undone(reader, undone, grid.subset)
    left = [jobs[one] for one in undone]
    _pack(left, paths)
    with contextlib.closing(open_store(paths.db)) as store:
        new = [job.new() for job in jobs.values()]
        sweeps.record_sweep(store, grid.name, grid.subset, new)
    return left, len(jobs) - len(left)


def outcome(job: Job, db: Path) -> str:
    """Return how a job ended, in words."""
    row = run_in(db, job.id)
    if row is None:
        return "not begun"
    status, nme = str(row["status"]), row["kept_val_nme"]
    if status in ("failed", "interrupted"):
        return f"{status}: {row['reason']}"
    if status not in sweeps.DONE or nme is None:
        return status
    return f"{status}, validation NME {100 * nme:.2f} %"


def _left(sweep: str, db: Path) -> list[str]:
    with contextlib.closing(open_reader(db)) as reader:
        return list(sweeps.left(sweeps.jobs(reader, sweep))["job"])


def _pack(jobs: Sequence[Job], paths: Paths) -> None:
    """Pack the faces of all jobs once, before several processes would at a time. Those of their
    evaluation come first: a subset that does not exist is told before the rest takes its time."""
    configs = [(configure(job.request).config, job.subset) for job in jobs]
    for config, subset in {(one.data, subset): (one, subset) for one, subset in configs}.values():
        load_packs(config, tuple(dict.fromkeys((subset, "train", "val"))), paths)


def choose(engine: str, jobs: int = 0, threads: int = 1) -> Engine:
    """Return an engine by name. Raises UsageError for an unknown one, and for one whose package is
    not installed."""
    from experiments.sweeps.local import Local

    if engine == "local":
        return Local(jobs, threads)
    if engine == "ray":
        from experiments.sweeps.on_ray import OnRay

        return OnRay(jobs, threads)
    raise UsageError(f"--engine takes local or ray, not {quoted(engine)}")
