"""Pictures that the store keeps: crops of faces, and leaves of a trained forest. No torch."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FaceCrop:
    """The stored picture of one face, for overlays.

    points      (K, 2) float32 ground truth, 0-based picture px; NaN where a landmark is missing
    jpeg        the crop, RGB, JPEG bytes
    to_picture  (2, 3) float64 affine map, crop px -> picture px
    visibility  (K,) uint8, see `drf.landmarks.markup`; None where all landmarks are visible
    """

    name: str
    points: np.ndarray
    jpeg: bytes
    to_picture: np.ndarray
    visibility: np.ndarray | None = None


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
    std           (k, 2) float32: standard deviations of its content in x and y, unit box
    landmarks     (k,) indices in the markup; empty where it serves whichever is asked
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
    std: np.ndarray
    landmarks: tuple[int, ...] = ()
    faces: tuple[int, ...] = ()
    weights: tuple[float, ...] = ()
    distribution: np.ndarray | None = None
    extent: tuple[float, float, float, float] | None = None

    def __post_init__(self) -> None:
        k = len(self.points)
        if self.points.shape != (k, 2) or self.std.shape != (k, 2):
            raise ValueError(f"need (k, 2) twice, got {self.points.shape} and {self.std.shape}")
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
    mean_shape  (K, 2) float32 unit box, of the validation faces
    """

    leaves: tuple[LeafPicture, ...]
    faces: dict[int, FaceCrop]
    mean_shape: np.ndarray
