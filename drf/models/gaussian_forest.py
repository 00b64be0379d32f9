"""The Gaussian forest (Shen et al. 2018, DRF, arXiv 1712.07195): leaves are multivariate Gaussians
over the principal components of the whole shape.

A vector of the face is what the splits see, and a leaf holds a mean shape and a covariance. The
prediction is the mean over trees of sum_l P(l|x) mu_l, mapped back to the picture exactly.

    absolute  the shape itself, from the encoder's deep map, as in earlier designs. Where routing is
              hard, averaged whole-shape leaves cannot beat some 7 % NME; soft routing lies between
              leaves, and the L1 distance of the predicted points teaches it where.
    current   what is left to the shape that coarse maps of the same network find, from features
              sampled at it
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from drf.config import Range
from drf.forest.mixture_forest import MixtureForest, MixtureForestConfig, Routed, joined
from drf.forest.routing import most_used_leaves
from drf.landmarks import shapes
from drf.models import backbones
from drf.models.backbones import Summary
from drf.models.base import InitialData, InputSpec, LandmarkModel, mean_distance, mean_l1
from drf.models.landmark_heads import CoarseMaps, LocalFeatures
from drf.models.shape_space import ShapeSpace
from drf.pictures import LeafPicture

BATCH = 16
"""Pictures at a time at the start, about as many as a step has: batch norm learns from them."""

COMPARED = 256
"""Leaves of a tree that are compared with each other: depth 12 has eight million pairs."""

LOCAL = 16
"""Features of each landmark that the vector of the face is made of, for target = current."""

REMAINDER = 0.2
"""How large what coarse maps leave is at the start, as a share of the difference of two faces."""


@dataclass(frozen=True)
class GaussianForestConfig(MixtureForestConfig):
    """Options of the Gaussian forest, beside those of its trees."""

    backbone: Annotated[backbones.Kind, "Convolutional encoder of the picture."] = "residual"
    width: Annotated[int, Range(8, 512), "Channels of the encoder's first level."] = 32
    features: Annotated[int, Range(8, 2048), "Length of the vector that the splits see."] = 128
    target: Annotated[
        Literal["absolute", "current"],
        "What leaves describe: the shape itself, or its offset from the shape that coarse maps "
        "find.",
    ] = "absolute"
    dims: Annotated[int, Range(2, 40), "Number of principal components of the target."] = 20
    kmeans_exponent: Annotated[
        float,
        Range(0, 1),
        "Power of its standard deviation by which a component counts in the first k-means: 1 is "
        "the distance in the picture, 0 counts all alike.",
    ] = 0.5
    coordinate_loss_weight: Annotated[
        float,
        Range(0, 1000),
        "Weight of the L1 distance of the predicted landmarks, in pixels of the input.",
    ] = 1.0


@dataclass(frozen=True)
class Outputs:
    """centres: (B, K, 2) unit box, what predictions are added to; without a gradient
    coarse: the maps they come from, where target = current
    """

    routed: Routed
    centres: Tensor
    coarse: Tensor | None


class GaussianForest(LandmarkModel):
    """See the module. Raises UsageError for what cannot be built, before any work."""

    Config = GaussianForestConfig

    def __init__(self, config: GaussianForestConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        k = spec.n_points
        self.space = ShapeSpace(k, config.dims)
        self.forest = MixtureForest(config, config.features, config.dims)
        self.backbone = backbones.build(config.backbone, config.width, spec.input_size)
        self.coarse: CoarseMaps | None = None
        self.look: LocalFeatures | Summary
        if config.target == "current":
            self.coarse = CoarseMaps(self.backbone, k)
            self.look = LocalFeatures(self.backbone, k, LOCAL)
            self.join = nn.Linear(k * LOCAL, config.features)
        else:
            self.backbone.freeze_decoder()
            self.look = Summary(self.backbone, config.features)

    @torch.no_grad()
    def initialise(self, data: InitialData) -> None:
        drawn, n = shapes.complete(data.drawn), len(data.images)
        centres = torch.zeros_like(drawn)
        if self.coarse:  # where the maps will err is not known yet: they take one face for another
            centres = drawn - REMAINDER * (drawn - drawn.roll(1, dims=0))
        self.space.initialise(drawn - centres)
        batches = zip(
            data.images.chunk(-(-n // BATCH)), centres[:n].chunk(-(-n // BATCH)), strict=True
        )
        features = torch.cat([self._look(images, at)[0] for images, at in batches])
        y = self.space.coefficients(drawn - centres)
        self.forest.initialise(features, y, self.space.sd**self.config.kmeans_exponent)

    def set_progress(self, share: float) -> None:
        self.forest.set_progress(share)

    def forward(self, images: Tensor) -> Outputs:
        features, centres, coarse = self._look(images)
        return Outputs(self.forest(features), centres, coarse)

    def loss(self, outputs: Outputs, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = R + w S mean |points - y| + [current] CE(maps, y), with w = coordinate_loss_weight
        (0 for schedule = sequential), S the side of the input, and of the routing

            R = -mean_t sum_l z_tl log P_t(l|x)            warm-up and schedule = sequential
            R = -nll_weight/D mean_t log p_t(b|x)          afterwards
            R <- R - mutual_information_weight mean_t I(leaf; x)

        b are the D coefficients of y, z the responsibilities of the leaves for b. In b a missing
        landmark is filled in (`ShapeSpace.coefficients`). Parts: responsibilities or nll,
        coordinate, coarse.
        """
        y = self.space.coefficients(points - outputs.centres)
        total, parts = self.forest.loss(outputs.routed, y)
        if self.config.coordinate_loss_weight and self.config.schedule != "sequential":
            error = mean_l1(self._points(outputs, hard=False), points)
            parts["coordinate"] = error * self.spec.input_size
            total = total + self.config.coordinate_loss_weight * parts["coordinate"]
        if self.coarse is not None and outputs.coarse is not None:
            parts["coarse"] = self.coarse.loss(outputs.coarse, points)
            total = total + parts["coarse"]
        return total, parts

    def points(self, outputs: Outputs) -> Tensor:
        return self._points(outputs, hard=self.config.inference == "hard")

    @torch.no_grad()
    def leaf_step(self, outputs: Outputs, points: Tensor) -> None:
        self.forest.leaf_step(outputs.routed, self.space.coefficients(points - outputs.centres))

    @torch.no_grad()
    def finish_epoch(self) -> None:
        self.forest.finish_epoch()

    @torch.no_grad()
    def diagnostics(self, outputs: Sequence[Outputs], points: Tensor) -> dict[str, float]:
        """As `MixtureForest.diagnostics`, and l1_px, soft_hard_gap_px (mean distances; the gap is
        what hard routing adds), leaf_distance_px (of two mean shapes of a tree, root mean square
        over landmarks), all in pixels of the input."""
        size, together = self.spec.input_size, _joined(outputs)
        soft, hard = (
            size * float(mean_distance(self._points(together, hard=hard), points))
            for hard in (False, True)
        )
        y = self.space.coefficients(points - together.centres)
        return self.forest.diagnostics(together.routed, y) | {
            "l1_px": soft,
            "soft_hard_gap_px": hard - soft,
            "leaf_distance_px": size * float(self._leaf_distance()),
        }

    @torch.no_grad()
    def leaf_pictures(self, outputs: Sequence[Outputs], points: Tensor) -> list[LeafPicture]:
        """The mean shapes of the most used leaves, with standard deviations of each landmark; for
        target = current, added to the mean of the faces."""
        leaves, known = self.forest.leaves, self.spec.indices
        together = _joined(outputs)
        centre = together.centres.mean(dim=0)
        return [
            LeafPicture(
                tree=shown.tree,
                leaf=shown.leaf,
                title="whole face",
                share=shown.share,
                points=(centre + self.space.shapes(leaves.mean[shown.tree, shown.leaf]))
                .cpu()
                .numpy(),
                std=self.space.std(leaves.covariance[shown.tree, shown.leaf]).cpu().numpy(),
                landmarks=tuple(known.tolist()),
                faces=shown.faces,
                weights=shown.weights,
            )
            for shown in most_used_leaves(together.routed.log_p[:, None], [0])
        ]

    def _look(
        self, images: Tensor, centres: Tensor | None = None
    ) -> tuple[Tensor, Tensor, Tensor | None]:
        """Return the vectors that splits see, (B, F), the centres and the coarse maps.

        centres: where to look, if not at what the coarse maps find.
        """
        if isinstance(self.look, Summary):
            features = self.look(self.backbone.deep(images))
            return (
                features,
                features.new_zeros(images.shape[0], self.spec.n_points, 2).float(),
                None,
            )
        assert self.coarse is not None
        levels = self.backbone(images)
        coarse = self.coarse(levels.context)
        if centres is None:
            centres = self.coarse.points(coarse).detach()
        return self.join(self.look(levels, centres).flatten(1)), centres, coarse

    def _points(self, outputs: Outputs, *, hard: bool) -> Tensor:
        return outputs.centres + self.space.shapes(self.forest.predict(outputs.routed, hard=hard))

    def _leaf_distance(self) -> Tensor:
        """Components are orthonormal: distances of coefficients, times sd, are those of shapes."""
        mean = self.forest.leaves.mean * self.space.sd
        mean = mean[:, :: max(1, mean.shape[1] // COMPARED)]
        distances = torch.stack([torch.pdist(leaves).mean() for leaves in mean])
        return distances.mean() / self.spec.n_points**0.5


def _joined(outputs: Sequence[Outputs]) -> Outputs:
    routed, centres = joined([o.routed for o in outputs]), torch.cat([o.centres for o in outputs])
    return Outputs(routed, centres, None)
