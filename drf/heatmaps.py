"""Landmark positions as heatmaps and back: one codec, so that encoder and decoder cannot disagree.

Symbols: B faces, K landmarks, H x W cells (H = W = size). A point is in the unit box (0..1, x
right, y down); cell (row r, column c) is centred at unit ((c + 0.5) / W, (r + 0.5) / H). Maps are
indexed [row, column] = [y, x] everywhere; nothing transposes them.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F


@dataclass(frozen=True)
class HeatmapCodec:
    """Gaussian label maps, and sub-pixel decoding of logits by a local soft-argmax.

    size    cells per side
    sigma   standard deviation of the label, in cells
    radius  half width of the decoding window, in cells

    Decoding the logarithm of an encoded map returns the point within 0.02 cells, for any point at
    least `radius` cells inside the map (tests/test_heatmaps.py holds it to that).
    """

    size: int
    sigma: float = 1.0
    radius: int = 3

    def encode(self, points: Tensor) -> Tensor:
        """Return the label distributions: (B, K, 2) unit box -> (B, K, H, W), each summing to 1.

        d_rc is proportional to exp(-((c - x)^2 + (r - y)^2) / (2 sigma^2)), x and y in cells. Of a
        point outside the box the map shows what reaches inside, of a missing one (NaN) nothing of
        use; mask its loss with `inside`.
        """
        x, y = self._profiles(points)
        return y[..., :, None] * x[..., None, :]

    def encode_together(self, points: Tensor) -> Tensor:
        """Return one map per face, the mean of those of its points: (B, K, 2) -> (B, H, W).

        Each sums to 1. Points outside the box or missing are left out; a face without a point gets
        zeros.
        """
        x, y = self._profiles(points)
        inside = self.inside(points).float()
        share = inside / inside.sum(dim=1, keepdim=True).clamp(min=1)
        return (y * share[..., None]).mT @ x

    def _profiles(self, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return the distributions over columns and over rows, (B, K, size): the normalised product
        is the map."""
        cells = torch.arange(self.size, device=points.device, dtype=torch.float32)
        known = torch.where(points.isnan(), 0.5, points)  # finite, or gradients would not be
        xy = known.float() * self.size - 0.5
        logits = -((cells - xy[..., None]) ** 2) / (2 * self.sigma**2)  # (B, K, 2, size)
        x, y = logits.softmax(dim=-1).unbind(dim=2)
        return x, y

    def inside(self, points: Tensor) -> Tensor:
        """Return which points lie in the box, missing ones do not: (B, K, 2) -> (B, K) bool."""
        return ((points >= 0) & (points <= 1)).all(dim=-1)

    def decode(self, logits: Tensor) -> Tensor:
        """Return positions: (B, K, H, W) logits -> (B, K, 2) unit box.

        The expectation of softmax(logits) over the window of 2 radius + 1 cells around its peak: a
        plain argmax would cost half a cell, the expectation over all cells is drawn to the centre.
        """
        if torch.compiler.is_exporting():
            return self._decoded(logits)
        b, k, h, w = logits.shape
        peak = logits.flatten(2).argmax(dim=-1)  # (B, K)
        row, column = peak // w, peak % w
        side = 2 * self.radius + 1
        offsets = torch.arange(side, device=logits.device)
        rows = row[..., None] + offsets - self.radius  # (B, K, side)
        columns = column[..., None] + offsets - self.radius
        # Beyond the map there is nothing: of a map with that border every window is whole.
        padded = F.pad(logits, [self.radius] * 4, value=-torch.inf)
        first = row * padded.shape[3] + column
        window = offsets[:, None] * padded.shape[3] + offsets
        cells = first[..., None] + window.flatten()
        weight = padded.flatten(2).gather(2, cells).float().softmax(dim=-1)
        weight = weight.view(b, k, side, side)
        x = (weight.sum(dim=2) * columns).sum(dim=-1)
        y = (weight.sum(dim=3) * rows).sum(dim=-1)
        return torch.stack([(x + 0.5) / w, (y + 0.5) / h], dim=-1)

    def _decoded(self, logits: Tensor) -> Tensor:
        """As `decode`, in half as many operators, which an exported graph pays for at every face:
        rows and columns of a peak are looked up, and the expectation is one product."""
        h, w = logits.shape[2:]
        peak, cell = logits.flatten(2).argmax(dim=-1), torch.arange(h * w)
        row, column = cell // w, cell % w
        padded = F.pad(logits, [self.radius] * 4, value=-torch.inf)
        offsets = torch.arange(2 * self.radius + 1)
        first = F.embedding(peak, (row * padded.shape[3] + column)[:, None])
        cells = first + (offsets[:, None] * padded.shape[3] + offsets).flatten()
        weight = padded.flatten(2).gather(2, cells).softmax(dim=-1)  # (B, K, side^2)
        around = torch.cartesian_prod(offsets, offsets).flip(1) - self.radius
        middle = F.embedding(peak, torch.stack([column, row], dim=-1).float())
        return (middle + weight @ around.float() + 0.5) / torch.tensor([w, h])

    def covariances(self, logits: Tensor) -> Tensor:
        """Return how widely maps are spread: (B, K, H, W) logits -> (B, K, 2, 2), squared unit box.

        sum_rc p_rc (z_rc - m)(z_rc - m)^T with p = softmax(logits) over the whole map, z_rc the
        centre of a cell and m = sum_rc p_rc z_rc. A map like its label has (sigma / size)^2 in
        either direction.
        """
        _, _, h, w = logits.shape
        p = logits.flatten(2).float().softmax(dim=-1).unflatten(2, (h, w))
        xs, ys = ((torch.arange(n, device=p.device) + 0.5) / n for n in (w, h))
        mean_x, mean_y = p.sum(dim=2) @ xs, p.sum(dim=3) @ ys  # (B, K)
        dx, dy = xs - mean_x[..., None], ys - mean_y[..., None]  # (B, K, W), (B, K, H)
        xx = (p.sum(dim=2) * dx**2).sum(dim=-1)
        yy = (p.sum(dim=3) * dy**2).sum(dim=-1)
        xy = torch.einsum("bkhw,bkw,bkh->bk", p, dx, dy)
        return torch.stack([xx, xy, xy, yy], dim=-1).unflatten(-1, (2, 2))

    def cross_entropy(self, logits: Tensor, points: Tensor) -> Tensor:
        """Return -sum_rc d_rc log softmax(logits)_rc, averaged over the points inside the box.

        (B, K, H, W), (B, K, 2) -> scalar, in nats. Its floor is the entropy of the labels.
        """
        mask = self.inside(points)
        log_p = F.log_softmax(logits.flatten(2).float(), dim=-1)
        per_point = -(self.encode(points).flatten(2) * log_p).sum(dim=-1)
        return (per_point * mask).sum() / mask.sum().clamp(min=1)
