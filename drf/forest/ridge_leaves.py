"""Leaves of least squares: Q = (P^T P + lambda I)^-1 P^T Y, the pair of the L2 loss.

The ridge is needed: routing near uniform makes P^T P rank 1. The normal equations, L x L and L x D
numbers, accumulate over batches, so all faces take part without being kept.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from drf.forest import stepwise


def solve(gram: Tensor, moment: Tensor, ridge: float) -> Tensor:
    """Return (gram + ridge I)^-1 moment: (..., L, L), (..., L, D) -> (..., L, D).

    By Cholesky in float64 whatever comes in: the condition number is that of P squared. ridge > 0;
    where it is too small for a factor even so, the result is NaN.
    """
    eye = torch.eye(gram.shape[-1], dtype=torch.float64, device=gram.device)
    factor, info = torch.linalg.cholesky_ex(gram.double() + ridge * eye)
    factor = torch.where((info == 0)[..., None, None], factor, torch.nan)
    return torch.cholesky_solve(moment.double(), factor).to(moment.dtype)


class RidgeLeaves(nn.Module):
    """G independent sets of L leaves, each leaf a vector of D numbers.

    A set may be one tree, the forest then averages sets; or all leaves of an additive forest, refit
    jointly: routing (G, N, L) holds the trees side by side then. Statistics are means over rows, so
    `ridge` is lambda / N. Labels of a set that does not centre on 0 lose their mean to the ridge.
    """

    q: Tensor
    gram: Tensor
    moment: Tensor
    steps: Tensor

    def __init__(self, sets: int, leaves: int, dims: int, *, ridge: float = 1e-4) -> None:
        super().__init__()
        self.ridge = ridge
        self.register_buffer("q", torch.zeros(sets, leaves, dims))
        self.register_buffer("gram", torch.zeros(sets, leaves, leaves))
        self.register_buffer("moment", torch.zeros(sets, leaves, dims))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, routing: Tensor) -> Tensor:
        """Return P Q: (G, N, L) -> (G, N, D)."""
        with torch.autocast(routing.device.type, enabled=False):
            return routing @ self.q

    @torch.no_grad()
    def fit(self, routing: Tensor, y: Tensor) -> None:
        """Replace the statistics by those of these rows, (G, N, L) and (G, N, D), and solve."""
        self._accumulate(routing, y, torch.ones_like(self.gram[0, 0, 0]))
        self.refit()

    @torch.no_grad()
    def update(self, routing: Tensor, y: Tensor) -> None:
        """Take one batch into the statistics, stepwise; `refit` then changes the leaves."""
        self._accumulate(routing, y, stepwise.rate(self.steps).to(y.dtype))
        self.steps += 1

    @torch.no_grad()
    def refit(self) -> None:
        """Solve for the leaves. One Cholesky of L^3 / 3: for large sets, not on every batch."""
        self.q.copy_(solve(self.gram, self.moment, self.ridge))

    def _accumulate(self, routing: Tensor, y: Tensor, eta: Tensor) -> None:
        with torch.autocast(routing.device.type, enabled=False):
            rows = routing.shape[1]
            self.gram.lerp_(routing.mT @ routing / rows, eta)
            self.moment.lerp_(routing.mT @ y / rows, eta)
