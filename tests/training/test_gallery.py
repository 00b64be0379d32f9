"""The loop hands over the same faces epoch by epoch, and at the end the best model's leaves."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from drf import checkpoint
from drf.data.crops import decode_jpeg
from drf.data.packs import Pack
from drf.inference.prediction import Predictor, predict
from drf.landmarks.markup import IBUG68
from drf.models.base import InputSpec, LandmarkModel
from drf.pictures import FACES_PER_LEAF, LEAVES, LeafPicture
from drf.training.loop import Trainer
from drf.training.validation import watched
from tests.training.conftest import Listener, Make, tiny


class Bright(LandmarkModel):
    """One "leaf": the brightness of a face moves a learned shape. Shows as many leaves as asked."""

    def __init__(self, leaves: int = 1) -> None:
        super().__init__(InputSpec(32, IBUG68))
        self.leaves = leaves
        self.shape = nn.Parameter(torch.rand(68, 2))

    def forward(self, images: Tensor) -> Tensor:
        return self.shape + images.mean(dim=(1, 2, 3))[:, None, None] * 1e-3

    def loss(self, outputs: Tensor, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        return (outputs - points).square().mean(), {}

    def points(self, outputs: Tensor) -> Tensor:
        return outputs

    def leaf_pictures(self, outputs: Sequence[Tensor], points: Tensor) -> list[LeafPicture]:
        predicted = torch.cat(list(outputs))
        assert predicted.shape == points.shape
        brightest = predicted.sum(dim=(1, 2)).argsort(descending=True)[:FACES_PER_LEAF].tolist()
        held = predicted.mean(dim=0).cpu().numpy()
        return [
            LeafPicture(
                tree=0,
                leaf=leaf,
                title="whole face",
                share=1 / self.leaves,
                points=held,
                std=np.zeros_like(held),
                landmarks=tuple(range(68)),
                faces=tuple(brightest),
                weights=(0.5,) * len(brightest),
            )
            for leaf in range(self.leaves)
        ]


def trained(packs: tuple[Pack, Pack], folder: Path, leaves: int = 1, **changes: object) -> Trainer:
    config = tiny(training__epochs=2, **changes)
    trainer = Trainer(config, Bright(leaves), *packs, folder, Listener())
    trainer.run()
    return trainer


@pytest.mark.parametrize(
    ("n", "positions"),
    [(1, [0]), (3, [0, 1, 2]), (6, [0, 1, 2, 3, 4, 5]), (16, [0, 3, 6, 9, 12, 15])],
)
def test_watched_faces_are_evenly_spaced(n: int, positions: list[int]) -> None:
    assert watched(n).tolist() == positions


def test_the_same_faces_are_heard_of_after_every_epoch(make: Make, tmp_path: Path) -> None:
    listener = Listener()
    trainer = make(tiny(), listener, tmp_path / "run")
    trainer.run()
    pack = trainer.val
    positions = watched(len(pack.names))
    assert [epoch for epoch, _, _ in listener.faces] == [epoch for epoch, _ in listener.epochs]
    for _, faces, predictions in listener.faces:
        assert [face.name for face in faces] == [pack.names[i] for i in positions]
        assert np.array_equal([face.points for face in faces], pack.picture_points[positions])
        assert predictions.shape == (6, 68, 2)
    crop = decode_jpeg(listener.faces[0][1][2].jpeg).astype(int)
    assert np.abs(crop - pack.crops[positions[2]]).mean() < 4
    model, _ = checkpoint.load_model(tmp_path / "run" / checkpoint.BEST)
    best = predict(Predictor(model, torch.device("cpu"), "fp32"), pack).points
    (_, _, predictions) = listener.faces[-1]  # of this run the last epoch is the best
    assert np.array_equal(predictions, best[positions])


def test_landmarks_outside_the_subset_are_nan(make: Make) -> None:
    listener = Listener()
    make(tiny(data__landmarks="eyes", training__epochs=1), listener).run()
    known = np.isfinite(listener.faces[-1][2]).all(axis=(0, 2))
    assert np.flatnonzero(known).tolist() == list(range(36, 48))


def test_leaves_are_those_of_the_best_weights_not_of_the_last(
    packs: tuple[Pack, Pack], tmp_path: Path
) -> None:
    trainer = trained(packs, tmp_path, training__lr=5.0)  # epoch 0 is best by far
    listener = trainer.listener
    assert isinstance(listener, Listener)
    assert trainer.state.kept_epoch == 0
    (gallery,) = listener.galleries
    shape = checkpoint.load(tmp_path / checkpoint.BEST).under("model.")["shape"].numpy()
    assert gallery.leaves[0].points == pytest.approx(shape, abs=2e-3)
    assert checkpoint.load(tmp_path / checkpoint.LAST).under("model.")[
        "shape"
    ].numpy() != pytest.approx(shape, abs=0.1)


def test_the_gallery_has_the_crops_of_all_faces_its_leaves_name(
    packs: tuple[Pack, Pack], tmp_path: Path
) -> None:
    trainer = trained(packs, tmp_path, leaves=LEAVES + 3)
    (gallery,) = trainer.listener.galleries
    assert len(gallery.leaves) == LEAVES
    assert gallery.faces.keys() == set(gallery.leaves[0].faces)
    for position, face in gallery.faces.items():
        assert face.name == trainer.val.names[position]
    unit = ((packs[1].points + 0.5) / 256 - 0.5) * 1.6 + 0.5
    assert gallery.mean_shape == pytest.approx(unit.mean(axis=0), abs=1e-5)


def test_a_family_without_leaves_shows_none(make: Make) -> None:
    listener = Listener()
    make(tiny(training__epochs=1), listener).run()
    assert listener.galleries == []


def test_an_interrupted_run_shows_its_leaves_when_it_goes_on(
    packs: tuple[Pack, Pack], tmp_path: Path
) -> None:
    def stop(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    config = tiny(training__epochs=2)
    first, second = Listener(stop), Listener()
    assert Trainer(config, Bright(), *packs, tmp_path, first).run().state == "interrupted"
    assert first.galleries == []
    again = Trainer(config, Bright(), *packs, tmp_path, second)
    again.resume(checkpoint.load(tmp_path / checkpoint.LAST))
    assert again.run().state == "finished"
    assert len(second.galleries) == 1
