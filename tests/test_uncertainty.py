"""Risk, coverage and ellipses against numbers worked out by hand and against plain loops."""

import itertools
import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from drf.scoring import uncertainty


def test_risk_and_coverage_by_hand() -> None:
    curve = uncertainty.risk_coverage(np.array([4.0, 1.0, 7.0]), np.array([0.2, 0.1, 0.3]))
    np.testing.assert_allclose(curve.coverage, [1 / 3, 2 / 3, 1])
    np.testing.assert_allclose(curve.risk, [1, 2.5, 4])
    assert curve.area == pytest.approx(2.5)


def test_equals_count_as_in_the_mean_over_all_orders() -> None:
    errors, unsure = np.array([5.0, 1.0, 3.0, 10.0]), np.array([1.0, 1.0, 1.0, 2.0])
    orders = [[*order, 3] for order in itertools.permutations(range(3))]
    expected = np.mean([np.cumsum(errors[o]) / np.arange(1, 5) for o in orders], axis=0)
    np.testing.assert_allclose(uncertainty.risk_coverage(errors, unsure).risk, expected)


def test_the_errors_themselves_cannot_be_beaten_and_a_constant_says_nothing() -> None:
    errors = np.random.default_rng(0).gamma(2, 1, (20, 68))
    noisy = errors + np.random.default_rng(1).normal(0, 1, errors.shape)
    best, some, none = (
        uncertainty.risk_coverage(errors, u).area for u in (errors, noisy, np.ones_like(errors))
    )
    assert best < some < none
    assert none == pytest.approx(errors.mean())
    assert uncertainty.excess_area(errors, errors) == 0.0
    assert uncertainty.excess_area(errors, noisy) == pytest.approx(some - best)


finite = st.floats(0, 100)


@given(arrays.arrays(float, (7, 2), elements=finite))
def test_only_the_order_of_the_uncertainty_matters(pairs: np.ndarray) -> None:
    errors, unsure = pairs.T
    ranks = np.unique(unsure, return_inverse=True)[1].astype(float)
    first, second = (uncertainty.risk_coverage(errors, u) for u in (unsure, ranks))
    np.testing.assert_array_equal(first.risk, second.risk)
    assert first.risk[-1] == pytest.approx(errors.mean())


def test_sizes_of_a_covariance_by_hand() -> None:
    covariance = np.array([[4.0, 1.0], [1.0, 9.0]])
    assert uncertainty.size(covariance, "trace") == 13
    assert uncertainty.size(covariance, "area") == pytest.approx(math.sqrt(35))
    assert uncertainty.size(np.ones((3, 2, 2))).tolist() == [0, 0, 0]


def test_distances_follow_the_inverse() -> None:
    rng = np.random.default_rng(0)
    roots = rng.normal(size=(30, 2, 2))
    covariances = roots @ roots.swapaxes(-1, -2) + 0.1 * np.eye(2)
    offsets = rng.normal(size=(30, 2))
    expected = [d @ np.linalg.inv(s) @ d for d, s in zip(offsets, covariances, strict=True)]
    np.testing.assert_allclose(uncertainty.squared_distances(offsets, covariances), expected)
    assert uncertainty.squared_distances(np.ones(2), np.zeros((2, 2))) == np.inf


def test_ellipses_hold_what_they_promise_of_gaussian_errors() -> None:
    covariance = np.array([[4.0, -1.5], [-1.5, 1.0]])
    offsets = np.random.default_rng(0).multivariate_normal([0, 0], covariance, 20_000)
    every = np.broadcast_to(covariance, (20_000, 2, 2))
    for level in (0.5, 0.95):
        assert uncertainty.share_inside(offsets, every, level) == pytest.approx(level, abs=0.01)
    assert uncertainty.share_inside(offsets, every / 4) < 0.8  # half as wide as they should be


SCORES = st.one_of(st.floats(0, 10), st.just(np.nan), st.just(np.inf))


@given(arrays.arrays(float, (23, 3), elements=SCORES), st.sampled_from([0.5, 0.9, 0.95]))
def test_the_conformal_quantile_is_the_least_score_that_the_formula_allows(
    scores: np.ndarray, level: float
) -> None:
    faces = [face[~np.isnan(face)] for face in scores]
    faces = [face for face in faces if len(face)]
    found = uncertainty.conformal_quantile(scores, level)
    if not faces:
        assert np.isnan(found)
        return
    allowed = [
        q
        for face in faces
        for q in face
        if sum(np.mean(other <= q) for other in faces) / (len(faces) + 1) >= level - 1e-12
    ]
    assert found == min(allowed, default=max(q for face in faces for q in face))


def test_a_new_face_is_held_as_promised_though_its_landmarks_err_together() -> None:
    """2,000 draws of 30 faces with ten landmarks; each face has a size of error of its own. Were
    landmarks the sample, the factor of 30 faces would be too small."""
    rng = np.random.default_rng(0)
    own = np.exp(rng.normal(0, 1, (2_000, 31, 1)))
    scores = own * rng.exponential(1, (2_000, 31, 10))
    held = [np.mean(draw[-1] <= uncertainty.conformal_quantile(draw[:-1], 0.9)) for draw in scores]
    pooled = [np.mean(draw[-1] <= np.quantile(draw[:-1], 0.9)) for draw in scores]
    assert np.mean(pooled) < 0.9 <= np.mean(held) < 0.94


def test_what_is_not_finite_has_no_distance() -> None:
    offsets, covariances = np.ones((4, 2)), np.stack([np.eye(2)] * 4)
    offsets[0, 1], covariances[1, 0, 0], covariances[2] = np.nan, np.inf, 0
    found = uncertainty.known_distances(offsets, covariances)
    np.testing.assert_array_equal(found, [np.nan, np.nan, np.inf, 2])


@pytest.mark.parametrize(
    ("errors", "unsure"), [([1.0], [1.0, 2.0]), ([], []), ([1.0], [np.nan]), ([np.inf], [1.0])]
)
def test_what_does_not_pair_or_is_no_number_is_refused(errors: list, unsure: list) -> None:
    with pytest.raises(ValueError, match=r"do not pair|finite"):
        uncertainty.risk_coverage(np.array(errors), np.array(unsure))


def test_the_expected_error_is_the_mean_distance_of_gaussian_offsets() -> None:
    covariances = np.array([[[4.0, 1.5], [1.5, 1.0]], [[2.0, 0.0], [0.0, 2.0]], [[0.0, 0], [0, 0]]])
    rng = np.random.default_rng(0)
    drawn = [
        np.linalg.norm(rng.multivariate_normal([0, 0], c, 200_000), axis=1).mean()
        for c in covariances
    ]
    found = uncertainty.expected_errors(covariances)
    np.testing.assert_allclose(found, drawn, rtol=5e-3)
    assert found[1] == pytest.approx(math.sqrt(2) * math.sqrt(math.pi / 2))
    assert np.isnan(uncertainty.expected_errors(np.full((2, 2), np.nan)))


def test_bins_of_a_calibrated_model_lie_on_the_diagonal() -> None:
    rng = np.random.default_rng(1)
    expected = rng.gamma(3, 1, 50_000)
    real = expected * rng.gamma(4, 0.25, 50_000)
    found = uncertainty.calibration(real, expected)
    assert found.counts.tolist() == [5000] * 10
    assert (np.diff(found.expected) > 0).all()
    np.testing.assert_allclose(found.real, found.expected, rtol=0.03)
    assert found.gap < 0.06
    assert uncertainty.calibration(3 * real, expected).gap == pytest.approx(6, rel=0.05)


def test_a_bin_holds_the_means_of_its_entries() -> None:
    found = uncertainty.calibration(
        np.array([5.0, 1.0, 3.0, 2.0]), np.array([4.0, 1.0, 3.0, 2.0]), bins=2
    )
    assert found.expected.tolist() == [1.5, 3.5]
    assert found.real.tolist() == [1.5, 4.0]
    assert found.gap == pytest.approx(0.25)
