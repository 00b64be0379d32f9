"""Trains small models of several families, as one process or, under torchrun, as several:

    python -m tests.training.several_processes FILE.json CACHE

The first process writes the curves of every family. CACHE: a folder for the packed faces.
"""

from __future__ import annotations

import json
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from drf import distributed, registry
from drf.data.packs import Pack, pack
from drf.data.synthetic_dataset import SyntheticDataset
from drf.landmarks.markup import IBUG68
from drf.training.loop import Trainer
from experiments.request import Request, configure
from tests.training.conftest import Listener

SHARED = {
    "data.input_size": 32,
    "training.batch_size": 16,
    "training.epochs": 2,
    "training.ema_decay": 0.5,
    "training.precision": "fp32",
    "training.lr": 1e-4,  # what rounding changes grows with every step, and faster at larger rates
    "training.device": "cpu",
}
FOREST = {"model.trees": 2, "model.tree_depth": 2, "model.features": 8, "model.width": 8}
FAMILIES: dict[str, tuple[str, dict[str, object]]] = {
    "hourglass": ("hourglass", {"model.width": 8, "model.depth": 2, "model.growth": 0}),
    "bounding": ("heatmap-forest", FOREST | {"model.routing_warmup": 0.0}),
    "ridge": (
        "heatmap-forest",
        FOREST | {"model.routing_warmup": 0.0, "model.leaf_update": "ridge"},
    ),
    "rounds": (
        "heatmap-forest",
        FOREST | {"model.routing_warmup": 0.0, "model.statistics": "round", "model.cnn_steps": 2},
    ),
    "gaussian": ("gaussian-forest", FOREST | {"model.dims": 4, "model.routing_warmup": 0.0}),
    "cascade": ("cascade-forest", FOREST | {"model.dropout": 0.0}),
}


def curves(family: str, packs: Sequence[Pack]) -> list[dict[str, float]]:
    """Return what the listener hears of each epoch, in the first process."""
    preset, options = FAMILIES[family]
    config = configure(Request(preset, options=SHARED | options)).config
    with tempfile.TemporaryDirectory() as folder:
        listener = Listener()
        model = registry.build(config, IBUG68)
        Trainer(config, model, packs[0], packs[1], Path(folder) / "run", listener).run()
    return [values for _, values in listener.epochs]


def main() -> None:
    file, cache = map(Path, sys.argv[1:])
    dataset = SyntheticDataset(size=32)
    packs = [pack(dataset, "train", "gt", cache, limit=limit) for limit in (None, 16)]
    with distributed.started("cpu"):
        found = {family: curves(family, packs) for family in FAMILIES}
        if distributed.rank() == 0:
            file.write_text(json.dumps(found))


if __name__ == "__main__":
    main()
