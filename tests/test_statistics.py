"""Intervals: exact where they can be, covering where they must, the same for the same seed."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from drf.scoring import statistics
from drf.scoring.statistics import Method


def of_one_run(errors: np.ndarray, **options) -> statistics.Interval:
    (interval,) = statistics.intervals([Method(errors[None], (0,))], **options)
    return interval


def between(a: np.ndarray, b: np.ndarray, **options) -> statistics.Interval:
    methods = [Method(np.atleast_2d(x), tuple(range(len(np.atleast_2d(x))))) for x in (a, b)]
    (interval,) = statistics.differences(methods[:1], methods[1], **options)
    return interval


def test_pairing_sees_a_difference_that_the_spread_of_faces_hides() -> None:
    rng = np.random.default_rng(0)
    hard = rng.gamma(2, 0.02, size=330)  # faces differ far more than the methods do
    a, b = hard + rng.normal(0, 0.002, 330), hard + 0.001 + rng.normal(0, 0.002, 330)
    difference = between(a, b)
    assert difference.excludes(0)
    assert difference.high < 0
    apart = of_one_run(a), of_one_run(b)
    assert apart[0].high > apart[1].low  # unpaired intervals overlap


def test_the_interval_is_that_of_the_normal_approximation() -> None:
    errors = np.random.default_rng(1).normal(0.04, 0.01, size=400)
    interval = of_one_run(errors)
    half = 1.96 * errors.std() / 20
    assert interval.estimate == pytest.approx(errors.mean())
    assert interval.low == pytest.approx(errors.mean() - half, abs=0.05 * half)
    assert interval.high == pytest.approx(errors.mean() + half, abs=0.05 * half)


@given(st.floats(0.001, 0.5), st.integers(2, 30))
def test_a_constant_difference_has_no_width(shift: float, n: int) -> None:
    a = np.linspace(0, 1, n)
    interval = between(a + shift, a, draws=200)
    assert (interval.low, interval.high) == pytest.approx((shift, shift))


def test_same_seed_same_interval_and_other_seed_another() -> None:
    errors = np.random.default_rng(2).gamma(2, 0.02, 100)
    first = of_one_run(errors, draws=700, seed=3)
    assert first == of_one_run(errors, draws=700, seed=3)
    assert first != of_one_run(errors, draws=700, seed=4)


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
        alone = of_one_run(row, draws=700, seed=3)
        assert (interval.low, interval.high) == pytest.approx((alone.low, alone.high), rel=1e-12)
        assert (interval.low, interval.high) == pytest.approx(resampled(row, 700, 3), rel=1e-12)
        assert interval.estimate == pytest.approx(row.mean(), rel=1e-12)
    (apart,) = statistics.mean_intervals(rows[:1] - rows[1:2], draws=700, seed=3)
    paired = between(rows[0], rows[1], draws=700, seed=3)
    assert (apart.low, apart.high) == pytest.approx((paired.low, paired.high), rel=1e-12)


def test_a_table_without_images_or_with_a_gap_is_refused() -> None:
    for values in (np.empty((2, 0)), np.array([[0.1, np.nan]]), np.ones(3)):
        with pytest.raises(ValueError, match="rows of finite values"):
            statistics.mean_intervals(values)


def test_seeds_are_averaged_before_images_are_drawn() -> None:
    a = np.array([[0.1, 0.3], [0.3, 0.5]])
    assert between(a, np.zeros((2, 2))).estimate == pytest.approx(0.3)


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
    alone = of_one_run(values[0], draws=700, level=0.9, seed=8)
    assert (alone.low, alone.high) == pytest.approx((intervals[0].low, intervals[0].high))


def test_over_seeds() -> None:
    seeds = statistics.over_seeds(np.array([3.0, 4.0, 5.0]))
    assert (seeds.n, seeds.mean, seeds.sd, seeds.low, seeds.high) == (3, 4.0, 1.0, 3.0, 5.0)
    assert np.isnan(statistics.over_seeds(np.array([3.0])).sd)


def test_faces_that_do_not_pair_are_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        between(np.ones(3), np.ones(4))
    with pytest.raises(ValueError, match="finite"):
        of_one_run(np.array([0.1, np.nan]))


def test_share_improved_does_not_count_ties() -> None:
    assert statistics.share_improved(np.array([1, 2, 3]), np.array([2, 2, 4])) == pytest.approx(
        2 / 3
    )


def test_what_an_interval_is_over_is_said() -> None:
    errors = np.random.default_rng(5).gamma(2, 0.02, (3, 40))
    one, three = Method(errors[:1], (0,)), Method(errors, (0, 1, 2))
    said = [interval.over for interval in statistics.intervals([one, three])]
    assert said == ["faces, 1 seed", "faces and seeds"]
    said = [statistics.differences([m], b)[0].over for m in (one, three) for b in (one, three)]
    mixed = "faces (and seeds if several)"
    assert said == ["faces, 1 seed", mixed, mixed, "faces and seeds"]
    assert statistics.over_all(["faces, 1 seed"] * 2) == "faces, 1 seed"
    assert statistics.over_all(said) == mixed


def test_seeds_that_move_all_faces_alike_give_students_interval() -> None:
    """Faces that are all alike leave mean ± t sd / sqrt(S), with t from the textbook's table:
    12.706 for one degree of freedom, 4.303 for two, 2.776 for four."""
    for moves, t in (([1, 2], 12.706), ([1, 2, 6], 4.303), ([1, 2, 6, 4, 9], 2.776)):
        errors = 1 + 0.001 * np.array(moves, dtype=float)[:, None] * np.ones(20)
        (found,) = statistics.intervals([Method(errors, tuple(range(len(moves))))])
        half = t * np.std(0.001 * np.array(moves), ddof=1) / np.sqrt(len(moves))
        assert found.high - found.estimate == pytest.approx(half, rel=0.01)
        assert found.estimate - found.low == pytest.approx(half, rel=0.01)


def test_no_end_of_an_error_is_below_zero() -> None:
    (found,) = statistics.intervals([Method(np.array([[0.04] * 9, [0.06] * 9]), (0, 1))])
    assert found.low == 0


def test_a_method_of_one_seed_has_the_bootstrap_over_its_faces() -> None:
    errors = np.random.default_rng(3).gamma(2, 0.02, 40)
    assert (
        of_one_run(errors, draws=700, seed=3).low,
        of_one_run(errors, draws=700, seed=3).high,
    ) == (pytest.approx(resampled(errors, 700, 3), rel=1e-12))


def test_runs_of_one_seed_are_no_seeds() -> None:
    """Three runs, two of them of seed 0: a method of two seeds, whose NME is the mean of theirs."""
    errors = np.array([[0.3, 0.5], [0.1, 0.1], [0.2, 0.2]])
    method = Method.of_runs(errors, [1, 0, 0])
    assert method.seeds == (0, 1)
    assert method.errors == pytest.approx(np.array([[0.15, 0.15], [0.3, 0.5]]))
    assert Method.of_runs(errors, [2, 0, 1]).nmes == pytest.approx([0.1, 0.2, 0.4])


def test_seeds_are_paired_where_both_methods_have_the_same() -> None:
    """Seeds that move both methods alike are no reason to doubt a difference; other seeds are."""
    faces, luck = np.linspace(0.02, 0.1, 50), np.array([[-0.002], [0.0], [0.004]])
    base = Method(faces + luck, (0, 1, 2))
    same, others = (Method(faces + luck + 0.001, seeds) for seeds in ((0, 1, 2), (0, 1, 3)))
    paired, apart = statistics.differences([same, others], base)
    assert paired.estimate == apart.estimate == pytest.approx(0.001)
    assert (paired.low, paired.high) == pytest.approx((0.001, 0.001))
    assert not apart.excludes(0)
    assert apart.over == paired.over == "faces and seeds"


def true_effects(rng: np.random.Generator, seeds: int, spread: tuple[float, float, float]):
    """Errors of one method as the model says: 5 % plus effects of seed, face and both, (s, n)."""
    of_seed, of_face, of_both = spread
    return (
        0.05
        + of_seed * rng.standard_normal((seeds, 1))
        + of_face * rng.standard_normal((1, 80))
        + of_both * rng.standard_normal((seeds, 80))
    )


SPREADS = ((0.003, 0.02, 0.01), (0.01, 0.02, 0.0), (0.002, 0.02, 0.02), (0.0, 0.02, 0.01))


@pytest.mark.parametrize("seeds", [2, 3, 4, 5])
@pytest.mark.parametrize("spread", SPREADS)
def test_95_percent_intervals_hold_the_truth_that_often(seeds: int, spread) -> None:
    """Seeds and faces are drawn afresh; the NME over all faces and seeds is 5 %."""
    rng = np.random.default_rng(7)
    drawn = [Method(true_effects(rng, seeds, spread), tuple(range(seeds))) for _ in range(400)]
    found = statistics.intervals(drawn, draws=3000)
    assert np.mean([interval.low <= 0.05 <= interval.high for interval in found]) >= 0.93


@pytest.mark.parametrize(
    ("mine", "theirs"), [((0, 1), (0, 1)), ((0, 1, 2), (0, 1)), ((0, 1), (2, 3, 4))]
)
def test_so_do_those_of_differences(mine, theirs) -> None:
    """Methods that share the faces, whose true difference is 0.2 points."""
    rng, held = np.random.default_rng(8), []
    for _ in range(300):
        face = 0.02 * rng.standard_normal(80)
        a, b = (face + true_effects(rng, len(s), (0.003, 0.005, 0.01)) for s in (mine, theirs))
        (found,) = statistics.differences([Method(a + 0.002, mine)], Method(b, theirs), draws=300)
        held.append(found.low <= 0.002 <= found.high)
    assert np.mean(held) >= 0.93


def test_an_interval_over_faces_alone_would_miss_the_truth() -> None:
    """Why seeds are part of it: with two seeds, faces alone hold it half of the time."""
    rng = np.random.default_rng(9)
    drawn = [true_effects(rng, 2, (0.005, 0.02, 0.01)).mean(axis=0) for _ in range(300)]
    found = statistics.mean_intervals(np.stack(drawn), draws=500)
    assert np.mean([interval.low <= 0.05 <= interval.high for interval in found]) < 0.8


def test_differences_are_the_same_for_the_same_seed_and_refuse_other_faces() -> None:
    errors = np.random.default_rng(8).gamma(2, 0.02, (2, 30))
    base, other = Method(errors, (0, 1)), Method(errors * errors, (0, 1))
    again = [statistics.differences([other], base, draws=700) for _ in range(2)]
    assert again[0] == again[1]
    with pytest.raises(ValueError, match="cannot be paired"):
        statistics.differences([Method(errors[:, 1:], (0, 1))], base)


def test_both_are_the_intervals_and_the_differences() -> None:
    rng = np.random.default_rng(9)
    methods = [Method(rng.gamma(2, 0.02, (n, 40)), tuple(range(n))) for n in (1, 3, 3)]
    alone, paired = statistics.both(methods, methods[1], draws=700)
    for found, expected in (
        (alone, statistics.intervals(methods, draws=700)),
        (paired, statistics.differences(methods, methods[1], draws=700)),
    ):
        assert [one.seeds for one in found] == [one.seeds for one in expected]
        ends = [[(i.estimate, i.low, i.high) for i in of] for of in (found, expected)]
        assert np.array(ends[0]) == pytest.approx(np.array(ends[1]), abs=1e-15)
    assert (paired[1].low, paired[1].high) == (0, 0)


@pytest.mark.parametrize("level", [0.9, 0.95, 0.99])
@pytest.mark.parametrize("draws", [300, 700, 10_000])
def test_ends_are_the_quantiles_of_numpy(draws, level) -> None:
    drawn = np.sort(np.random.default_rng(draws).normal(0.05, 0.01, (5, draws)), axis=1)
    for share in ((1 - level) / 2, (1 + level) / 2):
        expected = np.quantile(drawn, share, axis=1)
        assert statistics._quantile(drawn, share) == pytest.approx(expected, rel=1e-14)


def test_p_values_are_those_of_the_paired_t_test() -> None:
    from scipy import stats

    rng = np.random.default_rng(0)
    a, b = rng.gamma(4, 1, (30, 6)), rng.gamma(4.5, 1, (30, 6))
    expected = stats.ttest_rel(a, b).pvalue
    np.testing.assert_allclose(statistics.paired_p_values(a - b), expected)
    gaps = a - b
    gaps[:10, 0] = np.nan
    assert statistics.paired_p_values(gaps)[0] == pytest.approx(
        stats.ttest_rel(a[10:, 0], b[10:, 0]).pvalue
    )


def test_no_difference_is_not_significant_and_one_face_says_nothing() -> None:
    assert statistics.paired_p_values(np.zeros((5, 2))).tolist() == [1, 1]
    assert statistics.paired_p_values(np.full((5, 1), 0.2)).tolist() == [0]
    assert np.isnan(statistics.paired_p_values(np.ones((1, 2)))).all()


def test_holm_multiplies_the_smallest_most_and_never_reverses_an_order() -> None:
    found = statistics.holm(np.array([0.01, np.nan, 0.04, 0.03, 0.5]))
    np.testing.assert_allclose(found, [4 * 0.01, np.nan, 3 * 0.03, 3 * 0.03, 0.5])
    assert statistics.holm(np.array([0.4, 0.6])).tolist() == [0.8, 0.8]
