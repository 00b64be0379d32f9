"""The jobs of a sweep on SLURM, through submitit (`pip install drf[slurm]`).

A job is a folder of files below DIR, with a store of its own: nothing but a shared disk is needed,
and `gather_all` brings what is there into the store, however often it is called.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from db.connection import open_store
from drf.errors import NotFoundError, UsageError
from experiments.paths import Paths
from experiments.sweeps.driver import missing
from experiments.sweeps.grid import Grid
from experiments.sweeps.work import STORE, gather, hand_out, tell, why_written, work_in_folder

_JOB = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Needs:
    """What each job gets. partition: None for SLURM's default"""

    partition: str | None
    hours: float
    threads: int
    gpus: int


def submit(
    grid: Grid, folder: Path, paths: Paths, needs: Needs, *, local: bool = False
) -> list[Any]:
    """Submit what the store lacks of a grid, and return the jobs of submitit. A job that is being
    trained is told and left out.

    local: on this machine, without SLURM. Raises UsageError without the package or without SLURM.
    """
    submitit = _submitit()
    jobs, _ = missing(grid, paths)
    folder.mkdir(parents=True, exist_ok=True)
    folder = folder.absolute()
    paths = paths.absolute()
    try:
        executor = submitit.AutoExecutor(folder / "logs", cluster="local" if local else "slurm")
    except RuntimeError as error:
        raise UsageError(f"{error}; --local tries the jobs on this machine") from error
    executor.update_parameters(
        name=grid.name,
        timeout_min=max(1, round(60 * needs.hours)),
        cpus_per_task=needs.threads,
        gpus_per_node=needs.gpus,
        **({"slurm_partition": needs.partition} if needs.partition else {}),
    )
    free = []
    for job in hand_out(jobs, folder, paths.db):
        if why := why_written(job.id, folder / job.id / STORE):
            tell(job, why)
            continue
        (folder / job.id).mkdir(exist_ok=True)  # so that `gather_all` knows of one that waits
        free.append(job)
    if not free:
        return []  # submitit warns of an empty batch
    with executor.batch():
        return [executor.submit(work_in_folder, job, folder / job.id, paths) for job in free]


def gather_all(folder: Path, db: Path) -> tuple[int, int, list[str]]:
    """Bring the jobs below a folder into a store; return how many there are in it now, how many
    still wait or are being written, and why each of the others cannot be brought.

    Raises NotFoundError for a folder without jobs, StoreError for the store.
    """
    jobs = [path for path in sorted(folder.glob("*")) if _JOB.fullmatch(path.name)]
    if not jobs:
        raise NotFoundError(f"there are no jobs in {folder}: name the folder that was submitted")
    open_store(db).close()  # what is wrong with it is the fault of no job
    brought, refused = 0, list[str]()
    for job in jobs:
        try:
            if not why_written(job.name, job / STORE, db):
                brought += gather(job, job.name, db)
        except UsageError as error:
            refused.append(str(error))
    return brought, len(jobs) - brought - len(refused), refused


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UsageError("it needs the package submitit: pip install drf[slurm]") from error
    return submitit
