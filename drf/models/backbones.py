"""Convolutional encoders that families share: a picture to maps at three levels.

A family names one by `model.backbone` and takes the level it needs. What another run may start
from (--init-from) is the whole module, which families hold as their attribute `backbone`.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

from torch import Tensor, nn
from torch.nn import functional as F

from drf.errors import UsageError


def normalise(images: Tensor) -> Tensor:
    """Bring RGB in 0..1 to about zero mean and unit variance: raw 0..255 would saturate the
    gates."""
    return (images - 0.45) / 0.25


def conv_bn_relu(inputs: int, outputs: int, *, kernel: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution without bias, batch norm, ReLU."""
    return nn.Sequential(
        nn.Conv2d(inputs, outputs, kernel, stride, kernel // 2, bias=False),
        nn.BatchNorm2d(outputs),
        nn.ReLU(inplace=True),
    )


class Residual(nn.Module):
    """relu(x + BN(conv(relu(BN(conv(x)))))), 3x3 both; a 1x1 on x where its shape changes."""

    def __init__(self, inputs: int, outputs: int, *, stride: int = 1) -> None:
        super().__init__()
        self.first = conv_bn_relu(inputs, outputs, stride=stride)
        self.second = nn.Conv2d(outputs, outputs, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)
        same = inputs == outputs and stride == 1
        self.project = nn.Identity() if same else nn.Conv2d(inputs, outputs, 1, stride)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu(self.project(x) + self.norm(self.second(self.first(x))), inplace=True)


Kind = Literal["residual", "light", "hourglass", "cnn"]


@dataclass(frozen=True)
class Features:
    """detail   (B, C, S/4, S/4): where edges are
    context  (B, C, m, m), m = S/8 or S/4: what each place is, seen with the whole face in view
    deep     (B, C, s, s), a few cells: the face as a whole
    """

    detail: Tensor
    context: Tensor
    deep: Tensor


class Backbone(nn.Module, ABC):
    """Channels and cells per side of what forward returns, by the names of `Features`.

    recipe: kind and sizes in words; one recipe, one set of tensors, whatever the input size.
    decoder: the modules that the deep map does not pass through
    """

    recipe: str
    decoder: tuple[str, ...] = ()
    channels: dict[str, int]
    cells: dict[str, int]

    @abstractmethod
    def forward(self, images: Tensor) -> Features:
        """Images (B, 3, S, S) float32 RGB in 0..1 -> Features."""

    def deep(self, images: Tensor) -> Tensor:
        """Return the deep map alone, without the work that only the others need."""
        return self(images).deep

    def freeze_decoder(self) -> None:
        """Learn nothing where `deep` does not look. The tensors stay: other families' runs that
        start from this backbone, or this one from theirs, need the same set."""
        for name in self.decoder:
            self.get_submodule(name).requires_grad_(False)


class ResidualEncoder(Backbone):
    """Levels at S/4, S/8, S/16, S/32; two lateral steps bring the deepest back up to S/8.

    blocks: residual blocks of each level from S/8 on
    """

    decoder = ("from_last", "from_sixteenth", "merge")
    kind, blocks = "residual", 2

    def __init__(self, width: int, input_size: int) -> None:
        super().__init__()
        _require_divisible(self.kind, input_size, 32)
        self.recipe = f"{self.kind} of width {width}"
        w = (width, 2 * width, 3 * width, 4 * width)
        self.stem = nn.Sequential(
            conv_bn_relu(3, width // 2, stride=2), conv_bn_relu(width // 2, width, stride=2)
        )
        self.quarter = Residual(w[0], w[0])
        self.eighth, self.sixteenth, self.last = (
            nn.Sequential(
                Residual(above, here, stride=2),
                *(Residual(here, here) for _ in range(self.blocks - 1)),
            )
            for above, here in itertools.pairwise(w)
        )
        self.from_last = nn.Conv2d(w[3], w[1], 1)
        self.from_sixteenth = nn.Conv2d(w[2], w[1], 1)
        self.merge = conv_bn_relu(w[1], w[1])
        self.channels = {"detail": w[0], "context": w[1], "deep": w[3]}
        self.cells = {
            "detail": input_size // 4,
            "context": input_size // 8,
            "deep": input_size // 32,
        }

    def deep(self, images: Tensor) -> Tensor:
        return self._way_down(images)[-1]

    def _way_down(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        quarter = self.quarter(self.stem(normalise(images)))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        return quarter, eighth, sixteenth, self.last(sixteenth)

    def forward(self, images: Tensor) -> Features:
        quarter, eighth, sixteenth, last = self._way_down(images)
        up = self.from_sixteenth(sixteenth) + _twice(self.from_last(last))
        return Features(quarter, self.merge(eighth + _twice(up)), last)


class LightEncoder(ResidualEncoder):
    """The residual encoder with one block at a level: a third fewer steps, which is what one face
    at a time pays for."""

    kind, blocks = "light", 1


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
        return self.skip(x) + _twice(low)


class HourglassEncoder(Backbone):
    """A stem to a quarter of the size and one stack, down to a few cells and up again."""

    def __init__(self, width: int, input_size: int, depth: int = 3, growth: int = 32) -> None:
        super().__init__()
        _require_divisible(f"hourglass of depth {depth}", input_size, 4 * 2**depth)
        self.recipe = f"hourglass of width {width}, depth {depth}, growth {growth}"
        self.stem = nn.Sequential(
            conv_bn_relu(3, width // 2, stride=2), conv_bn_relu(width // 2, width, stride=2)
        )
        self.stack = Stack(depth, width, growth)
        self.features = conv_bn_relu(width, width, kernel=1)
        self.channels = dict.fromkeys(("detail", "context", "deep"), width)
        cells = input_size // 4
        self.cells = {"detail": cells, "context": cells, "deep": max(1, cells // 8)}

    def forward(self, images: Tensor) -> Features:
        stem = self.stem(normalise(images))
        features = self.features(self.stack(stem))
        return Features(stem, features, F.adaptive_avg_pool2d(features, self.cells["deep"]))


class SmallCnn(Backbone):
    """The plain network of earlier designs: 5 to 28 channels, each step halving; no way back up."""

    def __init__(self, width: int, input_size: int) -> None:
        super().__init__()
        _require_divisible("cnn", input_size, 32)
        self.recipe = f"cnn of width {width}"
        w = [max(1, round(width * share)) for share in (0.25, 0.5, 0.75, 1.0, 1.4)]
        self.quarter = nn.Sequential(
            conv_bn_relu(3, w[0], stride=2), conv_bn_relu(w[0], w[1], stride=2)
        )
        self.eighth = conv_bn_relu(w[1], w[2], stride=2)
        self.last = nn.Sequential(
            conv_bn_relu(w[2], w[3], stride=2), conv_bn_relu(w[3], w[4], stride=2)
        )
        self.channels = {"detail": w[1], "context": w[2], "deep": w[4]}
        self.cells = {
            "detail": input_size // 4,
            "context": input_size // 8,
            "deep": input_size // 32,
        }

    def forward(self, images: Tensor) -> Features:
        quarter = self.quarter(normalise(images))
        eighth = self.eighth(quarter)
        return Features(quarter, eighth, self.last(eighth))


def build(kind: Kind, width: int, input_size: int) -> Backbone:
    """Return a backbone. Raises UsageError for an input size that its halvings do not divide."""
    kinds: dict[str, type[Backbone]] = {
        "residual": ResidualEncoder,
        "light": LightEncoder,
        "hourglass": HourglassEncoder,
        "cnn": SmallCnn,
    }
    return kinds[kind](width, input_size)


class Summary(nn.Module):
    """The deep map as one vector per face: (B, C, s, s) -> (B, F); places are kept apart."""

    def __init__(self, backbone: Backbone, features: int) -> None:
        super().__init__()
        cells = backbone.cells["deep"] ** 2
        self.squeeze = conv_bn_relu(backbone.channels["deep"], max(16, features // 4), kernel=1)
        self.dense = nn.Linear(max(16, features // 4) * cells, features)

    def forward(self, deep: Tensor) -> Tensor:
        return self.dense(self.squeeze(deep).flatten(1))


def _twice(x: Tensor) -> Tensor:
    return F.interpolate(x, scale_factor=2, mode="nearest")


def _require_divisible(name: str, input_size: int, step: int) -> None:
    if input_size % step:
        raise UsageError(
            f"the backbone {name} needs a data.input_size divisible by {step}, not {input_size}"
        )
