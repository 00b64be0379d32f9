"""The formulas of face alignment as pure functions: distances, NME, CED, failure rate, AUC.

Everything inside is a fraction; percent appears at the edges (command line, app). G is the ground
truth and P the prediction, both (n, K, 2) in one aspect-preserving frame (picture px here); a
missing landmark is NaN in G. Normalisers come from G alone, never from the prediction. Which of
these are scores and normalisers of the benchmark is said once, in `drf.scores`.
"""

from __future__ import annotations

import numpy as np

from drf.markup import Markup

THRESHOLDS = (0.08, 0.10)
"""The usual thresholds of failure rate and AUC on 300-W, as fractions."""


def centre_distance(gt: np.ndarray, markup: Markup, key: str) -> np.ndarray:
    """d = ||mean(G_a, a in A) - mean(G_b, b in B)||, (A, B) = markup.normalisers[key].

    (n, K, 2) -> (n,) in the unit of gt; NaN for faces that lack one of these landmarks, and for all
    where the markup does not define the key.
    """
    if key not in markup.normalisers:
        return np.full(len(gt), np.nan)
    one, other = (gt[:, list(end)].mean(axis=1) for end in markup.normalisers[key])
    return np.linalg.norm(one - other, axis=-1)


def box_size(gt: np.ndarray, markup: Markup | None = None) -> np.ndarray:
    """d = sqrt(w h) of the tight box around the landmarks that are there. (n, K, 2) -> (n,).

    NaN for a face without landmarks. The markup makes no difference.
    """
    there = np.isfinite(gt).all(axis=-1)[..., None]
    low = np.where(there, gt, np.inf).min(axis=1)
    high = np.where(there, gt, -np.inf).max(axis=1)
    sides = np.where(np.isfinite(high - low), high - low, np.nan)
    return np.sqrt(sides.prod(axis=-1))


def nme(errors: np.ndarray) -> float:
    """NME = mean_i e_i: a mean of ratios, not a ratio of sums. (n,) fractions -> fraction."""
    return float(np.mean(_checked(errors)))


def median(errors: np.ndarray) -> float:
    """The median of e_i, the mean of the middle two for an even n. (n,) fractions -> fraction."""
    return float(np.median(_checked(errors)))


def failure_rate(errors: np.ndarray, threshold: float) -> float:
    """FR_t = mean(e_i > t), strict. (n,) fractions -> fraction in 0..1."""
    return float(np.mean(_checked(errors) > threshold))


def auc(errors: np.ndarray, threshold: float) -> float:
    """AUC_t = (1/t) integral_0^t CED(x) dx = mean(max(0, 1 - e_i / t)), exactly. (n,) -> 0..1.

    The closed form needs no grid: a sampled one overshoots its threshold or depends on its step.
    """
    return float(np.mean(np.maximum(0.0, 1.0 - _checked(errors) / threshold)))


def ced(errors: np.ndarray, grid: np.ndarray) -> np.ndarray:
    """CED(x) = mean(e_i <= x) at every x of the grid. (n,), (m,) fractions -> (m,) in 0..1."""
    ordered = np.sort(_checked(errors))
    return np.searchsorted(ordered, np.asarray(grid), side="right") / len(ordered)


def _checked(errors: np.ndarray) -> np.ndarray:
    errors = np.asarray(errors, dtype=np.float64)
    if errors.ndim != 1 or errors.size == 0 or not np.isfinite(errors).all():
        raise ValueError("need a non-empty (n,) array of finite errors")
    return errors
