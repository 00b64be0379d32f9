"""A plain network whose dense layer emits every landmark's map: no way back up, no shared cells.

Earlier designs made maps this way before they had an hourglass. Each cell of each map has weights
of its own over one vector per face, so nothing ties a landmark in one place to the same landmark in
another; the gain of a forest of heatmap leaves on the same backbone is the forest's own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

from torch import Tensor, nn

from drf.config import Range
from drf.models import backbones
from drf.models.base import InputSpec, LandmarkModel
from drf.models.landmark_heads import HeatmapCodec


@dataclass(frozen=True)
class CnnHeatmapConfig:
    """Options of the plain network."""

    backbone: Annotated[backbones.Kind, "Convolutional encoder of the picture."] = "cnn"
    width: Annotated[int, Range(8, 512), "Channels of the encoder."] = 64
    features: Annotated[int, Range(8, 4096), "Length of the vector that describes a face."] = 256
    map_size: Annotated[int, Range(4, 64), "Cells per side of a landmark's map."] = 16
    label_sigma: Annotated[float, Range(0.3, 8.0), "Standard deviation of the label, in cells."] = (
        1.0
    )
    radius: Annotated[int, Range(1, 8), "Half width of the decoding window, in cells."] = 3


class CnnHeatmap(LandmarkModel):
    """Picture -> vector -> K x map_size x map_size logits; soft cross-entropy, local soft-argmax.

    Raises UsageError for an input size that the backbone does not divide.
    """

    Config = CnnHeatmapConfig

    def __init__(self, config: CnnHeatmapConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.codec = HeatmapCodec(config.map_size, config.label_sigma, config.radius)
        self.backbone = backbones.build(config.backbone, config.width, spec.input_size)
        self.backbone.freeze_decoder()
        self.summary = backbones.Summary(self.backbone, config.features)
        cells = config.map_size**2
        self.dense = nn.Sequential(
            nn.LayerNorm(config.features),
            nn.ReLU(inplace=True),
            nn.Linear(config.features, spec.n_points * cells),
        )

    def forward(self, images: Tensor) -> Tensor:
        """Return logits (B, K, map_size, map_size)."""
        logits = self.dense(self.summary(self.backbone.deep(images)))
        return logits.view(-1, self.spec.n_points, self.codec.size, self.codec.size)

    def loss(self, outputs: Tensor, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = mean_k -sum_rc d_k,rc log softmax(maps_k)_rc, d the label maps of the landmarks
        inside the box."""
        return self.codec.cross_entropy(outputs, points), {}

    def points(self, outputs: Tensor) -> Tensor:
        return self.codec.decode(outputs)

    def covariances(self, outputs: Tensor) -> Tensor:
        return self.codec.covariances(outputs)
