"""A training run small enough for tests: 48 synthetic faces, a tiny hourglass, 32 px."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from drf import registry
from drf.config import RunConfig
from drf.data.packs import Pack, pack
from drf.data.synthetic_dataset import SyntheticDataset
from drf.landmarks.markup import IBUG68
from drf.pictures import FaceCrop, LeafGallery
from drf.training.loop import Listener as Heard
from drf.training.loop import Progress, Trainer
from experiments.request import Request, configure

TINY = {
    "data.input_size": 32,
    "model.width": 8,
    "model.depth": 2,
    "model.growth": 0,
    "training.batch_size": 16,
    "training.epochs": 3,
    "training.lr": 0.01,
    "training.ema_decay": 0.5,
    "training.precision": "fp32",
}


class Listener(Heard):
    """Keeps what it hears; `then` is called after each epoch."""

    def __init__(self, then: Callable[[int], None] = lambda epoch: None) -> None:
        self.epochs: list[tuple[int, dict[str, float]]] = []
        self.reports: list[Progress] = []
        self.faces: list[tuple[int, Sequence[FaceCrop], np.ndarray]] = []
        self.galleries: list[LeafGallery] = []
        self.then = then

    def on_progress(self, progress: Progress) -> None:
        self.reports.append(progress)

    def on_epoch(self, epoch: int, values: dict[str, float]) -> None:
        self.epochs.append((epoch, values))
        self.then(epoch)

    def on_faces(self, epoch: int, faces: Sequence[FaceCrop], predictions: np.ndarray) -> None:
        self.faces.append((epoch, faces, predictions))

    def on_leaves(self, gallery: LeafGallery) -> None:
        self.galleries.append(gallery)


@pytest.fixture(scope="session")
def packs(tmp_path_factory: pytest.TempPathFactory) -> tuple[Pack, Pack]:
    """Packs of 48 training faces and of the faces that validate."""
    cache = tmp_path_factory.mktemp("cache")
    dataset = SyntheticDataset(size=48)
    return pack(dataset, "train", "gt", cache), pack(dataset, "train", "gt", cache, limit=16)


def tiny(**changes: object) -> RunConfig:
    """The tiny configuration; keys with __ for the dot."""
    options = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    return configure(Request("hourglass", options=options)).config


Make = Callable[..., Trainer]


@pytest.fixture
def make(packs: tuple[Pack, Pack], tmp_path: Path) -> Make:
    """Return make(config, listener=…, folder=…) -> Trainer on the small packs."""

    def build(
        config: RunConfig, listener: Listener | None = None, folder: Path = tmp_path / "run"
    ) -> Trainer:
        return Trainer(
            config, registry.build(config, IBUG68), *packs, folder, listener or Listener()
        )

    return build
