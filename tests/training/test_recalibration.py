"""A finished run knows by how much its covariances are off; one that did not end does not."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch

from drf import checkpoint
from drf.data.packs import CONTEXT, PACK_SIZE
from drf.errors import DrfError
from drf.inference.onnx_network import LARGEST_ERROR, largest_error
from drf.inference.prediction import Predictor, predict
from drf.landmarks.markup import IBUG68
from drf.models.base import InputSpec, Recalibration
from drf.scoring import uncertainty
from drf.training import validation
from drf.training.validation import recalibrate
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
    header = checkpoint.load(tmp_path / checkpoint.BEST).header
    assert header[checkpoint.RECALIBRATIONS] == model.recalibrations.as_dict()
    factors = model.recalibrations.single.factors
    jaw, eyes = (factors[IBUG68.regions[region][0]] for region in ("jaw", "eyes"))
    assert jaw != eyes


def test_a_finished_run_knows_what_error_it_usually_expects(
    make: Make, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(validation, "LEAST_FACES", 16)
    trainer = make(tiny(training__epochs=1), folder=tmp_path)
    trainer.run()
    found = predict(predictor(tmp_path), trainer.val, covariances=True).covariances
    side = trainer.val.to_picture[:, 0, 0] * PACK_SIZE / CONTEXT
    of_faces = [
        np.mean([math.sqrt(of_one[0, 0] + of_one[1, 1]) for of_one in of]) / one
        for of, one in zip(found.astype(float), side, strict=True)
    ]
    usual = predictor(tmp_path).model.recalibrations.single.usual
    assert usual == pytest.approx(np.quantile(of_faces, 0.99), rel=1e-5)
    assert largest_error(usual) == pytest.approx(1.2 * usual)
    monkeypatch.setattr(validation, "LEAST_FACES", 17)
    fewer = recalibrate(trainer.predictor(), trainer.val)
    assert fewer.single.usual is None
    assert largest_error(None) == LARGEST_ERROR


def test_a_checkpoint_without_a_calibration_says_what_the_model_says(
    make: Make, tmp_path: Path
) -> None:
    trainer = make(tiny(training__epochs=1), folder=tmp_path)
    trainer.run()
    saved = checkpoint.load(tmp_path / checkpoint.BEST)
    del saved.header[checkpoint.RECALIBRATIONS]
    checkpoint.save(tmp_path / checkpoint.BEST, saved.tensors, saved.header)
    images = torch.rand(2, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    one = predictor(tmp_path)
    outputs = one.outputs(images)
    assert torch.equal(one.covariances(outputs), one.model.covariances(outputs[0]))


@pytest.mark.parametrize("key", ["covariance_scale", "spread"])
def test_one_factor_of_an_earlier_checkpoint_is_on_all_landmarks_and_views(
    make: Make, tmp_path: Path, key: str
) -> None:
    trainer = make(tiny(training__epochs=1), folder=tmp_path)
    trainer.run()
    path = tmp_path / checkpoint.BEST
    saved = checkpoint.load(path)
    del saved.header[checkpoint.RECALIBRATIONS]
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
    "damage",
    [
        *({"factors": [1.0]}, {"factors": [-1.0] * 68}, {"factors": ["a"] * 68}, {"factors": 2}),
        *({"usual": 0.0}, {"usual": float("nan")}, {"usual": "0.1"}),
        *({"exponent": float("nan")}, {"exponent": 1.0, "typical": [0.0] * 68}, {"more": 1}),
    ],
)
def test_a_correction_that_does_not_fit_the_landmarks_is_refused(
    make: Make, tmp_path: Path, damage: dict[str, object]
) -> None:
    trainer = make(tiny(training__epochs=1), folder=tmp_path)
    trainer.run()
    path = tmp_path / checkpoint.BEST
    saved = checkpoint.load(path)
    saved.header[checkpoint.RECALIBRATIONS]["single"] |= damage
    checkpoint.save(path, saved.tensors, saved.header)
    with pytest.raises(DrfError, match="is damaged, or of another version"):
        checkpoint.load_model(path)


def test_the_correction_is_what_its_formula_says() -> None:
    spec = InputSpec(32, IBUG68, "mouth")
    rng = np.random.default_rng(0)
    roots = rng.normal(0, 0.02, (3, 20, 2, 2))
    covariances = roots @ roots.swapaxes(-1, -2)
    factors, typical, b = rng.uniform(0.5, 2, 20), rng.uniform(0.015, 0.05, 20), 2.5
    correct = Recalibration(factors.tolist(), b, typical.tolist())
    found = correct(torch.tensor(covariances), spec).numpy()
    for face in range(3):
        r = np.mean([math.sqrt(np.trace(c)) for c in covariances[face]])  # the mouth is one region
        for k in range(20):
            expected = factors[k] * (r / typical[k]) ** (2 * b) * covariances[face, k]
            np.testing.assert_allclose(found[face, k], expected)


def test_a_correction_is_finite_whatever_the_picture() -> None:
    spec = InputSpec(32, IBUG68, "mouth")
    correct = Recalibration([1.0] * 20, 10.0, [1e-3] * 20)
    for size in (1e3, 0.0):
        found = correct(size * torch.eye(2).expand(1, 20, 2, 2), spec)
        assert torch.isfinite(found).all()


def test_regions_are_averaged_each_for_itself() -> None:
    averages = InputSpec(32, IBUG68, "all").region_averages
    values = np.arange(68.0)
    for of in IBUG68.regions.values():
        np.testing.assert_allclose((averages @ values)[of], values[of].mean())


def test_the_exponent_that_made_the_errors_is_found_and_is_the_likeliest() -> None:
    rng = np.random.default_rng(0)
    regions = [np.arange(5), np.arange(5, 12)]
    sizes = np.repeat(rng.normal(0, 0.1, (2_000, 2)), [5, 7], axis=1)
    distances = rng.exponential(2, sizes.shape) * np.exp(2 * 6 * sizes)
    distances[:, 5:] *= 3  # a region has a factor of its own
    distances[0, 0], distances[1, 1] = np.nan, np.inf
    found = uncertainty.likeliest_exponent(distances, sizes, regions)
    assert found == pytest.approx(6, abs=0.2)

    def unlikely(b: float) -> float:
        m, known = distances * np.exp(-2 * b * sizes), np.isfinite(distances)
        of = [(m[:, g][known[:, g]], sizes[:, g][known[:, g]]) for g in regions]
        return sum(len(m) * np.log(m.sum()) + 2 * b * x.sum() for m, x in of)

    grid = np.linspace(0, uncertainty.LARGEST_EXPONENT, 201)
    assert abs(grid[np.argmin([unlikely(b) for b in grid])] - found) <= grid[1]
    assert uncertainty.likeliest_exponent(distances, -sizes, regions) == 0
    nothing = np.full_like(sizes, np.nan)
    assert uncertainty.likeliest_exponent(nothing, sizes, regions) == 0


def test_nothing_of_use_is_no_calibration(make: Make, monkeypatch: pytest.MonkeyPatch) -> None:
    trainer = make(tiny())
    sees = Predictor(trainer.model.eval(), torch.device("cpu"), "fp32")
    assert recalibrate(sees, trainer.val)
    flat = torch.zeros(2, 2)
    monkeypatch.setattr(
        type(trainer.model),
        "covariances",
        lambda self, o: flat.expand(len(self.points(o)), 68, 2, 2),
    )
    assert recalibrate(sees, trainer.val) is None
    monkeypatch.setattr(type(trainer.model), "covariances", lambda self, outputs: None)
    assert recalibrate(sees, trainer.val) is None
