"""A model's backbone, trained without the head: what it costs is not the head's."""

from __future__ import annotations

import copy

import torch
from torch import Tensor

from benchmarks.timing import Step
from drf.models.base import LandmarkModel


class BackboneAlone(LandmarkModel):
    """The backbone of a model, under a loss that costs nothing at the levels the model uses."""

    def __init__(self, model: LandmarkModel, levels: list[str]) -> None:
        super().__init__(model.spec)
        self.backbone, self.levels = copy.deepcopy(model.backbone), levels

    def forward(self, images: Tensor) -> list[Tensor]:
        if self.levels == ["deep"]:
            return [self.backbone.deep(images)]
        features = self.backbone(images)
        return [getattr(features, level) for level in self.levels]

    def loss(self, outputs: list[Tensor], points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return torch.stack([level.float().mean() for level in outputs]).sum(), {}

    def points(self, outputs: list[Tensor]) -> Tensor:
        raise NotImplementedError("a backbone alone knows no landmarks")


def used_levels(model: LandmarkModel, step: Step) -> list[str]:
    """Return the levels of the backbone's features that the model's loss depends on.

    step: takes a training step of the model
    """
    backbone = model.backbone
    kept: dict[str, Tensor] = {}

    def keep(levels: dict[str, Tensor]) -> None:
        for level in levels.values():
            level.retain_grad()
        kept.update(levels)

    def deep(images: Tensor) -> Tensor:
        level = type(backbone).deep(backbone, images)
        keep({"deep": level})
        return level

    hook = backbone.register_forward_hook(lambda module, inputs, features: keep(vars(features)))
    backbone.deep = deep
    step()
    hook.remove()
    del backbone.deep
    return [name for name, level in kept.items() if level.grad is not None]
