"""How far a run is, and the learning rate that follows from it."""

from __future__ import annotations

import math
from dataclasses import dataclass

from drf.config import TrainingConfig
from drf.errors import UsageError


@dataclass(frozen=True)
class Schedule:
    """Progress is the larger of the shares of steps done and of time used, so that a run always
    anneals to its end: on a machine too slow for its epochs the clock sets the pace.

    steps     planned optimiser steps, 0 for as many as the budget holds
    budget_s  seconds, 0 for no budget
    paced     whether the clock may set the pace; in deterministic mode it only ends the run
    warmup    share of the run over which the rate rises from 0
    """

    steps: int
    budget_s: float
    paced: bool
    warmup: float

    @classmethod
    def plan(cls, config: TrainingConfig, steps_per_epoch: int) -> Schedule:
        """Raises UsageError where neither epochs nor minutes end the run, or only the clock would
        end one that has to be deterministic.
        """
        if config.epochs == 0 and config.max_minutes == 0:
            raise UsageError("training.epochs = 0 needs a budget: set training.max_minutes too")
        if config.deterministic and config.epochs == 0:
            raise UsageError("a deterministic run counts epochs, not minutes: set training.epochs")
        return cls(
            steps=config.epochs * steps_per_epoch,
            budget_s=60 * config.max_minutes,
            paced=not config.deterministic,
            warmup=config.lr_warmup,
        )

    def progress(self, step: int, elapsed_s: float) -> float:
        """Return the share of the run that is done, 0..1."""
        by_steps = step / self.steps if self.steps else 0.0
        by_clock = elapsed_s / self.budget_s if self.budget_s and self.paced else 0.0
        return min(1.0, max(by_steps, by_clock))

    def over(self, step: int, elapsed_s: float) -> bool:
        """Return whether the plan is fulfilled or the budget used up."""
        return bool(self.steps and step >= self.steps) or self.out_of_time(elapsed_s)

    def out_of_time(self, elapsed_s: float) -> bool:
        """Return whether the budget is used up."""
        return bool(self.budget_s) and elapsed_s >= self.budget_s

    def rate(self, progress: float) -> float:
        """Return the factor on the learning rate: a linear rise, then a half cosine to 0."""
        if progress < self.warmup:
            return progress / self.warmup
        return 0.5 * (1 + math.cos(math.pi * (progress - self.warmup) / (1 - self.warmup)))
