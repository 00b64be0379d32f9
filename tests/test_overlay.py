"""Overlays: what is drawn lies where the points are, and nothing else changes."""

import functools

import numpy as np
import pytest

from drf.data.crops import decode_jpeg, encode_jpeg
from drf.errors import DataError
from drf.landmarks import overlay
from drf.landmarks.markup import HIDDEN, IBUG68, VISIBLE

SIDE = 96

draw = functools.partial(overlay.draw, markup=IBUG68)


@pytest.fixture
def crop() -> np.ndarray:
    return np.full((SIDE, SIDE, 3), 120, np.uint8)


@pytest.fixture
def points() -> np.ndarray:
    """(68, 2) crop px, inside, all apart from one another."""
    rows, columns = np.divmod(np.arange(IBUG68.n_points), 9)
    return np.stack([8 + 9.5 * columns, 8 + 10.5 * rows], axis=1)


def colour_distance(picture: np.ndarray, colour: tuple[int, int, int]) -> np.ndarray:
    return np.abs(picture.astype(int) - colour).max(axis=-1)


@pytest.mark.parametrize("scale", [1.0, 2.0, 3.0, 2.5])
def test_size_follows_scale(crop, points, scale):
    assert draw(crop, points, points, scale=scale).shape == (
        round(SIDE * scale),
        round(SIDE * scale),
        3,
    )


def test_every_predicted_point_is_a_disc_in_its_place(crop, points):
    scale = 4.0
    drawn = draw(crop, None, points, scale=scale)
    x, y = np.rint((points + 0.5) * scale - 0.5).astype(int).T
    assert (colour_distance(drawn[y, x], overlay.PREDICTION) < 8).all()


def test_a_point_moves_by_fractions_of_a_crop_pixel(crop, points):
    """The centre of what one point colours follows it to a tenth of a crop pixel."""
    lone = np.zeros_like(points)  # 67 points in a corner, one alone
    scale, centres = 4.0, []
    for shift in (0.0, 0.5):
        lone[list(IBUG68.groups["jaw"])] = [[60.0 + shift, 50.0]] * 17
        weight = (draw(crop, None, lone, scale=scale)[120:, 160:, 0].astype(float) - 120).clip(0)
        centres.append((weight.sum(0) @ np.arange(weight.shape[1])) / weight.sum() / scale)
    assert centres[1] - centres[0] == pytest.approx(0.5, abs=0.1)


def test_nothing_far_from_the_points_changes(crop, points):
    points[:] = points * 0.4
    drawn = draw(crop, points, points + 1, scale=2.0)
    assert (drawn[SIDE:, SIDE:] == 120).all()


def test_error_segments_join_the_two_shapes(crop, points):
    drawn = draw(crop, points, points + np.array([0, 5]), scale=4.0, error_segments=True)
    middle = np.rint((points + np.array([0, 2.5]) + 0.5) * 4 - 0.5).astype(int)
    near = [colour_distance(drawn[y, x - 1 : x + 2], overlay.ERROR).min() for x, y in middle]
    assert max(near) < 80  # a thin antialiased line on grey; the grey is 120 away


def test_a_wild_prediction_is_drawn_as_far_as_it_is_visible(crop, points):
    wild = points.copy()
    wild[30] = [1e12, -1e12]
    assert draw(crop, points, wild).shape == (2 * SIDE, 2 * SIDE, 3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p[:67], r"\(68, 2\) points"),
        (lambda p: np.full_like(p, np.nan), "only NaN"),
    ],
)
def test_points_that_are_no_face_are_refused(crop, points, change, message):
    with pytest.raises(ValueError, match=message):
        draw(crop, points, change(points))


def test_landmarks_that_are_not_known_are_left_out_with_their_outlines(crop, points):
    eyes = np.full_like(points, np.nan)
    eyes[36:48] = points[36:48]
    shifted = eyes + np.array([0, 4])
    drawn = draw(crop, eyes, shifted, scale=4.0, error_segments=True)
    alone = draw(crop, None, shifted, scale=4.0)
    seen = np.rint((points + 0.5) * 4 - 0.5).astype(int)
    x, y = seen[36:48].T
    assert (drawn[y, x] != 120).any(axis=-1).all()
    assert (colour_distance(alone[y + 16, x], overlay.PREDICTION) < 8).all()
    above = int(y.min()) - 40
    assert (seen[:27, 1] < above).all()  # jaw and brows
    assert (drawn[:above] == 120).all()
    apart = points.copy()
    apart[40] = np.nan  # one landmark of the right eye: its outline would go astray
    lone = draw(crop, None, apart, scale=4.0)
    between = np.rint((points[36:38].mean(axis=0) + 0.5) * 4 - 0.5).astype(int)
    assert (colour_distance(lone, overlay.PREDICTION)[seen[36, 1], seen[36, 0]] < 8).all()
    assert lone[between[1], between[0]].tolist() == [120, 120, 120]


def test_a_crop_that_is_not_rgb_is_refused(points):
    with pytest.raises(ValueError, match="uint8"):
        draw(np.zeros((9, 9, 3)), points)


def test_error_segments_need_both_shapes(crop, points):
    with pytest.raises(ValueError, match="both"):
        draw(crop, points, None, error_segments=True)


def test_jpeg_keeps_the_picture(crop, points):
    drawn = draw(crop, points, points + 2, scale=3.0)
    back = decode_jpeg(encode_jpeg(drawn, quality=95))
    assert back.shape == drawn.shape
    assert np.abs(back.astype(int) - drawn).mean() < 4


@pytest.mark.parametrize("data", [b"", b"no picture", b"\xff\xd8\xff\xe0 cut"])
def test_a_broken_jpeg_is_a_data_error(data):
    with pytest.raises(DataError, match="JPEG"):
        decode_jpeg(data)


def test_at_a_hidden_landmark_the_truth_is_a_square_and_the_prediction_hollow(crop, points):
    scale = 8.0
    hidden, visible = np.full(68, VISIBLE), np.full(68, VISIBLE)
    hidden[40] = HIDDEN
    alone = np.full_like(points, np.nan)  # no outline, which would go through it
    alone[40] = points[40]
    x, y = np.rint((points[40] + 0.5) * scale - 0.5).astype(int)
    disc, hollow = (
        draw(crop, None, alone, scale=scale, visibility=of)[y, x] for of in (visible, hidden)
    )
    assert (
        colour_distance(disc, overlay.PREDICTION) < 8 < colour_distance(hollow, overlay.PREDICTION)
    )
    corner = round(1.9 * SIDE * scale / 320)  # of the square: no ring reaches it
    ring, square = (
        draw(crop, alone, scale=scale, visibility=of)[y - corner, x - corner]
        for of in (visible, hidden)
    )
    assert colour_distance(square, overlay.GROUND_TRUTH) < 60
    assert colour_distance(ring, overlay.GROUND_TRUTH) > 60
