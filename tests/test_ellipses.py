"""How ellipses do by region, against shares and areas worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drf.landmarks.markup import Markup
from drf.scoring import ellipses

TRIPLE = Markup(
    name="triple",
    groups={"eyes": (0, 1), "nose": (2,), "ear": (3,)},
    flip=(1, 0, 2, 3),
    normalisers={"ocular": ((0,), (1,))},
    subsets={"eyes": ("eyes",), "inner": ("nose",)},
)
TRUTH = np.array([[[0.0, 0], [10, 0], [5, 5], [9, 9]]] * 2)


def predicted(offsets: list[list[float]]) -> np.ndarray:
    """The truth with landmarks moved to the right, a list of distances for each face."""
    return TRUTH + np.stack([np.array(offsets), np.zeros((2, 4))], axis=-1)


def test_shares_are_means_over_faces_and_radii_those_of_circles_of_the_same_area() -> None:
    limit = -2 * math.log(0.05)
    inside, outside = math.sqrt(limit) * 0.99 * 2, math.sqrt(limit) * 1.01 * 2
    covariances = np.broadcast_to(np.diag([4.0, 1.0]), (2, 4, 2, 2)).copy()
    covariances[1, 3] = np.inf
    found = ellipses.by_region(
        predicted([[inside, outside, inside, outside], [inside, np.nan, inside, inside]]),
        TRUTH,
        covariances,
        TRIPLE,
    )
    shares = {region: of.inside.estimate for region, of in found.items()}
    assert shares == {"eyes": 0.75, "inner": 1.0, "ear": 0.0}
    area = math.pi * limit * 2  # of the ellipse with the axes 2 and 1
    assert found["eyes"].radius["ocular"] == pytest.approx(math.sqrt(area / math.pi) / 10)
    assert set(found["eyes"].radius) == {"ocular", "box"}
    assert found["eyes"].inside.low <= 0.75 <= found["eyes"].inside.high


def test_only_regions_of_the_landmark_subset_are_looked_at() -> None:
    ones = np.broadcast_to(np.eye(2), (2, 4, 2, 2))
    assert list(ellipses.by_region(TRUTH, TRUTH, ones, TRIPLE, "inner")) == ["inner"]
    assert ellipses.by_region(TRUTH, TRUTH, np.nan * ones, TRIPLE) == {}
