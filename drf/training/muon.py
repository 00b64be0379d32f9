"""Muon: momentum, made orthogonal, for the convolutions inside a network.

    M <- mu M + (1 - mu) G,   U = mu M + (1 - mu) G
    W <- W - lr 0.2 sqrt(max(o, i)) (U U^T)^-1/2 U

(Jordan et al. 2024, kellerjordan.github.io/posts/muon; the factor of Liu et al. 2025, arXiv
2502.16982, brings an update to the size of one of AdamW.) Every direction of a layer's input learns
at the same speed, not those alone in which gradients are large. Per face seen, the networks here
reach the same error in two thirds of the epochs (docs/experiments.md). torch's own Muon takes
matrices only, and multiplies in bf16, which is slow where it is not accelerated.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor

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
