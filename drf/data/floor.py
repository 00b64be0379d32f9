"""The floor of a set of faces: the error of one shape for every face, which ignores the picture.

A model that is not better has learned nothing, however it ended. The family `mean-shape` is that
model, trained; here its error is estimated from the faces themselves, so that it is known where no
mean shape was trained. For face i the shape is the mean of all the others in their boxes, so that
no face helps to predict itself:

    P_ij = c_i + s_i m_ij,   m_ij = mean over f != i of (G_fj - c_f) / s_f

with G the ground truth, c the centre of a box and s its side.
"""

from __future__ import annotations

import numpy as np

from drf.data.boxes import gt_boxes
from drf.landmarks.markup import Markup
from drf.scoring import scores

FAMILY = "mean-shape"
"""The family of models that predict one shape for every face: the floor, and never judged by it."""

FEWEST_FACES = 20
"""Of fewer faces the floor is not estimated: their mean shape would be too uncertain."""


def floor_nme(
    truth: np.ndarray, markup: Markup, landmarks: str, boxes: np.ndarray | None = None
) -> float | None:
    """Return the NME of one shape for every face, a fraction, under the first normaliser that
    exists on one of the faces. None where there are too few faces.

    truth      (n, K, 2) picture px, NaN where a landmark is missing
    landmarks  subset of the markup that errors are averaged over
    boxes      (n, 3), see `drf.data.boxes`; None for those of protocol gt
    Raises ValueError as `scores.distances`.
    """
    labelled = np.isfinite(truth).any(axis=(1, 2))
    truth = np.asarray(truth, dtype=np.float64)[labelled]
    if len(truth) < FEWEST_FACES:
        return None
    boxes = gt_boxes(truth) if boxes is None else boxes[labelled]
    predicted = _means_of_the_others(truth, boxes)
    others = np.setdiff1d(np.arange(markup.n_points), markup.indices(landmarks))
    predicted[:, others] = np.nan
    for norm in scores.NORMALISER_KEYS:
        errors = scores.known_errors(predicted, truth, norm, markup)
        if "nme" in (found := scores.summary(errors)):
            return found["nme"]
    return None


def _means_of_the_others(truth: np.ndarray, boxes: np.ndarray) -> np.ndarray:
    """Return P of the module: (n, K, 2), (n, 3) px -> (n, K, 2) px; NaN at a landmark that is
    missing, or that no other face has."""
    centres, sides = boxes[:, None, :2], boxes[:, None, 2:]
    shapes = (truth - centres) / sides
    others = np.isfinite(shapes).sum(axis=0) - 1
    total = np.nansum(shapes, axis=0) - shapes
    means = np.divide(total, others, out=np.full_like(shapes, np.nan), where=others > 0)
    return centres + sides * means
