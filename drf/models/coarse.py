"""A first guess of the landmarks: maps over the context of a backbone, and where they peak."""

from __future__ import annotations

from torch import Tensor, nn

from drf.heatmaps import HeatmapCodec
from drf.models.backbones import Backbone


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
