"""The split layer: unit-norm directions over normalised features, an explicit steepness.

    f = gamma (w . x / |w| - threshold),   x normalised by the batch

Multiplying an unconstrained layer is not annealing, the optimiser undoes it (Hehn et al. 2020,
doi 10.1007/s11263-019-01237-6); with |w| taken out, gamma alone says how soft a split is.

Tree codes are such splits over the labels alone: in which leaf a label belongs.
"""

from __future__ import annotations

from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from drf.forest.routing import depth_of, hard_leaves

Annealing = Literal["constant", "linear", "geometric"]


def steepness(share: float, first: float, last: float, annealing: Annealing) -> float:
    """Return gamma at a share of the run, 0..1: `first` at 0, `last` at 1, both above 0.

    linear: first + share (last - first) · geometric: first (last / first)^share
    constant: `last` all along.
    """
    share = min(1.0, max(0.0, share))
    if annealing == "constant":
        return last
    if annealing == "linear":
        return first + share * (last - first)
    return first * (last / first) ** share


class FeatureNorm(nn.BatchNorm1d):
    """Batch norm of rows (N, F). A single row has no variance and takes the running one:
    so a batch of one face can be learned from."""

    def forward(self, x: Tensor) -> Tensor:
        if self.training and len(x) == 1:
            mean, variance = self.running_mean, self.running_var
            return F.batch_norm(x, mean, variance, self.weight, self.bias, eps=self.eps)
        return super().forward(x)


def affine(norm: nn.Module) -> tuple[Tensor, Tensor]:
    """Return what a FeatureNorm does in evaluation: x -> scale x + shift, (F,) each."""
    assert isinstance(norm, FeatureNorm)
    assert norm.running_mean is not None
    assert norm.running_var is not None
    scale = (norm.running_var + norm.eps).rsqrt()
    scale = scale * norm.weight if norm.affine else scale
    shift = -norm.running_mean * scale
    return scale, shift + norm.bias if norm.affine else shift


class SplitGates(nn.Module):
    """The gates of T trees of depth d, over F features.

    sites  1: all rows share the splits, x (..., F) -> (..., T, S);
           K: every landmark has splits of its own, x (B, K, F) -> (B, K, T, S).

    Each feature (of each site) is batch-normalised first, without scale or shift: gates over raw
    features start saturated, all faces on one side. `gamma` is a buffer, saved with the weights.
    """

    gamma: Tensor

    def __init__(self, features: int, trees: int, depth: int, sites: int = 1) -> None:
        super().__init__()
        self.trees, self.sites, self.splits = trees, sites, 2**depth - 1
        self.norm = FeatureNorm(sites * features, affine=False)
        self.weight = nn.Parameter(torch.randn(sites, trees * self.splits, features))
        self.threshold = nn.Parameter(torch.zeros(sites, trees * self.splits))
        self.register_buffer("gamma", torch.ones(()))
        self._folded: tuple[Tensor, Tensor] | None = None

    def set_steepness(self, gamma: float) -> None:
        """Set the steepness that the following calls use."""
        self.gamma.fill_(gamma)

    @torch.no_grad()
    def fold(self) -> None:
        """Take normalisation and current steepness into the splits: see `models.fuse_batchnorm`."""
        scale, shift = (x.view(self.sites, 1, -1) for x in affine(self.norm))
        weight = F.normalize(self.weight, dim=-1) * self.gamma
        offset = (weight * shift).sum(dim=-1) - self.threshold * self.gamma
        self._folded = weight * scale, offset

    def forward(self, x: Tensor) -> Tensor:
        """Return the gates, gamma included; float32 or wider, whatever autocast is on outside."""
        with torch.autocast(x.device.type, enabled=False):
            if not self._folded:
                projected = _Projections.apply(self._normalised(x), self.weight)
                f = (projected - self.threshold[:, None]) * self.gamma
            elif self.sites == 1:
                weight, offset = self._folded
                f = torch.addmm(offset[0, :, None], weight[0], self._by_site(x)[0].T).T[None]
            else:
                weight, offset = self._folded
                f = torch.baddbmm(offset[:, None], self._by_site(x), weight.mT)
            f = f.unflatten(2, (self.trees, self.splits))
            return f[0].unflatten(0, x.shape[:-1]) if self.sites == 1 else f.transpose(0, 1)

    @torch.no_grad()
    def initialise(self, features: Tensor, right: Tensor | None = None) -> None:
        """Set the normalisation and the thresholds from features: (n, F), or (n, K, F) of K sites.

        right: (sites, T, S), the share of the rows at a split that it is to send right, 0..1; else
        a half, so that each leaf starts with n / L rows, rounded up or down where no two are equal.
        Every threshold stands half way between two projections of the rows that the splits above
        send there, or beyond them all; a split that no row reaches counts all rows. Steepness does
        not matter.
        """
        if right is None:
            right = torch.full_like(self.threshold, 0.5).view(self.sites, self.trees, self.splits)
        flat = features.reshape(-1, self.norm.num_features).to(self.threshold.dtype)
        assert self.norm.running_mean is not None
        assert self.norm.running_var is not None
        self.norm.running_mean.copy_(flat.mean(dim=0))
        self.norm.running_var.copy_(flat.var(dim=0, correction=0))
        training = self.training
        rows = self.eval()._normalised(features)
        self.train(training)
        weight = F.normalize(self.weight, dim=-1).unflatten(1, (self.trees, self.splits))
        threshold = self.threshold.view(self.sites, self.trees, self.splits)
        node = torch.zeros(
            self.sites, rows.shape[1], self.trees, 1, dtype=torch.int64, device=rows.device
        )
        for k in range(depth_of(self.splits)):
            n = 2**k
            z = torch.einsum("srf,stnf->srtn", rows, weight[:, :, n - 1 : 2 * n - 1])
            here = torch.arange(n, device=rows.device) == node
            here |= ~here.any(dim=1, keepdim=True)
            between = _between(z, here, right[:, None, :, n - 1 : 2 * n - 1])
            threshold[:, :, n - 1 : 2 * n - 1] = between.squeeze(1)
            node = node + n * (z.gather(3, node) > between.expand_as(z).gather(3, node))

    def _normalised(self, x: Tensor) -> Tensor:
        """(..., F) or (B, K, F) -> (sites, R, F), each feature of zero mean and unit variance."""
        return self._by_site(self.norm(self._flat(x)))

    def _flat(self, x: Tensor) -> Tensor:
        return x.to(self.weight.dtype).reshape(-1, self.norm.num_features)

    def _by_site(self, x: Tensor) -> Tensor:
        return self._flat(x).unflatten(1, (self.sites, -1)).transpose(0, 1)


class _Projections(torch.autograd.Function):
    """x . w / |w|: rows (sites, R, F), weights (sites, M, F) -> (sites, R, M), with the rows
    innermost in memory, the layout that is routed fastest.

    The weights are the largest array of a forest. Divided by their lengths they would be one more,
    and several for the gradient; here only the gradient itself is as large.
    """

    @staticmethod
    def forward(ctx: Any, rows: Tensor, weight: Tensor) -> Tensor:
        length = torch.linalg.vector_norm(weight, dim=-1, keepdim=True).clamp(min=1e-12)
        projected = (weight @ rows.mT).div_(length)
        ctx.save_for_backward(rows, weight, length, projected)
        return projected.mT

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        """d/dw = (x - (x . w / |w|) w / |w|) / |w|."""
        rows, weight, length, projected = ctx.saved_tensors
        slope = gradient.mT / length
        along = (slope * projected).sum(dim=-1, keepdim=True) / length
        return slope.mT @ weight, (slope @ rows).addcmul_(weight, along, value=-1)


def _between(z: Tensor, here: Tensor, right: Tensor) -> Tensor:
    """Return thresholds that a share of the rows that are here exceeds: (sites, R, T, n), bool,
    (sites, 1, T, n) -> (sites, 1, T, n).

    Half way between two rows: on a row, rounding would decide on which side it falls. To send all
    one way, as far beyond the last row as the rows spread.
    """
    order = z.masked_fill(~here, torch.inf).sort(dim=1).values
    count = here.sum(dim=1, keepdim=True)
    left = ((1 - right) * count - 1e-4).ceil().clamp(min=0).long()
    last = order.gather(1, count - 1)
    reach = last - order[:, :1]
    below = order.gather(1, (left - 1).clamp(min=0))
    above = order.gather(1, left.clamp(max=z.shape[1] - 1))
    between = torch.where(left == count, last + reach, (below + above) / 2)
    return torch.where(left == 0, order[:, :1] - reach, between)


class RawGates(nn.Module):
    """A dense layer as in earlier designs: no normalisation, no unit norm, no thresholds from data.

    Here to be compared: `gamma` is a factor that the optimiser can undo.
    """

    gamma: Tensor

    def __init__(self, features: int, trees: int, depth: int, sites: int = 1) -> None:
        super().__init__()
        self.trees, self.sites, self.splits = trees, sites, 2**depth - 1
        bound = features**-0.5  # as torch's Linear
        self.weight = nn.Parameter(
            torch.empty(sites, features, trees * self.splits).uniform_(-bound, bound)
        )
        self.bias = nn.Parameter(torch.empty(sites, 1, trees * self.splits).uniform_(-bound, bound))
        self.register_buffer("gamma", torch.ones(()))

    def set_steepness(self, gamma: float) -> None:
        self.gamma.fill_(gamma)

    def initialise(self, features: Tensor, right: Tensor | None = None) -> None:
        """Nothing is set from data."""

    def forward(self, x: Tensor) -> Tensor:
        """(..., F) -> (..., T, S), or (B, K, F) -> (B, K, T, S) of K sites, as SplitGates."""
        with torch.autocast(x.device.type, enabled=False):
            x = x.to(self.weight.dtype)
            if self.sites == 1:
                f = x @ self.weight[0] + self.bias[0]
            else:
                f = (x.transpose(0, 1) @ self.weight + self.bias).transpose(0, 1)
            return (f * self.gamma).unflatten(-1, (self.trees, self.splits))


class TreeCodes(nn.Module):
    """T trees of a depth for each of G pools, grown on labels of D numbers alone.

    Each split cuts the labels that reach it in half, along a random direction: leaves that start
    from these codes are distinct and equally used, and a network that learns to predict them routes
    by the labels before there is anything that a leaf could teach it. No gradient changes them.
    """

    direction: Tensor
    threshold: Tensor

    def __init__(self, pools: int, dims: int, trees: int, depth: int) -> None:
        super().__init__()
        self.depth = depth
        splits = 2**depth - 1
        self.register_buffer("direction", torch.zeros(pools, trees, splits, dims))
        self.register_buffer("threshold", torch.zeros(pools, trees, splits))

    @torch.no_grad()
    def initialise(self, rows: Tensor) -> None:
        """Grow the trees on labels (G, N, D), by directions drawn from torch's generator."""
        pools, trees, splits, dims = self.direction.shape
        gates = SplitGates(dims, trees, self.depth, sites=pools).to(rows.device)
        gates.initialise(rows.transpose(0, 1))
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
