"""Arrays as BLOBs: little-endian, C order, no header, so that any language reads them."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np

from drf.landmarks import N_POINTS

POINTS_BYTES = N_POINTS * 2 * 4
COVARIANCES_BYTES = N_POINTS * 3 * 2


def points_to_blob(points: np.ndarray) -> bytes:
    """(68, 2) -> 544 bytes of float32, x before y. Raises ValueError for another shape."""
    if points.shape != (N_POINTS, 2):
        raise ValueError(f"need ({N_POINTS}, 2) points, got {points.shape}")
    return points.astype("<f4").tobytes()


def points_from_blob(blob: bytes) -> np.ndarray:
    """544 bytes -> (68, 2) float32, native byte order and writable."""
    return points_from_blobs([blob])[0]


def points_from_blobs(blobs: Iterable[bytes]) -> np.ndarray:
    """n times 544 bytes -> (n, 68, 2) float32, native byte order and writable."""
    return np.frombuffer(b"".join(blobs), dtype="<f4").astype(np.float32).reshape(-1, N_POINTS, 2)


def affine_to_blob(matrix: np.ndarray) -> bytes:
    """(2, 3) -> 48 bytes of float64. Raises ValueError for another shape."""
    if matrix.shape != (2, 3):
        raise ValueError(f"need a (2, 3) matrix, got {matrix.shape}")
    return matrix.astype("<f8").tobytes()


def affine_from_blob(blob: bytes) -> np.ndarray:
    """48 bytes -> (2, 3) float64."""
    return np.frombuffer(blob, dtype="<f8").astype(np.float64).reshape(2, 3)


def pairs_to_blob(pairs: np.ndarray) -> bytes:
    """(k, 2) -> 8 k bytes of float32, x before y. Raises ValueError for another shape."""
    if pairs.ndim != 2 or pairs.shape[1] != 2:
        raise ValueError(f"need (k, 2) pairs, got {pairs.shape}")
    return pairs.astype("<f4").tobytes()


def pairs_from_blob(blob: bytes) -> np.ndarray:
    """8 k bytes -> (k, 2) float32."""
    return np.frombuffer(blob, dtype="<f4").astype(np.float32).reshape(-1, 2)


def map_to_blob(cells: np.ndarray) -> bytes:
    """(H, W), none below 0 -> 2 H W bytes of float16, relative to the largest cell: three digits
    are plenty for a picture, and small probabilities stay normal numbers."""
    return (cells / max(float(cells.max()), np.finfo(np.float32).tiny)).astype("<f2").tobytes()


def map_from_blob(blob: bytes, height: int, width: int) -> np.ndarray:
    """2 H W bytes -> (H, W) float32, the largest cell 1."""
    return np.frombuffer(blob, dtype="<f2").astype(np.float32).reshape(height, width)


def covariances_to_blob(covariances: np.ndarray) -> bytes:
    """(68, 2, 2) -> 408 bytes of float16: sd of x, sd of y, correlation of each landmark.

    Squared picture px; NaN stays NaN. Raises ValueError for another shape.
    """
    if covariances.shape != (N_POINTS, 2, 2):
        raise ValueError(f"need ({N_POINTS}, 2, 2) covariances, got {covariances.shape}")
    covariances = covariances.astype(np.float64)
    sds = np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 0.0))
    products = sds.prod(axis=1)
    correlation = np.divide(
        covariances[:, 0, 1], products, out=np.zeros_like(products), where=products != 0
    )
    return np.column_stack([sds, correlation.clip(-1, 1)]).astype("<f2").tobytes()


def covariances_from_blobs(blobs: Iterable[bytes]) -> np.ndarray:
    """n times 408 bytes -> (n, 68, 2, 2) float32, squared picture px."""
    stored = np.frombuffer(b"".join(blobs), dtype="<f2").astype(np.float32)
    x, y, correlation = np.moveaxis(stored.reshape(-1, N_POINTS, 3), -1, 0)
    xy = correlation * x * y
    return np.stack([x * x, xy, xy, y * y], axis=-1).reshape(-1, N_POINTS, 2, 2)
