"""Affine maps between picture, crop and unit box, their inverses, and maps that fit shapes.

Frames, all with x to the right and y down:
  picture   px of the original picture, 0-based, pixel centres at integers
  crop      px of a square crop of `size` px, likewise
  unit      0..1 over a box: unit = (crop + 0.5) / size
An affine map is a (2, 3) or (n, 2, 3) float64 array A: q = A[:, :2] p + A[:, 2].
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


def crop_to_picture(boxes: np.ndarray, size: int) -> np.ndarray:
    """Return the maps from crop px to picture px. (n, 3) boxes (cx, cy, side) -> (n, 2, 3).

    The box's centre is the crop's centre: x = cx + (u - (size - 1) / 2) * side / size.
    """
    boxes = np.asarray(boxes, dtype=np.float64)
    maps = np.zeros((len(boxes), 2, 3))
    scale = boxes[:, 2] / size
    maps[:, 0, 0] = maps[:, 1, 1] = scale
    maps[:, :, 2] = boxes[:, :2] - scale[:, None] * (size - 1) / 2
    return maps


def invert(maps: np.ndarray) -> np.ndarray:
    """Return the inverse affine maps. (..., 2, 3) -> (..., 2, 3)."""
    linear = np.linalg.inv(maps[..., :2])
    return np.concatenate([linear, -linear @ maps[..., 2:]], axis=-1)


def apply(maps: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Map points. (..., 2, 3), (..., k, 2) -> (..., k, 2) float64."""
    return points @ np.swapaxes(maps[..., :2], -1, -2) + maps[..., None, :, 2]


def to_unit(points: np.ndarray, size: int) -> np.ndarray:
    """Crop px -> unit box. (..., 2) -> (..., 2)."""
    return (points + 0.5) / size


def from_unit(points: np.ndarray, size: int) -> np.ndarray:
    """Unit box -> crop px. (..., 2) -> (..., 2)."""
    return points * size - 0.5


def ellipses(
    centres: np.ndarray, covariances: np.ndarray, *, sigmas: float = 2.0, vertices: int = 24
) -> np.ndarray:
    """Return closed outlines at a Mahalanobis distance. (k, 2), (k, 2, 2) -> (k, vertices + 1, 2).

    x = m + sigmas V sqrt(L) u with S = V L V^T and u around the unit circle, so that
    (x - m)^T S^-1 (x - m) = sigmas^2. Covariances are symmetric, in the squared unit of the
    centres; a direction without variance (or less than none, by rounding) is flat.
    """
    angles = np.linspace(0, 2 * np.pi, vertices + 1)
    circle = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
    variances, axes = np.linalg.eigh(covariances)
    half = sigmas * axes * np.sqrt(np.maximum(variances, 0.0))[:, None, :]
    return centres[:, None, :] + circle @ np.swapaxes(half, -1, -2)


def similarities(sources: np.ndarray, targets: np.ndarray) -> np.ndarray:
    """Return the maps that bring sources closest to targets: (n, K, 2), (…, K, 2) -> (n, 2, 3).

    Each is p -> a R p + t, a scaled rotation without reflection, least in sum |a R p + t - q|^2.
    `apply` and `invert` take them. Raises ValueError where a source is a single point repeated.
    """
    sources, targets = np.broadcast_arrays(sources, targets)
    p_mean, q_mean = sources.mean(axis=1), targets.mean(axis=1)
    p, q = sources - p_mean[:, None], targets - q_mean[:, None]
    spread = (p**2).sum(axis=(1, 2))
    if not (spread > 0).all():
        raise ValueError("a shape whose points coincide has no similarity to another")
    c = (p * q).sum(axis=(1, 2)) / spread  # scale * cos
    s = (p[..., 0] * q[..., 1] - p[..., 1] * q[..., 0]).sum(axis=1) / spread  # scale * sin
    linear = np.stack([np.stack([c, -s], axis=-1), np.stack([s, c], axis=-1)], axis=1)
    shift = q_mean - (linear @ p_mean[..., None])[..., 0]
    return np.concatenate([linear, shift[..., None]], axis=-1)


@dataclass(frozen=True)
class Aligned:
    """Generalised Procrustes analysis.

    shapes  (n, K, 2), each source under its map
    maps    (n, 2, 3), from the sources' frame to the mean's; inverse: `invert`
    mean    (K, 2), in the pose of the sources' plain mean: its centre, size and orientation
    """

    shapes: np.ndarray
    maps: np.ndarray
    mean: np.ndarray


def procrustes(shapes: np.ndarray, *, iterations: int = 10) -> Aligned:
    """Align shapes to their common mean by similarities. (n, K, 2) -> Aligned."""
    reference = shapes.mean(axis=0)
    mean = reference
    for _ in range(iterations):
        aligned = apply(similarities(shapes, mean), shapes)
        mean = aligned.mean(axis=0)
        mean = apply(similarities(mean[None], reference), mean[None])[0]  # no shrinking
    maps = similarities(shapes, mean)
    return Aligned(apply(maps, shapes), maps, mean)
