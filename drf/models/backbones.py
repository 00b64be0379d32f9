"""Convolutional encoders that families share: a picture to maps at three levels.

A family names one by `model.backbone` and takes the level it needs. What another run may start
from (--init-from) is the whole module, which families hold as their attribute `backbone`.
"""

from __future__ import annotations

import itertools
from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Literal

import torch
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


Kind = Literal[
    "residual", "light", "hourglass", "cnn", "mobilenet-v2", "efficientnet-lite0", "centerface"
]


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


class FourLevels(Backbone):
    """Levels at S/4, S/8, S/16, S/32; two lateral steps bring the deepest back up to S/8."""

    from_last: nn.Conv2d
    from_sixteenth: nn.Conv2d

    @abstractmethod
    def _way_down(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Return the levels, the finest first."""

    def deep(self, images: Tensor) -> Tensor:
        return self._way_down(images)[-1]

    def _way_up(self, sixteenth: Tensor, last: Tensor) -> Tensor:
        """Return what the two deepest levels add at S/8."""
        return _twice(self.from_sixteenth(sixteenth) + _twice(self.from_last(last)))


class ResidualEncoder(FourLevels):
    """Residual blocks at each of the four levels.

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
        self.cells = _cells(input_size)

    def _way_down(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        quarter = self.quarter(self.stem(normalise(images)))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        return quarter, eighth, sixteenth, self.last(sixteenth)

    def forward(self, images: Tensor) -> Features:
        quarter, eighth, sixteenth, last = self._way_down(images)
        context = self.merge(eighth + self._way_up(sixteenth, last))
        return Features(quarter, context, last)


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
        self.cells = _cells(input_size)

    def forward(self, images: Tensor) -> Features:
        quarter = self.quarter(normalise(images))
        eighth = self.eighth(quarter)
        return Features(quarter, eighth, self.last(eighth))


@dataclass(frozen=True)
class Blocks:
    """A row of inverted residual blocks; the first one has the stride.

    expansion: channels inside over channels before · kernel: side of the depthwise convolution
    """

    expansion: int
    channels: int
    repeats: int
    stride: int
    kernel: int = 3


Relu = type[nn.ReLU] | type[nn.ReLU6]


class InvertedResidual(nn.Module):
    """x + y where shapes allow it, else y, with y = 1x1(relu(depthwise(relu(1x1(x))))); the first
    1x1 only where it widens."""

    def __init__(
        self, inputs: int, blocks: Blocks, stride: int, relu: Relu, *, tensorflow: bool
    ) -> None:
        super().__init__()
        inner = blocks.expansion * inputs
        widen = [nn.Conv2d(inputs, inner, 1), relu(inplace=True)]
        self.layers = nn.Sequential(
            *(widen if blocks.expansion > 1 else []),
            Depthwise(inner, blocks.kernel, stride, tensorflow=tensorflow),
            relu(inplace=True),
            nn.Conv2d(inner, blocks.channels, 1),
        )
        self.adds = stride == 1 and inputs == blocks.channels

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.layers(x)
        return x + y if self.adds else y


class Depthwise(nn.Conv2d):
    """A convolution of each channel by itself. With a stride it is computed in fp32 on the CPU: in
    bf16 its gradient takes two to fifty times as long there."""

    def __init__(self, channels: int, kernel: int, stride: int, *, tensorflow: bool) -> None:
        padding = 0 if tensorflow and stride > 1 else kernel // 2
        super().__init__(channels, channels, kernel, stride, padding, groups=channels)
        before = (kernel - stride) // 2
        after = kernel - stride - before
        self.around = (0,) * 4 if padding else (before, after, before, after)

    def forward(self, x: Tensor) -> Tensor:
        x = F.pad(x, self.around) if any(self.around) else x
        if self.stride == (1, 1) or x.dtype == torch.float32 or x.device.type != "cpu":
            return super().forward(x)
        with torch.autocast("cpu", enabled=False):
            return super().forward(x.float()).to(x.dtype)


class InvertedResidualEncoder(FourLevels):
    """A published classifier without its last layers, and lateral steps back up to S/4.

    Its layers are those of the paper in name, order and shape, so that published weights fit
    (`drf.models.pretrained`).

    width: channels of `detail`; `context` has twice as many
    mean, std: of the RGB values 0..1 that the published weights expect
    tensorflow: of its padding, one more pixel below and to the right where a stride leaves any
    """

    decoder = (
        *("from_last", "from_sixteenth", "from_eighth", "merge"),
        *("from_context", "from_quarter", "detail"),
    )
    kind: Kind
    levels: tuple[tuple[Blocks, ...], ...]
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    relu: Relu = nn.ReLU6
    tensorflow = False

    def __init__(self, width: int, input_size: int) -> None:
        super().__init__()
        _require_divisible(self.kind, input_size, 32)
        self.recipe = f"{self.kind} of width {width}"
        self.stem = nn.Sequential(
            nn.ZeroPad2d((0, 1, 0, 1) if self.tensorflow else 1),
            nn.Conv2d(3, 32, 3, 2),
            self.relu(inplace=True),
        )
        channels, rows = 32, []
        for level in self.levels:
            row: list[nn.Module] = []
            for blocks in level:
                for number in range(blocks.repeats):
                    stride = 1 if number else blocks.stride
                    block = InvertedResidual(
                        channels, blocks, stride, self.relu, tensorflow=self.tensorflow
                    )
                    row.append(block)
                    channels = blocks.channels
            rows.append(nn.Sequential(*row))
        self.quarter, self.eighth, self.sixteenth, self.last = rows
        w = (width, 2 * width)
        quarter, eighth, sixteenth, last = (level[-1].channels for level in self.levels)
        self.from_last = nn.Conv2d(last, w[1], 1)
        self.from_sixteenth = nn.Conv2d(sixteenth, w[1], 1)
        self.from_eighth = nn.Conv2d(eighth, w[1], 1)
        self.merge = conv_bn_relu(w[1], w[1])
        self.from_context = nn.Conv2d(w[1], w[0], 1)
        self.from_quarter = nn.Conv2d(quarter, w[0], 1)
        self.detail = conv_bn_relu(w[0], w[0])
        self.channels = {"detail": w[0], "context": w[1], "deep": last}
        self.cells = _cells(input_size)

    @property
    def published(self) -> list[nn.Conv2d]:
        """The convolutions that published weights are for, in the order of a pass."""
        levels = (self.stem, self.quarter, self.eighth, self.sixteenth, self.last)
        return [
            module
            for level in levels
            for module in level.modules()
            if isinstance(module, nn.Conv2d)
        ]

    def _way_down(self, images: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        mean, std = (images.new_tensor(v)[:, None, None] for v in (self.mean, self.std))
        quarter = self.quarter(self.stem((images - mean) / std))
        eighth = self.eighth(quarter)
        sixteenth = self.sixteenth(eighth)
        return quarter, eighth, sixteenth, self.last(sixteenth)

    def forward(self, images: Tensor) -> Features:
        quarter, eighth, sixteenth, last = self._way_down(images)
        context = self.merge(self.from_eighth(eighth) + self._way_up(sixteenth, last))
        detail = self.detail(self.from_quarter(quarter) + _twice(self.from_context(context)))
        return Features(detail, context, last)


class MobileNetV2(InvertedResidualEncoder):
    """Sandler et al. 2018, arXiv 1801.04381, table 2, without its last 1x1 convolution."""

    kind: Kind = "mobilenet-v2"
    levels = (
        (Blocks(1, 16, 1, 1), Blocks(6, 24, 2, 2)),
        (Blocks(6, 32, 3, 2),),
        (Blocks(6, 64, 4, 2), Blocks(6, 96, 3, 1)),
        (Blocks(6, 160, 3, 2), Blocks(6, 320, 1, 1)),
    )
    mean, std = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)


class EfficientNetLite0(InvertedResidualEncoder):
    """EfficientNet-B0 (Tan and Le 2019, arXiv 1905.11946, table 1) without squeeze-and-excitation,
    with relu6, and without its last 1x1 convolution."""

    kind: Kind = "efficientnet-lite0"
    levels = (
        (Blocks(1, 16, 1, 1), Blocks(6, 24, 2, 2)),
        (Blocks(6, 40, 2, 2, 5),),
        (Blocks(6, 80, 3, 2), Blocks(6, 112, 3, 1, 5)),
        (Blocks(6, 192, 4, 2, 5), Blocks(6, 320, 1, 1)),
    )
    mean, std = (127 / 255,) * 3, (128 / 255,) * 3
    tensorflow = True


class CenterFace(MobileNetV2):
    """The encoder of a face detector (Xu et al. 2019, arXiv 1911.03599), as it was published."""

    kind: Kind = "centerface"
    relu = nn.ReLU


def build(kind: Kind, width: int, input_size: int) -> Backbone:
    """Return a backbone. Raises UsageError for an input size that its halvings do not divide."""
    kinds: dict[str, type[Backbone]] = {
        "residual": ResidualEncoder,
        "light": LightEncoder,
        "hourglass": HourglassEncoder,
        "cnn": SmallCnn,
        "mobilenet-v2": MobileNetV2,
        "efficientnet-lite0": EfficientNetLite0,
        "centerface": CenterFace,
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


def _cells(input_size: int) -> dict[str, int]:
    return {"detail": input_size // 4, "context": input_size // 8, "deep": input_size // 32}


def _require_divisible(name: str, input_size: int, step: int) -> None:
    if input_size % step:
        raise UsageError(
            f"the backbone {name} needs a data.input_size divisible by {step}, not {input_size}"
        )
