"""Folded models say what they said: within 1e-4 of the box, for every family."""

import pytest
import torch
from torch import nn

from drf import registry
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData
from drf.models.fuse_batchnorm import fuse_batchnorm
from experiments.request import Request, configure

SMALL = {"data.input_size": 64}
PRESETS = {"cascade-committee": "cascade-forest-large"}
"""Of families that none is named after."""


def trained(family: str):
    """A small model of a family with batch norms that have seen something, by its preset."""
    model = registry.build(
        configure(Request(PRESETS.get(family, family), options=SMALL)).config, IBUG68
    )
    generator = torch.Generator().manual_seed(0)
    for norm in (m for m in model.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)):
        norm.running_mean.normal_(0, 0.5, generator=generator)
        norm.running_var.uniform_(0.3, 3, generator=generator)
        if norm.affine:
            norm.weight.data.uniform_(0.5, 1.5, generator=generator)
            norm.bias.data.normal_(0, 0.5, generator=generator)
    shape = torch.rand(68, 2, generator=generator) * 0.8 + 0.1
    faces = shape + 0.02 * torch.randn(64, 68, 2, generator=generator)
    model.eval().initialise(
        InitialData(faces, faces, torch.rand(8, 3, 64, 64, generator=generator))
    )
    return model.place("cpu")


@pytest.mark.parametrize("family", registry.FAMILIES)
@torch.inference_mode()
def test_the_points_stay(family: str) -> None:
    model = trained(family)
    images = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    light = fuse_batchnorm(model)
    expected, found = (m.points(m(images)) for m in (model, light))
    assert (found - expected).abs().max() < 1e-4
    kinds = [type(m) for m in light.modules()]
    assert nn.BatchNorm2d not in kinds  # all that there are follow a convolution


def test_the_model_itself_is_left_alone() -> None:
    model = trained("hourglass")
    names = list(model.state_dict())
    light = fuse_batchnorm(model)
    assert list(model.state_dict()) == names
    assert not light.training
    weights = next(m for m in light.modules() if isinstance(m, nn.Conv2d)).weight
    assert weights.is_contiguous(memory_format=torch.channels_last)
