"""Runs of forests: resumed to the digit, better than the mean shape, and how the notes' froze."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch

from drf import checkpoint, registry
from drf.config import AugmentConfig, RunConfig
from experiments.request import Request, configure
from tests.training.conftest import Listener, Make

FOREST = {
    "data.input_size": 32,
    "data.landmarks": "eyes",
    "model.width": 8,
    "model.features": 16,
    "model.trees": 2,
    "model.tree_depth": 3,
    "model.bins": 16,
    "model.routing_warmup": 0.3,
    "training.batch_size": 16,
    "training.epochs": 4,
    "training.lr": 0.01,
    "training.ema_decay": 0.5,
    "training.precision": "fp32",
}


PLAIN = {f"augment__{field.name}": 0.0 for field in fields(AugmentConfig)}
"""Faces as they are: what fits into few epochs."""


def forest(preset: str = "heatmap-forest", **changes: object) -> RunConfig:
    """The tiny configuration; keys of the model without its name, others with __ for the dot."""
    flat = {k.replace("__", ".") if "__" in k else f"model.{k}": v for k, v in changes.items()}
    options = flat
    if preset in ("heatmap-forest", "cascade-forest"):
        known = registry.family(preset).config.__dataclass_fields__
        shared = {k: v for k, v in FOREST.items() if k.removeprefix("model.") in known}
        options = {k: v for k, v in FOREST.items() if not k.startswith("model.")} | shared | flat
    return configure(Request(preset, options=options)).config


@pytest.mark.parametrize(
    "changes",
    [
        {"preset": "cascade-forest", "stages": 2},
        {"statistics": "stepwise", "pool": "group", "data__landmarks": "all"},
        {"statistics": "round", "cnn_steps": 2, "leaf_iterations": 3},
        {"tree_update": "sequential", "target": "mean"},
        {"leaf_update": "ridge", "pool": "shared"},
    ],
    ids=["cascade", "stepwise", "round", "sequential", "ridge"],
)
def test_a_resumed_forest_equals_the_uninterrupted_one(
    make: Make, tmp_path: Path, changes: dict[str, object]
) -> None:
    """Interrupted after its second epoch of four: leaves, statistics, the tree whose turn it is,
    steepness and groups go on as if nothing had been."""
    preset = str(changes.get("preset", "heatmap-forest"))
    changes = {k: v for k, v in changes.items() if k != "preset"}
    config = forest(preset, training__deterministic=True, **changes)
    whole, parts = Listener(), Listener()
    make(config, whole, tmp_path / "whole").run()

    def stop(epoch: int) -> None:
        if epoch == 2:
            raise KeyboardInterrupt

    assert make(config, Listener(stop), tmp_path / "parts").run().state == "interrupted"
    trainer = make(config, parts, tmp_path / "parts")
    trainer.resume(checkpoint.load(tmp_path / "parts" / checkpoint.LAST))
    assert trainer.run().state == "finished"
    assert [values for _, values in parts.epochs] == [values for _, values in whole.epochs[2:]]
    first = checkpoint.load(tmp_path / "whole" / checkpoint.LAST).tensors
    second = checkpoint.load(tmp_path / "parts" / checkpoint.LAST).tensors
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(value, second[name]), name


@pytest.mark.parametrize("target", ["current", "mean"])
def test_a_forest_beats_the_mean_shape(make: Make, tmp_path: Path, target: str) -> None:
    mean_shape = forest("mean-shape", data__landmarks="eyes")
    floor = make(mean_shape, folder=tmp_path / "floor").run().kept_val_nme
    listener = Listener()
    # "mean" is at 0.75 to 0.89 of the floor after 12 epochs (three seeds), 0.53 to 0.63 after 24.
    plan = {"training__epochs": 24, "training__batch_size": 8}
    outcome = make(forest(target=target, window_half_width=0.2, **plan, **PLAIN), listener).run()
    assert floor is not None
    assert outcome.kept_val_nme is not None
    assert outcome.kept_val_nme < 0.7 * floor
    first, last = listener.epochs[0][1], listener.epochs[-1][1]
    assert last["excess_ce"] < first["excess_ce"]
    assert last["std_px"] < first["std_px"]
    assert last["steepness"] > first["steepness"]
    assert last["prediction_std_ratio"] > 0.5


def split_gradient(make: Make, folder: Path, **changes: object) -> float:
    """The largest gradient that any value of a started model gets from its first batch."""
    options = {"target": "mean", "coordinate_loss_weight": 0.0, "routing_warmup": 0.0} | changes
    trainer = make(forest(**options), folder=folder)
    trainer.model.initialise(trainer.batches.initial_data(0))
    images, points = trainer.batches.draw(np.arange(16), torch.Generator().manual_seed(0))
    trainer.model.set_progress(0.0)
    loss, _ = trainer.model.loss(trainer.model(images), points)
    loss.backward()
    return max(float(p.grad.abs().max()) for p in trainer.model.parameters() if p.grad is not None)


def test_identical_leaves_teach_the_network_nothing(make: Make, tmp_path: Path) -> None:
    """The saddle of the notes. Each remedy alone leaves it: other leaves, or a warm-up by codes;
    neither data-aware gates nor anything else of the network does."""
    frozen = split_gradient(make, tmp_path / "a", leaf_init="identical", gates="raw")
    gates = split_gradient(make, tmp_path / "b", leaf_init="identical")
    leaves = split_gradient(make, tmp_path / "c", gates="raw")
    codes = split_gradient(
        make, tmp_path / "d", leaf_init="identical", gates="raw", routing_warmup=0.1
    )
    assert max(frozen, gates) < 1e-4 * min(leaves, codes)
