"""A cascade forest that sees the face aligned: turned, moved and scaled to the mean shape.

A first model finds the landmarks; the similarity that takes the mean shape closest to them says how
the face lies in the picture, and this one sees the picture cut by it. So it has to learn neither
how far heads are tilted nor how much of the picture they fill, and a box that is a few percent off
costs little. Deep Alignment Networks cut the picture like that between their stages (Kowalski,
Naruniec and Trzcinski 2017, arXiv 1706.01789).

In training no first model is needed: faces are aligned by their labels, and then by as much off as
a first model would be, drawn at random.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor
from torch.nn import functional as F

from drf.errors import UsageError
from drf.models.base import InitialData, InputSpec, present
from drf.models.cascade_forest import CascadeForest, CascadeForestConfig, Outputs

TURN, SCALE, SHIFT = 6.0, 0.04, 0.02
"""By how much faces are off in training: the largest turn in degrees, and the standard deviations
of the logarithm of the scale and of the shift, as a share of the box."""


@dataclass(frozen=True)
class Similarities:
    """Maps of B faces without reflection, (x, y) -> (a x - b y, b x + a y) + shift, between unit
    boxes (0..1, x right, y down).

    Written out coordinate by coordinate: in a product, autocast would round to bf16.

    linear  (B, 2) a and b
    shift   (B, 2)
    """

    linear: Tensor
    shift: Tensor

    @classmethod
    def fit(cls, shape: Tensor, points: Tensor) -> Similarities:
        """Return those that take a shape closest to the points of each face, in the sum of squared
        distances of the landmarks that are not missing: (K, 2), (B, K, 2). A face for which nothing
        follows, with all points in one place for example, gets the identity's a and b."""
        here = present(points)[..., None]
        count = here.sum(dim=1).clamp(min=1)
        p, q = (torch.where(here, each, 0.0) for each in (shape.expand_as(points), points))
        p_mean, q_mean = p.sum(dim=1) / count, q.sum(dim=1) / count
        p = torch.where(here, p - p_mean[:, None], 0.0)
        q = torch.where(here, q - q_mean[:, None], 0.0)
        a = (p * q).sum(dim=(1, 2))
        b = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(dim=1)
        found = torch.stack([a, b], dim=1) / (p**2).sum(dim=(1, 2)).clamp(min=1e-6)[:, None]
        whole = found.new_tensor([1.0, 0.0]).expand_as(found)
        linear = torch.where((found**2).sum(dim=1, keepdim=True) > 1e-4, found, whole)
        return cls(linear, q_mean - _times(linear, p_mean))

    def __call__(self, points: Tensor) -> Tensor:
        """(B, K, 2) -> (B, K, 2)."""
        return _times(self.linear[:, None], points) + self.shift[:, None]

    def inverse(self, points: Tensor) -> Tensor:
        """The inverse of a call."""
        a, b = self.linear[:, None].unbind(dim=-1)
        square = (a**2 + b**2)[..., None]
        return _times(torch.stack([a, -b], dim=-1), points - self.shift[:, None]) / square

    def spread(self, covariances: Tensor) -> Tensor:
        """Return A C A^T, with A the linear part: (B, K, 2, 2) -> (B, K, 2, 2)."""
        a = self.linear[:, None, None]
        turned = _times(a, covariances.transpose(2, 3))  # rows of C^T: (A C)^T
        return _times(a, turned.transpose(2, 3))

    def after(self, first: Similarities) -> Similarities:
        """Return the maps that do `first`, and then these."""
        linear = _times(self.linear, first.linear)
        return Similarities(linear, _times(self.linear, first.shift) + self.shift)

    def cut(self, images: Tensor) -> Tensor:
        """Return what the images show at the places to which the maps take the unit box, at the
        same size: (B, C, S, S) -> (B, C, S, S). Beyond an image its edge is repeated."""
        size = images.shape[-1]
        cells = (torch.arange(size, device=images.device) + 0.5) / size
        x, y = cells.expand(size, size), cells[:, None].expand(size, size)
        places = self(torch.stack([x, y], dim=-1).flatten(0, 1)[None])  # the same for all faces
        grid = (2 * places - 1).unflatten(1, (size, size))
        seen = F.grid_sample(images.float(), grid, padding_mode="border", align_corners=False)
        return seen.contiguous(memory_format=torch.channels_last)


def _times(linear: Tensor, points: Tensor) -> Tensor:
    """Multiply (..., 2) by (..., 2) as complex numbers: turns and scales of points."""
    (a, b), (x, y) = linear.unbind(dim=-1), points.unbind(dim=-1)
    return torch.stack([a * x - b * y, b * x + a * y], dim=-1)


@dataclass(frozen=True)
class AlignedOutputs(Outputs):
    """Outputs in the frame of the mean shape. maps: from there to the box of the images; None in
    training, where images and points are in that frame themselves."""

    maps: Similarities | None = None


class AlignedForest(CascadeForest):
    """See the module. Points and covariances that it returns are in the box of the images."""

    shape: Tensor
    """(K, 2) mean shape of the training faces, unit box."""

    def __init__(self, config: CascadeForestConfig, spec: InputSpec) -> None:
        super().__init__(config, spec)
        if spec.n_points < 2:
            raise UsageError(
                "a face is aligned by two landmarks or more, and there is one: set"
                " model.aligned_members = 0"
            )
        self.register_buffer("shape", torch.full((spec.n_points, 2), 0.5))
        self.generator: torch.Generator | None = None

    def draw_from(self, generator: torch.Generator) -> None:
        super().draw_from(generator)
        self.generator = generator

    @torch.no_grad()
    def initialise(self, data: InitialData) -> None:
        self.shape.copy_(data.mean)
        off = self._off(data.drawn)
        faces = Similarities.fit(self.shape, data.faces).inverse(data.faces)
        n = len(data.images)
        images = Similarities(off.linear[:n], off.shift[:n]).cut(data.images)
        super().initialise(InitialData(faces, off.inverse(data.drawn), images))

    @torch.no_grad()
    def training_view(self, images: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        off = self._off(points)
        return off.cut(images), off.inverse(points)

    def _off(self, points: Tensor) -> Similarities:
        """Return maps that align faces by their points, each by a random amount off."""

        def uniform() -> Tensor:
            return torch.rand(len(points), device=points.device, generator=self.generator)

        def normal(*shape: int) -> Tensor:
            drawn = torch.randn(len(points), *shape, device=points.device, generator=self.generator)
            return drawn.clamp(-2.5, 2.5)

        angle, scale = (2 * uniform() - 1) * math.radians(TURN), torch.exp(SCALE * normal())
        linear = torch.stack([angle.cos() * scale, angle.sin() * scale], dim=1)
        centre = torch.full_like(linear, 0.5)
        shift = centre - _times(linear, centre) + SHIFT * normal(2)
        return Similarities.fit(self.shape, points).after(Similarities(linear, shift))

    def forward(self, images: Tensor, found: Tensor | None = None) -> Outputs:
        """found: (B, K, 2) unit box, landmarks by which the faces are aligned; None where they are
        aligned already, in training."""
        if found is None:
            return super().forward(images)
        maps = Similarities.fit(self.shape, found.detach().float())
        outputs = super().forward(maps.cut(images))
        return AlignedOutputs(outputs.coarse, outputs.shapes, outputs.routed, maps)

    def loss(self, outputs: Outputs, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return super().loss(outputs, _aligned(outputs, points))

    def points(self, outputs: Outputs) -> Tensor:
        points, maps = super().points(outputs), _maps(outputs)
        return maps(points) if maps else points

    def covariances(self, outputs: Outputs) -> Tensor | None:
        covariances, maps = super().covariances(outputs), _maps(outputs)
        return covariances if covariances is None or not maps else maps.spread(covariances)

    @torch.no_grad()
    def leaf_step(self, outputs: Outputs, points: Tensor) -> None:
        super().leaf_step(outputs, _aligned(outputs, points))

    @torch.no_grad()
    def diagnostics(self, outputs: Sequence[Outputs], points: Tensor) -> dict[str, float]:
        """Readings in px of the aligned input."""
        batches = points.split([len(batch.coarse) for batch in outputs])
        aligned = [_aligned(batch, of) for batch, of in zip(outputs, batches, strict=True)]
        return super().diagnostics(outputs, torch.cat(aligned))


def _maps(outputs: Outputs) -> Similarities | None:
    return outputs.maps if isinstance(outputs, AlignedOutputs) else None


def _aligned(outputs: Outputs, points: Tensor) -> Tensor:
    """Return points of the box in the frame of the outputs."""
    maps = _maps(outputs)
    return maps.inverse(points) if maps else points
