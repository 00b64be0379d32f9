"""Predictions come back in picture coordinates; the flip test is exact on a mirrored world."""

import numpy as np
import torch
from torch import Tensor

from drf.data.packs import CONTEXT, PACK_SIZE, Pack
from drf.inference.prediction import Predictor, predict
from drf.landmarks import geometry
from drf.landmarks.markup import IBUG68
from drf.models.base import InputSpec, LandmarkModel, Recalibration, Recalibrations


class BrightSpot(LandmarkModel):
    """Predicts the centroid of the picture's brightness for each of its landmarks."""

    def forward(self, images: Tensor) -> Tensor:
        mass = images.mean(dim=1)
        cells = (torch.arange(images.shape[-1]) + 0.5) / images.shape[-1]
        mass = mass / mass.sum(dim=(1, 2), keepdim=True)
        spot = torch.stack([(mass.sum(dim=axis) * cells).sum(dim=1) for axis in (1, 2)], dim=1)
        return spot[:, None].expand(-1, self.spec.n_points, -1)

    def loss(self, outputs: Tensor, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        raise NotImplementedError

    def points(self, outputs: Tensor) -> Tensor:
        return outputs


class Lopsided(BrightSpot):
    """Always 0.1 too far to the right: the flip test cancels it."""

    def points(self, outputs: Tensor) -> Tensor:
        return outputs + torch.tensor([0.1, 0.0])


def spotted(n: int = 40) -> tuple[Pack, np.ndarray]:
    """A pack of black crops with one bright dot each, and the dots in picture px."""
    rng = np.random.default_rng(0)
    crop_px = rng.uniform(96, 160, size=(n, 1, 2))
    ys, xs = np.mgrid[:PACK_SIZE, :PACK_SIZE]
    crops = np.zeros((n, PACK_SIZE, PACK_SIZE, 3), dtype=np.uint8)
    for crop, (x, y) in zip(crops, crop_px[:, 0], strict=True):
        crop[...] = 255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / 32)[..., None]
    boxes = np.stack([rng.uniform(50, 500, n), rng.uniform(50, 500, n), rng.uniform(90, 400, n)], 1)
    to_picture = geometry.crop_to_picture(boxes, PACK_SIZE)
    points = np.zeros((n, 68, 2), dtype=np.float32)
    names = tuple(f"{i}" for i in range(n))
    pack = Pack(names, crops, IBUG68, points, points, None, boxes, to_picture, {})
    return pack, geometry.apply(to_picture, crop_px)[:, 0]


def predictor(model: LandmarkModel, flip_test: bool = False) -> Predictor:
    return Predictor(model.eval(), torch.device("cpu"), "fp32", flip_test)


def test_the_spot_is_found_in_picture_coordinates_and_others_are_unknown() -> None:
    pack, spots = spotted()
    seen: list[int] = []
    model = BrightSpot(InputSpec(128, IBUG68, "mouth"))
    predicted = predict(predictor(model), pack, seen.append)
    predictions = predicted.points
    mouth = IBUG68.indices("mouth")
    pixel = pack.boxes[:, 2:] / PACK_SIZE  # a crop pixel in picture px
    assert (np.abs(predictions[:, mouth] - spots[:, None]) < 0.5 * pixel[:, None]).all()
    others = np.setdiff1d(np.arange(68), mouth)
    assert np.isnan(predictions[:, others]).all()
    assert predicted.ms_per_face > 0
    assert predicted.covariances is None
    assert seen == [32, 40]


def test_the_flip_test_cancels_a_one_sided_error() -> None:
    pack, spots = spotted()
    model = Lopsided(InputSpec(128, IBUG68, "all"))
    once = predict(predictor(model), pack).points
    both = predict(predictor(model, flip_test=True), pack).points
    assert np.abs(once[:, 0] - spots).max() > 5
    pixel = pack.boxes[:, 2:] / PACK_SIZE
    assert (np.abs(both[:, 0] - spots) < 0.5 * pixel).all()


def test_the_flip_permutation_stays_within_a_subset() -> None:
    for name in IBUG68.subset_names:
        known = IBUG68.indices(name)
        assert (known[IBUG68.flip_permutation(name)] == np.array(IBUG68.flip)[known]).all()


class Unsure(BrightSpot):
    """Expects of its landmark k an error of k + 1 squared unit boxes in x, half of it in xy, and
    says nothing of the pictures: what a mirrored picture answers is the same."""

    def covariances(self, outputs: Tensor) -> Tensor:
        k = torch.arange(1.0, outputs.shape[1] + 1)
        ones = torch.stack([k, k / 2, k / 2, 2 * k], dim=-1).view(-1, 2, 2)
        return ones.expand(len(outputs), -1, -1, -1)


def test_covariances_come_in_squared_picture_px_of_the_box() -> None:
    pack, _ = spotted(3)
    model = Unsure(InputSpec(128, IBUG68, "mouth"))
    assert predict(predictor(model), pack).covariances is None  # nobody asked
    found = predict(predictor(model), pack, covariances=True).covariances
    assert found is not None
    mouth = IBUG68.indices("mouth")
    side = pack.boxes[:, 2] / CONTEXT  # of the box that the model is shown, picture px
    for face, known in enumerate(found[:, mouth]):
        for k, covariance in enumerate(known, start=1):
            expected = side[face] ** 2 * np.array([[k, k / 2], [k / 2, 2 * k]])
            np.testing.assert_allclose(covariance, expected, rtol=1e-5)
    assert np.isnan(np.delete(found, mouth, axis=1)).all()


def test_the_covariance_of_the_mirrored_face_is_renamed_and_turned() -> None:
    pack, _ = spotted(2)
    model = Unsure(InputSpec(128, IBUG68, "all"))
    found = predict(predictor(model, flip_test=True), pack, covariances=True).covariances
    assert found is not None
    side = pack.boxes[:, 2] / CONTEXT
    for k in range(68):
        own, other = k + 1, np.array(IBUG68.flip)[k] + 1
        expected = np.array(
            [[(own + other) / 2, (own - other) / 4], [(own - other) / 4, own + other]]
        )
        for face in range(2):
            np.testing.assert_allclose(found[face, k], side[face] ** 2 * expected, rtol=1e-5)


def test_pictures_and_flip_tests_have_corrections_of_their_own() -> None:
    pack, _ = spotted(1)
    model = Unsure(InputSpec(128, IBUG68, "mouth"))
    factors = np.linspace(0.5, 2, 20)
    raw, corrected = [], []
    for found in (raw, corrected):
        for flip_test in (False, True):
            predicted = predict(predictor(model, flip_test), pack, covariances=True)
            found.append(predicted.covariances[0, IBUG68.indices("mouth")])
        single, flipped = (Recalibration(values.tolist()) for values in (factors, factors[::-1]))
        model.recalibrations = Recalibrations(single, flipped)
    np.testing.assert_allclose(corrected[0], factors[:, None, None] * raw[0], rtol=1e-6)
    np.testing.assert_allclose(corrected[1], factors[::-1, None, None] * raw[1], rtol=1e-6)
