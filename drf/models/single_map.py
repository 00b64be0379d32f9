"""The single-map forest: one map per face shows all landmarks, and nothing says which is which.

The first of the earlier designs. Each leaf holds one distribution over n x n cells, the mean over
its faces of all their landmarks' Gaussians; the forest routes a face once. Landmarks get their
names back from the shapes of the training faces: a shape model is laid over the map
(`drf.models.registration`), then landmarks go to the peaks near them (`drf.models.peaks`). What
that cannot give back: landmarks closer than two sigma share a peak, and a map averaged over faces
has peaks that belong to none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drf.config import Range
from drf.forest.label_forest import LabelForest, LabelForestConfig, Routed
from drf.forest.labels import Labels
from drf.forest.routing import most_used_leaves
from drf.landmarks import shapes
from drf.models import backbones, peaks
from drf.models.backbones import Summary
from drf.models.base import InitialData, InputSpec, LandmarkModel, filled, mean_distance, present
from drf.models.landmark_heads import HeatmapCodec
from drf.models.registration import ShapeRegistration
from drf.pictures import MAP_SIDE, LeafPicture


@dataclass(frozen=True)
class SingleMapConfig(LabelForestConfig):
    """Options of the single-map forest, beside those of its trees."""

    backbone: Annotated[backbones.Kind, "Convolutional encoder of the picture."] = "residual"
    width: Annotated[int, Range(8, 512), "Channels of the encoder's first level."] = 32
    features: Annotated[int, Range(8, 2048), "Length of the vector that the splits see."] = 256
    map_size: Annotated[int, Range(8, 128), "Cells per side of the map."] = 32
    label_sigma: Annotated[
        float, Range(0.3, 8.0), "Standard deviation of a landmark in the label, in cells."
    ] = 0.5
    expected_shape: Annotated[
        Literal["mean", "registered"],
        "Where landmarks are expected: in the mean shape, or in a shape model registered to the "
        "map.",
    ] = "registered"
    shape_dims: Annotated[int, Range(1, 64), "Components of the shape model."] = 14
    radius: Annotated[int, Range(1, 8), "Radius of non-maximum suppression, in cells."] = 1
    window_half_width: Annotated[
        float,
        Range(0, 1),
        "Largest distance from its expected place at which a landmark takes a peak, as a share "
        "of the box; 0 takes none.",
    ] = 0.02


class SingleMapForest(LandmarkModel):
    """See the module. Raises UsageError for what cannot be built, before any work."""

    Config = SingleMapConfig
    why_no_onnx = "it assigns landmarks to peaks by an algorithm that ONNX has no operator for"

    def __init__(self, config: SingleMapConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        self.codec = HeatmapCodec(config.map_size, config.label_sigma)
        self.shape = ShapeRegistration(spec.n_points, config.shape_dims)
        self.backbone = backbones.build(config.backbone, config.width, spec.input_size)
        self.summary = Summary(self.backbone, config.features)
        self.forest = LabelForest(
            config,
            config.features,
            [np.zeros(1, dtype=np.int64)],
            (1, config.map_size**2),
            2 * spec.n_points,
            per_route=False,
        )

    @torch.no_grad()
    def initialise(self, data: InitialData) -> None:
        self.shape.fit(shapes.complete(data.faces))
        features = self.summary(self.backbone(data.images).deep)
        self.forest.initialise(features, self._labels(data.drawn), self._rows(data.drawn))

    def set_progress(self, share: float) -> None:
        self.forest.set_progress(share)

    def forward(self, images: Tensor) -> Routed:
        return self.forest(self.summary(self.backbone(images).deep))

    def loss(self, outputs: Routed, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = mean_t D(d, g_t) - [warm-up] mean_t log P_t(code_t(y)|x) - v mean_t I(leaf; x), as
        `HeatmapForest.loss`; d is the mean of the landmarks' Gaussians. Parts: leaves, codes."""
        return self.forest.loss(outputs, self._labels(points), self._rows(points))

    @torch.no_grad()
    def leaf_step(self, outputs: Routed, points: Tensor) -> None:
        self.forest.leaf_step(outputs, self._labels(points))

    @torch.no_grad()
    def finish_epoch(self) -> None:
        self.forest.finish_epoch()

    def points(self, outputs: Routed) -> Tensor:
        return self._decode(self.maps(self.forest.distributions(outputs)))

    def maps(self, distributions: Tensor) -> Tensor:
        """(B, 1, 1, C) of the forest -> (B, n, n), [row, column]."""
        return distributions.view(-1, self.codec.size, self.codec.size)

    @torch.no_grad()
    def _decode(self, maps: Tensor) -> Tensor:
        """Return (B, K, 2) landmarks, all in the box, as the map shows nothing else.

        The assignment runs on the CPU, face by face.
        """
        if self.config.expected_shape == "registered":
            expected = self.shape(maps).clamp(0, 1)
        else:
            expected = self.shape.mean.expand(len(maps), -1, -1)
        if not self.config.window_half_width:
            return expected
        found = peaks.find_peaks(maps, self.config.radius, self.spec.n_points)
        return peaks.at_peaks(expected, found, self.config.window_half_width)

    def _labels(self, points: Tensor) -> Labels:
        """(B, K, 2) -> (B, 1, 1, C): one route, one head; of the landmarks that are there."""
        return Labels(self.codec.encode_together(points).flatten(1)[:, None, None])

    def _rows(self, points: Tensor) -> Tensor:
        """(B, K, 2) -> (B, 1, 2 K), what the tree codes see: missing landmarks are in the mean
        shape."""
        return filled(points, self.shape.mean).flatten(1).unsqueeze(1)

    @torch.no_grad()
    def diagnostics(self, outputs: Sequence[Routed], points: Tensor) -> dict[str, float]:
        """As `LabelForest.diagnostics`, and excess_ce (nats, above the labels' entropy), l1_px and
        soft_hard_gap_px (mean distances in pixels of the input; the gap is what hard routing adds),
        peaks (of a map, mean) and leaf_distance (mean total variation between two leaves of a tree,
        0..1: the maps' own distance, as leaves have no landmarks)."""
        size, rows = self.spec.input_size, points.split([len(o.gates) for o in outputs])
        readings = dict.fromkeys(("excess_ce", "l1_px", "soft_hard_gap_px", "peaks"), 0.0)
        for output, truth in zip(outputs, rows, strict=True):
            share = int(present(truth).sum()) / max(1, int(present(points).sum()))
            maps = self.maps(self.forest.distributions(output))
            soft = size * mean_distance(self._decode(maps), truth)
            hard = self.points(self.forest.hard(output))
            found = peaks.find_peaks(maps, self.config.radius, self.spec.n_points)
            values = {
                "excess_ce": self.forest.excess(output, self._labels(truth)),
                "l1_px": soft,
                "soft_hard_gap_px": size * mean_distance(hard, truth) - soft,
                "peaks": (found.heights > 0).sum(dim=1).float().mean(),
            }
            readings = {name: readings[name] + share * float(values[name]) for name in readings}
        q = self.forest.leaves.q.squeeze(3)[0]  # (T, L, C)
        apart = torch.cdist(q, q, p=1).sum(dim=(1, 2)) / 2
        n = q.shape[1]
        readings["leaf_distance"] = float(apart.mean() / (n * (n - 1)))
        return readings | self.forest.diagnostics(outputs)

    @torch.no_grad()
    def leaf_pictures(self, outputs: Sequence[Routed], points: Tensor) -> list[LeafPicture]:
        """The most used leaves: each map, and where the shape model finds landmarks in it."""
        pictures = []
        for shown in most_used_leaves(torch.cat([output.log_p for output in outputs]), [0]):
            held = self.forest.leaves.q[0, shown.tree, shown.leaf].clamp(min=0)  # (1, C)
            maps = self.maps(held)
            shape = self.shape(maps)
            side = min(self.codec.size, MAP_SIDE)
            picture = LeafPicture(
                tree=shown.tree,
                leaf=shown.leaf,
                title="whole face",
                share=shown.share,
                points=shape[0].cpu().numpy(),
                std=self.shape.std(maps, shape)[0].cpu().numpy(),
                landmarks=tuple(self.spec.indices.tolist()),
                faces=shown.faces,
                weights=shown.weights,
                distribution=F.adaptive_avg_pool2d(maps, side)[0].cpu().numpy(),
                extent=(0.0, 0.0, 1.0, 1.0),
            )
            pictures.append(picture)
        return pictures
