from __future__ import annotations

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from db.arrays import (
    affine_from_blob,
    affine_to_blob,
    points_from_blob,
    points_from_blobs,
    points_to_blob,
)

SHAPES = arrays(np.float32, (68, 2), elements=st.floats(-1e6, 1e6, width=32))


@given(SHAPES)
def test_points_return_bit_for_bit(points: np.ndarray) -> None:
    returned = points_from_blob(points_to_blob(points, 68))
    assert returned.dtype == np.float32
    assert returned.tobytes() == points.tobytes()
    returned += 1  # a buffer that cannot be written would surprise whoever draws with it


@given(st.lists(SHAPES, min_size=1, max_size=5))
def test_many_points_return_in_order(shapes: list[np.ndarray]) -> None:
    returned = points_from_blobs([points_to_blob(points, 68) for points in shapes])
    assert returned.shape == (len(shapes), 68, 2)
    assert all(np.array_equal(a, b) for a, b in zip(returned, shapes, strict=True))


@given(arrays(np.float64, (2, 3), elements=st.floats(allow_nan=False)))
def test_affine_maps_return_bit_for_bit(matrix: np.ndarray) -> None:
    assert affine_from_blob(affine_to_blob(matrix)).tobytes() == matrix.tobytes()


def test_blobs_are_little_endian_float32_x_before_y() -> None:
    points = np.arange(136, dtype=">f4").reshape(68, 2)
    assert points_to_blob(points, 68) == struct.pack("<136f", *range(136))


def test_views_are_stored_as_they_look() -> None:
    points = np.arange(272, dtype=np.float64).reshape(68, 4)[:, ::2]
    assert np.array_equal(points_from_blob(points_to_blob(points, 68)), points)


@pytest.mark.parametrize("shape", [(67, 2), (68, 3), (1, 68, 2)])
def test_other_shapes_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=r"\(68, 2\)"):
        points_to_blob(np.zeros(shape), 68)
