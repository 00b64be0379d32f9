"""A finished run knows by how much its covariances are off; one that did not end does not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from drf import checkpoint
from drf.errors import DrfError
from drf.inference.prediction import Predictor, predict
from drf.landmarks.markup import IBUG68
from drf.scoring import uncertainty
from drf.training.validation import calibrate
from tests.training.conftest import Make, tiny


def predictor(folder: Path, *, flip_test: bool = False) -> Predictor:
    model, _ = checkpoint.load_model(folder / checkpoint.BEST)
    return Predictor(model, torch.device("cpu"), "fp32", flip_test)


@pytest.mark.parametrize("flip_test", [False, True])
def test_ellipses_of_a_finished_run_hold_as_much_of_every_region_as_they_promise(
    make: Make, tmp_path: Path, flip_test: bool
) -> None:
    """Of 16 faces that is 95 % in none of the regions but all: 19 are needed."""
    trainer = make(tiny(training__epochs=2), folder=tmp_path)
    trainer.run()
    found = predict(predictor(tmp_path, flip_test=flip_test), trainer.val, covariances=True)
    offsets = found.points - trainer.val.picture_points
    for region in IBUG68.regions.values():
        of = offsets[:, region], found.covariances[:, region]
        furthest = uncertainty.squared_distances(*of).max()
        assert furthest == pytest.approx(-2 * math.log(0.05), rel=1e-3)
    model = predictor(tmp_path).model
    scales = checkpoint.load(tmp_path / checkpoint.BEST).header[checkpoint.COVARIANCE_SCALES]
    assert scales == {"single": model.covariance_scale, "flip_test": model.flip_covariance_scale}
    jaw, eyes = (model.covariance_scale[IBUG68.indices(region)[0]] for region in ("jaw", "eyes"))
    assert jaw != eyes


def test_a_checkpoint_without_a_calibration_says_what_the_model_says(
    make: Make, tmp_path: Path
) -> None:
    trainer = make(tiny(training__epochs=1), folder=tmp_path)
    trainer.run()
    calibrated = predict(predictor(tmp_path), trainer.val, covariances=True).covariances
    saved = checkpoint.load(tmp_path / checkpoint.BEST)
    scales = saved.header.pop(checkpoint.COVARIANCE_SCALES)
    checkpoint.save(tmp_path / checkpoint.BEST, saved.tensors, saved.header)
    raw = predict(predictor(tmp_path), trainer.val, covariances=True).covariances
    factors = np.array(scales["single"])[:, None, None]
    np.testing.assert_allclose(factors * raw, calibrated, rtol=1e-5)


@pytest.mark.parametrize("key", ["covariance_scale", "spread"])
def test_one_factor_of_an_earlier_checkpoint_is_on_all_landmarks_and_views(
    make: Make, tmp_path: Path, key: str
) -> None:
    """Their flip test took the mean of both covariances, without the difference of the points."""
    trainer = make(tiny(training__epochs=1), folder=tmp_path)
    trainer.run()
    path = tmp_path / checkpoint.BEST
    saved = checkpoint.load(path)
    del saved.header[checkpoint.COVARIANCE_SCALES]
    checkpoint.save(path, saved.tensors, saved.header | {key: 1.7})
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    both = predictor(tmp_path, flip_test=True)
    raw = [both.model.covariances(outputs) for outputs in both.outputs(images)]
    turned = raw[1][:, list(IBUG68.flip)] * torch.tensor([[1.0, -1.0], [-1.0, 1.0]])
    found = both.covariances(both.outputs(images))
    assert torch.equal(found, 1.7 * (raw[0] + turned) / 2)
    one = predictor(tmp_path)
    assert torch.equal(one.covariances(one.outputs(images)), 1.7 * raw[0])


@pytest.mark.parametrize(
    "damage", [{"single": [1.0]}, {"single": [-1.0] * 68}, {"flip_test": ["a"] * 68}, {"single": 2}]
)
def test_factors_that_do_not_fit_the_landmarks_are_refused(
    make: Make, tmp_path: Path, damage: dict[str, object]
) -> None:
    trainer = make(tiny(training__epochs=1), folder=tmp_path)
    trainer.run()
    path = tmp_path / checkpoint.BEST
    saved = checkpoint.load(path)
    scales = saved.header[checkpoint.COVARIANCE_SCALES] | damage
    checkpoint.save(path, saved.tensors, saved.header | {checkpoint.COVARIANCE_SCALES: scales})
    with pytest.raises(DrfError, match="is damaged, or of another version"):
        checkpoint.load_model(path)


def test_nothing_of_use_is_no_calibration(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(tiny())
    sees = Predictor(trainer.model.eval(), torch.device("cpu"), "fp32")
    assert calibrate(sees, trainer.val)
    flat = torch.zeros(2, 2)
    monkeypatch.setattr(
        type(trainer.model),
        "covariances",
        lambda self, o: flat.expand(len(self.points(o)), 68, 2, 2),
    )
    assert calibrate(sees, trainer.val) is None
    monkeypatch.setattr(type(trainer.model), "covariances", lambda self, outputs: None)
    assert calibrate(sees, trainer.val) is None
