"""A shape model laid over maps that show all landmarks of a face at once.

The map g, of n x n cells, is read as K points, blurred and without names: a mixture of K Gaussians
of one width, at the landmarks of

    s = a R (mean + sum_j b_j component_j) + t,   b_j ~ N(0, variance_j)

EM fits the similarity (a, R, t) and the coefficients b: an active shape model whose points are
found as in coherent point drift (Myronenko and Song 2010, arXiv 0905.2635).

    E  r_kc = e_kc / (sum_j e_jc + background),   e_kc = exp(-|c - s_k|^2 / (2 width^2))
    M  landmark k goes to the mean of the cells, weighted by r_kc g_c; s follows, as far as it can

The start is the mean shape, upright, with the centre and the size of the map's mass; the width
falls from half the face to the detail that a map holds, so that the whole names landmarks before
the parts do. Faces tilted by up to 30 degrees are found so.

e_kc is a product of an x and a y factor, so the sums over cells are matrix products and the K n^2
responsibilities are never formed.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.errors import UsageError
from drf.landmarks import geometry
from drf.landmarks.shapes import ShapeModel

STEPS = 20
WIDEST, NARROWEST = 0.5, 0.08
"""Widths at the first and the last step, over the root mean square distance of the mean shape's
landmarks from their centre."""

CELLS = 0.8
"""Narrowest width in cells: a finer one would follow the grid."""

BACKGROUND = 5e-2
"""What a cell that no landmark explains counts as, in heights of a landmark's Gaussian."""

NEGLIGIBLE = 1e-6
"""Heights of a Gaussian below it are 0: products of them would be denormal numbers, slow to sum."""


class Similarity(NamedTuple):
    """p -> p linear + shift for rows p; linear: (B, 2, 2), a scaled rotation; shift: (B, 1, 2)."""

    linear: Tensor
    shift: Tensor

    def apply(self, points: Tensor) -> Tensor:
        return points @ self.linear + self.shift

    def undo(self, points: Tensor) -> Tensor:
        return (points - self.shift) @ self.linear.mT / self.scale2

    @property
    def scale2(self) -> Tensor:
        """The square of the scale, (B, 1, 1)."""
        return self.linear[:, :1].square().sum(dim=-1, keepdim=True).clamp(min=1e-12)


class ShapeRegistration(nn.Module):
    """A shape model of K landmarks and D components, saved with the weights of who holds it.

    Raises UsageError for more components than shapes of K landmarks can have.
    """

    mean: Tensor
    components: Tensor
    variances: Tensor

    def __init__(self, n_points: int, dims: int) -> None:
        super().__init__()
        most = 2 * n_points - 4  # a similarity takes four
        if dims > most:
            raise UsageError(
                f"aligned shapes of {n_points} landmarks have {most} components, not {dims}"
            )
        self.register_buffer("mean", torch.full((n_points, 2), 0.5))
        self.register_buffer("components", torch.zeros(dims, n_points, 2))
        self.register_buffer("variances", torch.ones(dims))

    @torch.no_grad()
    def fit(self, faces: Tensor) -> None:
        """Learn mean and components of faces (n, K, 2), any one frame, aligned by similarities.

        Raises UsageError where so few faces have no D components.
        """
        aligned = geometry.procrustes(faces.cpu().double().numpy())
        model = ShapeModel.fit(aligned.shapes, len(self.variances))
        self.mean.copy_(torch.from_numpy(model.mean))
        self.components.copy_(torch.from_numpy(model.components))
        self.variances.copy_(torch.from_numpy(model.variances))

    @torch.no_grad()
    def forward(self, maps: Tensor) -> Tensor:
        """Return the shapes that explain maps best: (B, n, n), each of a positive sum -> (B, K, 2)
        float32 unit box."""
        n, k = maps.shape[-1], len(self.mean)
        g = k * _normalised(maps)
        axis = _middles(maps)
        pose = self.placed(maps)
        b = torch.zeros(len(g), len(self.variances), device=g.device)
        for width in self._widths(n):
            weight, place = _expectation(g, axis, pose.apply(self._shape(b)), width)
            pose = _similarity(self._shape(b), place, weight)
            b = self._coefficients(pose.undo(place), weight, width**2 / pose.scale2[:, :, 0])
        return pose.apply(self._shape(b))

    @torch.no_grad()
    def placed(self, maps: Tensor) -> Similarity:
        """Return the upright similarities that give the mean shape the centre and size of maps."""
        g, axis = _normalised(maps), _middles(maps)
        profiles = torch.stack([g.sum(dim=1), g.sum(dim=2)], dim=1)  # (B, 2, n): along x, along y
        centre = profiles @ axis  # (B, 2)
        variance = (profiles * (axis - centre[..., None]).square()).sum(dim=(1, 2))
        scale = (variance.sqrt() / self._radius())[:, None, None]
        linear = scale * torch.eye(2, device=g.device)
        return Similarity(linear, (centre - scale[:, 0] * self.mean.mean(dim=0))[:, None])

    @torch.no_grad()
    def std(self, maps: Tensor, shape: Tensor) -> Tensor:
        """Return the standard deviations in x and y, about the landmark, of the mass that goes to
        each landmark of shapes at the narrowest width: (B, K, 2) -> (B, K, 2), unit box."""
        axis, width = _middles(maps), self._widths(maps.shape[-1])[-1]
        along = _shares(_normalised(maps), axis, shape, width)  # (B, K, 2, n)
        variance = (along * (axis - shape[..., None]).square()).sum(dim=-1)
        return (variance / along.sum(dim=-1).clamp(min=1e-12)).sqrt()

    def _shape(self, b: Tensor) -> Tensor:
        """(B, D) -> (B, K, 2), in the frame of the mean."""
        return self.mean + (b @ self.components.flatten(1)).unflatten(1, (-1, 2))

    def _radius(self) -> Tensor:
        return (self.mean - self.mean.mean(dim=0)).square().sum(dim=1).mean().sqrt()

    def _widths(self, n: int) -> Tensor:
        spread = self._radius()
        last = torch.clamp(NARROWEST * spread, min=CELLS / n)
        share = torch.linspace(0, 1, STEPS, device=last.device)
        return WIDEST * spread * (last / (WIDEST * spread)) ** share

    def _coefficients(self, place: Tensor, weight: Tensor, noise: Tensor) -> Tensor:
        """Return the b that is most probable given the landmarks' places in the frame of the mean.

        sum_k weight_k |mean_k + (b component)_k - place_k|^2 / noise + sum_j b_j^2 / variance_j is
        least. place: (B, K, 2), weight: (B, K), noise: (B, 1), a variance.
        """
        components = self.components.flatten(1)  # (D, 2 K)
        precision = weight.repeat_interleave(2, dim=1) / noise  # (B, 2 K)
        normal = (components * precision[:, None]) @ components.T
        normal = normal + torch.diag(1 / self.variances.clamp(min=1e-12))
        right = (precision * (place - self.mean).flatten(1)) @ components.T
        return torch.linalg.solve_ex(normal, right)[0]


def _normalised(maps: Tensor) -> Tensor:
    return maps.float() / maps.float().sum(dim=(1, 2), keepdim=True)


def _middles(maps: Tensor) -> Tensor:
    """Return where the cells of a row are, (n,), unit box."""
    n = maps.shape[-1]
    return (torch.arange(n, device=maps.device) + 0.5) / n


def _shares(g: Tensor, axis: Tensor, shape: Tensor, width: Tensor) -> Tensor:
    """Return the mass that columns and rows of the map give to each landmark: (B, n, n), (n,),
    (B, K, 2) -> (B, K, 2, n), sum_c r_kc g_c over all but x, over all but y."""
    e = torch.exp(-0.5 * ((axis - shape[..., None]) / width) ** 2)  # (B, K, 2, n)
    ex, ey = F.threshold(e, NEGLIGIBLE, 0.0).unbind(dim=2)
    share = g / (ey.mT @ ex + BACKGROUND)  # (B, n, n): the sums over landmarks are a matrix product
    return torch.stack([(ey @ share) * ex, (ex @ share.mT) * ey], dim=2)


def _expectation(g: Tensor, axis: Tensor, shape: Tensor, width: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mass of the map that goes to each landmark, (B, K), and its centre, (B, K, 2)."""
    along = _shares(g, axis, shape, width)
    weight = along[:, :, 0].sum(dim=-1)
    return weight, along @ axis / weight.clamp(min=1e-12)[..., None]


def _similarity(source: Tensor, target: Tensor, weight: Tensor) -> Similarity:
    """Return the similarities that bring sources closest to targets, (B, K, 2) both, by weighted
    least squares: `drf.landmarks.geometry.similarities` with weights, for tensors."""
    weight = (weight / weight.sum(dim=1, keepdim=True))[..., None]
    p_mean = (weight * source).sum(dim=1, keepdim=True)
    q_mean = (weight * target).sum(dim=1, keepdim=True)
    p, q = source - p_mean, target - q_mean
    spread = (weight * p.square()).sum(dim=(1, 2)).clamp(min=1e-12)
    cos = (weight * p * q).sum(dim=(1, 2)) / spread
    sin = (weight[..., 0] * (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0])).sum(dim=1) / spread
    linear = torch.stack([torch.stack([cos, sin], -1), torch.stack([-sin, cos], -1)], dim=1)
    return Similarity(linear, q_mean - p_mean @ linear)
