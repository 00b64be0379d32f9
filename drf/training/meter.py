"""Means of the losses of an epoch."""

from __future__ import annotations

import math
import time

import torch
from torch import Tensor

from drf import distributed
from drf.errors import Diverged

REPORT_EVERY_S = 0.5


class Meter:
    """Means of an epoch's losses. Tensors stay on their device until a number is asked for."""

    def __init__(self) -> None:
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}  # a part may be there for some steps of an epoch only
        self.steps = self.faces = 0
        self._since = (0, 0, 0.0, time.perf_counter())  # steps, faces, loss sum, time

    def add(self, parts: dict[str, Tensor], faces: int) -> None:
        for name, value in parts.items():
            self.sums[name] = self.sums.get(name, torch.zeros_like(value)) + value
            self.counts[name] = self.counts.get(name, 0) + 1
        self.steps += 1
        self.faces += faces

    @property
    def unreported(self) -> int:
        """Steps since the last report."""
        return self.steps - self._since[0]

    def due(self) -> bool:
        return time.perf_counter() - self._since[3] >= REPORT_EVERY_S

    def report(self) -> tuple[float, float]:
        """Return the mean loss and the faces/s since the last report. Raises Diverged where the
        loss is not finite."""
        steps, faces, loss, then = self._since
        now, total = time.perf_counter(), _finite(self.sums["loss"])
        self._since = (self.steps, self.faces, total, now)
        return (total - loss) / (self.steps - steps), (self.faces - faces) / (now - then)

    def means(self) -> dict[str, float]:
        """Return the mean of each loss over steps and processes."""
        n = distributed.processes()
        sums = {name: distributed.total(value) / n for name, value in self.sums.items()}
        return {name: _finite(value) / self.counts[name] for name, value in sums.items()}


def _finite(value: Tensor) -> float:
    number = float(value)
    if not math.isfinite(number):
        raise Diverged("the loss was no longer finite")
    return number
