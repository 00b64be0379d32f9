"""What families put on top of a backbone, landmark by landmark.

HeatmapCodec   landmarks as heatmaps and back: one codec, so that both directions agree
CoarseMaps     a first estimate of the landmarks: maps over the context, and where they peak
LocalFeatures  features that are sampled from the backbone's maps around given landmarks
Exchange       one vector of the whole face, made of all landmarks and added to each
Dropout        dropout that may draw from a generator of its own
LocalMlp       the control of the cascade: a plain network in the place of each forest
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.forest.gates import FeatureNorm, affine
from drf.models.backbones import Backbone, Features


@dataclass(frozen=True)
class HeatmapCodec:
    """Gaussian label maps, and sub-pixel decoding of logits by a local soft-argmax.

    Symbols: B faces, K landmarks, H x W cells (H = W = size). A point is in the unit box (0..1, x
    right, y down); cell (row r, column c) is centred at unit ((c + 0.5) / W, (r + 0.5) / H). Maps
    are indexed [row, column] = [y, x] everywhere; nothing transposes them.

    size    cells per side
    sigma   standard deviation of the label, in cells
    radius  half width of the decoding window, in cells

    Decoding the logarithm of an encoded map returns the point within 0.02 cells, for any point at
    least `radius` cells inside the map (tests/models/test_heatmaps.py holds it to that).
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
        """As `decode`, in half as many operators, which an exported graph pays for at every face.

        A window lies in the map, and is all of a map that is smaller, so that the map needs no
        border. What follows from the cell of a peak is looked up in tables with a row for each
        cell: the window's corner, and -inf for those of its cells that are too far from the peak.
        The expectation is one product.
        """
        h, w = logits.shape[2:]
        rows, columns = (min(2 * self.radius + 1, n) for n in (h, w))
        offsets = np.argwhere(np.ones((rows, columns)))  # row, column
        peaks = np.argwhere(np.ones((h, w)))
        corner = (peaks - self.radius).clip(0, [h - rows, w - columns])
        apart = corner[:, None] + offsets - peaks[:, None]  # (H W, rows columns, 2)
        beyond = np.where((abs(apart) <= self.radius).all(axis=-1), 0.0, -np.inf)
        first, further = (torch.from_numpy(place @ [w, 1]) for place in (corner, offsets))
        starts, steps = ((place[:, ::-1] / [w, h]) for place in (corner + 0.5, offsets))
        flat = logits.flatten(2)
        # onnxruntime finds a maximum ten times as fast as its place: the place is looked for in
        # the maxima of the rows, and then in one row.
        row = logits.amax(dim=3).argmax(dim=-1, keepdim=True) * w
        peak = row.squeeze(-1) + flat.gather(2, row + torch.arange(w)).argmax(dim=-1)
        cells = F.embedding(peak, first[:, None]) + further
        hidden = F.embedding(peak, torch.from_numpy(beyond).float())
        weight = (flat.gather(2, cells) + hidden).softmax(dim=-1)
        start = F.embedding(peak, torch.from_numpy(starts).float())
        return start + weight @ torch.from_numpy(steps).float()

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


class CoarseMaps(nn.Module):
    """One 1x1 convolution to K maps; soft cross-entropy, local soft-argmax."""

    def __init__(self, backbone: Backbone, n_points: int) -> None:
        super().__init__()
        self.codec = HeatmapCodec(backbone.cells["context"], sigma=1.0, radius=3)
        self.head = nn.Conv2d(backbone.channels["context"], n_points, 1)

    def forward(self, context: Tensor) -> Tensor:
        """(B, C, m, m) -> (B, K, m, m) logits."""
        return self.head(context)

    def loss(self, maps: Tensor, points: Tensor) -> Tensor:
        return self.codec.cross_entropy(maps, points)

    def points(self, maps: Tensor) -> Tensor:
        """(B, K, m, m) -> (B, K, 2) unit box."""
        return self.codec.decode(maps)


class LocalFeatures(nn.Module):
    """A 3x3 patch of detail, one sample of context, then each landmark's dense layer and ReLU."""

    offsets: Tensor

    def __init__(
        self,
        backbone: Backbone,
        n_points: int,
        features: int,
        *,
        detail: int = 24,
        context: int = 32,
        step: float = 1.5,
    ) -> None:
        """detail, context: channels that are sampled of either level
        step: between the samples of the patch, in cells of the detail level
        """
        super().__init__()
        self.detail = nn.Conv2d(backbone.channels["detail"], detail, 1)
        self.context = nn.Conv2d(backbone.channels["context"], context, 1)
        steps = torch.tensor([-1.0, 0.0, 1.0]) * step / backbone.cells["detail"]
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(9, 2)
        self.register_buffer("offsets", grid, persistent=False)
        seen = 9 * detail + context
        self.norm: nn.Module = FeatureNorm(n_points * seen)  # edges mean another thing at each
        self.bias: Tensor | None = None  # of the dense layer; batch norm has one until it is folded
        self.dense = nn.Parameter(torch.randn(n_points, seen, features) * seen**-0.5)

    def forward(self, features: Features, centres: Tensor) -> Tensor:
        """Features and landmarks (B, K, 2) in the unit box -> (B, K, F)."""
        if torch.compiler.is_exporting():
            seen, dense = self._exported(features, centres)
        else:
            b, k, _ = centres.shape
            around = (centres.repeat(1, 1, 9) + self.offsets.flatten()).view(b, k * 9, 2)
            detail = _sample(self.detail(features.detail), around)  # (B, 9 K, D)
            detail = detail.unflatten(1, (k, 9)).transpose(2, 3).flatten(2)
            context = _sample(self.context(features.context), centres)
            seen, dense = torch.cat([detail, context], dim=2), self.dense
        seen = self.norm(seen.flatten(1)).view_as(seen)
        answer = (seen.transpose(0, 1) @ dense).transpose(0, 1)
        return F.relu(answer if self.bias is None else answer + self.bias)

    def _exported(self, features: Features, centres: Tensor) -> tuple[Tensor, Tensor]:
        """Return the samples of `forward` and the dense layers to their order, for ONNX.

        onnxruntime's GridSample takes each channel by itself, and for a single face the number of
        operators counts as much as what they do. So whole cells are gathered, and the ten samples
        of both levels share the steps: columns are the x of all of them, then the y. The samples of
        a patch come before the channels, (9, D) in place of (D, 9); they are so in the layers too.
        """
        maps = [self.detail(features.detail), self.context(features.context)]
        (detail, n), (context, m) = ((level.shape[1], level.shape[2]) for level in maps)
        size = torch.tensor([float(n)] * 9 + [float(m)])
        to_cells = torch.block_diag(size[None], size[None])  # (2, 20)
        moved = F.pad(self.offsets.T * n, [0, 1]).flatten() - 0.5
        last = torch.cat([size, size]) - 1
        at = torch.minimum(F.relu(centres @ to_cells + moved), last)
        low = torch.minimum(at.floor(), last - 1)
        cell = (low @ torch.cat([torch.eye(10), size.diag()])).long()  # above and to the left
        face = torch.arange(centres.shape[0], device=centres.device)[:, None, None]
        cell = cell + face * (size * size).long()
        seen = []
        for level, own in zip(maps, cell.split([9, 1], dim=2), strict=True):
            side = level.shape[2]
            corners = own + torch.tensor([0, side, 1, side + 1])[:, None, None, None]
            cells = level.permute(0, 2, 3, 1).flatten(0, 2)  # (B n^2, C)
            seen.append(F.embedding(corners, cells).flatten(3))
        # As a product: a share of each sample becomes one of each of its channels.
        widen = torch.block_diag(*[torch.ones(1, detail)] * 9, torch.ones(1, context))
        right, down = ((at - low) @ torch.block_diag(widen, widen)).chunk(2, dim=2)
        left_side, right_side = torch.cat(seen, dim=3).chunk(2, dim=0)
        above, below = (left_side + right * (right_side - left_side)).chunk(2, dim=0)
        patch, rest = self.dense.split([9 * detail, context], dim=1)
        patch = patch.unflatten(1, (detail, 9)).transpose(1, 2).flatten(1, 2)
        return (above + down * (below - above)).squeeze(0), torch.cat([patch, rest], dim=1)

    @torch.no_grad()
    def fold(self) -> None:
        """Take the batch norm into the dense layers: see `drf.models.fuse_batchnorm`."""
        scale, shift = affine(self.norm)
        k, seen, _ = self.dense.shape
        self.bias = torch.einsum("ks,ksf->kf", shift.view(k, seen), self.dense)
        self.dense = nn.Parameter(scale.view(k, seen, 1) * self.dense, requires_grad=False)
        self.norm = nn.Identity()


def _sample(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples: (B, C, n, n), (B, P, 2) unit box -> (B, P, C) float32."""
    grid = (2 * points - 1).unsqueeze(2)
    samples = F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=False)
    return samples.squeeze(3).transpose(1, 2)


class Exchange(nn.Module):
    """One vector of the whole face, made of all landmarks, added to each: (B, K, F) -> (B, K, F).

        c = relu(BN(V [x_1 … x_K])),   x_k <- x_k + U_k c

    The features around a single landmark are weak where it is hidden, or where its neighbours look
    alike; the shape that the others agree on is stronger. c has `numbers` entries, and U starts
    small.
    """

    def __init__(self, n_points: int, features: int, numbers: int) -> None:
        super().__init__()
        self.gather = nn.Linear(n_points * features, numbers, bias=False)
        self.norm: nn.Module = FeatureNorm(numbers)
        self.tell = nn.Parameter(torch.randn(n_points, numbers, features) * 0.1 * numbers**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        face = F.relu(self.norm(self.gather(x.flatten(1)).float()))
        told = face @ self.tell.transpose(0, 1).flatten(1)
        return x + told.view_as(x)

    @torch.no_grad()
    def fold(self) -> None:
        """Take the batch norm into the layer before it: see `drf.models.fuse_batchnorm`."""
        scale, shift = affine(self.norm)
        light = nn.Linear(self.gather.in_features, self.gather.out_features).to(scale.device)
        light.weight.copy_(scale[:, None] * self.gather.weight)
        light.bias.copy_(shift)
        self.gather, self.norm = light, nn.Identity()


class Dropout(nn.Dropout):
    """torch's draws from the one generator that all threads share; this one from `generator`, where
    it has been set."""

    generator: torch.Generator | None = None

    def forward(self, input: Tensor) -> Tensor:
        if self.generator is None or not (self.training and self.p):
            return super().forward(input)
        keep = torch.empty_like(input).bernoulli_(1 - self.p, generator=self.generator)
        return input * keep.div_(1 - self.p)


class LocalMlp(nn.Module):
    """Each landmark's own two dense layers: (B, R, F) -> (B, R, D). unit: see VectorForest."""

    def __init__(self, features: int, hidden: int, routes: int, dims: int, unit: float) -> None:
        super().__init__()
        self.unit = unit
        self.first = nn.Parameter(torch.randn(routes, features, hidden) * (2 / features) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(routes, 1, hidden))
        self.second = nn.Parameter(torch.randn(routes, hidden, dims) * 0.1 * hidden**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            hidden = F.relu(torch.baddbmm(self.bias, features.float().transpose(0, 1), self.first))
            return (hidden @ self.second).transpose(0, 1) * self.unit


def hidden_of_equal_cost(features: int, trees: int, depth: int, dims: int) -> int:
    """Return the hidden units with which a LocalMlp multiplies as often as a VectorForest."""
    leaves = 2**depth
    return round(trees * (features * (leaves - 1) + leaves * dims) / (features + dims))
