"""Convolutional pieces that the backbones share."""

from __future__ import annotations

from torch import Tensor, nn
from torch.nn import functional as F


def normalise(images: Tensor) -> Tensor:
    """Bring RGB in 0..1 to about zero mean and unit spread; raw 0..255 would saturate the gates."""
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
