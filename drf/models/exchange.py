"""What landmarks tell each other: one vector of the whole face, made of all, added to each.

    c = relu(BN(V [x_1 … x_K])),   x_k <- x_k + U_k c

What is seen around a single landmark says little where it is hidden, or alike to its neighbours;
the shape that the others agree on says more.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.forest.gates import FeatureNorm, affine


class Exchange(nn.Module):
    """(B, K, F) -> the same shape, through C numbers. U starts small: little is told at first."""

    def __init__(self, n_points: int, features: int, numbers: int) -> None:
        super().__init__()
        self.gather = nn.Linear(n_points * features, numbers, bias=False)
        self.norm: nn.Module = FeatureNorm(numbers)
        self.tell = nn.Parameter(torch.randn(n_points, numbers, features) * 0.1 * numbers**-0.5)

    def forward(self, x: Tensor) -> Tensor:
        face = F.relu(self.norm(self.gather(x.flatten(1)).float()))
        return x + torch.einsum("bc,kcf->bkf", face, self.tell)

    @torch.no_grad()
    def fold(self) -> None:
        """Take the batch norm into the layer before it: see `drf.models.fuse_batchnorm`."""
        scale, shift = affine(self.norm)
        light = nn.Linear(self.gather.in_features, self.gather.out_features).to(scale.device)
        light.weight.copy_(scale[:, None] * self.gather.weight)
        light.bias.copy_(shift)
        self.gather, self.norm = light, nn.Identity()
