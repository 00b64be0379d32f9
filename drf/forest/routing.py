"""Soft routing in log space: gates (..., T, S) -> log P(leaf | x) (..., T, L), all trees at once.

A gate f sends x right with probability sigmoid(f) and left with sigmoid(-f). Order of splits and
leaves: bit k of a leaf's index, the lowest first, says whether its path turns right at depth k;
so the path of leaf l meets at depth k the split 2^k - 1 + (l mod 2^k). The left half of the leaves
is those whose last turn is left: one level of the tree doubles a contiguous block, which is what
makes the routing fast.

    log P(l|x) = sum_k log sigmoid(+-f_k),   log sigmoid(+-f) = log sigmoid(|f|) - relu(-+f)

The second form is exact at both ends: nothing underflows, and the two branches of a split sum to 1
to the last digit of float32 however steep the gates are.

Measured at 680 rows, 8 trees of depth 8, one core, in multiples of a copy of the result: indexing
the gates of each path and summing 60 to 90, the product with the constant (2S x L) path matrix 19,
concatenating level by level 11, doubling in place, below, 11 with leaves innermost in memory and 6
with rows innermost, since the blocks of the first levels are short. So the result takes the layout
of the gates, and `gates.SplitGates` returns them with rows innermost.

The end of the file is what all kinds of leaves share: which of them are used most, the rate at
which they learn from batches, and whether they fit into memory.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from drf.errors import UsageError
from drf.pictures import FACES_PER_LEAF, LEAVES

_LEAST = math.exp(-80)


def log_routing(gates: Tensor, steepness: float | Tensor = 1.0) -> Tensor:
    """Return log P(l|x): gates (..., S) float -> (..., L), L = S + 1; each row's exp sums to 1.

    steepness: gamma, a factor on gates that do not hold it yet. Half precision is routed in
    float32. Raises ValueError where S + 1 is not a power of two above 1.
    """
    depth_of(gates.shape[-1])
    if gates.dtype in (torch.bfloat16, torch.float16):
        gates = gates.float()
    if isinstance(steepness, Tensor) or steepness != 1.0:
        gates = gates * steepness
    if torch.compiler.is_exporting():
        return _log_paths(gates)
    return _LogRouting.apply(gates)


def _log_paths(gates: Tensor) -> Tensor:
    """As `_LogRouting`, for an exported graph, which has no place to write to."""
    turns = gates.movedim(-1, 0)
    paths = torch.zeros_like(turns[:1])
    for n in (2**k for k in range(depth_of(gates.shape[-1]))):
        f = turns[n - 1 : 2 * n - 1]
        paths = torch.cat([paths + F.logsigmoid(-f), paths + F.logsigmoid(f)])
    return paths.movedim(0, -1)


def _paths(gates: Tensor) -> Tensor:
    """As `shares`, for an exported graph: a slice, two products and a block for every level."""
    right = gates.sigmoid()
    turned = right[..., :1]
    paths = torch.cat([1 - turned, turned], dim=-1)
    for n in (2**k for k in range(1, depth_of(gates.shape[-1]))):
        turned = paths * right[..., n - 1 : 2 * n - 1]
        paths = torch.cat([paths - turned, turned], dim=-1)
    return paths


def depth_of(n_splits: int) -> int:
    """Return the depth of a complete tree: 2^d - 1 splits -> d. Raises ValueError for others."""
    depth = (n_splits + 1).bit_length() - 1
    if n_splits < 1 or 2**depth - 1 != n_splits:
        raise ValueError(f"a complete tree has 2^d - 1 splits, not {n_splits}")
    return depth


def probabilities(log_p: Tensor) -> Tensor:
    """Return P = exp(log P), with what lies below e^-80 at 0: same shape and layout.

    Numbers below 1e-38 are denormal: a matrix product over a few per cent of them takes a hundred
    times as long on a CPU, and steep gates make them.
    """
    return _Probabilities.apply(log_p)


class _Probabilities(torch.autograd.Function):
    """exp, cut off in place: the gradient needs the result alone."""

    @staticmethod
    def forward(ctx: Any, log_p: Tensor) -> Tensor:
        p = F.threshold(log_p.exp(), _LEAST, 0.0, inplace=True)
        ctx.save_for_backward(p)
        return p

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (p,) = ctx.saved_tensors
        return gradient * p


class _LogRouting(torch.autograd.Function):
    """In-place doubling, and its reverse: sums of the gradient over subtrees, halving.

    With G the sum of dL/dlogP over the leaves under a split's branch:
    dL/df = sigmoid(-f) G_right - sigmoid(f) G_left = G_right - sigmoid(f) (G_left + G_right).
    """

    @staticmethod
    def forward(ctx: Any, gates: Tensor) -> Tensor:
        ctx.save_for_backward(gates)
        depth = depth_of(gates.shape[-1])
        out = _empty_like(gates, 2**depth)
        room = _empty_like(gates, 2 ** (depth - 1))
        # Level k writes its right children to 2^k .. 2^(k+1) - 1: exactly one place after its
        # splits. So the certainties log sigmoid(|f|) wait there, and no temporary holds them.
        # Every pass over the block costs like a copy of it: hence in place, in one room.
        out[..., 0] = 0
        # log sigmoid(|f|) = log1p(-sigmoid(-|f|)): exact for steep gates too, and torch's log1p
        # takes less than half of the time of its log.
        torch.abs(gates, out=out[..., 1:]).neg_().sigmoid_().neg_().log1p_()
        for n in (2**k for k in range(depth)):
            f, left, right = gates[..., n - 1 : 2 * n - 1], out[..., :n], out[..., n : 2 * n]
            right += left
            torch.sub(right, f, out=left)
            torch.minimum(left, right, out=left)  # x - relu(f) = min(x - f, x), exactly
            right += torch.clamp(f, max=0, out=room[..., :n])
        return out

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> Tensor:
        (gates,) = ctx.saved_tensors
        result = torch.sigmoid(gates)
        for n in (2**k for k in reversed(range(depth_of(gates.shape[-1])))):
            left, right = gradient[..., :n], gradient[..., n : 2 * n]
            gradient = left + right
            split = result[..., n - 1 : 2 * n - 1]
            torch.addcmul(right, split, gradient, value=-1, out=split)
        return result


def _empty_like(gates: Tensor, n: int) -> Tensor:
    """Return room for n numbers in the place of S, the dimensions in the gates' memory order."""
    shape = (*gates.shape[:-1], n)
    order = sorted(range(gates.dim()), key=gates.stride, reverse=True)
    return torch.empty_permuted(shape, order, dtype=gates.dtype, device=gates.device)


@torch.no_grad()
def shares(gates: Tensor) -> Tensor:
    """Return P(leaf | x) for inference: gates (..., T, S) float -> (..., T, L), no gradient.

    Products of the branches' probabilities, level by level, one sigmoid a split: the same as
    `probabilities(log_routing(gates))` up to 1e-6 a split, for a third of the time. Splits lie
    outermost in memory, which makes every level two operations on whole blocks. Gates are cut at
    15, so that no path of five splits is denormal; what is below e^-80 on longer ones is 0.
    """
    depth = depth_of(gates.shape[-1])
    if torch.compiler.is_exporting():
        return _paths(gates)
    right = gates.movedim(-1, 0).clamp(-15, 15).contiguous().sigmoid_()
    p = torch.empty((2**depth, *right.shape[1:]), dtype=right.dtype, device=right.device)
    p[0] = 1
    for n in (2**k for k in range(depth)):
        torch.mul(p[:n], right[n - 1 : 2 * n - 1], out=p[n : 2 * n])
        p[:n] -= p[n : 2 * n]
    if depth > 5:
        F.threshold(p, _LEAST, 0.0, inplace=True)
    return p.movedim(0, -1)


def hard_leaves(gates: Tensor) -> Tensor:
    """Return the leaf that each tree decides on: (..., S) -> (...) int64; a gate of 0 goes left.

    One turn after another, d gathers: for steep gates it is the most probable leaf.
    """
    leaf = torch.zeros(gates.shape[:-1], dtype=torch.int64, device=gates.device)
    for k in range(depth_of(gates.shape[-1])):
        split = (2**k - 1 + leaf).unsqueeze(-1)
        leaf = leaf.add(gates.gather(-1, split).squeeze(-1) > 0, alpha=2**k)
    return leaf


def diagnostics(log_p: Tensor) -> dict[str, float]:
    """Return how faces use the leaves, (N, ..., T, L): means over trees and routes of usage_entropy
    and information (nats) and largest_share (0..1), see `Balance`."""
    usage = balance(log_p)
    return {
        "usage_entropy": float(usage.usage_entropy.mean()),
        "information": float(usage.information.mean()),
        "largest_share": float(usage.largest_share.mean()),
    }


def top_leaves(log_p: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Return the k most probable leaves and their shares: (..., L) -> (..., k) float, (..., k) int.

    The log shares are renormalised: the exp of each row sums to 1. The best comes first.
    """
    best, leaf = log_p.topk(k, dim=-1)
    return best - best.logsumexp(dim=-1, keepdim=True), leaf


def mean_where(values: Tensor, known: Tensor) -> Tensor:
    """Return the mean of values over the rows that are known: (B, R, ...), (B, R) bool -> ()."""
    known = known.view(*known.shape, *[1] * (values.ndim - known.ndim))
    count = known.sum() * (values[0, 0].numel())
    return torch.where(known, values, 0.0).sum() / count.clamp(min=1)


@dataclass(frozen=True)
class Balance:
    """How evenly and how decidedly rows spread over leaves; one value per tree, entropies in nats.

    usage_entropy  H(mean_x P), at most log L, which is reached where all leaves are used alike
    information    I(leaf; x) = H(mean_x P) - mean_x H(P): 0 where the routing ignores x
    largest_share  max_l mean_x P(l|x), from 1/L (even) to 1 (one leaf takes all)
    """

    usage_entropy: Tensor
    information: Tensor
    largest_share: Tensor


def balance(log_p: Tensor) -> Balance:
    """Return the balance over the rows of the first dimension: (N, ..., L) -> values of (...).

    Differentiable, finite where leaves are unused; a loss term is -balance(log_p).information.
    """
    p = log_p.exp()
    usage = p.mean(dim=0)
    log_usage = usage.clamp(min=torch.finfo(usage.dtype).tiny).log()  # entr's slope at 0 is inf
    usage_entropy = -(usage * log_usage).sum(dim=-1)
    conditional = -(p * log_p).sum(dim=-1).mean(dim=0)
    return Balance(usage_entropy, usage_entropy - conditional, usage.amax(dim=-1))


TREES = 2
"""Trees shown of each of several routes; of a single one twice as many."""


@dataclass(frozen=True)
class LeafUsage:
    """A leaf as one route uses it, a landmark or a whole face; the rest as in `LeafPicture`."""

    route: int
    tree: int
    leaf: int
    share: float
    faces: tuple[int, ...]
    weights: tuple[float, ...]


def most_used_leaves(log_p: Tensor, routes: Sequence[int]) -> list[LeafUsage]:
    """Return the leaves with the largest shares, at most LEAVES: as many of each tree and route.

    log_p: (n, R, T, L), log P(leaf | face). By route, tree and falling share. A face is attracted
    where its probability is above 1 / L, what a leaf gets that asks nothing.
    """
    leaves = log_p.shape[3]
    trees = min(log_p.shape[2], TREES if len(routes) > 1 else 2 * TREES)
    p = log_p[:, list(routes), :trees].float().exp().cpu()
    shares = p.mean(dim=0)  # (r, t, L)
    order = shares.argsort(dim=-1, descending=True, stable=True)
    weights, faces = p.topk(min(FACES_PER_LEAF, len(p)), dim=0)
    found = []
    for r, route in enumerate(routes):
        for tree in range(trees):
            for leaf in order[r, tree, : LEAVES // (len(routes) * trees)].tolist():
                strongest = weights[:, r, tree, leaf]
                m = int((strongest > 1 / leaves).sum())
                found.append(
                    LeafUsage(
                        route=route,
                        tree=tree,
                        leaf=leaf,
                        share=float(shares[r, tree, leaf]),
                        faces=tuple(faces[:m, r, tree, leaf].tolist()),
                        weights=tuple(strongest[:m].tolist()),
                    )
                )
    return found


EXPONENT = 0.6
"""Between 0.5 and 1 the statistics converge; the smaller, the sooner the past is forgotten."""


def stepwise_rate(step: Tensor) -> Tensor:
    """Return eta of a step counted from 0, on its device: () int64 -> () float32.

        S <- (1 - eta) S + eta * batch,   eta = (t + 2)^-0.6

    The rate of stepwise EM (Cappe and Moulines 2009, arXiv 0712.4273; Liang and Klein 2009 for the
    exponent). Restarting the statistics on every batch is worse than a single step on all faces.
    """
    return (step + 2).float().pow(-EXPONENT)


def require_memory(bytes_needed: int, what: str) -> None:
    """Raise UsageError, naming the bytes, where more is needed than is free."""
    free = _free()
    if bytes_needed > free:
        raise UsageError(
            f"{what} need {_size(bytes_needed)}, and {_size(free)} are free: use fewer trees, a"
            " smaller depth, fewer bins or a shared pool"
        )


def _free() -> int:
    """Return the bytes that Linux can give without swapping; elsewhere all of physical memory.

    Without psutil: models are also built where only torch, numpy and OpenCV are installed.
    """
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    if found:
        return 1024 * int(found[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _size(n: int) -> str:
    return f"{n / 2**30:.1f} GiB ({n:,} bytes)"
