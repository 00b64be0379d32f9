"""The formulas written out as loops over rows, trees, leaves and cells, in float64."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def path(leaf: int, depth: int) -> list[tuple[int, bool]]:
    """(split, turns right) along the path of a leaf, by walking down from the root."""
    steps, prefix = [], 0
    for k in range(depth):
        right = bool(leaf >> k & 1)
        steps.append((2**k - 1 + prefix, right))
        prefix += right << k
    return steps


def probabilities(gates: Tensor) -> Tensor:
    """P(l|x) as the product of sigmoids: (N, T, S) -> (N, T, L), differentiable."""
    n, trees, splits = gates.shape
    depth = int(math.log2(splits + 1))
    rows = []
    for i in range(n):
        for t in range(trees):
            for leaf in range(splits + 1):
                p = torch.ones((), dtype=gates.dtype)
                for split, right in path(leaf, depth):
                    s = torch.sigmoid(gates[i, t, split])
                    p = p * (s if right else 1 - s)
                rows.append(p)
    return torch.stack(rows).view(n, trees, splits + 1)


def bounding_step(routing: Tensor, q: Tensor, labels: Tensor) -> Tensor:
    """xi = P q / g and q <- sum_i d xi: (N, L), (L, C), (N, C) -> (L, C); one tree."""
    result = torch.zeros_like(q)
    for leaf in range(q.shape[0]):
        for c in range(q.shape[1]):
            for i in range(len(routing)):
                g = sum(float(routing[i, m] * q[m, c]) for m in range(q.shape[0]))
                result[leaf, c] += labels[i, c] * routing[i, leaf] * q[leaf, c] / g
    return result / result.sum(dim=1, keepdim=True)


def log_normal(y: Tensor, mean: Tensor, covariance: Tensor) -> float:
    """log N(y; mean, covariance) with an explicit inverse and determinant."""
    apart = y - mean
    distance = float(apart @ torch.linalg.inv(covariance) @ apart)
    return -0.5 * (distance + float(torch.logdet(2 * math.pi * covariance)))


def em_step(
    routing: Tensor, y: Tensor, mean: Tensor, covariance: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """One EM iteration of one tree: (N, L), (N, D), (L, D), (L, D, D) -> z, means, covariances."""
    n, leaves = routing.shape
    z = torch.zeros_like(routing)
    for i in range(n):
        for leaf in range(leaves):
            density = math.exp(log_normal(y[i], mean[leaf], covariance[leaf]))
            z[i, leaf] = routing[i, leaf] * density
        z[i] /= z[i].sum()
    new_mean, new_covariance = torch.zeros_like(mean), torch.zeros_like(covariance)
    for leaf in range(leaves):
        for i in range(n):
            new_mean[leaf] += z[i, leaf] * y[i] / z[:, leaf].sum()
        for i in range(n):
            apart = y[i] - new_mean[leaf]
            new_covariance[leaf] += z[i, leaf] * torch.outer(apart, apart) / z[:, leaf].sum()
    return z, new_mean, new_covariance
