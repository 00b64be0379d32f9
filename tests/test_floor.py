"""The error of one shape for every face, against a loop that spells it out."""

import numpy as np
import pytest

from drf.data.boxes import gt_boxes, jitter_boxes
from drf.data.floor import FEWEST_FACES, floor_nme
from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from tests.db import examples
from tests.markups import FIVE, points_of

N = 25
TRUTH = examples.ground_truth(N).astype(np.float64)


def by_hand(truth, boxes, norm="ocular", markup=IBUG68, landmarks="all"):
    shapes = (truth - boxes[:, None, :2]) / boxes[:, None, 2:]
    errors = []
    for i in range(len(truth)):
        others = np.delete(shapes, i, axis=0)
        seen = np.isfinite(others).sum(axis=0)
        mean = np.nansum(others, axis=0) / np.where(seen > 0, seen, np.nan)
        one = (mean * boxes[i, 2] + boxes[i, :2])[None]
        errors += scores.image_errors(one, truth[i : i + 1], norm, markup, landmarks).tolist()
    return np.nanmean(errors)


def test_a_face_is_predicted_by_all_the_others():
    assert floor_nme(TRUTH, IBUG68, "all") == pytest.approx(by_hand(TRUTH, gt_boxes(TRUTH)))
    eyes = by_hand(TRUTH, gt_boxes(TRUTH), landmarks="eyes")
    assert floor_nme(TRUTH, IBUG68, "eyes") == pytest.approx(eyes)


def test_worse_boxes_raise_the_floor():
    boxes = jitter_boxes(gt_boxes(TRUTH), [str(i) for i in range(N)], seed=0)
    found = floor_nme(TRUTH, IBUG68, "all", boxes)
    assert found == pytest.approx(by_hand(TRUTH, boxes))
    assert found > floor_nme(TRUTH, IBUG68, "all")


def test_missing_landmarks_are_left_out_and_one_that_a_single_face_has():
    truth = TRUTH.copy()
    truth[3:9, 5] = np.nan
    assert floor_nme(truth, IBUG68, "all") == pytest.approx(by_hand(truth, gt_boxes(truth)))
    truth[1:, 5] = np.nan
    without = truth.copy()
    without[:, 5] = np.nan
    boxes = gt_boxes(truth)
    assert floor_nme(truth, IBUG68, "all", boxes) == pytest.approx(by_hand(without, boxes))


def test_faces_without_landmarks_do_not_count():
    truth = np.concatenate([TRUTH, np.full((2, 68, 2), np.nan)])
    assert floor_nme(truth, IBUG68, "all") == floor_nme(TRUTH, IBUG68, "all")


def test_it_is_under_the_first_normaliser_that_exists():
    truth = points_of(FIVE, TRUTH)
    first = next(norm for norm in scores.NORMALISER_KEYS if norm in scores.defined_for(FIVE))
    expected = by_hand(truth, gt_boxes(truth), first, FIVE)
    assert floor_nme(truth, FIVE, "all") == pytest.approx(expected)


def test_few_faces_have_no_floor():
    assert floor_nme(TRUTH[: FEWEST_FACES - 1], IBUG68, "all") is None
    assert floor_nme(TRUTH[:FEWEST_FACES], IBUG68, "all") is not None
