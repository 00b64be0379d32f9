"""A finished run knows by how much its covariances are off; one that did not end does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from drf import checkpoint
from drf.inference.prediction import Predictor, predict
from drf.scoring import uncertainty
from drf.training.validation import calibrate
from tests.training.conftest import Make, tiny


def predictor(folder: Path) -> Predictor:
    model, _ = checkpoint.load_model(folder / checkpoint.BEST)
    return Predictor(model, torch.device("cpu"), "fp32")


def test_ellipses_of_a_finished_run_hold_95_percent_of_the_validation_faces(
    make: Make, tmp_path: Path
) -> None:
    trainer = make(tiny(training__epochs=2), folder=tmp_path)
    trainer.run()
    found = predict(predictor(tmp_path), trainer.val, covariances=True)
    offsets = found.points - trainer.val.picture_points
    assert uncertainty.share_inside(offsets, found.covariances) == pytest.approx(0.95, abs=2e-3)
    header = checkpoint.load(tmp_path / checkpoint.BEST).header
    assert header[checkpoint.COVARIANCE_SCALE] == predictor(tmp_path).model.covariance_scale != 1


def test_a_checkpoint_without_a_calibration_says_what_the_model_says(
    make: Make, tmp_path: Path
) -> None:
    trainer = make(tiny(training__epochs=1), folder=tmp_path)
    trainer.run()
    calibrated = predict(predictor(tmp_path), trainer.val, covariances=True).covariances
    saved = checkpoint.load(tmp_path / checkpoint.BEST)
    spread = saved.header.pop(checkpoint.COVARIANCE_SCALE)
    checkpoint.save(tmp_path / checkpoint.BEST, saved.tensors, saved.header)
    raw = predict(predictor(tmp_path), trainer.val, covariances=True).covariances
    np.testing.assert_allclose(spread * raw, calibrated, rtol=1e-5)


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
