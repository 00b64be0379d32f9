"""Paths as label distributions over a window, and back by expectation.

A window is a square of half width `reach` around a centre, cut into `bins` cells a side. A place is
an offset from the centre, in the units of reach (the unit box here), x right, y down. Two kinds of
label, both normalised Gaussians of `sigma` cells:

    xy   two distributions of `bins` cells, x first: what a leaf stores is 2 n numbers
    map  one distribution of n x n cells, [row, column]: n^2 numbers, and peaks may be correlated

A narrow label in a large window is 0 nearly everywhere. It then names the cells around its peak,
and what is computed from it costs as much as these: 36 of 64 x 64 with a sigma of 0.433.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

LeafKind = Literal["xy", "map"]

TAIL = 6.5
"""Sigmas from its peak from which on a label is 0: exp(-TAIL^2 / 2) = 7e-10 is below float32's
resolution."""

SPARSE = 16
"""How many times fewer cells than there are a label has to name: to look a cell up takes as long as
to compute with eight or more that stand in order."""


@dataclass(frozen=True)
class Labels:
    """Distributions over the C cells of H heads.

    weights  (..., H, J), not negative; a head that is 0 everywhere has no label
    cells    (..., H, J) int64 in 0..C-1, no two alike, which the weights belong to; the others are
             0. None for all cells in order: J = C
    """

    weights: Tensor
    cells: Tensor | None = None

    def map(self, change: Callable[[Tensor], Tensor]) -> Labels:
        """Return labels whose leading dimensions are changed, those of weights and cells alike."""
        return Labels(change(self.weights), None if self.cells is None else change(self.cells))

    def dense(self, cells: int) -> Labels:
        """Return the same labels with each of C cells in order."""
        if self.cells is None:
            return self
        whole = self.weights.new_zeros(*self.weights.shape[:-1], cells)
        return Labels(whole.scatter_(-1, self.cells, self.weights))


def without_near_empty(weights: Tensor, share: float) -> Tensor:
    """Drop the cells below `share` of their distribution's peak: (..., J) -> (..., J), still
    summing to 1. Earlier designs used 0.3; those cells then weigh neither in the loss nor in the
    leaves.
    """
    kept = weights * (weights >= share * weights.amax(dim=-1, keepdim=True))
    return F.normalize(kept, p=1.0, dim=-1)


@dataclass(frozen=True)
class LabelGrid:
    """The window and its cells; heads and cells are what `label_leaves` calls H and C.

    mask: cells below this share of a label's peak are left out of it, 0 for none.
    """

    kind: LeafKind
    bins: int
    sigma: float
    reach: float
    mask: float = 0.0

    @property
    def heads(self) -> int:
        return 2 if self.kind == "xy" else 1

    @property
    def cells(self) -> int:
        return self.bins if self.kind == "xy" else self.bins**2

    @property
    def cell(self) -> float:
        """Width of a cell, in the units of reach."""
        return 2 * self.reach / self.bins

    @property
    def side(self) -> int:
        """How many cells along an axis a label names: all, unless that is worth it."""
        around = 2 * math.ceil(TAIL * self.sigma)
        axes = 1 if self.kind == "xy" else 2
        return around if SPARSE * around**axes <= self.bins**axes else self.bins

    def encode(self, offsets: Tensor) -> Labels:
        """Return the labels of offsets, (..., 2), each head summing to 1.

        A place outside the window is labelled at its edge: which way it lies is still worth
        learning. The label of a missing landmark (NaN) is 0 everywhere.
        """
        places = self._centres(offsets.device)
        edge = self.reach - self.cell / 2
        inside = offsets.float().nan_to_num().clamp(-edge, edge)
        z = (inside[..., None] - places) / (self.sigma * self.cell)
        profiles = (-0.5 * z**2).softmax(dim=-1)  # (..., 2, bins)
        missing = offsets.isnan().any(dim=-1)[..., None, None]
        labels = Labels(torch.where(missing, 0.0, profiles))
        if self.side < self.bins:
            below = ((inside + self.reach) / self.cell - 0.5).floor().long()
            first = (below - self.side // 2 + 1).clamp(0, self.bins - self.side)
            cells = first[..., None] + torch.arange(self.side, device=first.device)
            labels = Labels(labels.weights.gather(-1, cells), cells)
        if self.kind == "map":
            labels = self._crossed(labels)
        if self.mask:
            labels = Labels(without_near_empty(labels.weights, self.mask), labels.cells)
        return labels

    def _crossed(self, profiles: Labels) -> Labels:
        """Return maps: labels of x and of y, (..., 2, J) -> (..., 1, J^2), rows first."""
        x, y = profiles.weights.unbind(dim=-2)
        weights = (y[..., :, None] * x[..., None, :]).flatten(-2).unsqueeze(-2)
        if profiles.cells is None:
            return Labels(weights)
        column, row = profiles.cells.unbind(dim=-2)
        cells = self.bins * row[..., :, None] + column[..., None, :]
        return Labels(weights, cells.flatten(-2).unsqueeze(-2))

    def expectation(self, distributions: Tensor) -> Tensor:
        """Return the mean offsets of distributions: (..., H, C) -> (..., 2).

        Of labels it is the place, where the window holds four sigma around it: to 0.001 cells from
        sigma = 0.7 on, to 4 pi sigma^2 exp(-2 (pi sigma)^2) below (0.02 at 0.5, 0.06 at 0.43).
        """
        return (distributions @ self.values(distributions.device)).flatten(-2)

    def values(self, device: torch.device) -> Tensor:
        """Return the centres of the cells, (C, D): D = 1 along an axis, 2 of a map. Their means
        under the heads, one after another, are the offset."""
        centres = self._centres(device)
        if self.kind == "xy":
            return centres[:, None]
        return torch.cartesian_prod(centres, centres).flip(1)  # rows first in memory

    def std(self, distributions: Tensor) -> Tensor:
        """Return the standard deviations of distributions in x and y: (..., H, C) -> (..., 2)."""
        places, p = self._centres(distributions.device), self._marginals(distributions)
        away = places - (p @ places)[..., None]
        return (p * away**2).sum(dim=-1).clamp(min=0).sqrt()

    def picture(self, distributions: Tensor) -> Tensor:
        """Return distributions over the cells of the window: (..., H, C) -> (..., bins, bins), rows
        first. Of separate x and y it is the product."""
        if self.kind == "map":
            return distributions.squeeze(-2).unflatten(-1, (self.bins, self.bins))
        x, y = distributions.unbind(dim=-2)
        return y[..., :, None] * x[..., None, :]

    def _marginals(self, distributions: Tensor) -> Tensor:
        """(..., H, C) -> (..., 2, bins), over x and over y."""
        if self.kind == "xy":
            return distributions
        maps = self.picture(distributions)
        return torch.stack([maps.sum(dim=-2), maps.sum(dim=-1)], dim=-2)

    def equivalent_std(self, cross_entropy: float) -> float:
        """Return the standard deviation, per axis, in the units of reach, of the Gaussian with this
        cross-entropy (nats per head): sigma when perfect, the spread of the labels when ignorant.

            CE = A/2 log(2 pi e s^2), s in cells, A axes per head
        """
        axes = 1 if self.kind == "xy" else 2
        return self.cell * math.exp(cross_entropy / axes) / math.sqrt(2 * math.pi * math.e)

    def _centres(self, device: torch.device) -> Tensor:
        cells = torch.arange(self.bins, dtype=torch.float32, device=device)
        return (cells + 0.5) * self.cell - self.reach
