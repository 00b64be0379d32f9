"""Tree codes: a tree grown on the labels alone, that says in which leaf a label belongs.

Each split cuts the labels that reach it in half, along a random direction: leaves that start from
these codes are distinct and equally used, and a network that learns to predict them routes by what
the labels say, before there is anything that a leaf could teach it.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.forest.gates import SplitGates
from drf.forest.routing import hard_leaves


class TreeCodes(nn.Module):
    """T trees of a depth for each of G pools, over labels of D numbers. Nothing here is learned."""

    direction: Tensor
    threshold: Tensor

    def __init__(self, pools: int, dims: int, trees: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        splits = 2**depth - 1
        self.register_buffer("direction", torch.zeros(pools, trees, splits, dims))
        self.register_buffer("threshold", torch.zeros(pools, trees, splits))

    @torch.no_grad()
    def start(self, rows: Tensor) -> None:
        """Grow the trees on labels (G, N, D), by directions drawn from torch's generator."""
        pools, trees, splits, dims = self.direction.shape
        gates = SplitGates(dims, trees, self.depth, sites=pools).to(rows.device)
        gates.start(rows.transpose(0, 1))
        mean, variance = gates.norm.running_mean, gates.norm.running_var
        assert mean is not None
        assert variance is not None
        weight = F.normalize(gates.weight, dim=-1)
        weight = weight / (variance + gates.norm.eps).sqrt().view(pools, 1, dims)
        threshold = gates.threshold + torch.einsum("gsd,gd->gs", weight, mean.view(pools, dims))
        self.direction.copy_(weight.unflatten(1, (trees, splits)))
        self.threshold.copy_(threshold.unflatten(1, (trees, splits)))

    def forward(self, rows: Tensor) -> Tensor:
        """Return the leaf of each row in each tree: (G, N, D) -> (G, N, T) int64."""
        projected = torch.einsum("gnd,gtsd->gnts", rows, self.direction)
        return hard_leaves(projected - self.threshold[:, None])


def turns(codes: Tensor, leaves: int) -> Tensor:
    """Return the share of the rows at each split that their codes send right, half where none
    comes by: (n, R, T) int64 -> (R, T, S)."""
    held = torch.zeros(*codes.shape[1:], leaves, device=codes.device)
    held.scatter_add_(
        2, codes.permute(1, 2, 0), torch.ones_like(codes, dtype=held.dtype).permute(1, 2, 0)
    )
    shares = []
    for k in range(leaves.bit_length() - 1):
        left, right = held.unflatten(2, (-1, 2, 2**k)).sum(dim=2).unbind(dim=2)  # bit k of a leaf
        reached = left + right
        shares.append(torch.where(reached > 0, right / reached.clamp(min=1), 0.5))
    return torch.cat(shares, dim=2)
