"""The three ways in which label leaves learn, each with the loss that belongs to it.

    bounding  cross-entropy, variational bounding        `label_leaves.LabelLeaves`
    ridge     squared error, regularised pseudo-inverse  `RidgeLabelLeaves`
    gradient  cross-entropy, the network's optimiser     `GradientLeaves`

Shapes as in `label_leaves`.

The ridge is needed: routing near uniform makes P^T P rank 1. Its normal equations, L x L and L x D
numbers, accumulate over batches, so all faces take part without being kept.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from drf.distributed import processes, total
from drf.forest import label_leaves
from drf.forest.label_leaves import ALL, Batch, LabelLeaves
from drf.forest.labels import Labels
from drf.forest.routing import stepwise_rate


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
    """Q = (P^T P + lambda I)^-1 P^T Y: G independent sets of L leaves, each a vector of D numbers.

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
        self._accumulate(routing, y, stepwise_rate(self.steps).to(y.dtype))
        self.steps += 1

    @torch.no_grad()
    def refit(self) -> None:
        """Solve for the leaves. One Cholesky of L^3 / 3: for large sets, not on every batch."""
        self.q.copy_(solve(self.gram, self.moment, self.ridge))

    def _accumulate(self, routing: Tensor, y: Tensor, eta: Tensor) -> None:
        with torch.autocast(routing.device.type, enabled=False):
            rows = routing.shape[1] * processes()
            self.gram.lerp_(total(routing.mT @ routing) / rows, eta)
            self.moment.lerp_(total(routing.mT @ y) / rows, eta)


Update = Literal["bounding", "ridge", "gradient"]


class Leaves(Protocol):
    """What a forest asks of its leaves; see LabelLeaves for what each does."""

    @property
    def q(self) -> Tensor:
        """What each leaf holds, (G, T, L, H, C)."""
        ...

    def initialise(self, codes: Tensor, labels: Labels) -> None: ...
    def __call__(self, routing: Tensor, cells: Tensor | None = None) -> Tensor: ...
    def loss(self, predictions: Tensor, labels: Labels) -> Tensor: ...
    def update(
        self, routing: Tensor, labels: Labels, predictions: Tensor, trees: slice = ALL
    ) -> None: ...
    def fit(
        self,
        batches: Sequence[Batch],
        iterations: int,
        trees: slice = ALL,
        *,
        averaged: bool = False,
    ) -> None: ...


class GradientLeaves(nn.Module):
    """Leaves as softmax(logits), learned with the network: q follows the loss, not the labels."""

    def __init__(self, pools: int, trees: int, leaves: int, heads: int, cells: int) -> None:
        super().__init__()
        self.logits = nn.Parameter(torch.zeros(pools, trees, leaves, heads, cells))

    @property
    def q(self) -> Tensor:
        return self.logits.softmax(dim=-1)

    @torch.no_grad()
    def initialise(self, codes: Tensor, labels: Labels) -> None:
        q = label_leaves.mean_labels(codes, labels, self.logits.shape)
        self.logits.copy_(q.clamp(min=1e-4).log())  # softmax has no gradient where q is 0

    def forward(self, routing: Tensor, cells: Tensor | None = None) -> Tensor:
        with torch.autocast(routing.device.type, enabled=False):
            return label_leaves.predict(routing, self.q, cells)

    def loss(self, predictions: Tensor, labels: Labels) -> Tensor:
        return label_leaves.divergence(predictions, labels)

    def update(
        self, routing: Tensor, labels: Labels, predictions: Tensor, trees: slice = ALL
    ) -> None:
        """Nothing: the optimiser's step was it."""

    def fit(
        self,
        batches: Sequence[Batch],
        iterations: int,
        trees: slice = ALL,
        *,
        averaged: bool = False,
    ) -> None:
        """Nothing either."""


class RidgeLabelLeaves(nn.Module):
    """Leaves of least squares, each tree on its own: Q = (P^T P / N + ridge I)^-1 P^T d / N, over
    the N rows of a pool that have a label.

    What a leaf holds may be negative and need not sum to 1: it is a regression of the label maps,
    and every cell counts, so that labels have all of them in order.
    """

    def __init__(self, pools: int, trees: int, leaves: int, heads: int, cells: int) -> None:
        super().__init__()
        self.shape = (pools, trees, leaves, heads, cells)
        self.sets = RidgeLeaves(pools * trees, leaves, heads * cells)

    @property
    def q(self) -> Tensor:
        return self.sets.q.view(self.shape)

    @torch.no_grad()
    def initialise(self, codes: Tensor, labels: Labels) -> None:
        routing = nn.functional.one_hot(codes, self.shape[2]).to(labels.weights.dtype)
        self.sets.fit(*self._flat(routing, labels.weights))
        self.sets.steps.zero_()
        self.q.copy_(label_leaves.mean_labels(codes, labels, self.shape))  # empty ones as well

    def forward(self, routing: Tensor, cells: Tensor | None = None) -> Tensor:
        with torch.autocast(routing.device.type, enabled=False):
            return label_leaves.predict(routing, self.q, cells)

    def loss(self, predictions: Tensor, labels: Labels) -> Tensor:
        """Return sum_c (g_c - d_c)^2, averaged over trees, rows with a label and heads: ()."""
        d = labels.weights
        error = (predictions - d.unsqueeze(2)).square().sum(dim=-1)  # (G, N, T, H)
        known = d.sum(dim=-1).unsqueeze(2)
        return (error * known).mean(dim=2).sum() / known.sum().clamp(min=1)

    @torch.no_grad()
    def update(
        self, routing: Tensor, labels: Labels, predictions: Tensor, trees: slice = ALL
    ) -> None:
        """Take one batch into the normal equations, stepwise, and solve for the leaves.

        routing (G, N, T, L) · labels (G, N, H, C) · predictions (G, N, T, H, C), used in the place
        of labels that a row lacks · trees: those that learn
        """
        with only_trees(self.q, trees):
            self.sets.update(*self._flat(routing, _completed(labels.weights, predictions)))
            self.sets.refit()

    @torch.no_grad()
    def fit(
        self,
        batches: Sequence[Batch],
        iterations: int,
        trees: slice = ALL,
        *,
        averaged: bool = False,
    ) -> None:
        """Solve over all batches together; least squares need no iterations."""
        routing = torch.cat([p for p, _ in batches], dim=1)
        known = [_completed(y.weights, label_leaves.predict(p, self.q)) for p, y in batches]
        with only_trees(self.q, trees):
            self.sets.fit(*self._flat(routing, torch.cat(known, dim=1)))

    def _flat(self, routing: Tensor, labels: Tensor) -> tuple[Tensor, Tensor]:
        """(G, N, T, L), (G, N, H, C) -> (G T, N, L), (G T, N, H C); masked rows at 0 in both, and
        the others weighted so that means over all rows are means over them."""
        known = (labels.sum(dim=(-2, -1)) > 0).to(labels.dtype)
        share = known.mean(dim=1, keepdim=True).clamp(min=1 / known.shape[1])
        weight = (known / share).sqrt()[..., None]
        p = (routing * weight[..., None]).transpose(1, 2).flatten(0, 1)
        y = (labels.flatten(2) * weight).repeat_interleave(self.shape[1], dim=0)
        return p, y


@contextlib.contextmanager
def only_trees(q: Tensor, trees: slice) -> Iterator[None]:
    """Let what is done inside change these trees of q (G, T, ...) alone: the others get back their
    values."""
    before = q.clone()
    yield
    before[:, trees] = q[:, trees]
    q.copy_(before)


def _completed(labels: Tensor, predictions: Tensor) -> Tensor:
    """Return labels (G, N, H, C) with what leaves predict, (G, N, T, H, C), in the place of the
    heads that a row lacks (a missing landmark of a whole face): so they change no leaf. Rows that
    have no label at all keep none."""
    mass = labels.sum(dim=-1, keepdim=True)
    lacking = (mass == 0) & (mass.sum(dim=-2, keepdim=True) > 0)
    return torch.where(lacking, predictions.mean(dim=2), labels)


def numbers(update: Update, pools: int, trees: int, leaves: int, heads: int, cells: int) -> int:
    """Return how many float32 numbers leaves of a kind take while they learn: themselves, their
    moving average, and statistics or gradients, with the temporaries of an update."""
    held, statistics = pools * trees * leaves * heads * cells, pools * trees * leaves**2
    return {"bounding": 5 * held, "ridge": 9 * held + 6 * statistics, "gradient": 7 * held}[update]


def build(update: Update, pools: int, trees: int, leaves: int, heads: int, cells: int) -> Leaves:
    """Return leaves of a kind."""
    kinds: dict[Update, type[LabelLeaves | GradientLeaves | RidgeLabelLeaves]] = {
        "bounding": LabelLeaves,
        "ridge": RidgeLabelLeaves,
        "gradient": GradientLeaves,
    }
    return kinds[update](pools, trees, leaves, heads, cells)
