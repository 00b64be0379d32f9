import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from drf.data import crops
from drf.errors import DataError
from drf.landmarks import geometry


def test_a_box_of_the_picture_at_its_own_size_is_the_picture():
    picture = np.random.default_rng(0).integers(0, 256, (40, 40, 3), dtype=np.uint8)
    box = np.array([19.5, 19.5, 40.0])
    np.testing.assert_array_equal(crops.cut(picture, box, 40), picture)


@pytest.mark.parametrize("side", [60.0, 128.0, 200.0, 333.3, 700.0])
def test_a_spot_lands_where_the_map_says(side):
    """Within a twentieth of a crop pixel, whether the crop enlarges or shrinks the picture."""
    size = 128
    spot = np.array([391.3, 402.8])
    y, x = np.mgrid[:800, :800]
    width = 2.5 * max(side / size, 1)
    blob = 255 * np.exp(-((x - spot[0]) ** 2 + (y - spot[1]) ** 2) / (2 * width**2))
    picture = np.repeat(blob.round().astype(np.uint8)[..., None], 3, axis=2)
    box = np.array([400.2, 398.6, side])
    crop = crops.cut(picture, box, size)[..., 0].astype(float)
    v, u = np.mgrid[:size, :size]
    found = np.array([(crop * u).sum(), (crop * v).sum()]) / crop.sum()
    to_crop = geometry.invert(geometry.crop_to_picture(box[None], size))[0]
    np.testing.assert_allclose(found, geometry.apply(to_crop, spot[None])[0], atol=0.05)


def test_shrinking_averages_instead_of_picking_pixels():
    stripes = np.zeros((1024, 1024, 3), np.uint8)
    stripes[:, ::2] = 255
    crop = crops.cut(stripes, np.array([511.5, 511.5, 900.0]), 100)
    assert np.abs(crop.astype(int) - 127).max() < 20


def test_beyond_the_picture_the_edge_goes_on():
    picture = np.full((50, 50, 3), 90, np.uint8)
    picture[:, 25:] = 200
    crop = crops.cut(picture, np.array([24.5, 24.5, 150.0]), 64)
    assert set(np.unique(crop[:, :30])) == {90}
    assert set(np.unique(crop[:, 34:])) == {200}


def test_an_absurd_box_costs_no_absurd_memory():
    crop = crops.cut(np.full((10, 10, 3), 7, np.uint8), np.array([5.0, 5.0, 1e6]), 256)
    assert crop.shape == (256, 256, 3)


@settings(max_examples=50)
@given(
    centre=st.tuples(st.floats(-500, 5000), st.floats(-500, 5000)),
    side=st.floats(10, 5000),
    seed=st.integers(0, 99),
)
def test_crop_and_uncrop_are_the_identity(centre, side, seed):
    to_picture = geometry.crop_to_picture(np.array([[*centre, side]]), 256)
    points = centre + np.random.default_rng(seed).uniform(-side, side, (1, 68, 2))
    in_crop = geometry.apply(geometry.invert(to_picture), points)
    np.testing.assert_allclose(geometry.apply(to_picture, in_crop), points, atol=1e-4)


def test_a_stored_picture_that_is_no_crop_is_not_decoded():
    """What a header says would be allocated: 12 GB for this one."""
    jpeg = crops.encode_jpeg(np.zeros((8, 8, 3), np.uint8))
    assert crops.decode_jpeg(jpeg).shape == (8, 8, 3)
    size = jpeg.index(b"\xff\xc0") + 5
    huge = jpeg[:size] + (65_000).to_bytes(2, "big") * 2 + jpeg[size + 4 :]
    for other in (huge, b"", b"text", jpeg[:30], b"\x89PNG\r\n\x1a\n" + bytes(40)):
        with pytest.raises(DataError, match="not a readable JPEG"):
            crops.decode_jpeg(other)
