"""Metrics against the hand vector, literal formulas, and what must hold for any face."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drf.errors import UsageError
from drf.landmarks.markup import IBUG68
from drf.scoring import scores

HAND = np.array([0.01, 0.02, 0.05, 0.09])

errors_arrays = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 0.5))


def some_face(seed: int = 0, n: int = 3) -> np.ndarray:
    """Faces in general position: eyes apart, everything else anywhere."""
    rng = np.random.default_rng(seed)
    gt = rng.uniform(0, 100, size=(n, 68, 2))
    gt[:, 36:42, 0] -= 200
    return gt


def test_hand_vector() -> None:
    assert scores.nme(HAND) == pytest.approx(0.0425)
    assert scores.failure_rate(HAND, 0.08) == 0.25
    assert scores.auc(HAND, 0.08) == pytest.approx(0.5)
    assert scores.auc(HAND, 0.10) == pytest.approx(0.575)


def test_ced_counts_ties_and_failure_rate_is_strict() -> None:
    errors = np.array([0.02, 0.08, 0.08, 0.2])
    assert scores.ced(errors, np.array([0.0, 0.02, 0.08, 1.0])).tolist() == [0, 0.25, 0.75, 1]
    assert scores.failure_rate(errors, 0.08) == 0.25


def test_image_errors_as_the_formula_says() -> None:
    gt = some_face()
    pred = gt + np.random.default_rng(1).normal(size=gt.shape)
    for i in range(len(gt)):
        pupils = [
            [sum(gt[i, j, axis] for j in eye) / 6 for axis in (0, 1)]
            for eye in (range(36, 42), range(42, 48))
        ]
        width, height = (max(gt[i, :, axis]) - min(gt[i, :, axis]) for axis in (0, 1))
        distances = {
            "ocular": np.hypot(*(gt[i, 36] - gt[i, 45])),
            "pupil": np.hypot(pupils[0][0] - pupils[1][0], pupils[0][1] - pupils[1][1]),
            "box": (width * height) ** 0.5,
        }
        for norm, d in distances.items():
            expected = sum(np.hypot(*(pred[i, j] - gt[i, j])) for j in range(68)) / 68 / d
            assert scores.image_errors(pred, gt, norm, IBUG68)[i] == pytest.approx(expected)


def test_a_subset_uses_the_whole_face_normaliser_and_ignores_other_points() -> None:
    gt = some_face()
    pred = np.full_like(gt, np.nan)
    eyes = IBUG68.indices("eyes")
    pred[:, eyes] = gt[:, eyes] + [3.0, 4.0]
    expected = 5.0 / scores.distances(gt, "ocular", IBUG68)
    assert scores.image_errors(pred, gt, "ocular", IBUG68, "eyes") == pytest.approx(expected)
    with pytest.raises(ValueError, match="not finite"):
        scores.image_errors(pred, gt, "ocular", IBUG68)


@given(errors_arrays, st.floats(0.01, 0.3))
def test_auc_is_bounded_by_nme(errors: np.ndarray, t: float) -> None:
    auc, bound = scores.auc(errors, t), 1 - scores.nme(errors) / t
    assert auc >= bound - 1e-9
    assert 0 <= auc <= 1
    if scores.failure_rate(errors, t) == 0:
        assert auc == pytest.approx(bound)
    elif (errors > t + 1e-6).any():
        assert auc > bound


@given(errors_arrays, st.floats(0.01, 0.3))
def test_auc_is_the_integral_of_the_ced(errors: np.ndarray, t: float) -> None:
    grid = np.linspace(0, t, 20_001)
    integral = np.trapezoid(scores.ced(errors, grid), grid) / t
    assert scores.auc(errors, t) == pytest.approx(integral, abs=1e-3)


@given(
    st.integers(0, 100),
    st.floats(-3, 3),
    st.floats(0.2, 5),
    st.floats(-100, 100),
)
def test_similarity_changes_nothing(seed: int, angle: float, scale: float, shift: float) -> None:
    gt = some_face(seed)
    pred = gt + np.random.default_rng(seed + 1).normal(size=gt.shape)
    turn = scale * np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    for norm in ("ocular", "pupil"):
        before = scores.image_errors(pred, gt, norm, IBUG68)
        after = scores.image_errors(pred @ turn.T + shift, gt @ turn.T + shift, norm, IBUG68)
        assert after == pytest.approx(before)


def test_flipping_with_the_permutation_changes_nothing() -> None:
    gt = some_face()
    pred = gt + np.random.default_rng(2).normal(size=gt.shape)

    def mirrored(points: np.ndarray) -> np.ndarray:
        return (points * [-1, 1] + [300, 0])[:, np.array(IBUG68.flip)]

    for norm in scores.NORMALISER_KEYS:
        assert scores.image_errors(mirrored(pred), mirrored(gt), norm, IBUG68) == pytest.approx(
            scores.image_errors(pred, gt, norm, IBUG68)
        )


def test_disagreement_is_the_spread_of_predictions_over_the_distance() -> None:
    gt = np.stack([some_face(seed)[0] for seed in (0, 1)])
    predictions = gt + np.random.default_rng(3).normal(size=(3, *gt.shape))
    for norm in scores.NORMALISER_KEYS:
        expected = []
        for face in range(2):
            spreads = []
            for j in range(68):
                places = predictions[:, face, j]
                middle = sum(places) / 3
                spreads.append(np.sqrt(sum(((p - middle) ** 2).sum() for p in places) / 3))
            expected.append(np.mean(spreads) / scores.distances(gt, norm, IBUG68)[face])
        assert scores.disagreement(predictions, gt, norm, IBUG68) == pytest.approx(expected)


def test_models_that_agree_do_not_disagree_however_wrong_they_are() -> None:
    gt = some_face()
    wrong = np.stack([gt + 9, gt + 9])
    assert scores.disagreement(wrong, gt, "ocular", IBUG68) == pytest.approx([0, 0, 0])
    away = np.array([3.0, 4.0])
    opposite = np.stack([gt + away, gt - away])
    distance = scores.distances(gt, "ocular", IBUG68)
    assert scores.disagreement(opposite, gt, "ocular", IBUG68) == pytest.approx(5 / distance)


def test_disagreement_of_a_subset_looks_at_no_other_point() -> None:
    gt = some_face()
    eyes = IBUG68.indices("eyes")
    predictions = np.full((2, *gt.shape), np.nan)
    predictions[:, :, eyes] = gt[:, eyes] + np.array([1.0, -1.0])[:, None, None, None]
    expected = np.sqrt(2) / scores.distances(gt, "ocular", IBUG68)
    assert scores.disagreement(predictions, gt, "ocular", IBUG68, "eyes") == pytest.approx(expected)
    with pytest.raises(ValueError, match="not finite"):
        scores.disagreement(predictions, gt, "ocular", IBUG68)


def test_bad_input_is_refused() -> None:
    gt = some_face()
    with pytest.raises(UsageError, match="no normaliser 'iris'"):
        scores.image_errors(gt, gt, "iris", IBUG68)
    with pytest.raises(ValueError, match="two arrays"):
        scores.image_errors(gt[:, :67], gt[:, :67], "ocular", IBUG68)
    with pytest.raises(ValueError, match="zero"):
        scores.image_errors(gt, np.zeros_like(gt), "ocular", IBUG68)
    with pytest.raises(ValueError, match="non-empty"):
        scores.nme(np.array([]))


def test_missing_landmarks_count_in_no_error_and_take_their_normaliser_along() -> None:
    """The mean goes over the landmarks that are there, whatever is predicted for the others."""
    gt = some_face(n=3)
    pred = gt + np.array([3.0, 4.0])
    gt[0, [5, 60]] = np.nan  # neither is an eye
    gt[1, 36] = np.nan  # the outer corner of the right eye
    pred[0, 5] = np.nan
    ocular = scores.image_errors(pred, gt, "ocular", IBUG68)
    assert ocular[0] == pytest.approx(5 / np.hypot(*(gt[0, 36] - gt[0, 45])))
    assert np.isnan(ocular[1])
    assert np.isfinite(ocular[2])
    assert np.isnan(scores.image_errors(pred, gt, "pupil", IBUG68)[1])
    there = gt[1, np.isfinite(gt[1, :, 0])]
    side = np.sqrt(np.prod(there.max(axis=0) - there.min(axis=0)))
    assert scores.image_errors(pred, gt, "box", IBUG68)[1] == pytest.approx(5 / side)
    with pytest.raises(ValueError, match="not finite"):
        scores.image_errors(np.full_like(gt, np.nan), gt, "box", IBUG68)


def test_a_summary_leaves_out_faces_without_an_error() -> None:
    summary = scores.summary(np.array([0.01, np.nan, 0.02, 0.05, 0.09]))
    assert summary == scores.summary(HAND)
    assert tuple(summary) == scores.SCORE_KEYS
    assert summary["median"] == pytest.approx(0.035)
    assert summary["fr8"] == 0.25
    assert summary["auc10"] == pytest.approx(0.575)
    assert scores.summary(np.array([np.nan])) == {}


def test_every_threshold_has_its_failure_rate_and_its_area() -> None:
    errors = np.array([0.01, 0.05, 0.09, 0.2])
    expected = {}
    for t in scores.THRESHOLDS:
        expected[f"fr{100 * t:.0f}"] = np.mean([e > t for e in errors])
        expected[f"auc{100 * t:.0f}"] = np.mean([max(0.0, 1 - e / t) for e in errors])
    found = scores.summary(errors)
    assert {key for key in found if key[:2] in ("fr", "au")} == expected.keys()
    assert {key: found[key] for key in expected} == pytest.approx(expected)


def test_the_tables_name_every_column_once() -> None:
    assert len(set(scores.COLUMNS)) == len(scores.NORMALISERS) * len(scores.SCORES)
    assert scores.COLUMNS[0] == "ocular_nme"
    assert scores.score("auc8").heading == "AUC@8 ↑"
    assert scores.normaliser("box").title == "Box"
    with pytest.raises(UsageError, match="no score 'fr9'"):
        scores.score("fr9")


def test_columns_of_which_more_is_better_descend() -> None:
    descending = [name for name in scores.COLUMNS if scores.descends(name)]
    areas = ("auc8", "auc10")
    assert descending == [f"{n}_{area}" for n in scores.NORMALISER_KEYS for area in areas]
    assert not any(map(scores.descends, ("params", "name", "latency_ms", "my_auc8")))


def test_pupil_errors_exceed_ocular_ones_on_real_faces(real_faces) -> None:
    from drf.data.w300 import W300

    gt = np.stack([face.points for face in W300(real_faces).subset("helen").faces])
    ratio = scores.distances(gt, "ocular", IBUG68) / scores.distances(gt, "pupil", IBUG68)
    assert (ratio > 1).all()
    assert 1.2 < ratio.min() < ratio.max() < 1.7


def test_a_label_that_all_models_miss_in_one_place_has_a_consensus_error() -> None:
    truth = np.random.default_rng(3).uniform(0, 200, (2, 68, 2))
    away = np.zeros_like(truth)
    away[1] += (3.0, 4.0)  # both models: the second face lies elsewhere
    predictions = np.stack([truth + away, truth + away])
    distance = scores.distances(truth, "ocular", IBUG68)
    found = scores.consensus_errors(predictions, truth, "ocular", IBUG68)
    np.testing.assert_allclose(found, [0, 5 / distance[1]])
    assert scores.disagreement(predictions, truth, "ocular", IBUG68) == pytest.approx([0, 0])
