"""What a backbone shows around given landmarks."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.forest.gates import FeatureNorm, affine
from drf.models.backbones import Backbone, Features


class LocalFeatures(nn.Module):
    """A 3x3 patch of detail, one sample of context, then each landmark's dense layer and ReLU."""

    offsets: Tensor

    def __init__(
        self,
        backbone: Backbone,
        n_points: int,
        features: int,
        *,
        detail: int = 24,
        context: int = 32,
        step: float = 1.5,
    ) -> None:
        """detail, context: channels that are sampled of either level
        step: between the samples of the patch, in cells of the detail level
        """
        super().__init__()
        self.detail = nn.Conv2d(backbone.channels["detail"], detail, 1)
        self.context = nn.Conv2d(backbone.channels["context"], context, 1)
        steps = torch.tensor([-1.0, 0.0, 1.0]) * step / backbone.cells["detail"]
        grid = torch.stack(torch.meshgrid(steps, steps, indexing="xy"), dim=-1).view(9, 2)
        self.register_buffer("offsets", grid, persistent=False)
        seen = 9 * detail + context
        self.norm: nn.Module = FeatureNorm(n_points * seen)  # edges mean another thing at each
        self.bias: Tensor | None = None  # of the dense layer; batch norm has one until it is folded
        self.dense = nn.Parameter(torch.randn(n_points, seen, features) * seen**-0.5)

    def forward(self, features: Features, centres: Tensor) -> Tensor:
        """Features and landmarks (B, K, 2) in the unit box -> (B, K, F)."""
        b, k, _ = centres.shape
        around = (centres[:, :, None] + self.offsets).view(b, k * 9, 2)
        detail = _sample(self.detail(features.detail), around)  # (B, D, 9 K)
        detail = detail.unflatten(2, (k, 9)).permute(0, 2, 1, 3).flatten(2)
        context = _sample(self.context(features.context), centres).transpose(1, 2)
        seen = torch.cat([detail, context], dim=2)
        seen = self.norm(seen.flatten(1)).view_as(seen)
        answer = torch.einsum("bks,ksf->bkf", seen, self.dense)
        return F.relu(answer if self.bias is None else answer + self.bias)

    @torch.no_grad()
    def fold(self) -> None:
        """Take the batch norm into the dense layers: see `drf.models.fuse_batchnorm`."""
        scale, shift = affine(self.norm)
        k, seen, _ = self.dense.shape
        self.bias = torch.einsum("ks,ksf->kf", shift.view(k, seen), self.dense)
        self.dense = nn.Parameter(scale.view(k, seen, 1) * self.dense, requires_grad=False)
        self.norm = nn.Identity()


def _sample(maps: Tensor, points: Tensor) -> Tensor:
    """Bilinear samples: (B, C, n, n), (B, P, 2) unit box -> (B, C, P) float32."""
    grid = (2 * points - 1).unsqueeze(2)
    return F.grid_sample(maps.float(), grid, padding_mode="border", align_corners=False).squeeze(3)
