"""What an evaluation hands to the store: arrays and facts, no model and no torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drf import landmarks, metrics

COLLAPSED_SPREAD = 0.1
"""Spread of the predictions over that of the labels below which a model ignores the picture."""


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
    covariances   (n, 68, 2, 2) float32, squared picture px: the errors that the model expects,
                  NaN at landmarks it does not know; None where it does not say
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
    covariances: np.ndarray | None = None

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


FACES_PER_LEAF = 6
LEAVES = 64
"""At most so many leaves of a run are kept: they are a sample to look at, not the forest."""
MAP_SIDE = 64


@dataclass(frozen=True)
class LeafPicture:
    """What one leaf of a forest holds, and the validation faces it attracts.

    tree, leaf    its place in the forest
    title         what it speaks of, e.g. "landmark 36" or "whole face"
    share         share of its tree's routing mass over the validation faces, 0..1
    points        (k, 2) float32 unit box: where its content lies; absolute, also where it holds
                  residuals
    spread        (k, 2) float32: standard deviations of its content in x and y, unit box
    landmarks     (k,) which of the 68 the points are; empty where it serves whichever is asked
    faces         positions in the validation set, at most FACES_PER_LEAF, the most attracted first
    weights       of those faces: the routing probability of the leaf, 0..1
    distribution  (H, W) float32, none below 0, at most MAP_SIDE a side: what it holds over the
                  cells of `extent` (a map, or the outer product of y and x bins); or None
    extent        (left, top, right, bottom) of the distribution, unit box; None without one

    Raises ValueError for what does not fit together.
    """

    tree: int
    leaf: int
    title: str
    share: float
    points: np.ndarray
    spread: np.ndarray
    landmarks: tuple[int, ...] = ()
    faces: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    distribution: np.ndarray | None = None
    extent: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        k = len(self.points)
        if self.points.shape != (k, 2) or self.spread.shape != (k, 2):
            raise ValueError(f"need (k, 2) twice, got {self.points.shape} and {self.spread.shape}")
        if self.landmarks and len(self.landmarks) != k:
            raise ValueError(f"{k} points but {len(self.landmarks)} landmarks")
        if not len(self.faces) == len(self.weights) <= FACES_PER_LEAF:
            raise ValueError(f"{len(self.faces)} faces with {len(self.weights)} weights")
        if (self.distribution is None) != (self.extent is None):
            raise ValueError("a distribution needs an extent, and only a distribution does")
        if self.distribution is not None:
            shape = self.distribution.shape
            if len(shape) != 2 or not 0 < min(shape) <= max(shape) <= MAP_SIDE:
                raise ValueError(f"need (H, W) up to {MAP_SIDE} cells a side, got {shape}")


@dataclass(frozen=True)
class LeafGallery:
    """Leaves of a trained forest, to be looked at.

    leaves      at most LEAVES
    faces       the validation faces that they attract, by position in the validation set
    mean_shape  (68, 2) float32 unit box, of the validation faces
    """

    leaves: tuple[LeafPicture, ...]
    faces: dict[int, FaceCrop]
    mean_shape: np.ndarray
