"""Learners of one model that compute side by side, each in a thread of its own."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor, wait
from typing import TypeVar

import torch

from drf import distributed

Result = TypeVar("Result")


class Threads:
    """Calls a function for each of `tasks` things, as many at a time as torch has threads for
    arithmetic (OMP_NUM_THREADS); these are shared out evenly.

    torch lets go of Python's lock while it computes, and backward runs in the thread that calls it.
    One after another on a device that orders the work itself, as a GPU does, and where several
    processes train, which have to speak to each other in one order.
    """

    def __init__(self, tasks: int, device: torch.device) -> None:
        threads = torch.get_num_threads()
        alone = device.type != "cpu" or distributed.processes() > 1
        self.count = 1 if alone else min(tasks, threads)
        self._pool = ThreadPoolExecutor(
            self.count, "learner", torch.set_num_threads, (threads // self.count,)
        )

    def map(self, function: Callable[..., Result], *each: Iterable[object]) -> list[Result]:
        """Return the results in the order of the arguments, as `map` does. Raises what the first
        of the calls raises, when all of them have ended."""
        calls = list(zip(*each, strict=True))
        if self.count == 1 or len(calls) == 1:
            return [function(*arguments) for arguments in calls]
        futures = [self._pool.submit(function, *arguments) for arguments in calls]
        wait(futures)
        return [future.result() for future in futures]
