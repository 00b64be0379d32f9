"""Does a model know where it errs? Risk against coverage, and whether its ellipses hold.

Errors e_j are of single landmarks, u_j one number each that should be larger where e_j is.
`risk_coverage`, `excess_area` and `calibration` take two arrays of one shape, whatever it is, and
look at every entry alike.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

LARGEST_EXPONENT = 10.0
"""Where the search of `likeliest_exponent` ends. Cascade forests have 4 to 8."""

LEVEL = 0.95
"""Share of the true places that a model's ellipses of this level should contain."""

Measure = Literal["area", "trace"]


@dataclass(frozen=True)
class RiskCoverage:
    """coverage  (n,) k / n, k = 1..n: the share of landmarks kept, the most certain first
    risk      (n,) their mean error
    """

    coverage: np.ndarray
    risk: np.ndarray

    @property
    def area(self) -> float:
        """AURC = (1/n) sum_k risk_k, in the unit of the errors; lower is better. Uncertainty that
        says nothing has the mean error."""
        return float(self.risk.mean())


def size(covariances: np.ndarray, measure: Measure = "area") -> np.ndarray:
    """Return how large 2-D covariances are. (..., 2, 2) -> (...), in their squared unit.

    area: sqrt(det S), the ellipse's area over pi · trace: the expected squared distance
    Rounding may leave a determinant below 0, which counts as 0.
    """
    if measure == "trace":
        return np.trace(covariances, axis1=-2, axis2=-1)
    xx, yy = covariances[..., 0, 0], covariances[..., 1, 1]
    determinant = xx * yy - covariances[..., 0, 1] * covariances[..., 1, 0]
    return np.sqrt(np.maximum(determinant, 0.0))


def risk_coverage(errors: np.ndarray, uncertainty: np.ndarray) -> RiskCoverage:
    """Return the risk of keeping the k most certain landmarks, for every k.

    Landmarks of equal uncertainty are taken in no order of their own: each counts with the mean
    error of its equals, which is what a random order has on average. Raises ValueError for shapes
    that differ, nothing, and what is not finite.
    """
    errors, uncertainty = _flat(errors, uncertainty)
    _, group, members = np.unique(uncertainty, return_inverse=True, return_counts=True)
    mean_of_group = np.bincount(group, weights=errors) / members
    ordered = np.repeat(mean_of_group, members)  # groups come in ascending order
    kept = np.arange(1, len(errors) + 1)
    return RiskCoverage(kept / len(errors), np.cumsum(ordered) / kept)


def excess_area(errors: np.ndarray, uncertainty: np.ndarray) -> float:
    """Return AURC minus that of the errors themselves as uncertainty, which nothing can beat: what
    the ranking loses, apart from how large the errors are."""
    best = risk_coverage(errors, errors).area
    return risk_coverage(errors, uncertainty).area - best


def squared_distances(offsets: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Return the squared Mahalanobis distances d^T S^-1 d. (..., 2), (..., 2, 2) -> (...).

    Of a covariance without area it is infinite.
    """
    xx, xy, yy = covariances[..., 0, 0], covariances[..., 0, 1], covariances[..., 1, 1]
    x, y = offsets[..., 0], offsets[..., 1]
    determinant = np.asarray(xx * yy - xy**2)
    scaled = np.asarray(yy * x**2 - 2 * xy * x * y + xx * y**2)
    flat = np.full_like(scaled, np.inf)
    return np.divide(scaled, determinant, out=flat, where=determinant > 0)


def known_distances(offsets: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Return `squared_distances`, NaN where an offset or a covariance is not finite."""
    known = np.isfinite(offsets).all(axis=-1) & np.isfinite(covariances).all(axis=(-2, -1))
    found = np.full(known.shape, np.nan)
    found[known] = squared_distances(offsets[known], covariances[known])
    return found


def share_inside(offsets: np.ndarray, covariances: np.ndarray, level: float = LEVEL) -> float:
    """Return the share of landmarks whose ellipse of a level holds the truth, 0..1.

    offsets: prediction minus truth, (..., 2), in the unit of which covariances are the square. Of
    Gaussian errors with these covariances a share of `level` lies inside: d^T S^-1 d is then
    chi-squared with two degrees of freedom, whose quantile is -2 ln(1 - level).
    """
    return float(np.mean(squared_distances(offsets, covariances) <= limit(level)))


def conformal_quantile(scores: np.ndarray, level: float = LEVEL) -> float:
    """Return the score that those of a new face exceed with a probability of 1 - level at most.

    scores: (n, k) of k landmarks on n faces, NaN where one is not known. Landmarks of one face err
    together, so the sample are the faces, and each counts alike, whatever it has of landmarks:

        Q = inf { q : 1/(n+1) sum_i F_i(q) >= level }
        F_i(q) = share of the known scores of face i that are at most q

    The new face is the one of n + 1 that is not known: its scores count as infinite. Where faces
    are exchangeable, a landmark of a new face is then below Q with a probability of `level` at
    least, whatever the distribution of the scores (hierarchical conformal prediction: Lee, Barber,
    Willett, arXiv 2306.06342; pooled distributions of Dunn, Wasserman, Ramdas, arXiv 1809.07441).
    Fewer than level / (1 - level) faces, 19 for 95 %, cannot promise it: Q is then the largest
    score. NaN where no score is known.
    """
    known = ~np.isnan(scores)
    counts = known.sum(axis=1)
    n = np.count_nonzero(counts)
    if n == 0:
        return math.nan
    weights = (known / np.maximum(counts, 1)[:, None])[known]
    ordered = np.argsort(scores[known], kind="stable")
    reached = np.cumsum(weights[ordered])
    place = np.searchsorted(reached, min(level * (n + 1), n) - 1e-9)  # sums of 1/k are not exact
    return float(scores[known][ordered[place]])


def likeliest_exponent(
    distances: np.ndarray, sizes: np.ndarray, regions: Sequence[np.ndarray]
) -> float:
    """Return the b in 0..LARGEST_EXPONENT for which Gaussian errors with the covariances
    s exp(2 b x) C, s one for each region g, have the highest likelihood. It minimises

        f(b) = sum_g ( n_g ln sum_g m exp(-2 b x) + 2 b sum_g x )

    which is convex: bisection finds where its slope is 0.

    distances  (n, K) m = d^T C^-1 d of the errors d, NaN or infinite where not known
    sizes      (n, K) x
    regions    positions of the landmarks of each, among the K
    """
    known = np.isfinite(distances) & (distances > 0)
    of_region = [
        (distances[:, of][known[:, of]], sizes[:, of][known[:, of]])
        for of in regions
        if known[:, of].any()
    ]

    def slope(b: float) -> float:
        total = 0.0
        for m, x in of_region:
            weights = m * np.exp(-2 * b * (x - x.min()))
            total += float(x.sum() - len(x) * (weights @ x) / weights.sum())
        return total

    low, high = 0.0, LARGEST_EXPONENT
    if slope(low) >= 0:
        return low
    for _ in range(40):  # to 1e-11
        middle = (low + high) / 2
        low, high = (middle, high) if slope(middle) < 0 else (low, middle)
    return high


def expected_errors(covariances: np.ndarray) -> np.ndarray:
    """Return the mean distance that a Gaussian error of these covariances has. (..., 2, 2) -> (...)
    in the unit of which they are the square.

        E ||d|| = sqrt(2 a / pi) E(1 - b / a)

    with a >= b the variances along the ellipse's axes and E(m) the complete elliptic integral of
    the second kind; of a round one it is sigma sqrt(pi / 2). NaN where a covariance is.
    """
    from scipy.special import ellipe  # here, for training does without scipy where it is not there

    known = np.isfinite(covariances).all(axis=(-1, -2))
    variances = np.linalg.eigvalsh(np.where(known[..., None, None], covariances, 0.0))
    small, large = np.maximum(variances[..., 0], 0.0), np.maximum(variances[..., 1], 0.0)
    ratio = np.divide(small, large, out=np.ones_like(large), where=large > 0)
    return np.where(known, np.sqrt(2 * large / math.pi) * ellipe(1 - ratio), np.nan)


@dataclass(frozen=True)
class Calibration:
    """Expected against real errors in bins of equal size, from the surest to the least sure.

    counts    (b,) entries in each bin
    expected  (b,) their mean expected error
    real      (b,) their mean error
    """

    counts: np.ndarray
    expected: np.ndarray
    real: np.ndarray

    @property
    def gap(self) -> float:
        """The mean of |expected - real| over the bins, weighted by their counts."""
        return float(np.average(np.abs(self.expected - self.real), weights=self.counts))


def calibration(errors: np.ndarray, expected: np.ndarray, bins: int = 10) -> Calibration:
    """Sort entries by their expected error and average both within bins of equal size.

    Bins of a calibrated model lie on expected = real. Fewer entries than bins make a bin each.
    Raises ValueError for shapes that differ, nothing, and what is not finite.
    """
    errors, expected = _flat(errors, expected)
    order = np.argsort(expected, kind="stable")
    parts = np.array_split(order, min(bins, len(order)))
    return Calibration(
        np.array([len(part) for part in parts]),
        np.array([expected[part].mean() for part in parts]),
        np.array([errors[part].mean() for part in parts]),
    )


def limit(level: float) -> float:
    """Return the squared Mahalanobis distance at which the ellipse of a level ends: the quantile of
    chi-squared with two degrees of freedom."""
    return -2 * math.log1p(-level)


def _flat(errors: np.ndarray, uncertainty: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    errors, uncertainty = (np.asarray(a, dtype=np.float64) for a in (errors, uncertainty))
    if errors.shape != uncertainty.shape or errors.size == 0:
        raise ValueError(f"errors {errors.shape} and uncertainty {uncertainty.shape} do not pair")
    if not (np.isfinite(errors).all() and np.isfinite(uncertainty).all()):
        raise ValueError("errors and uncertainty must be finite")
    return errors.ravel(), uncertainty.ravel()
