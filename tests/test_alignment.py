"""A picture and a box in, landmarks of the picture out: what evaluation finds by packed crops."""

import numpy as np
import pytest
import torch
from torch import Tensor

from drf.alignment import Aligner
from drf.markup import IBUG68
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


@pytest.mark.parametrize("side", [90.0, 128.0, 250.0])
def test_the_spot_is_found_in_the_picture_whatever_the_size_of_its_box(side: float) -> None:
    box = np.array([210.3, 140.8, side])
    aligner = Aligner(predictor(Spot(InputSpec(128, IBUG68))))
    found = aligner(picture_with_spot(205.25, 150.5), box)
    assert found.shape == (68, 2)
    assert found.dtype == np.float32
    assert np.abs(found - [205.25, 150.5]).max() < 0.15


def test_several_faces_at_once_are_what_they_are_one_by_one() -> None:
    aligner = Aligner(predictor(Spot(InputSpec(64, IBUG68, "mouth"))))
    faces = [
        (picture_with_spot(100 + 9 * i, 120), np.array([110.0, 118.0, 150 + i])) for i in (0, 1, 2)
    ]
    alone = np.stack([aligner(*face) for face in faces])
    images = torch.cat([aligner.prepare(*face) for face in faces])
    together = aligner.locate(images, np.stack([box for _, box in faces]))
    np.testing.assert_allclose(together, alone, atol=1e-3)
    mouth = IBUG68.indices("mouth")
    assert np.isfinite(alone[:, mouth]).all()
    assert np.isnan(np.delete(alone, mouth, axis=1)).all()
