"""Label-distribution leaves (Shen et al. 2017, LDLF, arXiv 1702.06086): each leaf is a distribution
over cells, and the leaf step is variational bounding.

    g_c(x) = sum_l P(l|x) q_lc                         what a tree predicts
    R = -mean_i sum_c d_ic log g_c(x_i)                cross-entropy, per tree
    q_lc <- sum_i d_ic P_il q_lc / g_ic, normalised over c

The last sum is q_lc (P^T (d / g))_lc: two matrix products, while the responsibilities themselves,
N x L x C numbers, are never formed (2048 leaves, 680 rows, 128 bins: 0.7 GB). Of labels that name
their cells, loss and sums need the predictions at these cells alone.

Shapes. Pools: G sets of leaves, one for all landmarks (G = 1, N = B K rows), or one for each
(G = K, N = B), or anything between. A leaf holds H distributions of C cells each, which share the
routing: H = 2 for separate x and y bins, H = 1 for a map of C cells.

    routing P  (G, N, T, L)        labels d     (G, N, H, J)
    q          (G, T, L, H, C)     predictions  (G, N, T, H, J)

J = C, or fewer where labels name their cells (`labels.Labels`). P comes from
`routing.probabilities`. A row whose labels are all 0 counts nowhere: so landmarks outside the box
and padding are masked.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from operator import itemgetter
from typing import Any

import torch
from torch import Tensor, nn
from torch.autograd.function import once_differentiable
from torch.nn import functional as F

from drf.distributed import total
from drf.forest.labels import Labels
from drf.forest.routing import stepwise_rate

FLOOR = 1e-9
"""Least share of a leaf's cell. Bounding multiplies: a cell at exactly 0 would stay there, and a
label that falls on a cell where every leaf is 0 would cost infinity."""

STARVED = 1e-12
"""Share of the rows under which a leaf's statistics are noise, and it keeps what it holds."""

BLOCK = 2**19
"""Numbers of leaves that are computed with at a time. The cache holds so many, and their memory is
used again: new memory for all leaves at every step takes longer than the arithmetic."""

ALL = slice(None)

Batch = tuple[Tensor, Labels]
"""Routing and labels of the same rows."""


def predict(routing: Tensor, q: Tensor, cells: Tensor | None = None) -> Tensor:
    """Return every tree's g = P q at all cells, or at those named for each row:
    (G, N, T, L), (G, T, L, H, C), (G, N, H, J) -> (G, N, T, H, J)."""
    if cells is not None:
        return _AtCells.apply(routing, _by_cell(q), _places(q, cells))
    g = routing.transpose(1, 2) @ q.flatten(3)
    return g.transpose(1, 2).unflatten(3, q.shape[3:])


def bounding_sums(routing: Tensor, q: Tensor, labels: Labels, predictions: Tensor) -> Tensor:
    """Return sum_i d_ic P_il q_lc / g_ic over the rows of all processes, of q's shape; the
    predictions are those of this q, at the labels' cells."""
    floor = torch.finfo(predictions.dtype).tiny
    ratio = _cut(labels.weights).unsqueeze(2) / predictions.clamp(min=floor)
    if labels.cells is None:
        sums = ratio.transpose(1, 2).flatten(3).mT @ routing.transpose(1, 2)  # (G, T, H C, L)
        sums = sums.unflatten(2, q.shape[3:])
    else:
        sums = _sums(routing, ratio, _places(q, labels.cells), _by_cell(q))
    return total(sums).movedim(-1, 2).mul_(q)


def expectation(q: Tensor, values: Tensor) -> Tensor:
    """Return the leaves' means of values of cells: (G, T, L, H, C), (C, D) -> (G, T, L, H, D)."""
    return (values.mT @ _by_cell(q)).movedim(-1, 2)


def laid_out(q: Tensor) -> Tensor:
    """Return q with the leaves innermost in memory: what the trees hold of a cell, which rows with
    narrow labels look up, then stands together."""
    return _by_cell(q).contiguous().movedim(-1, 2)


def _by_cell(q: Tensor) -> Tensor:
    """(G, T, L, H, C) -> (G, T, H, C, L): a view."""
    return q.movedim(2, -1)


def _places(q: Tensor, cells: Tensor) -> Tensor:
    """Return where the rows' cells stand in `_by_cell`, counted through: (G, N, H, J) ->
    (G, N, T, H, J)."""
    pools, trees, _, heads, n = q.shape
    first = torch.arange(pools * trees * heads, device=q.device).view(pools, 1, trees, heads, 1)
    return n * first + cells.unsqueeze(2)


class _AtCells(torch.autograd.Function):
    """g = P q where rows look: (G, N, T, L), (G, T, H, C, L), (G, N, T, H, J) -> (G, N, T, H, J).

    What rows find at their cells, J L numbers each, is kept for a block of them alone, and looked
    up again for the gradient.
    """

    @staticmethod
    def forward(ctx: Any, routing: Tensor, held: Tensor, places: Tensor) -> Tensor:
        ctx.save_for_backward(routing, held, places)
        table, found = held.flatten(0, -2), []
        for p, at in _blocks(routing, places):  # many small products take twice as long as a sum
            found.append(F.embedding(at, table).mul_(p.unsqueeze(1)).sum(dim=-1))
        return torch.cat(found).view(places.shape)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor | None, None]:
        routing, held, places = ctx.saved_tensors
        of_held = _sums(routing, gradient, places, held) if ctx.needs_input_grad[1] else None
        bags, table, weights = (x.flatten(0, -2) for x in (places, held, gradient))
        of_rows = F.embedding_bag(bags, table, per_sample_weights=weights, mode="sum")
        return of_rows.view(*places.shape[:-1], -1).sum(dim=3), of_held, None


def _sums(routing: Tensor, weights: Tensor, places: Tensor, like: Tensor) -> Tensor:
    """Return sum_i w_ic P_il: (G, N, T, L), (G, N, T, H, J) twice -> (G, T, H, C, L), as `like`."""
    sums = like.new_zeros(like.shape)
    table = sums.flatten(0, -2)
    for p, w, at in _blocks(routing, weights, places):
        table.index_add_(0, at.flatten(), (w.unsqueeze(-1) * p.unsqueeze(1)).flatten(0, 1))
    return sums


def _blocks(routing: Tensor, *by_cell: Tensor) -> Iterator[tuple[Tensor, ...]]:
    """Return the rows of P (G, N, T, L) and of tensors (G, N, T, H, J), each head one row, in
    blocks for which what they look up stays in the cache: (n, L), (n, J)."""
    heads, cells = by_cell[0].shape[3:]
    rows = routing.unsqueeze(3).expand(-1, -1, -1, heads, -1).flatten(0, 3)
    size = max(1, BLOCK // (cells * rows.shape[1]))
    parts = [rows.split(size), *(x.flatten(0, 3).split(size) for x in by_cell)]
    return zip(*parts, strict=True)


def mixed(predictions: Tensor) -> Tensor:
    """Return, for every tree, the mean of all: what a loss on the forest as a whole sees."""
    return predictions.mean(dim=2, keepdim=True).expand_as(predictions)


def bounding_step(routing: Tensor, q: Tensor, labels: Labels, *, averaged: bool = False) -> Tensor:
    """Return q after one iteration on all rows. The cross-entropy never rises by it: each tree's
    own, or that of the mean of the trees where they are averaged."""
    predictions = predict(routing, q, labels.cells)
    sums = bounding_sums(routing, q, labels, mixed(predictions) if averaged else predictions)
    mass = sums.sum(dim=-1, keepdim=True)
    return torch.where(mass > 0, sums / mass, q)


def cross_entropy(predictions: Tensor, labels: Tensor) -> Tensor:
    """Return R averaged over trees, rows and distributions: (G, N, T, H, J), (G, N, H, J) -> ().

    In nats. Its floor is `entropy(labels)`; what lies above is the Kullback-Leibler divergence.
    """
    log_g = predictions.clamp(min=torch.finfo(predictions.dtype).tiny).log()
    labels = _cut(labels)
    summed = -(labels * log_g.mean(dim=2)).sum()
    return summed / labels.sum().clamp(min=1)


def _cut(labels: Tensor) -> Tensor:
    """Return labels without the far tails of a Gaussian: they are denormal numbers, over which the
    matrix products of the leaf step and of the gradient take a hundred times as long."""
    return F.threshold(labels, 1e-20, 0.0)


def entropy(labels: Tensor) -> Tensor:
    """Return the labels' mean entropy in nats: (..., C) -> ()."""
    return torch.special.entr(labels).sum() / labels.sum().clamp(min=1)


def divergence(predictions: Tensor, labels: Labels) -> Tensor:
    """Return the Kullback-Leibler divergence of predictions from labels, in nats: ()."""
    return cross_entropy(predictions, labels.weights) - entropy(labels.weights)


def mean_labels(codes: Tensor, labels: Labels, shape: Sequence[int]) -> Tensor:
    """Return the mean label of each leaf's rows: (G, N, T) int, (G, N, H, J) -> shape, that of q.

    A leaf without rows takes the mean of all labels.
    """
    pools, trees, leaves, _, cells = shape
    pool = torch.arange(pools, device=codes.device)[:, None]
    sums = labels.weights.new_empty(shape)
    for tree in range(trees):  # a one-hot routing of all rows would take gigabytes
        summed = sum_by(pool * leaves + codes[..., tree], labels, pools * leaves, cells)
        sums[:, tree] = summed.unflatten(0, (pools, leaves))
    everybody = sum_by(pool.expand(codes.shape[:2]), labels, pools, cells)[:, None, None]
    sums = torch.where(sums.sum(dim=-1, keepdim=True) > 0, sums, everybody)
    return F.normalize(F.normalize(sums, p=1.0, dim=-1).clamp(min=FLOOR), p=1.0, dim=-1)


def sum_by(key: Tensor, labels: Labels, n: int, cells: int) -> Tensor:
    """Return the sums of the labels of each key: (G, N) int, (G, N, H, J) -> (n, H, C)."""
    weights, heads = labels.weights, labels.weights.shape[2]
    sums = weights.new_zeros(n, heads, cells)
    if labels.cells is None:
        return sums.index_add_(0, key.flatten(), weights.flatten(0, 1))
    head = heads * key.unsqueeze(-1) + torch.arange(heads, device=key.device)
    places = cells * head.unsqueeze(-1) + labels.cells
    sums.view(-1).index_add_(0, places.flatten(), weights.flatten())
    return sums


class LabelLeaves(nn.Module):
    """The leaves of G pools x T trees, updated by stepwise EM: no gradient, no separate phase.

    The statistics of a leaf are mass * q, as q is never anything but the normalised statistics: so
    `q` and `mass` (G, T, L, H) hold both. All stays on the device; nothing here waits for it.
    """

    q: Tensor
    mass: Tensor
    steps: Tensor

    def __init__(self, pools: int, trees: int, leaves: int, heads: int, cells: int) -> None:
        super().__init__()
        q = torch.full((pools, trees, leaves, heads, cells), 1 / cells)
        self.register_buffer("q", laid_out(q))
        self.register_buffer("mass", torch.full((pools, trees, leaves, heads), 1 / leaves))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    @torch.no_grad()
    def initialise(self, codes: Tensor, labels: Labels) -> None:
        """Set each leaf to the mean label of the rows assigned to it, and forget all statistics.

        codes: (G, N, T) int, the leaf of each row; labels: (G, N, H, J).
        """
        self.q.copy_(mean_labels(codes, labels, self.q.shape))
        self.mass.fill_(1 / self.q.shape[2])
        self.steps.zero_()

    def forward(self, routing: Tensor, cells: Tensor | None = None) -> Tensor:
        """Return every tree's distributions, or what they are at cells; the forest's are their mean
        over dim 2. See `predict`."""
        with torch.autocast(routing.device.type, enabled=False):
            return predict(routing, self.q, cells)

    def loss(self, predictions: Tensor, labels: Labels) -> Tensor:
        """Return the Kullback-Leibler divergence of predictions from labels, in nats: ()."""
        return divergence(predictions, labels)

    @torch.no_grad()
    def update(
        self, routing: Tensor, labels: Labels, predictions: Tensor, trees: slice = ALL
    ) -> None:
        """Take one batch into the statistics: S <- (1 - eta) S + eta * batch, q = S normalised.

        predictions: at the labels' cells. Call after the backward pass: it changes q in place,
        which the gradient of the routing needs. trees: which of them learn.
        """
        weights, eta = labels.weights, stepwise_rate(self.steps).to(self.q.dtype)
        rows = total(weights.sum(dim=(1, 2, 3)) / weights.shape[2]).view(-1, 1, 1, 1)
        eta, rows = torch.where(rows > 0, eta, 0.0), rows.clamp(min=1)  # nothing known, no change
        count = max(1, BLOCK // self.q[0].numel())
        for pools in (slice(first, first + count) for first in range(0, len(self.q), count)):
            of = labels.map(itemgetter(pools))
            p, g = routing[pools, :, trees], predictions[pools, :, trees]
            q, mass = self.q[pools, trees], self.mass[pools, trees]
            with torch.autocast(routing.device.type, enabled=False):
                sums = bounding_sums(p, q, of, g)
            learned = torch.lerp(mass, sums.sum(dim=-1) / rows[pools], eta[pools])
            # S = mass q before and after: so the new q is a sum of the old one and of the batch's.
            starved = learned <= STARVED
            old = torch.where(starved, 1.0, (1 - eta[pools]) * mass / learned)
            new = torch.where(starved, 0.0, eta[pools] / (rows[pools] * learned))
            q.mul_(old.unsqueeze(-1)).addcmul_(sums, new.unsqueeze(-1)).clamp_(min=FLOOR)
            q.div_(q.sum(dim=-1, keepdim=True))
            mass.copy_(learned)
        self.steps += 1

    @torch.no_grad()
    def fit(
        self,
        batches: Sequence[Batch],
        iterations: int,
        trees: slice = ALL,
        *,
        averaged: bool = False,
    ) -> None:
        """Iterate bounding over batches together, their routing fixed.

        trees: which of them learn · averaged: see `bounding_step`.
        """
        for _ in range(iterations):
            sums = torch.zeros_like(self.q)
            for routing, labels in batches:
                predictions = predict(routing, self.q, labels.cells)
                seen = mixed(predictions) if averaged else predictions
                sums += bounding_sums(routing, self.q, labels, seen)
            learned = torch.where(sums.sum(dim=-1, keepdim=True) > 0, _floored(sums), self.q)
            self.q[:, trees] = learned[:, trees]

    @torch.no_grad()
    def fit_and_average(
        self,
        batches: Sequence[Batch],
        iterations: int,
        trees: slice = ALL,
        *,
        averaged: bool = False,
    ) -> None:
        """The leaf step of earlier designs, for comparison: start again on every batch, then
        average."""
        summed = torch.zeros_like(self.q)
        for routing, labels in batches:
            q = torch.full_like(self.q, 1 / self.q.shape[-1])
            for _ in range(iterations):
                q = bounding_step(routing, q, labels, averaged=averaged)
            summed += q
        self.q[:, trees] = _floored(summed)[:, trees]


def _floored(statistics: Tensor) -> Tensor:
    """Normalise over cells, with no cell at 0."""
    mass = statistics.sum(dim=-1, keepdim=True)
    kept = torch.maximum(statistics, FLOOR * mass)
    return kept / kept.sum(dim=-1, keepdim=True).clamp(min=STARVED)
