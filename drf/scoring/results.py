"""What an evaluation hands to the store: arrays and facts, no model and no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drf.landmarks.markup import Markup
from drf.scoring import scores

COLLAPSED_STD_RATIO = 0.1
"""Standard deviation of the predictions over that of the labels below which a model ignores the
picture."""


MACHINE = "machine"
"""Key of the manifest: device and threads of the evaluation."""


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one model on one subset, in picture coordinates.

    names         n face names, unique in the dataset
    markup        of the landmarks, K in number
    landmarks     landmark subset that the errors are averaged over, one of markup.subset_names
    ground_truth  (n, K, 2) float32, 0-based picture px; NaN where a landmark is missing
    predictions   (n, K, 2) float32, 0-based picture px; NaN at landmarks outside the subset
    box           box protocol of the crops: gt, gt_jitter or file; of which file says the manifest
    flip_test     whether a picture and its mirror image were averaged
    manifest      counts, skipped faces and digest of the subset that was read, and by MACHINE what
                  it was evaluated on
    ms_per_face   wall time of the model alone, batched, milliseconds: a fact of this evaluation and
                  of what else the machine did, not of the model
    precision     bf16 or fp32, in which the predictions were computed; None where not known
    visibility    (n, K) uint8, see `drf.landmarks.markup`; None where all landmarks are visible
    covariances   (n, K, 2, 2) float32, squared picture px: covariance of the error that the model
                  predicts, NaN at landmarks outside the subset; None where it predicts none
    boxes         (n, 3), see `drf.data.boxes`; None where they are not known, or follow from the
                  ground truth
    """

    dataset: str
    subset: str
    names: tuple[str, ...]
    markup: Markup
    landmarks: str
    ground_truth: np.ndarray
    predictions: np.ndarray
    box: str
    flip_test: bool
    manifest: dict[str, object]
    ms_per_face: float
    visibility: np.ndarray | None = None
    covariances: np.ndarray | None = None
    boxes: np.ndarray | None = None
    precision: str | None = None

    def errors(self, norm: str) -> np.ndarray:
        """Return the (n,) image errors as fractions, see `scores.image_errors`."""
        return scores.image_errors(
            self.predictions, self.ground_truth, norm, self.markup, self.landmarks
        )
