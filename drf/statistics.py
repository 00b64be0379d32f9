"""Is a difference real? Bootstrap intervals over images, paired between methods, and seeds.

All functions take image errors as fractions and return fractions; all draws come from a seed, so a
published interval can be computed again to the last digit.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

DRAWS = 10_000
_CHUNK = 500  # draws at a time: 500 x 689 indices are 3 MB, all 10,000 would be 55


@dataclass(frozen=True)
class Interval:
    """An estimate and the ends of its central interval at `level`."""

    estimate: float
    low: float
    high: float
    level: float = 0.95

    def excludes(self, value: float) -> bool:
        """Return whether a value lies outside the interval."""
        return not self.low <= value <= self.high


def bootstrap_nme(
    errors: np.ndarray, *, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return the NME and its percentile bootstrap interval over images. (n,) -> Interval.

    Each draw resamples n images with replacement; the ends are the (1 -+ level) / 2 quantiles.
    """
    return mean_intervals(_vector(errors)[None], draws=draws, level=level, seed=seed)[0]


def paired_difference(
    a: np.ndarray, b: np.ndarray, *, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> Interval:
    """Return NME(a) - NME(b) and its interval, resampling images and keeping the pairs together.

    a, b: (n,) errors of two methods on the same faces in the same order; or (s, n) with one row
    per seed, whose mean over seeds is compared. Negative means that a is better. Raises ValueError
    where the faces do not pair up.
    """
    a, b = (np.atleast_2d(np.asarray(x, dtype=np.float64)).mean(axis=0) for x in (a, b))
    if a.shape != b.shape:
        raise ValueError(f"errors of {len(a)} and {len(b)} faces cannot be paired")
    return mean_intervals(_vector(a - b)[None], draws=draws, level=level, seed=seed)[0]


def mean_intervals(
    values: np.ndarray, *, draws: int = DRAWS, level: float = 0.95, seed: int = 0
) -> list[Interval]:
    """Return the means of m rows and their intervals as `bootstrap_nme`. (m, n) -> m intervals.

    For tables: the same draws serve every row, as one product of how often each draw has each image
    with all rows, so a hundred cost little more than one. Errors give `bootstrap_nme` of each row,
    differences of errors `paired_difference`; whatever is a mean over images has its interval so.
    Raises ValueError for no image or not finite values.
    """
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 2 or values.shape[1] == 0 or not np.isfinite(values).all():
        raise ValueError("need rows of finite values, at least one in each")
    counts = _counts(values.shape[1], draws, seed)
    chunks = (counts[first : first + _CHUNK] for first in range(0, draws, _CHUNK))
    means = np.concatenate([values @ chunk.T.astype(np.float64) for chunk in chunks], axis=1)
    low, high = np.quantile(means / values.shape[1], _ends(level), axis=1)
    return [
        Interval(float(mean), float(start), float(end), level)
        for mean, start, end in zip(values.mean(axis=1), low, high, strict=True)
    ]


def share_improved(a: np.ndarray, b: np.ndarray) -> float:
    """Return the share of faces on which a is strictly better than b, 0..1. (n,), (n,) -> float."""
    return float(np.mean(np.asarray(a) < np.asarray(b)))


@dataclass(frozen=True)
class Seeds:
    """mean, sample standard deviation (n - 1; NaN for one seed), extremes of n seeds."""

    n: int
    mean: float
    sd: float
    low: float
    high: float


def over_seeds(values: np.ndarray) -> Seeds:
    """Aggregate one score of runs that differ only in their seed. (n,) -> Seeds."""
    values = _vector(values)
    sd = float(values.std(ddof=1)) if len(values) > 1 else float("nan")
    low, high = float(values.min()), float(values.max())
    return Seeds(len(values), float(values.mean()), sd, low, high)


@dataclass(frozen=True)
class SeedSpread:
    """sd of the NME of one run around the mean of its method, and its degrees of freedom.

    0 degrees: no method has two seeds, so that sd is NaN.
    """

    sd: float
    degrees: int


def seed_spread(methods: Sequence[np.ndarray]) -> SeedSpread:
    """Pool the spread over seeds of several methods: sd² = Σ_g Σ_r (m_gr - m_g)² / Σ_g (s_g - 1).

    methods: (s_g, n) errors each, one row per seed, on the same n faces; m_gr is the NME of row r,
    m_g the mean of the rows of method g. Takes it that seeds matter alike to all of them, as
    analysis of variance does: two seeds of one method say next to nothing, two of each of twelve
    methods say as much as thirteen of one.
    """
    runs = [np.asarray(method, dtype=np.float64).mean(axis=1) for method in methods]
    degrees = sum(len(nmes) - 1 for nmes in runs)
    squares = sum(float(((nmes - nmes.mean()) ** 2).sum()) for nmes in runs)
    return SeedSpread(math.sqrt(squares / degrees) if degrees else float("nan"), degrees)


def differences_to(
    baseline: np.ndarray,
    methods: Sequence[np.ndarray],
    *,
    draws: int = DRAWS,
    level: float = 0.95,
    seed: int = 0,
) -> list[Interval]:
    """Return NME(method) - NME(baseline) of several methods, with intervals over images and seeds.

    baseline (s_0, n), methods (s_g, n) each: errors of one run a row, on the same n faces in the
    same order. With a_i and b_i the means over the rows, sd and ν of `seed_spread` over all of
    them, the ends are quantiles of

        (1/n) Σ_i w_i (a_i - b_i)  +  sd sqrt(1/s_g + 1/s_0) T
        w ~ Multinomial(n; 1/n, …, 1/n),  T ~ Student's t with ν degrees of freedom

    over draws of w, which resamples images with their pairs kept, and of T, which stands for other
    seeds; all methods share them, whatever their order. Seeds are not resampled: of two rows that
    would give three values, too narrow by a factor of 1.4 and blind to how little two tell. Without
    any second seed (ν = 0) the T part is left out: the interval of `paired_difference`, over images
    alone.

    Raises ValueError where the faces do not pair up.
    """
    if any(method.shape[1:] != baseline.shape[1:] for method in methods):
        raise ValueError("errors of different faces cannot be paired")
    base = baseline.mean(axis=0)
    differences = np.stack([_vector(method.mean(axis=0) - base) for method in methods])
    spread = seed_spread([baseline, *methods])
    rng = np.random.default_rng(seed)
    means = np.concatenate(
        [differences @ w.T / w.shape[1] for w in _weights(differences.shape[1], draws, rng)], axis=1
    )
    if spread.degrees:
        scale = [spread.sd * math.sqrt(1 / len(m) + 1 / len(baseline)) for m in methods]
        means += np.outer(scale, rng.standard_t(spread.degrees, draws))
    low, high = np.quantile(means, _ends(level), axis=1)
    estimates = differences.mean(axis=1)
    return [
        Interval(float(estimate), float(start), float(end), level)
        for estimate, start, end in zip(estimates, low, high, strict=True)
    ]


def _weights(n: int, draws: int, rng: np.random.Generator) -> Iterator[np.ndarray]:
    """Yield (m, n) float64: how often each of n images is in each of m samples, `draws` in all."""
    for first in range(0, draws, _CHUNK):
        m = min(_CHUNK, draws - first)
        drawn = rng.integers(0, n, size=(m, n)) + n * np.arange(m)[:, None]
        counts = np.bincount(drawn.ravel(), minlength=m * n).reshape(m, n)
        yield counts.astype(np.float64)  # NumPy multiplies matrices of integers without BLAS


@functools.lru_cache(maxsize=4)
def _counts(n: int, draws: int, seed: int) -> np.ndarray:
    """All of `_weights` at once, (draws, n) uint8, kept: 7 MB for the 689 faces of 300-W. No count
    reaches 256: that would take as many draws in one sample to hit the same image."""
    counts = np.empty((draws, n), dtype=np.uint8)
    first = 0
    for weights in _weights(n, draws, np.random.default_rng(seed)):
        counts[first : first + len(weights)] = weights
        first += len(weights)
    counts.flags.writeable = False
    return counts


def _ends(level: float) -> tuple[float, float]:
    return (1 - level) / 2, (1 + level) / 2


def _vector(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError("need a non-empty vector of finite values")
    return values
