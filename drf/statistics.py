"""Is a difference real? Bootstrap intervals over images, paired between methods, and seeds.

All functions take image errors as fractions and return fractions; all draws come from a seed, so a
published interval can be computed again to the last digit.
"""

from __future__ import annotations

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
    errors = _vector(errors)
    return _interval(errors, draws, level, seed)


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
    return _interval(_vector(a - b), draws, level, seed)


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


def _interval(values: np.ndarray, draws: int, level: float, seed: int) -> Interval:
    rng = np.random.default_rng(seed)
    n = len(values)
    means = np.concatenate(
        [
            values[rng.integers(0, n, size=(min(_CHUNK, draws - first), n))].mean(axis=1)
            for first in range(0, draws, _CHUNK)
        ]
    )
    low, high = np.quantile(means, [(1 - level) / 2, (1 + level) / 2])
    return Interval(float(values.mean()), float(low), float(high), level)


def _vector(values: np.ndarray) -> np.ndarray:
    values = np.asarray(values, dtype=np.float64)
    if values.ndim != 1 or values.size == 0 or not np.isfinite(values).all():
        raise ValueError("need a non-empty vector of finite values")
    return values
