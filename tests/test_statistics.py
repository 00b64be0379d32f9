"""Intervals: exact where they can be, covering where they must, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drf import statistics


def test_pairing_sees_a_difference_that_the_spread_of_faces_hides() -> None:
    rng = np.random.default_rng(0)
    hard = rng.gamma(2, 0.02, size=330)  # faces differ far more than the methods do
    a, b = hard + rng.normal(0, 0.002, 330), hard + 0.001 + rng.normal(0, 0.002, 330)
    difference = statistics.paired_difference(a, b)
    assert difference.excludes(0)
    assert difference.high < 0
    apart = statistics.bootstrap_nme(a), statistics.bootstrap_nme(b)
    assert apart[0].high > apart[1].low  # unpaired intervals overlap


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    errors = np.random.default_rng(1).normal(0.04, 0.01, size=400)
    interval = statistics.bootstrap_nme(errors)
    half = 1.96 * errors.std() / 20
    assert interval.estimate == pytest.approx(errors.mean())
    assert interval.low == pytest.approx(errors.mean() - half, abs=0.05 * half)
    assert interval.high == pytest.approx(errors.mean() + half, abs=0.05 * half)


@given(st.floats(0.001, 0.5), st.integers(2, 30))
def test_a_constant_difference_has_no_width(shift: float, n: int) -> None:
    a = np.linspace(0, 1, n)
    interval = statistics.paired_difference(a + shift, a, draws=200)
    assert (interval.low, interval.high) == pytest.approx((shift, shift))


def test_same_seed_same_interval_and_other_seed_another() -> None:
    errors = np.random.default_rng(2).gamma(2, 0.02, 100)
    first = statistics.bootstrap_nme(errors, draws=700, seed=3)
    assert first == statistics.bootstrap_nme(errors, draws=700, seed=3)
    assert first != statistics.bootstrap_nme(errors, draws=700, seed=4)


def test_seeds_are_averaged_before_images_are_drawn() -> None:
    a = np.array([[0.1, 0.3], [0.3, 0.5]])
    assert statistics.paired_difference(a, np.zeros(2)).estimate == pytest.approx(0.3)


def test_over_seeds() -> None:
    seeds = statistics.over_seeds(np.array([3.0, 4.0, 5.0]))
    assert (seeds.n, seeds.mean, seeds.sd, seeds.low, seeds.high) == (3, 4.0, 1.0, 3.0, 5.0)
    assert np.isnan(statistics.over_seeds(np.array([3.0])).sd)


def test_faces_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        statistics.paired_difference(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="finite"):
        statistics.bootstrap_nme(np.array([0.1, np.nan]))


def test_share_improved_does_not_count_ties() -> None:
    assert statistics.share_improved(np.array([1, 2, 3]), np.array([2, 2, 4])) == pytest.approx(
        2 / 3
    )
