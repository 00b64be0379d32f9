"""Frames: maps invert, the box's centre is the crop's centre, its edges are the unit box's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drf.landmarks import geometry

boxes = st.tuples(st.floats(-500, 5000), st.floats(-500, 5000), st.floats(1, 5000)).map(
    lambda b: np.array([b])
)


@given(boxes, st.integers(16, 512))
def test_crop_and_uncrop_are_the_identity(box: np.ndarray, size: int) -> None:
    to_picture = geometry.crop_to_picture(box, size)
    points = np.random.default_rng(0).uniform(0, size, (1, 68, 2))
    there = geometry.apply(to_picture, points)
    back = geometry.apply(geometry.invert(to_picture), there)
    assert np.abs(back - points).max() < 1e-4


@given(boxes, st.integers(16, 512))
def test_unit_box_spans_the_box(box: np.ndarray, size: int) -> None:
    cx, cy, side = box[0]
    corners = geometry.from_unit(np.array([[[0.0, 0.0], [0.5, 0.5], [1.0, 1.0]]]), size)
    in_picture = geometry.apply(geometry.crop_to_picture(box, size), corners)[0]
    expected = [[cx - side / 2, cy - side / 2], [cx, cy], [cx + side / 2, cy + side / 2]]
    assert np.allclose(in_picture, expected, atol=1e-6 * max(side, abs(cx), abs(cy), 1))
    assert np.allclose(geometry.to_unit(corners, size), [[[0, 0], [0.5, 0.5], [1, 1]]])


@given(st.floats(0.05, 20), st.floats(0.05, 20), st.floats(-3.2, 3.2), st.floats(0.5, 3))
def test_an_ellipse_lies_at_its_mahalanobis_distance(
    a: float, b: float, angle: float, sigmas: float
) -> None:
    axes = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    covariance = axes @ np.diag([a**2, b**2]) @ axes.T
    centre = np.array([3.0, -7.0])
    (outline,) = geometry.ellipses(centre[None], covariance[None], sigmas=sigmas)
    away = outline - centre
    distance = np.sqrt(np.einsum("ni,ij,nj->n", away, np.linalg.inv(covariance), away))
    assert np.allclose(distance, sigmas, rtol=1e-6)
    assert np.allclose(outline[0], outline[-1])
    assert np.isclose(np.linalg.norm(away, axis=1).max(), sigmas * max(a, b), rtol=0.01)


def test_an_ellipse_without_variance_is_a_line_or_a_point() -> None:
    flat = np.array([[[4.0, 0.0], [0.0, -1e-12]], np.zeros((2, 2))])
    line, point = geometry.ellipses(np.zeros((2, 2)), flat)
    assert np.allclose(line[:, 1], 0)
    assert np.isclose(np.abs(line[:, 0]).max(), 4)
    assert np.allclose(point, 0)
