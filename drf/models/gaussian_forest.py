"""The Gaussian forest (Shen et al. 2018, DRF, arXiv 1712.07195): leaves are multivariate Gaussians
over the principal components of the whole shape.

An encoder's deep map becomes one vector of the face, the splits see that vector, and a leaf holds
a mean shape and a covariance. The prediction is the mean over trees of sum_l P(l|x) mu_l, mapped
back to the picture exactly. Where routing is hard, leaves are all that can be said: averaged
whole-shape leaves then cannot beat some 7 % NME. Soft routing lies between leaves, and the L1
distance of the predicted points teaches it where.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor

from drf import landmarks
from drf.forest.gallery import fullest
from drf.forest.mixture_forest import MixtureForest, MixtureForestConfig, Routed, joined
from drf.models import backbones
from drf.models.backbones import Summary
from drf.models.base import Frame, LandmarkModel, Sample
from drf.models.shape_space import ShapeSpace
from drf.ranges import Range
from drf.results import LeafPicture

BATCH = 16
"""Pictures at a time at the start, about as many as a step has: batch norm learns from them."""

COMPARED = 256
"""Leaves of a tree that are compared with each other: depth 12 has eight million pairs."""


@dataclass(frozen=True)
class GaussianForestConfig(MixtureForestConfig):
    """backbone, width: the encoder · features: of the vector that splits see
    dims: principal components of the shapes
    metric: of the k-means that leaves start from: components count by their sd to this power; at 1
        that is the distance in the picture, at 0 all count alike
    coordinate: weight of the L1 distance of the predicted points, px of the input
    """

    backbone: backbones.Kind = "residual"
    width: Annotated[int, Range(8, 512)] = 32
    features: Annotated[int, Range(8, 2048)] = 128
    dims: Annotated[int, Range(2, 40)] = 20
    metric: Annotated[float, Range(0, 1)] = 0.5
    coordinate: Annotated[float, Range(0, 1000)] = 1.0


class GaussianForest(LandmarkModel):
    """See the module. Raises UsageError for what cannot be built, before any work."""

    def __init__(self, config: GaussianForestConfig, frame: Frame) -> None:
        super().__init__(frame)
        self.config = config
        self.space = ShapeSpace(frame.n_points, config.dims)
        self.forest = MixtureForest(config, config.features, config.dims)
        self.backbone = backbones.build(config.backbone, config.width, frame.input_size)
        self.backbone.freeze_way_up()
        self.summary = Summary(self.backbone, config.features)

    @torch.no_grad()
    def start(self, sample: Sample) -> None:
        self.space.start(sample.drawn)
        batches = sample.images.chunk(-(-len(sample.images) // BATCH))
        features = torch.cat([self._features(images) for images in batches])
        y = self.space.coefficients(sample.drawn)
        self.forest.start(features, y, self.space.sd**self.config.metric)

    def set_progress(self, share: float) -> None:
        self.forest.set_progress(share)

    def forward(self, images: Tensor) -> Routed:
        return self.forest(self._features(images))

    def loss(self, outputs: Routed, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        total, parts = self.forest.loss(outputs, self.space.coefficients(points))
        if self.config.coordinate and self.config.schedule != "sequential":
            predicted = self.space.shapes(self.forest.predict(outputs))
            parts["coordinate"] = (predicted - points).abs().mean() * self.frame.input_size
            total = total + self.config.coordinate * parts["coordinate"]
        return total, parts

    def points(self, outputs: Routed) -> Tensor:
        return self._points(outputs, hard=self.config.inference == "hard")

    @torch.no_grad()
    def leaf_step(self, outputs: Routed, points: Tensor) -> None:
        self.forest.leaf_step(outputs, self.space.coefficients(points))

    @torch.no_grad()
    def finish_epoch(self) -> None:
        self.forest.finish_epoch()

    @torch.no_grad()
    def instruments(self, outputs: Sequence[Routed], points: Tensor) -> dict[str, float]:
        """As `MixtureForest.instruments`, and l1_px, soft_hard_gap_px (mean distances; the gap is
        what hard routing adds), leaf_distance_px (of two mean shapes of a tree, root mean square
        over landmarks), all in pixels of the input."""
        size, routed = self.frame.input_size, joined(outputs)
        soft, hard = (
            size * float((self._points(routed, hard=hard) - points).norm(dim=-1).mean())
            for hard in (False, True)
        )
        return self.forest.instruments(routed, self.space.coefficients(points)) | {
            "l1_px": soft,
            "soft_hard_gap_px": hard - soft,
            "leaf_distance_px": size * float(self._leaf_distance()),
        }

    @torch.no_grad()
    def gallery(self, outputs: Sequence[Routed], points: Tensor) -> list[LeafPicture]:
        """The mean shapes of the fullest leaves, and how far each landmark of theirs spreads."""
        leaves, known = self.forest.leaves, landmarks.indices(self.frame.points)
        return [
            LeafPicture(
                tree=shown.tree,
                leaf=shown.leaf,
                title="whole face",
                share=shown.share,
                points=self.space.shapes(leaves.mean[shown.tree, shown.leaf]).cpu().numpy(),
                spread=self.space.spread(leaves.covariance[shown.tree, shown.leaf]).cpu().numpy(),
                landmarks=tuple(known.tolist()),
                faces=shown.faces,
                weights=shown.weights,
            )
            for shown in fullest(joined(outputs).log_p[:, None], [0])
        ]

    def _features(self, images: Tensor) -> Tensor:
        return self.summary(self.backbone.deep(images))

    def _points(self, outputs: Routed, *, hard: bool) -> Tensor:
        return self.space.shapes(self.forest.predict(outputs, hard=hard))

    def _leaf_distance(self) -> Tensor:
        """Components are orthonormal: distances of coefficients, times sd, are those of shapes."""
        mean = self.forest.leaves.mean * self.space.sd
        mean = mean[:, :: max(1, mean.shape[1] // COMPARED)]
        distances = torch.stack([torch.pdist(leaves).mean() for leaves in mean])
        return distances.mean() / self.frame.n_points**0.5
