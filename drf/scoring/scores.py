"""Normalisers and scores of the benchmark: the formulas, and the two tables that name them.

To add one, add an entry to NORMALISERS or SCORES. Validation, the store, the view `leaderboard`,
the command line, the app, exports, the exported site and the documentation go through these tables;
`drf db migrate` computes a new entry for older evaluations from their stored predictions.

    e_i = (1/|J_i|) sum_{j in J_i} ||P_ij - G_ij|| / d_i

with P the prediction and G the ground truth, both (n, K, 2) in one aspect-preserving frame (picture
px here), d_i a normaliser, which is made of G alone, and J_i the landmarks that are asked for and
not missing (NaN) in face i. Errors and scores are fractions; percent appears at the edges.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, TypeVar

import numpy as np

from drf.errors import UsageError
from drf.landmarks.markup import ALL, Markup

THRESHOLDS = (0.08, 0.10)
"""The usual thresholds of failure rate and AUC on 300-W, as fractions. SCORES has both for each."""


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


Better = Literal["lower", "higher"]
Entry = TypeVar("Entry")


@dataclass(frozen=True)
class Normaliser:
    """What errors of a face are divided by.

    key       in columns of the store and in options: ocular
    title     in the app: Ocular
    meaning   one sentence
    distance  ground truth (n, K, 2) and its markup -> (n,) in the unit of the ground truth; NaN
              where a landmark that it needs is missing, or the markup does not define it
    of_markup whether it exists only for markups that name landmarks for it (`normalisers`)
    """

    key: str
    title: str
    meaning: str
    distance: Callable[[np.ndarray, Markup], np.ndarray]
    of_markup: bool = True


@dataclass(frozen=True)
class Score:
    """One number made of the errors of all faces of a subset.

    key      in columns of the store and in options: fr8
    title    in tables: FR@8
    better   which end of it is good
    meaning  one sentence
    of       (n,) finite errors, fractions, n >= 1 -> a fraction
    faces    errors (..., n) -> values of the same shape whose mean over n is the score, from which
             its intervals are made; None for a score that is no mean over faces
    """

    key: str
    title: str
    better: Better
    meaning: str
    of: Callable[[np.ndarray], float]
    faces: Callable[[np.ndarray], np.ndarray] | None = None

    @property
    def heading(self) -> str:
        """The title with an arrow to its good end: NME ↓."""
        return f"{self.title} {'↓' if self.better == 'lower' else '↑'}"


NORMALISERS = (
    Normaliser(
        "ocular",
        "Ocular",
        "Distance of the outer eye corners.",
        lambda gt, markup: centre_distance(gt, markup, "ocular"),
    ),
    Normaliser(
        "pupil",
        "Pupil",
        "Distance of the two eyes' centres, each the mean of its landmarks.",
        lambda gt, markup: centre_distance(gt, markup, "pupil"),
    ),
    Normaliser(
        "box",
        "Box",
        "Geometric mean of the sides of the landmarks' box, sqrt(w·h): for faces whose eyes are"
        " hidden.",
        box_size,
        of_markup=False,
    ),
)


def _failure_rate(t: float) -> Score:
    percent = round(100 * t)
    return Score(
        f"fr{percent}",
        f"FR@{percent}",
        "lower",
        f"Failure rate: share of faces with an error above {percent} %.",
        lambda errors: failure_rate(errors, t),
        lambda errors: (errors > t).astype(np.float64),
    )


def _auc(t: float) -> Score:
    percent = round(100 * t)
    return Score(
        f"auc{percent}",
        f"AUC@{percent}",
        "higher",
        f"Area under the cumulative error distribution up to {percent} %, divided by {percent} %.",
        lambda errors: auc(errors, t),
        lambda errors: np.maximum(0.0, 1.0 - errors / t),
    )


SCORES = (
    Score(
        "nme",
        "NME",
        "lower",
        "Normalised mean error: the mean over faces.",
        nme,
        lambda errors: errors,
    ),
    Score("median", "Median", "lower", "Median of the faces' errors.", median),
    *(score_of(t) for t in THRESHOLDS for score_of in (_failure_rate, _auc)),
)

NORMALISER_KEYS = tuple(normaliser.key for normaliser in NORMALISERS)
SCORE_KEYS = tuple(score.key for score in SCORES)

COLUMNS = tuple(f"{norm}_{score}" for norm in NORMALISER_KEYS for score in SCORE_KEYS)
"""Columns of scores, in order: ocular_nme, ocular_median, …, box_auc10."""


def normaliser(key: str) -> Normaliser:
    """Return a normaliser by its key. Raises UsageError for an unknown one."""
    return _entry(key, {n.key: n for n in NORMALISERS}, "normaliser")


def score(key: str) -> Score:
    """Return a score by its key. Raises UsageError for an unknown one."""
    return _entry(key, {s.key: s for s in SCORES}, "score")


def defined_for(markup: Markup) -> tuple[str, ...]:
    """Return the keys of the normalisers that a markup has, in order; the box is always there. The
    first of them ranks a board and decides which epoch of a training is the best."""
    return tuple(n.key for n in NORMALISERS if n.key in markup.normalisers or not n.of_markup)


def column(norm: str, score: str) -> str:
    """Return the name of a column: ("ocular", "nme") -> "ocular_nme"."""
    return f"{norm}_{score}"


def descends(name: str) -> bool:
    """Return whether a table is ordered by the column of this name from its largest value on: that
    is so for a score of which more is better, and for no other column."""
    higher = {score.key for score in SCORES if score.better == "higher"}
    return name in COLUMNS and name.rpartition("_")[2] in higher


def distances(gt: np.ndarray, norm: str, markup: Markup) -> np.ndarray:
    """Return d_i of every face, in the unit of gt. (n, K, 2) -> (n,).

    NaN where the normaliser does not exist: a landmark that it needs is missing, or the markup does
    not define it. Raises UsageError for an unknown normaliser, and ValueError where a distance is
    zero: such a face has no NME, and dividing by it would hide that.
    """
    distance = normaliser(norm).distance(np.asarray(gt, dtype=np.float64), markup)
    if np.any(distance <= 0):
        raise ValueError(f"the {norm} distance of a ground-truth face is zero")
    return distance


def point_errors(
    pred: np.ndarray, gt: np.ndarray, norm: str, markup: Markup, landmarks: str = ALL
) -> np.ndarray:
    """Return ||P_ij - G_ij|| / d_i as fractions, NaN at missing landmarks. Two (n, K, 2) -> (n, k).

    landmarks: a subset of the markup. Predictions of other landmarks are not looked at; the
    normaliser always uses the whole ground truth, so subsets compare.

    Raises ValueError for shapes that differ and for predictions that are not finite, and as
    `distances`.
    """
    offsets = _offsets(pred, gt, markup, landmarks)
    return np.linalg.norm(offsets, axis=-1) / distances(gt, norm, markup)[:, None]


def image_errors(
    pred: np.ndarray, gt: np.ndarray, norm: str, markup: Markup, landmarks: str = ALL
) -> np.ndarray:
    """Return e_i of every face as fractions (the formula of the module). Two (n, K, 2) -> (n,).

    NaN for a face without the normaliser or without any of the landmarks. Raises as `point_errors`.
    """
    return _mean_over_landmarks(point_errors(pred, gt, norm, markup, landmarks))


def known_errors(pred: np.ndarray, gt: np.ndarray, norm: str, markup: Markup) -> np.ndarray:
    """Return `image_errors` over the landmarks that are predicted (not NaN) in each face, whichever
    subset of the markup these are. Two (n, K, 2) -> (n,) fractions."""
    truth = np.where(np.isfinite(pred), gt, np.nan)
    offsets = _offsets(pred, truth, markup, ALL)
    errors = np.linalg.norm(offsets, axis=-1) / distances(gt, norm, markup)[:, None]
    return _mean_over_landmarks(errors)


def disagreement(
    predictions: np.ndarray, gt: np.ndarray, norm: str, markup: Markup, landmarks: str = ALL
) -> np.ndarray:
    """Return how far r models are apart on every face. (r, n, K, 2), (n, K, 2) -> (n,) fractions.

    D_i = (1/|J_i|) sum_{j in J_i} sqrt((1/r) sum_r ||P_rij - M_ij||^2) / d_i with M_ij the mean of
    the r predictions: 0 where they agree, whatever the truth is. NaN and errors as `image_errors`.
    """
    offsets = np.stack([_offsets(one, gt, markup, landmarks) for one in predictions])
    apart = np.linalg.norm(offsets - offsets.mean(axis=0), axis=-1)  # (r, n, k)
    return _mean_over_landmarks(np.sqrt((apart**2).mean(axis=0))) / distances(gt, norm, markup)


def consensus_errors(
    predictions: np.ndarray, gt: np.ndarray, norm: str, markup: Markup, landmarks: str = ALL
) -> np.ndarray:
    """Return how far the label is from the mean of r models. (r, n, K, 2), (n, K, 2) -> (n,).

    C_i = (1/|J_i|) sum_{j in J_i} ||M_ij - G_ij|| / d_i, fractions, M_ij as in `disagreement`.
    Where C_i is large and the disagreement D_i small, the models agree on places that the label
    does not have: a wrong label, or an error that all of them share. C_i - D_i orders faces by it.
    NaN and errors as `image_errors`.
    """
    return image_errors(np.mean(predictions, axis=0), gt, norm, markup, landmarks)


def _offsets(pred: np.ndarray, gt: np.ndarray, markup: Markup, landmarks: str) -> np.ndarray:
    """Return P_ij - G_ij, (n, k, 2), in the unit of both; NaN where G_ij is missing."""
    pred, gt = np.asarray(pred, dtype=np.float64), np.asarray(gt, dtype=np.float64)
    if pred.shape != gt.shape or gt.ndim != 3 or gt.shape[1:] != (markup.n_points, 2):
        raise ValueError(
            f"need two arrays (n, {markup.n_points}, 2), got {pred.shape} and {gt.shape}"
        )
    chosen = markup.indices(landmarks)
    offsets = pred[:, chosen] - gt[:, chosen]
    if not np.isfinite(offsets[np.isfinite(gt[:, chosen])]).all():
        raise ValueError("a predicted point is not finite")
    return offsets


def _mean_over_landmarks(values: np.ndarray) -> np.ndarray:
    """Return the mean over the last axis of what is there, NaN where nothing is. (n, k) -> (n,)."""
    there = np.isfinite(values)
    if there.all():
        return values.mean(axis=-1)  # the sum in numpy's order, as ever
    total = np.where(there, values, 0.0).sum(axis=-1)
    return np.divide(
        total, there.sum(axis=-1), out=np.full(len(values), np.nan), where=there.any(-1)
    )


def summary(errors: np.ndarray) -> dict[str, float]:
    """Return every score of the errors under one normaliser by its key: {"nme": 0.034, …}.

    errors: (n,) fractions; NaN for faces on which the normaliser does not exist, which count in no
    score. Empty where no face has an error.
    """
    known = np.asarray(errors, dtype=np.float64)
    known = known[~np.isnan(known)]
    return {one.key: one.of(known) for one in SCORES} if known.size else {}


def _entry(key: str, entries: dict[str, Entry], what: str) -> Entry:
    if key not in entries:
        raise UsageError(f"there is no {what} {key!r}: use one of {', '.join(entries)}")
    return entries[key]
