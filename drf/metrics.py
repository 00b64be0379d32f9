"""The measures of face alignment as pure functions: image errors, NME, CED, failure rate, AUC.

Everything inside is a fraction; percent appears at the edges (command line, app). G is the ground
truth and P the prediction, both (n, 68, 2) in one aspect-preserving frame (picture px here). All
normalisers come from G alone, never from the prediction.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, get_args

import numpy as np

from drf.landmarks import LEFT_EYE, N_POINTS, OUTER_EYE_CORNERS, RIGHT_EYE

Norm = Literal["ocular", "pupil", "box"]
NORMS: tuple[Norm, ...] = get_args(Norm)

THRESHOLDS = (0.08, 0.10)
"""The usual thresholds of FR and AUC on 300-W, as fractions."""


def ocular_distance(gt: np.ndarray) -> np.ndarray:
    """d = ||G_36 - G_45||, the outer eye corners. (..., 68, 2) -> (...)."""
    right, left = OUTER_EYE_CORNERS
    return np.linalg.norm(gt[..., right, :] - gt[..., left, :], axis=-1)


def pupil_distance(gt: np.ndarray) -> np.ndarray:
    """d = ||mean(G_36..G_41) - mean(G_42..G_47)||: centres of six points. (..., 68, 2) -> (...)."""
    right = gt[..., RIGHT_EYE, :].mean(axis=-2)
    left = gt[..., LEFT_EYE, :].mean(axis=-2)
    return np.linalg.norm(right - left, axis=-1)


def box_size(gt: np.ndarray) -> np.ndarray:
    """d = sqrt(w h) of the tight box around the ground truth. (..., 68, 2) -> (...)."""
    width, height = np.moveaxis(np.ptp(gt, axis=-2), -1, 0)
    return np.sqrt(width * height)


_DISTANCES: dict[Norm, Callable[[np.ndarray], np.ndarray]] = {
    "ocular": ocular_distance,
    "pupil": pupil_distance,
    "box": box_size,
}


def normaliser(gt: np.ndarray, norm: Norm) -> np.ndarray:
    """Return d_i of every face, in the unit of gt. (n, 68, 2) -> (n,).

    Raises ValueError for an unknown norm, and where a distance is not positive (a degenerate face
    has no NME; dividing by it would hide that).
    """
    if norm not in _DISTANCES:
        raise ValueError(f"unknown norm {norm!r}: use one of {', '.join(NORMS)}")
    distance = _DISTANCES[norm](np.asarray(gt, dtype=np.float64))
    if not np.all(distance > 0):
        raise ValueError(f"the {norm} distance of a ground-truth face is zero or not a number")
    return distance


def point_errors(
    pred: np.ndarray, gt: np.ndarray, norm: Norm, points: np.ndarray | None = None
) -> np.ndarray:
    """Return ||P_ij - G_ij|| / d_i as fractions. Two (n, 68, 2) -> (n, k).

    points: (k,) int indices of a landmark subset, all 68 without it. Predictions of other points
    are not looked at; the normaliser always uses the whole ground truth, so subsets compare.

    Raises ValueError for shapes that differ, predictions that are not finite, and as `normaliser`.
    """
    offsets = _offsets(pred, gt, points)
    return np.linalg.norm(offsets, axis=-1) / normaliser(gt, norm)[:, None]


def _offsets(pred: np.ndarray, gt: np.ndarray, points: np.ndarray | None) -> np.ndarray:
    """Return P_ij - G_ij, (n, k, 2), in the unit of both."""
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt, dtype=np.float64)
    if pred.shape != gt.shape or gt.ndim != 3 or gt.shape[1:] != (N_POINTS, 2):
        raise ValueError(f"need two arrays (n, {N_POINTS}, 2), got {pred.shape} and {gt.shape}")
    chosen = slice(None) if points is None else points
    offsets = pred[:, chosen] - gt[:, chosen]
    if not np.isfinite(offsets).all():
        raise ValueError("a predicted point is not finite")
    return offsets


def image_errors(
    pred: np.ndarray, gt: np.ndarray, norm: Norm, points: np.ndarray | None = None
) -> np.ndarray:
    """Return e_i = (1/|J|) sum_{j in J} ||P_ij - G_ij|| / d_i as fractions. Two (n, 68, 2) -> (n,).

    points: the (k,) int indices J, as in `point_errors`.
    """
    return point_errors(pred, gt, norm, points).mean(axis=1)


def disagreement(
    predictions: np.ndarray, gt: np.ndarray, norm: Norm, points: np.ndarray | None = None
) -> np.ndarray:
    """Return how far r models are apart on every face. (r, n, 68, 2), (n, 68, 2) -> (n,) fractions.

    D_i = (1/|J|) sum_{j in J} sqrt((1/r) sum_r ||P_rij - M_ij||^2) / d_i with M_ij the mean of the
    r predictions: 0 where they agree, whatever the truth is. points: J, as in `point_errors`.

    Raises ValueError as `point_errors`.
    """
    offsets = np.stack([_offsets(one, gt, points) for one in predictions])  # (r, n, k, 2)
    apart = np.linalg.norm(offsets - offsets.mean(axis=0), axis=-1)
    return np.sqrt((apart**2).mean(axis=0)).mean(axis=1) / normaliser(gt, norm)


def nme(errors: np.ndarray) -> float:
    """NME = mean_i e_i: a mean of ratios, not a ratio of sums. (n,) fractions -> fraction."""
    return float(np.mean(_checked(errors)))


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


def summary(errors: np.ndarray) -> dict[tuple[str, float | None], float]:
    """Return the scores of one normalisation by (metric, threshold): {("fr", 0.08): 0.03, …}."""
    scores: dict[tuple[str, float | None], float] = {("nme", None): nme(errors)}
    for threshold in THRESHOLDS:
        scores["fr", threshold] = failure_rate(errors, threshold)
        scores["auc", threshold] = auc(errors, threshold)
    return scores


def _checked(errors: np.ndarray) -> np.ndarray:
    errors = np.asarray(errors, dtype=np.float64)
    if errors.ndim != 1 or errors.size == 0 or not np.isfinite(errors).all():
        raise ValueError("need a non-empty (n,) array of finite errors")
    return errors
