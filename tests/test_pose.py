"""The attitude of a head from its landmarks: the formula, its signs, and how well it holds."""

from __future__ import annotations

import math

import numpy as np
import pytest

from drf.data.synthetic import face_points
from drf.landmarks import pose
from drf.landmarks.markup import IBUG68, WFLW98
from tests.markups import FIVE


def head(nose=(0.0, 0.55)) -> np.ndarray:
    """A face whose eyes lie at (-1, 0) and (1, 0), each a point, and whose mouth's corners at
    (-0.5, 1) and (0.5, 1): (68, 2)."""
    points = np.zeros((68, 2))
    points[36:42], points[42:48] = (-1, 0), (1, 0)
    points[30], points[48], points[54] = nose, (-0.5, 1), (0.5, 1)
    return points


def turned(points: np.ndarray, degrees: float) -> np.ndarray:
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    return points @ np.array([[c, s], [-s, c]])


def test_each_angle_follows_its_formula_whatever_the_roll_and_the_scale():
    points = 40 * turned(head((0.3, 0.4)), 25) + (200, 90)
    found = pose.estimate(points[None], IBUG68)
    assert found.roll[0] == pytest.approx(25)
    assert found.yaw[0] == pytest.approx(math.degrees(math.atan(0.3 / pose.NOSE_DEPTH)))
    lifted = math.degrees(math.atan((pose.NOSE_HEIGHT - 0.4) / pose.NOSE_RISE))
    assert found.pitch[0] == pytest.approx(lifted)


def test_a_mirrored_face_has_the_opposite_yaw_and_roll():
    points = turned(head((0.3, 0.4)), 25)
    mirrored = (points * (-1, 1))[list(IBUG68.flip)]
    one, other = (pose.estimate(shape[None], IBUG68) for shape in (points, mirrored))
    assert other.yaw == pytest.approx(-one.yaw)
    assert other.roll == pytest.approx(-one.roll)
    assert other.pitch == pytest.approx(one.pitch)


def test_faces_whose_attitude_is_known_are_told_apart():
    """The synthetic head is the oracle: `_stage` sets up what `face_points` projects."""
    from drf.data.synthetic import face

    cameras = [face._stage("challenging", index, 1)[2] for index in range(80)]
    points = np.stack([face_points("challenging", index, 1) for index in range(80)])
    found = pose.estimate(points, IBUG68)
    for name, least, error in (("yaw", 0.95, 6), ("pitch", 0.85, 6), ("roll", 0.85, 6)):
        true = np.array([getattr(camera.pose, name) for camera in cameras])
        assert np.corrcoef(getattr(found, name), true)[0, 1] > least, name
        assert np.abs(getattr(found, name) - true).mean() < error, name


def test_what_a_markup_does_not_name_is_not_known():
    points = np.random.default_rng(0).uniform(0, 1, (3, 98, 2))
    known = pose.estimate(points, WFLW98)
    assert np.isfinite([known.yaw, known.pitch, known.roll]).all()
    five = pose.estimate(points[:, :5], FIVE)
    assert np.isnan(five.yaw).all()
    assert np.isnan(five.pitch).all()


def test_a_missing_landmark_takes_away_only_what_needs_it():
    points = np.stack([head(), head()])
    points[0, 48] = np.nan
    found = pose.estimate(points, IBUG68)
    assert np.isnan(found.pitch).tolist() == [True, False]
    assert np.isfinite(found.yaw).all()
