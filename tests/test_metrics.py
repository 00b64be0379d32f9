"""Metrics against the hand vector, literal formulas, and what must hold for any face."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from drf import landmarks, metrics

HAND = np.array([0.01, 0.02, 0.05, 0.09])

errors_arrays = arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 0.5))


def some_face(seed: int = 0, n: int = 3) -> np.ndarray:
    """Faces in general position: eyes apart, everything else anywhere."""
    rng = np.random.default_rng(seed)
    gt = rng.uniform(0, 100, size=(n, 68, 2))
    gt[:, 36:42, 0] -= 200
    return gt


def test_hand_vector() -> None:
    assert metrics.nme(HAND) == pytest.approx(0.0425)
    assert metrics.failure_rate(HAND, 0.08) == 0.25
    assert metrics.auc(HAND, 0.08) == pytest.approx(0.5)
    assert metrics.auc(HAND, 0.10) == pytest.approx(0.575)


def test_ced_counts_ties_and_failure_rate_is_strict() -> None:
    errors = np.array([0.02, 0.08, 0.08, 0.2])
    assert metrics.ced(errors, np.array([0.0, 0.02, 0.08, 1.0])).tolist() == [0, 0.25, 0.75, 1]
    assert metrics.failure_rate(errors, 0.08) == 0.25


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
            assert metrics.image_errors(pred, gt, norm)[i] == pytest.approx(expected)


def test_a_subset_uses_the_whole_face_normaliser_and_ignores_other_points() -> None:
    gt = some_face()
    pred = np.full_like(gt, np.nan)
    eyes = landmarks.indices("eyes")
    pred[:, eyes] = gt[:, eyes] + [3.0, 4.0]
    expected = 5.0 / metrics.ocular_distance(gt)
    assert metrics.image_errors(pred, gt, "ocular", eyes) == pytest.approx(expected)
    with pytest.raises(ValueError, match="not finite"):
        metrics.image_errors(pred, gt, "ocular")


@given(errors_arrays, st.floats(0.01, 0.3))
def test_auc_is_bounded_by_nme(errors: np.ndarray, t: float) -> None:
    auc, bound = metrics.auc(errors, t), 1 - metrics.nme(errors) / t
    assert auc >= bound - 1e-9
    assert 0 <= auc <= 1
    if metrics.failure_rate(errors, t) == 0:
        assert auc == pytest.approx(bound)
    elif (errors > t + 1e-6).any():
        assert auc > bound


@given(errors_arrays, st.floats(0.01, 0.3))
def test_auc_is_the_integral_of_the_ced(errors: np.ndarray, t: float) -> None:
    grid = np.linspace(0, t, 20_001)
    integral = np.trapezoid(metrics.ced(errors, grid), grid) / t
    assert metrics.auc(errors, t) == pytest.approx(integral, abs=1e-3)


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
        before = metrics.image_errors(pred, gt, norm)
        after = metrics.image_errors(pred @ turn.T + shift, gt @ turn.T + shift, norm)
        assert after == pytest.approx(before)


def test_flipping_with_the_permutation_changes_nothing() -> None:
    gt = some_face()
    pred = gt + np.random.default_rng(2).normal(size=gt.shape)

    def mirrored(points: np.ndarray) -> np.ndarray:
        return (points * [-1, 1] + [300, 0])[:, landmarks.FLIP]

    for norm in metrics.NORMS:
        assert metrics.image_errors(mirrored(pred), mirrored(gt), norm) == pytest.approx(
            metrics.image_errors(pred, gt, norm)
        )


def test_disagreement_is_the_spread_of_predictions_over_the_distance() -> None:
    gt = np.stack([some_face(seed)[0] for seed in (0, 1)])
    predictions = gt + np.random.default_rng(3).normal(size=(3, *gt.shape))
    for norm in metrics.NORMS:
        expected = []
        for face in range(2):
            spreads = []
            for j in range(68):
                places = predictions[:, face, j]
                middle = sum(places) / 3
                spreads.append(np.sqrt(sum(((p - middle) ** 2).sum() for p in places) / 3))
            expected.append(np.mean(spreads) / metrics.normaliser(gt, norm)[face])
        assert metrics.disagreement(predictions, gt, norm) == pytest.approx(expected)


def test_models_that_agree_do_not_disagree_however_wrong_they_are() -> None:
    gt = some_face()
    wrong = np.stack([gt + 9, gt + 9])
    assert metrics.disagreement(wrong, gt, "ocular") == pytest.approx([0, 0, 0])
    away = np.array([3.0, 4.0])
    opposite = np.stack([gt + away, gt - away])
    distance = metrics.ocular_distance(gt)
    assert metrics.disagreement(opposite, gt, "ocular") == pytest.approx(5 / distance)


def test_disagreement_of_a_subset_looks_at_no_other_point() -> None:
    gt = some_face()
    eyes = landmarks.indices("eyes")
    predictions = np.full((2, *gt.shape), np.nan)
    predictions[:, :, eyes] = gt[:, eyes] + np.array([1.0, -1.0])[:, None, None, None]
    expected = np.sqrt(2) / metrics.ocular_distance(gt)
    assert metrics.disagreement(predictions, gt, "ocular", eyes) == pytest.approx(expected)
    with pytest.raises(ValueError, match="not finite"):
        metrics.disagreement(predictions, gt, "ocular")


def test_bad_input_is_refused() -> None:
    gt = some_face()
    with pytest.raises(ValueError, match="unknown norm"):
        metrics.image_errors(gt, gt, "iris")  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="two arrays"):
        metrics.image_errors(gt[:, :67], gt[:, :67], "ocular")
    with pytest.raises(ValueError, match="zero"):
        metrics.image_errors(gt, np.zeros_like(gt), "ocular")
    with pytest.raises(ValueError, match="non-empty"):
        metrics.nme(np.array([]))


def test_flip_is_an_involution_that_swaps_the_named_sides() -> None:
    assert (landmarks.FLIP[landmarks.FLIP] == np.arange(68)).all()
    for left, right in (("left_eye", "right_eye"), ("left_brow", "right_brow")):
        swapped = set(landmarks.FLIP[list(landmarks.GROUPS[left])])
        assert swapped == set(landmarks.GROUPS[right])
    assert set(landmarks.indices("all")) == set(range(68))


def test_regions_share_no_landmark_and_have_all() -> None:
    members = np.concatenate([landmarks.indices(region) for region in landmarks.REGIONS])
    assert sorted(members) == list(range(68))


def test_every_landmark_has_a_name_of_its_own_that_mirrors_with_the_face() -> None:
    names = [landmarks.name(index) for index in range(68)]
    assert len(set(names)) == 68
    assert names[8] == "8 · jaw, chin"
    assert names[36] == "36 · right eye, outer corner"
    swap = {"right": "left", "left": "right"}
    for index, name in enumerate(names):
        _, _, place = name.partition(" · ")
        mirrored = " ".join(swap.get(word, word) for word in place.split(" "))
        assert names[landmarks.FLIP[index]].partition(" · ")[2] == mirrored
    for index in (-1, 68):
        with pytest.raises(ValueError, match="not in 0"):
            landmarks.name(index)


def test_pupil_errors_exceed_ocular_ones_on_real_faces(real_faces) -> None:
    from drf.data.w300 import W300

    gt = np.stack([face.points for face in W300(real_faces).subset("helen").faces])
    ratio = metrics.ocular_distance(gt) / metrics.pupil_distance(gt)
    assert (ratio > 1).all()
    assert 1.2 < ratio.min() < ratio.max() < 1.7
