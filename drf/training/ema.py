"""Exponential moving average of the weights: what is validated, kept and evaluated."""

from __future__ import annotations

import copy

import torch

from drf.models.base import LandmarkModel


class MovingAverage:
    """A copy of a model whose floating values follow w <- decay w + (1 - decay) v.

    The decay of the first steps is smaller, min(decay, (1 + t) / (10 + t)), so that the random
    initial weights are forgotten at once. Batch-norm statistics are averaged like weights; integer
    buffers are copied.
    """

    def __init__(self, model: LandmarkModel, decay: float) -> None:
        self.model = copy.deepcopy(model).eval().requires_grad_(False)
        self.decay = decay
        self.steps = 0

    @torch.no_grad()
    def update(self, model: LandmarkModel) -> None:
        """Move towards the model's present values."""
        decay = min(self.decay, (1 + self.steps) / (10 + self.steps))
        self.steps += 1
        ours, theirs = self.model.state_dict(), model.state_dict()
        floating = [name for name, value in ours.items() if value.is_floating_point()]
        if floating:
            torch._foreach_lerp_(
                [ours[n] for n in floating], [theirs[n] for n in floating], 1 - decay
            )
        for name in ours.keys() - set(floating):
            ours[name].copy_(theirs[name])
