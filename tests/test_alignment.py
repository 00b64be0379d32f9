"""A picture and a box in, landmarks of the picture out: what evaluation finds by packed crops."""

from functools import partial

import numpy as np
import pytest
from PIL import Image
from torch import Tensor

from drf.errors import DataError
from drf.inference.alignment import Aligner
from drf.inference.detection import Detections, FaceDetector
from drf.inference.prediction import PredictorNetwork
from drf.landmarks.markup import IBUG68
from drf.models.base import InputSpec
from tests.test_prediction import BrightSpot, predictor


class Spot(BrightSpot):
    """Says for each picture where its brightness is, as a whole batch of them may differ."""

    def points(self, outputs: Tensor) -> Tensor:
        return outputs.contiguous()


def picture_with_spot(x: float, y: float) -> np.ndarray:
    """A black picture of 300 x 400 px with a bright dot of 6 px at (x, y)."""
    ys, xs = np.mgrid[:300, :400]
    grey = 255 * np.exp(-((xs - x) ** 2 + (ys - y) ** 2) / (2 * 6.0**2))
    return np.repeat(grey[..., None], 3, axis=2).astype(np.uint8)


def aligner(size: int, landmarks: str = "all") -> Aligner:
    return Aligner(PredictorNetwork(predictor(Spot(InputSpec(size, IBUG68, landmarks)))))


@pytest.mark.parametrize("side", [90.0, 128.0, 250.0])
def test_the_spot_is_found_in_the_picture_whatever_the_size_of_its_box(side: float) -> None:
    box = [210.3 - side / 2, 140.8 - side / 2, side, side]
    (face,) = aligner(128)(picture_with_spot(205.25, 150.5), [box])
    assert face.landmarks.shape == (68, 2)
    assert face.landmarks.dtype == np.float32
    assert np.abs(face.landmarks - [205.25, 150.5]).max() < 0.15
    np.testing.assert_allclose(face.box, box)
    assert face.score == 1
    assert np.isnan(face.covariances).all()  # this model predicts none
    assert np.isnan(face.expected_error)


def test_several_faces_at_once_are_what_they_are_one_by_one() -> None:
    model = aligner(64, "mouth")
    faces = [
        (picture_with_spot(100 + 9 * i, 120), np.array([110.0, 118.0, 150 + i])) for i in (0, 1, 2)
    ]
    crops = [model.prepare(*face) for face in faces]
    boxes = np.stack([box for _, box in faces])
    alone = np.concatenate(
        [model.locate([crop], box[None])[0] for crop, box in zip(crops, boxes, strict=True)]
    )
    np.testing.assert_allclose(model.locate(crops, boxes)[0], alone, atol=1e-3)
    mouth = IBUG68.indices("mouth")
    assert np.isfinite(alone[:, mouth]).all()
    assert np.isnan(np.delete(alone, mouth, axis=1)).all()


@pytest.mark.parametrize(
    ("boxes", "said"),
    [
        ([[0, 0, 50, float("nan")]], "is not four numbers"),
        ([[500, 0, 50, 50]], "lies outside the image of 400 x 300 pixels"),
        ([[0, -60, 50, 50]], "lies outside"),
        ([[0, 0, 1e9, 1e9]], "lies outside the image .* or nearly so"),
        ([[-1e5, -1e5, 3e5, 3e5]], "or nearly so"),
        ([[399, 299, 50, 50]], "or nearly so"),
        ([[0, 0, 9, 1e308]], "or nearly so"),
        ([[0, 0, 50, 0]], "has no extent"),
        ([[0, 0, 50]], "x, y, w, h"),
        ([["a", 0, 50, 50]], "x, y, w, h"),
    ],
)
def test_a_box_that_is_none_is_one_sentence(boxes: list[list[float]], said: str) -> None:
    with pytest.raises(DataError, match=said):
        aligner(64)(picture_with_spot(100, 100), boxes)


@pytest.mark.parametrize("shape", [(5, 5), (5, 5, 4), (0, 5, 3), (5, 5, 3, 1)])
def test_an_image_is_rgb(shape: tuple[int, ...]) -> None:
    with pytest.raises(DataError, match=r"images are \(height, width, 3\) uint8 RGB"):
        aligner(64)(np.zeros(shape, dtype=np.uint8), [[0, 0, 5, 5]])
    with pytest.raises(DataError, match="float64"):
        aligner(64)(np.zeros((5, 5, 3)), [[0, 0, 5, 5]])


def test_a_photo_of_black_and_white_dots_is_seen_as_the_grey_that_it_stands_for() -> None:
    """A scan of 1 bit: the detector found no face in the dots, and landmarks were off."""
    photo = picture_with_spot(205.25, 150.5)
    dots = np.asarray(Image.fromarray(photo).convert("1").convert("RGB"))
    seen: list[np.ndarray] = []

    def detect(detector: FaceDetector, picture: np.ndarray) -> Detections:
        seen.append(picture)
        return Detections(np.array([[205.0, 150.0, 90.0]]), np.ones(1))

    model = aligner(128)
    model.__dict__["_detector"] = partial(detect, None)
    for picture in (photo, dots):
        model(picture)
    assert seen[0] is photo
    assert (
        np.abs(seen[1].astype(float) - photo).mean()
        < 0.7 * np.abs(dots - photo.astype(float)).mean()
    )
    assert len(np.unique(dots)) == 2 < len(np.unique(seen[1]))
