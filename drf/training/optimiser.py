"""What moves the weights: schedule, optimisers, moving average.

The schedule says how far a run is and the learning rate that follows from it. The optimisers hand
their moments as named tensors to the checkpoint. The moving average of the weights is what is
validated, kept and evaluated.
"""

from __future__ import annotations

import copy
import itertools
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn

from drf.config import TrainingConfig
from drf.errors import UsageError
from drf.models.backbones import Backbone
from drf.models.base import LandmarkModel


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


Kind = Literal["adamw", "muon"]


MOMENTS = {"adamw": {"step", "exp_avg", "exp_avg_sq"}, "muon": {"momentum"}}
"""What each keeps of a parameter."""


class Optimisers:
    """AdamW; with kind = muon, `Muon` for the backbone's convolutions, but the first, which sees
    the picture. Biases and norms, which have one axis, are not decayed.

    pretrained: layers that start from published weights: all by AdamW, and at the learning rate
    times pretrained_lr_factor
    """

    def __init__(
        self,
        model: LandmarkModel,
        kind: Kind,
        weight_decay: float,
        pretrained: Sequence[nn.Module] = (),
        pretrained_lr_factor: float = 1.0,
    ) -> None:
        slow = [p for module in pretrained for p in module.parameters()]
        taken = {id(p) for p in slow}
        inner = list(_inner_convolutions(model)) if kind == "muon" else []
        inner = [p for p in inner if id(p) not in taken]
        taken |= {id(p) for p in inner}
        rest = [p for p in model.parameters() if p.requires_grad and id(p) not in taken]
        kinds = [(rest, 1.0), *([(slow, pretrained_lr_factor)] if slow else [])]
        groups: list[dict[str, Any]] = [
            {
                "params": [p for p in weights if (p.ndim > 1) == decayed],
                "weight_decay": weight_decay if decayed else 0.0,
                "lr_factor": factor,
            }
            for weights, factor in kinds
            for decayed in (True, False)
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
                group["lr"] = lr * group.get("lr_factor", 1.0)

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
        """The inverse of `moments`. Raises KeyError or ValueError for moments of other parameters.

        A moment gets the memory layout of its parameter: a step walks both in memory order, and
        would pair a channels-last weight with the wrong moments of a contiguous copy.
        """
        for name, part in self.parts.items():
            learned = dict(enumerate(p for group in part.param_groups for p in group["params"]))
            state: dict[int, dict[str, Tensor]] = {}
            for key, value in moments.items():
                owner, position, moment = key.split(".")
                if owner != name:
                    continue
                like = learned[int(position)]
                if value.shape != (() if moment == "step" else like.shape):
                    raise ValueError(f"{key} has the shape {tuple(value.shape)}")
                laid_out = value if moment == "step" else torch.empty_like(like).copy_(value)
                state.setdefault(int(position), {})[moment] = laid_out
            if any(found.keys() != MOMENTS[name] for found in state.values()):
                raise ValueError(f"{name} needs the moments {', '.join(sorted(MOMENTS[name]))}")
            part.load_state_dict(
                {"state": state, "param_groups": part.state_dict()["param_groups"]}
            )


def _inner_convolutions(model: LandmarkModel) -> Iterator[Tensor]:
    backbones = (module for module in model.modules() if isinstance(module, Backbone))
    for module in itertools.chain.from_iterable(backbone.modules() for backbone in backbones):
        if isinstance(module, nn.Conv2d) and module.in_channels > 3 and module.weight.requires_grad:
            yield module.weight


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
