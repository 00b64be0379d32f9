"""A backbone, or a whole model, is taken over whole or not at all."""

from itertools import product
from typing import get_args

import pytest
import torch

from drf import registry
from drf.checkpoint import Checkpoint, describe, load_backbone, load_weights
from drf.config import from_flat
from drf.errors import UsageError
from drf.landmarks.markup import IBUG68
from drf.models import backbones
from drf.models.base import LandmarkModel
from drf.models.cnn_heatmap import CnnHeatmapConfig

RECIPES = list(product(get_args(backbones.Kind), (8, 12)))


def build(kind: str, width: int, input_size: int = 64, seed: int = 0) -> LandmarkModel:
    return registry.build(config(kind, width, input_size, seed), IBUG68)


def config(kind: str, width: int, input_size: int = 64, seed: int = 0):
    flat = {"model.backbone": kind, "model.width": width, "model.features": 16}
    flat |= {"data.input_size": input_size, "training.seed": seed}
    return from_flat("cnn-heatmap", CnnHeatmapConfig, flat)


def saved(kind: str, width: int) -> Checkpoint:
    model = build(kind, width)
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    return Checkpoint(tensors, describe(config(kind, width), IBUG68))


@pytest.mark.parametrize(("kind", "width"), RECIPES)
def test_any_input_size_takes_a_backbone_of_its_recipe_and_no_other(kind: str, width: int) -> None:
    model = build(kind, width, input_size=96, seed=1)
    before = {name: value.clone() for name, value in model.state_dict().items()}
    for other in RECIPES:
        if other != (kind, width):
            with pytest.raises(UsageError, match=rf"{other[0]} of width {other[1]}.* does not fit"):
                load_backbone(model, "cnn-heatmap", saved(*other), "feedface")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
    donor = saved(kind, width)
    load_backbone(model, "cnn-heatmap", donor, "feedface")
    assert model.backbone.state_dict().keys() == donor.under("model.backbone.").keys()
    for name, value in model.backbone.state_dict().items():
        assert torch.equal(value, donor.under("model.backbone.")[name]), name
    assert torch.equal(model.dense[2].weight, before["dense.2.weight"])


def test_the_tensor_that_does_not_fit_is_named() -> None:
    donor = saved("cnn", 8)
    name = "model.backbone.last.1.0.weight"
    donor.tensors[name] = donor.tensors[name][:, :2]
    with pytest.raises(UsageError, match=r"first in last\.1\.0\.weight"):
        load_backbone(build("cnn", 8), "cnn-heatmap", donor, "feedface")


@pytest.mark.parametrize(
    ("model", "family", "sentence"),
    [
        (build("cnn", 8), "hourglass", "the family of run feedface is cnn-heatmap"),
        (build("cnn", 8, input_size=96), "cnn-heatmap", "the input size of run feedface is 64"),
        (build("cnn", 12), "cnn-heatmap", "does not fit this one, first in backbone"),
    ],
)
def test_all_weights_of_a_run_are_for_the_same_model_alone(
    model: LandmarkModel, family: str, sentence: str
) -> None:
    before = {name: value.clone() for name, value in model.state_dict().items()}
    with pytest.raises(UsageError, match=sentence):
        load_weights(model, family, saved("cnn", 8), "feedface")
    assert all(torch.equal(value, before[name]) for name, value in model.state_dict().items())
