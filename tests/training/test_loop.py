"""What the loop promises: it learns, repeats itself, resumes to the digit, and ends in order."""

import math
import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from drf import checkpoint, registry
from drf.errors import DataError, DrfError
from drf.inference.prediction import Predictor, predict
from drf.landmarks.markup import IBUG68, MISSING, VISIBLE
from drf.scoring import scores
from drf.training.loop import Trainer
from tests.training.conftest import Listener, Make, tiny


def curve(listener: Listener) -> list[dict[str, float]]:
    return [values for _, values in listener.epochs]


def weights(folder: Path) -> dict[str, torch.Tensor]:
    return checkpoint.load(folder / checkpoint.LAST).tensors


def test_it_learns_and_keeps_the_best(make: Make, tmp_path: Path) -> None:
    listener = Listener()
    outcome = make(tiny(training__epochs=12), listener).run()
    values = curve(listener)
    assert outcome.state == "finished"
    assert outcome.epochs == 12
    assert values[-1]["loss"] < 0.9 * values[1]["loss"]
    nmes = [v["val_nme_ocular"] for v in values]
    assert outcome.kept_val_nme == min(nmes) < 0.5 * nmes[0]
    assert outcome.kept_epoch == nmes.index(min(nmes))
    assert all(v["val_nme_pupil"] > v["val_nme_ocular"] for v in values)


def test_the_best_checkpoint_scores_what_was_recorded(make: Make, tmp_path: Path) -> None:
    trainer = make(tiny(), folder=tmp_path / "a")
    outcome = trainer.run()
    model, config = checkpoint.load_model(tmp_path / "a" / checkpoint.BEST)
    assert config == tiny()
    predictions = predict(Predictor(model, torch.device("cpu"), "fp32"), trainer.val).points
    errors = scores.image_errors(predictions, trainer.val.picture_points, "ocular", IBUG68)
    assert scores.nme(errors) == pytest.approx(outcome.kept_val_nme, rel=1e-9)


def test_same_seed_same_digits_other_seed_others(make: Make, tmp_path: Path) -> None:
    runs = {}
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        listener = Listener()
        config = tiny(training__deterministic=True, training__seed=seed)
        make(config, listener, tmp_path / name).run()
        runs[name] = curve(listener)
    assert runs["a"] == runs["b"]
    assert runs["a"][-1] != runs["c"][-1]


@pytest.mark.parametrize("optimiser", ["adamw", "muon"])
def test_a_resumed_run_equals_the_uninterrupted_one(
    make: Make, tmp_path: Path, optimiser: str
) -> None:
    whole, parts = Listener(), Listener()
    config = tiny(training__deterministic=True, training__optimiser=optimiser)
    make(config, whole, tmp_path / "whole").run()

    def stop(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    outcome = make(config, Listener(stop), tmp_path / "parts").run()
    assert outcome.state == "interrupted"
    trainer = make(config, parts, tmp_path / "parts")
    trainer.resume(checkpoint.load(tmp_path / "parts" / checkpoint.LAST))
    assert trainer.run().state == "finished"
    assert curve(parts) == curve(whole)[1:]  # told before it was saved, so it is told again
    first, second = weights(tmp_path / "whole"), weights(tmp_path / "parts")
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_best_weights_that_were_saved_before_a_kill_do_no_harm(make: Make, tmp_path: Path) -> None:
    """As earlier versions left them: of the epoch after that of the state."""
    config = tiny(training__deterministic=True)
    make(config, folder=tmp_path / "whole").run()

    def stop(epoch: int) -> None:
        if epoch == 3:
            raise KeyboardInterrupt

    make(config, Listener(stop), tmp_path / "parts").run()
    shutil.copy(tmp_path / "whole" / checkpoint.BEST, tmp_path / "parts")
    trainer = make(config, folder=tmp_path / "parts")
    trainer.resume(checkpoint.load(tmp_path / "parts" / checkpoint.LAST))
    assert (trainer.state.epoch, trainer.run().kept_epoch) == (2, 3)
    for name in (checkpoint.BEST, checkpoint.LAST):
        whole, parts = (checkpoint.load(tmp_path / f / name).tensors for f in ("whole", "parts"))
        assert all(torch.equal(whole[key], parts[key]) for key in whole)


@pytest.mark.slow  # bets on time, which other work on the machine decides
def test_the_budget_ends_a_run_in_order_and_anneals_to_its_end(make: Make) -> None:
    listener = Listener()
    config = tiny(training__epochs=0, training__max_minutes=4 / 60)
    outcome = make(config, listener).run()
    assert outcome.state == "finished"
    assert outcome.wall_s < 8  # the last validation included; the machine may be busy
    assert outcome.epochs >= 1
    assert curve(listener)[-1]["lr"] < 0.2 * config.training.lr
    shares = [report.share for report in listener.reports]
    assert shares == sorted(shares)


def test_progress_is_reported(make: Make) -> None:
    listener = Listener()
    make(tiny(training__epochs=3), listener).run()
    assert [report.epoch for report in listener.reports if report.share == 1] == [3]
    assert {report.epoch for report in listener.reports} == {1, 2, 3}
    for report in listener.reports:
        assert 0 < report.share <= 1
        assert report.faces_per_s > 0
        assert math.isfinite(report.loss)
        assert math.isfinite(report.seconds_left)


def test_divergence_is_said(make: Make) -> None:
    @torch.no_grad()
    def blow_up(epoch: int) -> None:
        for p in trainer.model.parameters():
            p.fill_(1e38)  # beyond what float32 can multiply: no loss can be finite

    trainer = make(tiny(), Listener(blow_up))
    outcome = trainer.run()
    assert (outcome.state, outcome.epochs, outcome.kept_epoch) == ("diverged", 0, 0)
    assert outcome.reason == (
        "the loss was no longer finite in epoch 1: lower training.lr, which is 0.01"
    )


def test_a_landmark_subset_is_trained_and_scored_alone(make: Make, tmp_path: Path) -> None:
    trainer = make(tiny(data__landmarks="eyes"), folder=tmp_path / "eyes")
    trainer.run()
    model, _ = checkpoint.load_model(tmp_path / "eyes" / checkpoint.BEST)
    predictor = Predictor(model, torch.device("cpu"), "fp32", flip_test=True)
    predictions = predict(predictor, trainer.val).points
    known = np.isfinite(predictions).all(axis=(0, 2))
    assert np.flatnonzero(known).tolist() == list(range(36, 48))


def test_the_mean_shape_needs_no_steps(packs, tmp_path: Path) -> None:
    from drf import registry
    from drf.data.packs import CONTEXT, PACK_SIZE
    from experiments.request import Request, configure

    config = configure(Request("mean-shape")).config
    train, val = packs
    listener = Listener()
    model = registry.build(config, IBUG68)
    outcome = Trainer(config, model, train, val, tmp_path, listener).run()
    assert [epoch for epoch, _ in listener.epochs] == [0]
    assert (outcome.state, outcome.kept_epoch) == ("finished", 0)
    shape = checkpoint.load_model(tmp_path / checkpoint.BEST)[0].shape.numpy()
    unit = ((train.points + 0.5) / PACK_SIZE - 0.5) * CONTEXT + 0.5
    assert shape == pytest.approx(unit.mean(axis=0), abs=1e-5)


def test_a_full_disk_leaves_the_older_checkpoint(make: Make, tmp_path: Path, monkeypatch) -> None:
    folder = tmp_path / "full"
    make(tiny(training__epochs=1), folder=folder).run()
    before = (folder / checkpoint.LAST).read_bytes()

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(checkpoint, "save_file", full)
    with pytest.raises(DrfError, match=r"no space left.*resume"):
        make(tiny(training__epochs=1), folder=folder).run()
    assert (folder / checkpoint.LAST).read_bytes() == before
    assert not list(folder.glob(".drf-unfinished-*"))


def test_the_last_epoch_is_kept_where_the_configuration_says_so(make: Make, tmp_path: Path) -> None:
    """With a rate that ruins the weights, the best epoch is not the last."""
    for keep in ("best", "last"):
        listener = Listener()
        config = tiny(training__checkpoint=keep, training__lr=3.0, training__epochs=2)
        outcome = make(config, listener, tmp_path / keep).run()
        errors = [values["val_nme_ocular"] for _, values in listener.epochs]
        assert errors[-1] > min(errors)
        assert outcome.kept_val_nme == (errors[-1] if keep == "last" else min(errors))
        saved = checkpoint.load(tmp_path / keep / checkpoint.BEST)
        assert saved.header["epoch"] == (2 if keep == "last" else errors.index(min(errors)))


def test_a_run_on_faces_with_missing_landmarks_learns(make: Make, tmp_path: Path) -> None:
    """A fifth of all landmarks is missing, one of them in every face, and one face has none."""
    trainer = make(tiny(training__epochs=30), listener := Listener())
    packs = []
    for pack in (trainer.val, trainer.val):
        points, picture = pack.points.copy(), pack.picture_points.copy()
        gone = np.random.default_rng(0).random(points.shape[:2]) < 0.2
        gone[:, [36, 45]] = False  # the ends of the normaliser, or there is no error
        gone[:, 5] = True
        gone[3] = True
        points[gone] = picture[gone] = np.nan
        visibility = np.where(gone, MISSING, VISIBLE).astype(np.uint8)
        packs.append(replace(pack, points=points, picture_points=picture, visibility=visibility))
    config = tiny(training__epochs=30, training__batch_size=8)
    trainer = Trainer(config, registry.build(config, IBUG68), *packs, tmp_path / "run", listener)
    outcome = trainer.run()
    assert outcome.state == "finished"
    values = curve(listener)
    assert all(math.isfinite(v) for epoch in values for v in epoch.values())
    assert outcome.kept_val_nme is not None
    assert outcome.kept_val_nme < 0.7 * values[0]["val_nme_ocular"]


def test_a_val_without_any_trained_landmark_is_told(make: Make) -> None:
    with pytest.raises(DataError, match="no face of val has any of the landmarks 'all'"):
        make(tiny())._val_nme({"loss": 1.0})
