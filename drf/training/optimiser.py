"""The optimisers of a run as one, and their moments as named tensors for the checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from drf.models.backbones import Backbone
from drf.models.base import LandmarkModel
from drf.training.muon import Muon

Kind = Literal["adamw", "muon"]


class Optimisers:
    """AdamW; with kind = muon, `Muon` for the backbone's convolutions, but the first, which sees
    the picture. Biases and norms, which have one axis, are not decayed."""

    def __init__(self, model: LandmarkModel, kind: Kind, weight_decay: float) -> None:
        inner = list(_inner_convolutions(model)) if kind == "muon" else []
        taken = {id(p) for p in inner}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
        groups: list[dict[str, Any]] = [
            {"params": [p for p in rest if p.ndim > 1], "weight_decay": weight_decay},
            {"params": [p for p in rest if p.ndim <= 1], "weight_decay": 0.0},
        ]
        self.parts: dict[str, torch.optim.Optimizer] = {
            "adamw": torch.optim.AdamW(groups, lr=0.0, fused=True)
        }
        if inner:
            self.parts["muon"] = Muon(inner, weight_decay=weight_decay)

    def set_rate(self, lr: float) -> None:
        """Set the learning rate of all."""
        for part in self.parts.values():
            for group in part.param_groups:
                group["lr"] = lr

    def zero_grad(self) -> None:
        for part in self.parts.values():
            part.zero_grad(set_to_none=True)

    def step(self) -> None:
        for part in self.parts.values():
            part.step()

    def moments(self) -> dict[str, Tensor]:
        """Return {"adamw.3.exp_avg": …}: the moments by position of their parameter."""
        return {
            f"{name}.{i}.{moment}": value
            for name, part in self.parts.items()
            for i, moments in part.state_dict()["state"].items()
            for moment, value in moments.items()
        }

    def restore(self, moments: dict[str, Tensor]) -> None:
        """The inverse of `moments`.

        A moment gets the memory layout of its parameter: a step walks both in memory order, and
        would pair a channels-last weight with the wrong moments of a contiguous copy.
        """
        for name, part in self.parts.items():
            learned = [p for group in part.param_groups for p in group["params"]]
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in moments.items():
                owner, position, moment = key.split(".")
                if owner != name:
                    continue
                like = learned[int(position)]
                fits = value.shape == like.shape
                laid_out = torch.empty_like(like).copy_(value) if fits else value
                state.setdefault(int(position), {})[moment] = laid_out
            part.load_state_dict(
                {"state": state, "param_groups": part.state_dict()["param_groups"]}
            )


def _inner_convolutions(model: LandmarkModel) -> Iterator[Tensor]:
    backbones = (module for module in model.modules() if isinstance(module, Backbone))
    for module in itertools.chain.from_iterable(backbone.modules() for backbone in backbones):
        if isinstance(module, nn.Conv2d) and module.in_channels > 3 and module.weight.requires_grad:
            yield module.weight
