"""Frames: maps invert, the box's centre is the crop's centre, its edges are the unit box's."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from drf import geometry

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
