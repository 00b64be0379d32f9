"""The direct stacked hourglass (Newell et al. 2016, arXiv 1603.06937): one heatmap per landmark.

A stem brings the picture to a quarter of its size; each stack goes down to a few cells and up again
with skips, and emits maps that are supervised on their own (intermediate supervision).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from drf.config import Range
from drf.models.backbones import HourglassEncoder, Stack, conv_bn_relu
from drf.models.base import InputSpec, LandmarkModel
from drf.models.landmark_heads import HeatmapCodec


@dataclass(frozen=True)
class HourglassConfig:
    """Options of the hourglass."""

    stacks: Annotated[int, Range(1, 8), "Number of hourglasses in a row."] = 1
    depth: Annotated[int, Range(1, 5), "Halvings inside each hourglass."] = 3
    width: Annotated[int, Range(8, 512), "Channels at the size of the maps."] = 64
    growth: Annotated[int, Range(0, 256), "Channels added with each halving."] = 32
    label_sigma: Annotated[float, Range(0.3, 8.0), "Standard deviation of the label, in cells."] = (
        1.0
    )
    radius: Annotated[int, Range(1, 8), "Half width of the decoding window, in cells."] = 3


class Hourglass(LandmarkModel):
    """Maps of input_size / 4 cells a side; soft cross-entropy, summed over all stacks.

    Raises UsageError for an input size that the halvings do not divide.
    """

    Config = HourglassConfig

    def __init__(self, config: HourglassConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.codec = HeatmapCodec(spec.input_size // 4, config.label_sigma, config.radius)
        width, k = config.width, spec.n_points
        self.backbone = HourglassEncoder(width, spec.input_size, config.depth, config.growth)
        self.heads = nn.ModuleList(nn.Conv2d(width, k, 1) for _ in range(config.stacks))
        more = range(config.stacks - 1)
        self.feedback = nn.ModuleList(nn.Conv2d(k, width, 1) for _ in more)
        self.stacks = nn.ModuleList(Stack(config.depth, width, config.growth) for _ in more)
        self.features = nn.ModuleList(conv_bn_relu(width, width, kernel=1) for _ in more)

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one (B, K, H, W) tensor of logits per stack, the last the best."""
        first = self.backbone(images)
        x, features = first.detail, first.context
        maps: list[Tensor] = [self.heads[0](features)]
        for i, stack in enumerate(self.stacks):
            x = x + features + self.feedback[i](maps[-1])
            features = self.features[i](stack(x))
            maps.append(self.heads[i + 1](features))
        return maps

    def loss(self, outputs: list[Tensor], points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = sum_s mean_k -sum_rc d_k,rc log softmax(maps_s,k)_rc, d the label maps of the
        landmarks inside the box; parts: stack_1, … of several stacks."""
        losses = [self.codec.cross_entropy(maps, points) for maps in outputs]
        if len(losses) == 1:
            return losses[0], {}
        return torch.stack(losses).sum(), {f"stack_{i + 1}": x for i, x in enumerate(losses)}

    def points(self, outputs: list[Tensor]) -> Tensor:
        return self.codec.decode(outputs[-1])

    def covariances(self, outputs: list[Tensor]) -> Tensor:
        return self.codec.covariances(outputs[-1])
