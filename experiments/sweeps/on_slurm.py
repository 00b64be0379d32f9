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
from drf.errors import NotFoundError, StoreError, UsageError
from experiments.paths import Paths
from experiments.sweeps.driver import missing
from experiments.sweeps.grid import Grid
from experiments.sweeps.work import gather, hand_out, work_in_folder

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
    """Submit what the store lacks of a grid, and return the jobs of submitit.

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
    for job in jobs:
        (folder / job.id).mkdir(exist_ok=True)  # so that `gather_all` knows of one that waits
        hand_out(folder / job.id, job.id, paths.db)
    with executor.batch():
        return [executor.submit(work_in_folder, job, folder / job.id, paths) for job in jobs]


def gather_all(folder: Path, db: Path) -> tuple[int, int, list[str]]:
    """Bring the jobs below a folder into a store; return how many there are in it now, how many
    still wait or are being written, and what is wrong with those whose own store is damaged.

    Raises NotFoundError for a folder without jobs, StoreError for the store.
    """
    jobs = [path for path in sorted(folder.glob("*")) if _JOB.fullmatch(path.name)]
    if not jobs:
        raise NotFoundError(f"there are no jobs in {folder}: name the folder that was submitted")
    open_store(db).close()  # what is wrong with it is the fault of no job
    brought, damaged = 0, list[str]()
    for job in jobs:
        try:
            brought += gather(job, job.name, db)
        except StoreError as error:
            damaged.append(str(error))
        except UsageError:  # it is being written
            continue
    return brought, len(jobs) - brought - len(damaged), damaged


def _submitit() -> Any:
    try:
        import submitit
    except ImportError as error:
        raise UsageError("it needs the package submitit: pip install drf[slurm]") from error
    return submitit
