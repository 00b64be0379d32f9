"""The optimisers of a run as one, and their moments as named tensors for the checkpoint."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Literal

import torch
from torch import Tensor, nn

from drf.models.backbones import Backbone
from drf.models.base import LandmarkModel

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


# ---- from drf.training.optimiser

STEPS = 4
COEFFICIENTS = (3.4445, -4.7750, 2.0315)
"""Of the quintic iteration; they bring singular values into about 0.7..1.2, which is enough."""


class Muon(torch.optim.Optimizer):
    """For convolutions' weights (o, i, h, w), each taken as a matrix of o rows."""

    def __init__(
        self,
        params: Iterable[Tensor],
        *,
        lr: float = 0.0,
        momentum: float = 0.95,
        weight_decay: float = 0.0,
    ) -> None:
        super().__init__(params, {"lr": lr, "momentum": momentum, "weight_decay": weight_decay})

    @torch.no_grad()
    def step(self, closure: Callable[[], float] | None = None) -> None:  # type: ignore[override]
        """Take one step on the gradients; parameters without one stay."""
        assert closure is None
        for group in self.param_groups:
            alike: dict[tuple[int, ...], list[Tensor]] = {}
            for p in group["params"]:
                if p.grad is not None:
                    alike.setdefault(_matrix(p).shape, []).append(p)
            for weights in alike.values():  # together: many small products take longer than one
                self._step(weights, group)

    def _step(self, weights: list[Tensor], group: dict[str, Any]) -> None:
        mu, lr = group["momentum"], group["lr"]
        gradients = [w.grad for w in weights if w.grad is not None]
        for w in weights:
            if not self.state[w]:
                self.state[w]["momentum"] = torch.zeros_like(w)
        moments = [self.state[w]["momentum"] for w in weights]
        torch._foreach_lerp_(moments, gradients, 1 - mu)
        ahead = torch._foreach_lerp(gradients, moments, mu)
        updates = orthogonal(torch.stack([_matrix(u) for u in ahead]))
        size = 0.2 * max(updates.shape[1:]) ** 0.5
        for w, update in zip(weights, updates, strict=True):
            _matrix(w).mul_(1 - lr * group["weight_decay"]).add_(update, alpha=-lr * size)


def _matrix(weight: Tensor) -> Tensor:
    """Return a view (o, i h w) of a weight; the order of its columns is that of the memory, which
    does not matter, and a copy would take longer than the products."""
    if weight.is_contiguous():
        return weight.view(len(weight), -1)
    return weight.permute(0, 2, 3, 1).view(len(weight), -1)  # channels last


def orthogonal(matrices: Tensor) -> Tensor:
    """Return about (M M^T)^-1/2 M: (n, o, i) -> (n, o, i), singular values near 1; 0 stays 0.

    Newton and Schulz's iteration X <- (a + b X X^T + c (X X^T)^2) X, done on the smaller side's
    Gram matrix: two products with M in all instead of two in each step.
    """
    if matrices.shape[1] > matrices.shape[2]:
        return orthogonal(matrices.mT).mT
    a, b, c = COEFFICIENTS
    gram = matrices @ matrices.mT
    squares = gram.diagonal(dim1=-2, dim2=-1).sum(-1)[:, None, None]  # of the Frobenius norm
    squares = squares.clamp(min=torch.finfo(gram.dtype).tiny)
    gram = gram / squares
    identity = torch.eye(gram.shape[-1], dtype=gram.dtype, device=gram.device)
    product = factor = torch.baddbmm(a * identity + b * gram, gram, gram, alpha=c)
    for _ in range(STEPS - 1):
        gram = factor @ gram @ factor
        factor = torch.baddbmm(a * identity + b * gram, gram, gram, alpha=c)
        product = factor @ product
    return product @ (matrices * squares.rsqrt())
