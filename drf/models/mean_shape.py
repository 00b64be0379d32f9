"""The floor of every leaderboard: the average training face, whatever the picture shows."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from drf.models.base import InitialData, InputSpec, LandmarkModel, mean_l1


@dataclass(frozen=True)
class MeanShapeConfig:
    """The mean shape has no options."""


class MeanShape(LandmarkModel):
    """Predicts mean_i y_i in the unit box. A model that does not beat it has learned nothing."""

    Config = MeanShapeConfig
    why_no_onnx = "it predicts the same shape for every picture"

    shape: Tensor

    def __init__(self, config: MeanShapeConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.register_buffer("shape", torch.full((spec.n_points, 2), 0.5))

    @torch.no_grad()
    def initialise(self, data: InitialData) -> None:
        self.shape.copy_(data.mean)

    def forward(self, images: Tensor) -> Tensor:
        return self.shape.expand(len(images), -1, -1)

    def loss(self, outputs: Tensor, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = mean |shape - y|; nothing learns from it."""
        return mean_l1(outputs, points), {}

    def points(self, outputs: Tensor) -> Tensor:
        return outputs
