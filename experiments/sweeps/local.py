"""The jobs of a sweep on this machine: so many processes at a time, each with its cores or GPU."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import sys
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path

from drf.errors import DrfError
from drf.processes import end_with_parent, environment
from experiments.paths import Paths
from experiments.sweeps.grid import Job
from experiments.sweeps.work import ATTEMPTS, tell, work

Slot = Mapping[str, str]
"""Environment variables of a process: which GPU it has, how many threads."""


@dataclass(frozen=True)
class Local:
    """jobs: processes at a time, 0 for as many as there are GPUs, or else cores for their threads
    threads: of each process"""

    jobs: int = 0
    threads: int = 1

    def run(self, jobs: Sequence[Job], paths: Paths) -> Iterator[Job]:
        """Bring jobs to their end, each in a process of its own that writes into the store itself,
        and yield each when its process has ended, however that was.

        An interrupt (Ctrl-C) ends all processes, which save what they have; a second one kills
        them. A process that was killed is begun again, from its checkpoint.
        """
        waiting = deque((job, 1) for job in jobs)
        free = self.slots()
        running: dict[int, tuple[BaseProcess, Job, int, Slot]] = {}
        try:
            while waiting or running:
                while waiting and free:
                    job, attempt = waiting.popleft()
                    slot = free.pop(0)
                    process = start(job, paths, slot)
                    running[process.sentinel] = (process, job, attempt, slot)
                for sentinel in wait(list(running)):
                    assert isinstance(sentinel, int)
                    process, job, attempt, slot = running.pop(sentinel)
                    process.join()
                    free.append(slot)
                    if (process.exitcode or 0) < 0 and attempt < ATTEMPTS:
                        waiting.append((job, attempt + 1))
                    else:
                        yield job
        finally:
            end([process for process, *_ in running.values()])

    def slots(self) -> list[Slot]:
        """Return the variables of each process that may run at a time."""
        threads = {"OMP_NUM_THREADS": str(self.threads)}
        gpus = _gpus()
        n = self.jobs or len(gpus) or max(1, _cores() // self.threads)
        if not gpus:
            return [threads] * n
        return [threads | {"CUDA_VISIBLE_DEVICES": gpus[i % len(gpus)]} for i in range(n)]


def _gpus() -> list[str]:
    """Return the GPUs that this process may use, as CUDA_VISIBLE_DEVICES names them."""
    import torch

    named = os.environ.get("CUDA_VISIBLE_DEVICES")
    listed = named.split(",") if named else [str(i) for i in range(torch.cuda.device_count())]
    return listed if torch.cuda.is_available() else []


def _cores() -> int:
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def start(job: Job, paths: Paths, slot: Slot) -> BaseProcess:
    """Start a process with the variables of a slot: they count only where they are set before torch
    is imported."""
    process = multiprocessing.get_context("spawn").Process(target=_work, args=(job, paths))
    with environment(slot):
        process.start()
    return process


def _work(job: Job, paths: Paths) -> None:
    """Bring one job to its end, in a process of its own, which ends with its parent."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # of a terminal: the parent decides, by SIGTERM
    end_with_parent()
    try:
        # Epochs of several runs among each other tell nobody anything.
        with Path(os.devnull).open("w") as nowhere, contextlib.redirect_stderr(nowhere):
            work(job, paths)
    except KeyboardInterrupt:
        sys.exit(130)
    except DrfError as error:
        tell(job, error)
        sys.exit(error.exit_code)


def end(processes: Sequence[BaseProcess]) -> None:
    """Let processes save what they have and end; on an interrupt, kill them."""
    for process in processes:
        process.terminate()
    try:
        for process in processes:
            process.join()
    except KeyboardInterrupt:
        for process in processes:
            process.kill()
        raise
