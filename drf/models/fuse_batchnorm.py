"""Batch norms folded into the layers beside them: the same function in fewer steps.

Convolutions and their norms are found by their place; other modules know themselves how to, and
have a method `fold`.
"""

from __future__ import annotations

import copy
from typing import Protocol, TypeVar, runtime_checkable

import torch
from torch import nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from drf.models.backbones import Residual
from drf.models.base import LandmarkModel

Model = TypeVar("Model", bound=LandmarkModel)


@runtime_checkable
class Folds(Protocol):
    """A module with something to fold: in place, for evaluation alone."""

    def fold(self) -> None: ...


def fuse_batchnorm(model: Model) -> Model:
    """Return a copy for inference, on the same device, that returns the same up to rounding.

    W' = W g / sqrt(v + eps), b' = (b - m) g / sqrt(v + eps) + beta, wherever a batch norm follows
    its convolution in a Sequential or a Residual. The copy is for evaluation alone: it has no
    running moments left to learn, and its tensors do not fit a checkpoint.
    """
    device = next((t.device for t in model.state_dict().values()), torch.device("cpu"))
    model = copy.deepcopy(model).eval()
    for module in list(model.modules()):
        if isinstance(module, nn.Sequential):
            for i in range(len(module) - 1):
                _fold(module, str(i), str(i + 1))
        elif isinstance(module, Residual):
            _fold(module, "second", "norm")
        elif isinstance(module, Folds):
            module.fold()
    return model.place(device)


def _fold(module: nn.Module, first: str, second: str) -> None:
    """Fold one child of a module into another, if they are a convolution and its batch norm."""
    convolution, norm = module.get_submodule(first), module.get_submodule(second)
    if isinstance(convolution, nn.Conv2d) and isinstance(norm, nn.BatchNorm2d):
        setattr(module, first, fuse_conv_bn_eval(convolution, norm))
        setattr(module, second, nn.Identity())
