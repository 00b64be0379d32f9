"""Names to model families. A new family is one file in `drf/models` and one line here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.utils.flop_counter import FlopCounterMode

from drf.config import RunConfig, nearest
from drf.errors import UsageError
from drf.markup import Markup
from drf.models.base import InputSpec, LandmarkModel
from drf.models.cascade_forest import CascadeForest, CascadeForestConfig
from drf.models.cnn_heatmap import CnnHeatmap, CnnHeatmapConfig
from drf.models.committee import Committee, CommitteeConfig
from drf.models.gaussian_forest import GaussianForest, GaussianForestConfig
from drf.models.heatmap_forest import HeatmapForest, HeatmapForestConfig
from drf.models.hourglass import Hourglass, HourglassConfig
from drf.models.mean_shape import MeanShape, MeanShapeConfig
from drf.models.single_map import SingleMapConfig, SingleMapForest


@dataclass(frozen=True)
class Family:
    """config: its dataclass of options · build: (config, spec) -> model."""

    config: type
    build: Callable[[Any, InputSpec], LandmarkModel]


FAMILIES: dict[str, Family] = {
    "mean-shape": Family(MeanShapeConfig, MeanShape),
    "cascade-forest": Family(CascadeForestConfig, CascadeForest),
    "cascade-committee": Family(CommitteeConfig, Committee),
    "cnn-heatmap": Family(CnnHeatmapConfig, CnnHeatmap),
    "gaussian-forest": Family(GaussianForestConfig, GaussianForest),
    "heatmap-forest": Family(HeatmapForestConfig, HeatmapForest),
    "heatmap-forest-single-map": Family(SingleMapConfig, SingleMapForest),
    "hourglass": Family(HourglassConfig, Hourglass),
}


def family(name: str) -> Family:
    """Return a family by name. Raises UsageError for one that is not registered."""
    if name not in FAMILIES:
        raise UsageError(f"there is no family {name!r}{nearest(name, FAMILIES)}")
    return FAMILIES[name]


def build(config: RunConfig, markup: Markup) -> LandmarkModel:
    """Return a new model for a configuration and the markup of its faces; its weights follow from
    training.seed alone. Raises UsageError for a landmark subset that the markup does not have."""
    spec = InputSpec(config.data.input_size, markup, config.data.landmarks)
    markup.indices(spec.landmarks)
    with torch.random.fork_rng():
        torch.manual_seed(config.training.seed)
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
