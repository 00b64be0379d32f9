"""The control of the cascade: a plain network of one hidden layer in the place of each forest."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class LocalMlp(nn.Module):
    """Each landmark's own two dense layers: (B, R, F) -> (B, R, D). unit: see VectorForest."""

    def __init__(self, features: int, hidden: int, routes: int, dims: int, unit: float) -> None:
        super().__init__()
        self.unit = unit
        self.first = nn.Parameter(torch.randn(routes, features, hidden) * (2 / features) ** 0.5)
        self.bias = nn.Parameter(torch.zeros(routes, 1, hidden))
        self.second = nn.Parameter(torch.randn(routes, hidden, dims) * 0.1 * hidden**-0.5)

    def forward(self, features: Tensor) -> Tensor:
        with torch.autocast(features.device.type, enabled=False):
            hidden = F.relu(torch.baddbmm(self.bias, features.float().transpose(0, 1), self.first))
            return (hidden @ self.second).transpose(0, 1) * self.unit


def hidden_of_equal_cost(features: int, trees: int, depth: int, dims: int) -> int:
    """Return the hidden units with which a LocalMlp multiplies as often as a VectorForest."""
    leaves = 2**depth
    return round(trees * (features * (leaves - 1) + leaves * dims) / (features + dims))
