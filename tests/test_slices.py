"""Parts of a dataset: each face in the bin of its value, each mean that of its faces."""

from __future__ import annotations

import numpy as np
import pytest

from drf.data.synthetic import face_points
from drf.landmarks.markup import HIDDEN, IBUG68, VISIBLE
from drf.scoring import slices
from drf.scoring.slices import ATTRIBUTES, PART, Attribute, Faces

YAW, PITCH, ROLL, SIZE, HIDDEN_SHARE = ATTRIBUTES


@pytest.fixture(scope="module")
def faces() -> Faces:
    points = np.stack([face_points("challenging", index) for index in range(40)])
    visibility = np.full((40, 68), VISIBLE, np.uint8)
    visibility[:10, :34] = HIDDEN
    names = [f"{'helen' if index % 2 else 'lfpw/testset'}/{index}" for index in range(40)]
    return Faces(names, IBUG68, points, visibility)


def test_a_value_lies_in_the_bin_from_its_low_edge_on():
    turns = Attribute("t", "T", "°", "", (-10, 10))
    found = slices.binned(np.array([-11, -10, 9.9, 10, np.nan]), turns)
    assert found.labels == ("below −10°", "−10 to 10°", "from 10°")
    assert found.place.tolist() == [0, 1, 1, 2, -1]
    assert found.counts.tolist() == [1, 2, 1]


def test_bins_without_a_face_are_left_out():
    found = slices.binned(np.array([50.0, -50.0]), YAW)
    assert found.labels == ("below −30°", "from 30°")
    assert found.place.tolist() == [1, 0]


def test_an_attribute_without_edges_has_bins_of_equal_size():
    found = slices.binned(np.arange(100.0), SIZE)
    assert found.counts.tolist() == [20] * slices.EQUAL_BINS


def test_faces_that_an_attribute_does_not_tell_apart_have_no_slices_of_it(faces):
    found = slices.bins_of(faces)
    assert {PART, YAW, SIZE, HIDDEN_SHARE} <= found.keys()
    assert found[PART].labels == ("helen", "lfpw/testset")
    assert found[HIDDEN_SHARE].labels == ("below 0.5 %", "from 50 %")
    bare = Faces([f"a/{k}" for k in range(40)], faces.markup, faces.points)
    assert not {PART, HIDDEN_SHARE} & slices.bins_of(bare).keys()


def test_a_mean_is_that_of_the_faces_in_the_bin(faces):
    errors = np.random.default_rng(0).gamma(4, 0.01, (2, 40))
    bins = slices.bins_of(faces)[YAW]
    for run, of_run in enumerate(slices.means(errors, bins)):
        for k, interval in enumerate(of_run):
            assert interval.estimate == pytest.approx(errors[run, bins.place == k].mean())
            assert interval.low <= interval.estimate <= interval.high
