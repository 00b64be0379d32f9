"""The jobs of a sweep on Ray (`pip install drf[ray]`): a task each, placed by its cores and GPU.

Ray is started on this machine, or joined where RAY_ADDRESS names a cluster. A task works in a
folder of its own beside the store, which the machines of a cluster have to share, by a network disk
for one: there a task whose machine died finds its checkpoint when Ray begins it again. The driver
alone writes the store.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from drf.errors import DrfError, UsageError
from experiments.paths import Paths
from experiments.sweeps.grid import Job
from experiments.sweeps.work import ATTEMPTS, FAILS, gather, hand_out, tell, work_in_folder

FOLDER = "sweep-jobs"
"""Beside the store, with a folder for each job that is not in the store yet."""
_SECONDS_TO_END = 30.0


@dataclass(frozen=True)
class OnRay:
    """jobs: at a time, 0 for as many as there is room for · threads: cores of each job"""

    jobs: int = 0
    threads: int = 1

    def __post_init__(self) -> None:
        _ray()  # raises, before anything is done

    def run(self, jobs: Sequence[Job], paths: Paths) -> Iterator[Job]:
        """Bring jobs to their end, and yield each when it is in the store.

        Begins a job anew whose process or machine died; not one that failed by itself. One that
        another process trains in the store is told and left out. An interrupt lets running jobs
        save what they have, which is brought into the store too.
        """
        ray = _ray()
        paths = paths.absolute()
        root = paths.db.parent / FOLDER
        jobs = hand_out(jobs, root, paths.db)
        folders = {job.id: root / job.id for job in jobs}
        self._init(ray)
        needs = {"num_cpus": self.threads, "num_gpus": min(1.0, _gpus(ray))}
        task = ray.remote(max_retries=ATTEMPTS - 1, **needs)(work_in_folder)
        waiting = {task.remote(job, folders[job.id], paths): job for job in jobs}
        try:
            while waiting:
                (ended,), _ = ray.wait(list(waiting), num_returns=1)
                job = waiting.pop(ended)
                try:
                    ray.get(ended)
                except ray.exceptions.RayError as error:
                    tell(job, getattr(error, "cause", None) or error)
                try:
                    if gather(folders[job.id], job.id, paths.db):
                        shutil.rmtree(folders[job.id], ignore_errors=True)
                except FAILS as error:  # it stays in its folder, and the others go on
                    tell(job, error)
                yield job
        finally:
            self._end(ray, waiting)
            for job in waiting.values():
                with contextlib.suppress(*FAILS):  # still being written: it stays in its folder
                    gather(folders[job.id], job.id, paths.db)
            ray.shutdown()

    def _init(self, ray: Any) -> None:
        here = {} if "RAY_ADDRESS" in os.environ else {"num_cpus": self.jobs * self.threads or None}
        os.environ.setdefault("RAY_raylet_start_wait_time_s", "120")  # a busy machine needs longer
        try:
            ray.init(log_to_driver=False, include_dashboard=False, **here)
        except Exception as error:  # of several types, some of them Exception itself
            raise DrfError(f"Ray did not start: {error}") from error

    def _end(self, ray: Any, waiting: dict[Any, Job]) -> None:
        for ref in waiting:
            ray.cancel(ref, force=False)
        if waiting:
            ray.wait(list(waiting), num_returns=len(waiting), timeout=_SECONDS_TO_END)


def _ray() -> Any:
    try:
        import ray
        import ray.exceptions
    except ImportError as error:
        raise UsageError("--engine ray needs the package ray: pip install drf[ray]") from error
    return ray


def _gpus(ray: Any) -> float:
    return float(ray.cluster_resources().get("GPU", 0.0))
