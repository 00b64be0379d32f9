"""The direct stacked hourglass (Newell et al. 2016, arXiv 1603.06937): one heatmap per landmark.

A stem brings the picture to a quarter of its size; each stack goes down to a few cells and up again
with skips, and emits maps that are supervised on their own (intermediate supervision).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.errors import UsageError
from drf.heatmaps import HeatmapCodec
from drf.models.base import Frame, LandmarkModel
from drf.models.blocks import Residual, conv_bn_relu, normalise
from drf.ranges import Range


@dataclass(frozen=True)
class HourglassConfig:
    """stacks: hourglasses in a row · depth: halvings inside each · width: channels at map size
    growth: channels added per halving · sigma: of the labels, in cells
    radius: of the decoding window, in cells
    """

    stacks: Annotated[int, Range(1, 8)] = 1
    depth: Annotated[int, Range(1, 5)] = 3
    width: Annotated[int, Range(8, 512)] = 64
    growth: Annotated[int, Range(0, 256)] = 32
    sigma: Annotated[float, Range(0.3, 8.0)] = 1.0
    radius: Annotated[int, Range(1, 8)] = 3


class Stack(nn.Module):
    """One hourglass: (B, width, n, n) -> the same shape; n must be divisible by 2^depth."""

    def __init__(self, depth: int, width: int, growth: int) -> None:
        super().__init__()
        inner = width + growth
        self.skip = Residual(width, width)
        self.down = Residual(width, inner)
        self.inner = Stack(depth - 1, inner, growth) if depth > 1 else Residual(inner, inner)
        self.up = Residual(inner, width)

    def forward(self, x: Tensor) -> Tensor:
        low = self.up(self.inner(self.down(F.max_pool2d(x, 2))))
        return self.skip(x) + F.interpolate(low, scale_factor=2, mode="nearest")


class Hourglass(LandmarkModel):
    """Maps of input_size / 4 cells a side; soft cross-entropy, summed over all stacks.

    Raises UsageError for an input size that the halvings do not divide.
    """

    def __init__(self, config: HourglassConfig, frame: Frame) -> None:
        super().__init__(frame)
        step = 4 * 2**config.depth
        if frame.input_size % step:
            raise UsageError(
                f"model.depth = {config.depth} needs a data.input_size divisible by {step},"
                f" not {frame.input_size}"
            )
        self.codec = HeatmapCodec(frame.input_size // 4, config.sigma, config.radius)
        width, k = config.width, frame.n_points
        self.stem = nn.Sequential(
            conv_bn_relu(3, width // 2, stride=2), conv_bn_relu(width // 2, width, stride=2)
        )
        self.stacks = nn.ModuleList(
            Stack(config.depth, width, config.growth) for _ in range(config.stacks)
        )
        self.features = nn.ModuleList(
            conv_bn_relu(width, width, kernel=1) for _ in range(config.stacks)
        )
        self.heads = nn.ModuleList(nn.Conv2d(width, k, 1) for _ in range(config.stacks))
        self.feedback = nn.ModuleList(nn.Conv2d(k, width, 1) for _ in range(config.stacks - 1))

    def forward(self, images: Tensor) -> list[Tensor]:
        """Return one (B, K, H, W) tensor of logits per stack, the last the best."""
        x = self.stem(normalise(images))
        maps: list[Tensor] = []
        for i, stack in enumerate(self.stacks):
            features = self.features[i](stack(x))
            maps.append(self.heads[i](features))
            if i + 1 < len(self.stacks):
                x = x + features + self.feedback[i](maps[-1])
        return maps

    def loss(self, outputs: list[Tensor], points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        losses = [self.codec.cross_entropy(maps, points) for maps in outputs]
        if len(losses) == 1:
            return losses[0], {}
        return torch.stack(losses).sum(), {f"stack_{i + 1}": x for i, x in enumerate(losses)}

    def points(self, outputs: list[Tensor]) -> Tensor:
        return self.codec.decode(outputs[-1])
