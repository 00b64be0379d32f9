"""Names to model families. A new family is one file in `drf/models` and one line here.

A package outside registers its own by an entry point of the group "drf.families":

    [project.entry-points."drf.families"]
    my-family = "my_package.my_module:MyModel"

The class is a `LandmarkModel`, built as MyModel(config, spec); its attribute `Config` is the
dataclass of its options. A family is imported when it is asked for, not before.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from importlib import import_module, metadata
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from drf import errors
from drf.config import RunConfig, nearest
from drf.errors import UsageError
from drf.landmarks.markup import Markup
from drf.models.base import InputSpec, LandmarkModel

FAMILIES = {
    "mean-shape": "drf.models.mean_shape:MeanShape",
    "cascade-forest": "drf.models.cascade_forest:CascadeForest",
    "cascade-committee": "drf.models.committee:Committee",
    "cnn-heatmap": "drf.models.cnn_heatmap:CnnHeatmap",
    "gaussian-forest": "drf.models.gaussian_forest:GaussianForest",
    "heatmap-forest": "drf.models.heatmap_forest:HeatmapForest",
    "heatmap-forest-single-map": "drf.models.single_map:SingleMapForest",
    "hourglass": "drf.models.hourglass:Hourglass",
}
"""Families of this package -> "module:class"."""

ENTRY_POINTS = "drf.families"


@dataclass(frozen=True)
class Family:
    """config: its dataclass of options · build: (config, spec) -> model."""

    config: type
    build: Callable[[Any, InputSpec], LandmarkModel]


@functools.cache
def families() -> dict[str, str]:
    """Return all families, those of other packages too: name -> "module:class"."""
    others = {found.name: found.value for found in metadata.entry_points(group=ENTRY_POINTS)}
    return others | FAMILIES


def family(name: str) -> Family:
    """Return a family by name. Raises UsageError for one that is not registered."""
    if name not in families():
        raise UsageError(f"there is no family {name!r}{nearest(name, families())}")
    module, _, cls = families()[name].partition(":")
    model = getattr(import_module(module), cls)
    return Family(model.Config, model)


def build(config: RunConfig, markup: Markup) -> LandmarkModel:
    """Return a new model for a configuration and the markup of its faces; its weights follow from
    training.seed alone. Raises UsageError for a landmark subset that the markup does not have."""
    spec = InputSpec(config.data.input_size, markup, config.data.landmarks)
    markup.indices(spec.landmarks)
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
        what = f"a model of {spec.input_size} px faces on the CPU"
        with errors.enough_memory(what, "lower data.input_size or take a smaller model"):
            return family(config.family).build(config.model, spec)


def count_params(model: LandmarkModel) -> int:
    """Return the number of learned values."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


@torch.no_grad()
def count_macs(model: LandmarkModel) -> int:
    """Return the multiply-accumulates of one face: convolutions and matrix products alone."""
    size = model.spec.input_size
    training = model.training
    model.eval()
    device = next((t.device for t in [*model.parameters(), *model.buffers()]), torch.device("cpu"))
    with FlopCounterMode(display=False) as counter:
        model(torch.zeros(1, 3, size, size, device=device))
    model.train(training)
    return counter.get_total_flops() // 2
