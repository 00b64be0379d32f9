"""How long a model takes for one face on one thread.

A pass goes from an image to landmarks in the unit box: in fp32, batch norms folded, without the
flip test and without covariances. Two things keep the work of other processes out of it. The clock
is that of the thread, which stands while another process has the core. And passes come in rounds,
of which the quickest counts: what a busy neighbour takes of caches and memory makes all passes of
a round slower. On a machine that does nothing else, neither makes a difference.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from drf.models.base import LandmarkModel

Step = Callable[[], object]

ROUNDS, PASSES = 20, 20
"""How often every model has its turn, and its passes that are timed in each."""
_WARM_UP = 2  # passes before those, in each round


def faces(model: LandmarkModel, n: int) -> Tensor:
    """Return n images of noise as a model takes them: what is computed is the same for faces."""
    size = model.spec.input_size
    noise = torch.rand((n, 3, size, size), generator=torch.Generator().manual_seed(0))
    return noise.to(memory_format=torch.channels_last)


def single_pass(model: LandmarkModel, images: Tensor) -> Step:
    """Return the pass of a model that is in evaluation mode, for images of `faces`."""

    @torch.inference_mode()
    def step() -> Tensor:
        return model.points(model(images))

    return step


def pass_times(
    steps: Mapping[str, Step],
    rounds: int,
    passes: int,
    advance: Callable[[int, int], None] = lambda done, total: None,
) -> dict[str, np.ndarray]:
    """Return the milliseconds of every single pass of each step: (rounds, passes).

    Steps have their turns, so that what slows the machine slows all alike; within a turn the passes
    of a step follow each other, so that its times do not depend on what else is measured.
    advance: hears how many rounds are done, and of how many.
    """
    times = {name: np.empty((rounds, passes)) for name in steps}
    for turn in range(rounds):
        for name, step in steps.items():
            for _ in range(_WARM_UP):
                step()
            for number in range(passes):
                began = time.thread_time_ns()
                step()
                times[name][turn, number] = (time.thread_time_ns() - began) / 1e6
        advance(turn + 1, rounds)
    return times


def quickest_round(times: np.ndarray) -> np.ndarray:
    """Return the passes of the round with the smallest median. (rounds, passes) -> (passes,)."""
    return times[np.median(times, axis=1).argmin()]


@contextlib.contextmanager
def one_thread() -> Iterator[None]:
    """Within it torch computes on one thread, that of the caller."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
