"""What an evaluation hands to the store: arrays and facts, no model and no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drf import landmarks, metrics


@dataclass(frozen=True)
class Evaluation:
    """Predictions of one model on one subset, in picture coordinates.

    names         n face names, unique in the dataset
    ground_truth  (n, 68, 2) float32, 0-based picture px
    predictions   (n, 68, 2) float32, 0-based picture px
    points        landmark subset that the errors are averaged over (a key of `landmarks.SUBSETS`)
    box           box protocol of the crops: gt, gt_jitter or file
    flip_test     whether a picture and its mirror image were averaged
    manifest      counts, skipped faces and digest of the subset that was read
    ms_per_face   wall time of the model alone, batched, milliseconds
    """

    dataset: str
    subset: str
    names: tuple[str, ...]
    ground_truth: np.ndarray
    predictions: np.ndarray
    points: str
    box: str
    flip_test: bool
    manifest: dict[str, object]
    ms_per_face: float

    def errors(self, norm: metrics.Norm) -> np.ndarray:
        """Return the (n,) image errors as fractions."""
        return metrics.image_errors(
            self.predictions, self.ground_truth, norm, landmarks.indices(self.points)
        )


@dataclass(frozen=True)
class FaceCrop:
    """The stored picture of one face, for overlays.

    points      (68, 2) float32 ground truth, 0-based picture px
    jpeg        the crop, RGB, JPEG bytes
    to_picture  (2, 3) float64 affine map, crop px -> picture px
    """

    name: str
    points: np.ndarray
    jpeg: bytes
    to_picture: np.ndarray
