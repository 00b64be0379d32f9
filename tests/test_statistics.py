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


def resampled(values: np.ndarray, draws: int, seed: int) -> tuple[float, float]:
    """The ends of the 95 % interval, image by image as the definition says."""
    rng = np.random.default_rng(seed)
    means = []
    for first in range(0, draws, 500):
        drawn = rng.integers(0, len(values), size=(min(500, draws - first), len(values)))
        means += [np.mean([values[image] for image in sample]) for sample in drawn]
    return tuple(np.quantile(means, [0.025, 0.975]))


def test_a_table_has_the_intervals_that_its_rows_have_alone() -> None:
    rows = np.random.default_rng(6).gamma(2, 0.02, (3, 40))
    table = statistics.mean_intervals(rows, draws=700, seed=3)
    for row, interval in zip(rows, table, strict=True):
        alone = statistics.bootstrap_nme(row, draws=700, seed=3)
        assert (interval.low, interval.high) == pytest.approx((alone.low, alone.high), rel=1e-12)
        assert (interval.low, interval.high) == pytest.approx(resampled(row, 700, 3), rel=1e-12)
        assert interval.estimate == pytest.approx(row.mean(), rel=1e-12)
    (apart,) = statistics.mean_intervals(rows[:1] - rows[1:2], draws=700, seed=3)
    paired = statistics.paired_difference(rows[0], rows[1], draws=700, seed=3)
    assert (apart.low, apart.high) == pytest.approx((paired.low, paired.high), rel=1e-12)


def test_a_table_without_images_or_with_a_gap_is_refused() -> None:
    for values in (np.empty((2, 0)), np.array([[0.1, np.nan]]), np.ones(3)):
        with pytest.raises(ValueError, match="rows of finite values"):
            statistics.mean_intervals(values)


def test_seeds_are_averaged_before_images_are_drawn() -> None:
    a = np.array([[0.1, 0.3], [0.3, 0.5]])
    assert statistics.paired_difference(a, np.zeros(2)).estimate == pytest.approx(0.3)


def test_intervals_of_rows_are_those_of_resampled_images() -> None:
    rng = np.random.default_rng(5)
    values = np.stack([rng.gamma(2, 0.02, 90), rng.normal(0, 1, 90), rng.uniform(size=90) < 0.1])
    intervals = statistics.mean_intervals(values, draws=700, level=0.9, seed=8)
    draw = np.random.default_rng(8)
    samples = np.concatenate([draw.integers(0, 90, size=(m, 90)) for m in (500, 200)])
    for row, interval in zip(values, intervals, strict=True):
        means = [np.mean([row[image] for image in sample]) for sample in samples]
        low, high = np.percentile(means, [5, 95])
        assert interval.estimate == pytest.approx(row.mean())
        assert (interval.low, interval.high) == pytest.approx((low, high))
    alone = statistics.bootstrap_nme(values[0], draws=700, level=0.9, seed=8)
    assert (alone.low, alone.high) == pytest.approx((intervals[0].low, intervals[0].high))


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


def test_the_spread_over_seeds_is_pooled_over_methods() -> None:
    one = np.array([[0.01, 0.03], [0.03, 0.05]])  # NMEs 0.02, 0.04: squares 2 * 0.01²
    two = np.array([[0.05, 0.05], [0.05, 0.07], [0.09, 0.05]])  # 0.05, 0.06, 0.07: 2 * 0.01²
    spread = statistics.seed_spread([one, two, np.array([[0.5, 0.9]])])
    assert spread.degrees == 1 + 2 + 0
    assert spread.sd == pytest.approx((4e-4 / 3) ** 0.5)


def test_one_seed_of_each_leaves_the_interval_over_images() -> None:
    rng = np.random.default_rng(5)
    base, other = rng.gamma(2, 0.02, (1, 400)), rng.gamma(2, 0.03, (1, 400))
    assert statistics.seed_spread([base, other]).degrees == 0
    (interval,) = statistics.differences_to(base, [other])
    paired = statistics.paired_difference(other, base)
    width = paired.high - paired.low
    assert interval.estimate == pytest.approx(paired.estimate)
    assert interval.low == pytest.approx(paired.low, abs=0.03 * width)
    assert interval.high == pytest.approx(paired.high, abs=0.03 * width)


def test_seeds_that_differ_on_every_face_alike_give_the_t_interval() -> None:
    """Without any spread over images what is left is Student's interval: ± t_2 sd sqrt(1/2 + 1/2),
    with the textbook's t_{0.975, 2} = 4.303."""
    faces = np.linspace(0.02, 0.1, 50)
    base = faces + np.array([[-0.001], [0.001]])
    (interval,) = statistics.differences_to(base, [base + 0.01], draws=40_000)
    sd = (2 * 2 * 0.001**2 / 2) ** 0.5
    assert interval.estimate == pytest.approx(0.01)
    assert interval.high - 0.01 == pytest.approx(4.303 * sd, rel=0.08)
    assert 0.01 - interval.low == pytest.approx(4.303 * sd, rel=0.08)


def test_an_interval_over_images_and_seeds_covers_where_one_over_images_alone_does_not() -> None:
    """Ablations of 6 methods x 2 seeds over faces and seeds drawn afresh: 95 % must cover."""
    rng = np.random.default_rng(7)
    covered, by_images = [], []
    for _ in range(80):
        face = rng.gamma(2, 0.02, 120)  # common to all, as hard faces are
        runs = [
            0.002 * g + face + rng.normal(0, 0.01, 120) + rng.normal(0, 0.003, (2, 1))
            for g in range(6)
        ]
        intervals = statistics.differences_to(runs[0], runs[1:], draws=300)
        covered += [not v.excludes(0.002 * g) for g, v in enumerate(intervals, start=1)]
        alone = statistics.paired_difference(runs[1], runs[0], draws=300)
        by_images.append(not alone.excludes(0.002))
    assert 0.91 <= np.mean(covered) <= 0.98
    assert np.mean(by_images) < 0.75


def test_differences_are_the_same_for_the_same_seed_and_refuse_other_faces() -> None:
    errors = np.random.default_rng(8).gamma(2, 0.02, (2, 30))
    again = [statistics.differences_to(errors, [errors + 0.1], draws=700) for _ in range(2)]
    assert again[0] == again[1]
    with pytest.raises(ValueError, match="cannot be paired"):
        statistics.differences_to(errors, [errors[:, 1:]])
