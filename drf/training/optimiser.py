"""AdamW, and its moments as named tensors for the checkpoint."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from drf.models.base import LandmarkModel


def adamw(model: LandmarkModel, weight_decay: float) -> torch.optim.Optimizer:
    """AdamW; biases and norms, which have one axis, are not decayed."""
    learned = [p for p in model.parameters() if p.requires_grad]
    matrices, vectors = [p for p in learned if p.ndim > 1], [p for p in learned if p.ndim <= 1]
    groups: list[dict[str, Any]] = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": vectors, "weight_decay": 0.0},
    ]
    return torch.optim.AdamW(groups, lr=0.0, fused=True)


def flat_moments(optimiser: torch.optim.Optimizer) -> dict[str, Tensor]:
    """{"3.exp_avg": …}: the moments by position of their parameter."""
    return {
        f"{i}.{name}": value
        for i, moments in optimiser.state_dict()["state"].items()
        for name, value in moments.items()
    }


def restore_moments(optimiser: torch.optim.Optimizer, flat: dict[str, Tensor]) -> None:
    """The inverse of `flat_moments`.

    A moment gets the memory layout of its parameter: the fused step walks both in memory order, and
    would pair a channels-last weight with the wrong moments of a contiguous copy.
    """
    learned = [p for group in optimiser.param_groups for p in group["params"]]
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in flat.items():
        position, _, name = key.partition(".")
        owner = learned[int(position)]
        fits = value.shape == owner.shape
        laid_out = torch.empty_like(owner).copy_(value) if fits else value
        state.setdefault(int(position), {})[name] = laid_out
    groups = optimiser.state_dict()["param_groups"]
    optimiser.load_state_dict({"state": state, "param_groups": groups})
