"""Paths as label distributions over a window, and back by expectation.

A window is a square of half width `reach` around a centre, cut into `bins` cells a side. A place is
an offset from the centre, in the units of reach (the unit box here), x right, y down. Two kinds of
label, both normalised Gaussians of `sigma` cells:

    xy   two distributions of `bins` cells, x first: what a leaf stores is 2 n numbers
    map  one distribution of n x n cells, [row, column]: n^2 numbers, and peaks may be correlated
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from drf.forest.label_leaves import without_near_empty

LeafKind = Literal["xy", "map"]


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

    def encode(self, offsets: Tensor) -> Tensor:
        """Return the labels of offsets: (..., 2) -> (..., H, C), each head summing to 1.

        A place outside the window is labelled at its edge: which way it lies is still worth
        learning. The label of a missing landmark (NaN) is 0 everywhere.
        """
        places = self._centres(offsets)
        edge = self.reach - self.cell / 2
        inside = offsets.float().clamp(-edge, edge)
        z = (inside[..., None] - places) / (self.sigma * self.cell)
        label = (-0.5 * z**2).softmax(dim=-1)  # (..., 2, bins)
        label = torch.where(offsets.isnan().any(dim=-1)[..., None, None], 0.0, label)
        if self.kind == "map":
            x, y = label.unbind(dim=-2)
            label = (y[..., :, None] * x[..., None, :]).flatten(-2).unsqueeze(-2)
        return without_near_empty(label, self.mask) if self.mask else label

    def expectation(self, distributions: Tensor) -> Tensor:
        """Return the mean offsets of distributions: (..., H, C) -> (..., 2).

        Of labels it is the place, where the window holds four sigma around it: to 0.001 cells from
        sigma = 0.7 on, to 4 pi sigma^2 exp(-2 (pi sigma)^2) below (0.02 at 0.5, 0.06 at 0.43).
        """
        return self._marginals(distributions) @ self._centres(distributions)

    def std(self, distributions: Tensor) -> Tensor:
        """Return the standard deviations of distributions in x and y: (..., H, C) -> (..., 2)."""
        places, p = self._centres(distributions), self._marginals(distributions)
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

    def _centres(self, like: Tensor) -> Tensor:
        cells = torch.arange(self.bins, dtype=torch.float32, device=like.device)
        return (cells + 0.5) * self.cell - self.reach
