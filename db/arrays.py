"""Arrays as BLOBs: little-endian, C order, no header, so that any language reads them.

The number of landmarks, K, is that of the row's markup, and follows from the length of the BLOB.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drf.landmarks.markup import MISSING, VISIBLE

POINT_BYTES = 2 * 4
COVARIANCE_BYTES = 3 * 2
"""Bytes of one landmark: x and y; standard deviations in x and y, and their correlation."""


def points_to_blob(points: np.ndarray, n_points: int) -> bytes:
    """(K, 2) -> 8 K bytes of float32, x before y; every NaN in the same bits, so that equal points
    are equal BLOBs. Raises ValueError for another shape than n_points, K, asks for."""
    if points.shape != (n_points, 2):
        raise ValueError(f"need ({n_points}, 2) points, got {points.shape}")
    return np.where(np.isnan(points), np.nan, points).astype("<f4").tobytes()


def points_from_blob(blob: bytes) -> np.ndarray:
    """8 K bytes -> (K, 2) float32, native byte order and writable."""
    return np.frombuffer(blob, dtype="<f4").astype(np.float32).reshape(-1, 2)


def points_from_blobs(blobs: Sequence[bytes]) -> np.ndarray:
    """n >= 1 times 8 K bytes -> (n, K, 2) float32, native byte order and writable.

    Raises ValueError for BLOBs that differ in length.
    """
    if len(lengths := {len(blob) for blob in blobs}) != 1:
        raise ValueError(f"need points of one length, got {sorted(lengths)} bytes")
    joined = np.frombuffer(b"".join(blobs), dtype="<f4").astype(np.float32)
    return joined.reshape(len(blobs), -1, 2)


def visibility_to_blob(visibility: np.ndarray | None, points: np.ndarray) -> bytes | None:
    """(K,), see `drf.landmarks.markup`, of (K, 2) points -> K bytes; None where all landmarks are
    visible.

    Raises ValueError where points and visibility do not say the same of missing landmarks.
    """
    there = np.isfinite(points).all(axis=1)
    if visibility is None:
        visibility = np.where(there, VISIBLE, MISSING)
    if not np.array_equal(there, np.asarray(visibility) != MISSING):
        raise ValueError("missing landmarks must be NaN, and marked as missing")
    return None if np.all(visibility == VISIBLE) else np.asarray(visibility, np.uint8).tobytes()


def visibility_from_blob(blob: bytes | None) -> np.ndarray | None:
    """K bytes -> (K,) uint8, see `drf.landmarks.markup`; None where all landmarks are visible."""
    return None if blob is None else np.frombuffer(blob, np.uint8).copy()


def affine_to_blob(matrix: np.ndarray) -> bytes:
    """(2, 3) -> 48 bytes of float64. Raises ValueError for another shape."""
    if matrix.shape != (2, 3):
        raise ValueError(f"need a (2, 3) matrix, got {matrix.shape}")
    return matrix.astype("<f8").tobytes()


def affine_from_blob(blob: bytes) -> np.ndarray:
    """48 bytes -> (2, 3) float64."""
    return np.frombuffer(blob, dtype="<f8").astype(np.float64).reshape(2, 3)


def map_to_blob(cells: np.ndarray) -> bytes:
    """(H, W), none below 0 -> 2 H W bytes of float16, relative to the largest cell: three digits
    are plenty for a picture, and small probabilities stay normal numbers."""
    return (cells / max(float(cells.max()), np.finfo(np.float32).tiny)).astype("<f2").tobytes()


def map_from_blob(blob: bytes, height: int, width: int) -> np.ndarray:
    """2 H W bytes -> (H, W) float32, the largest cell 1."""
    return np.frombuffer(blob, dtype="<f2").astype(np.float32).reshape(height, width)


def covariances_to_blob(covariances: np.ndarray, n_points: int) -> bytes:
    """(K, 2, 2) -> 6 K bytes of float16: sd of x, sd of y, correlation of each landmark.

    Squared picture px; NaN stays NaN. Raises ValueError for another shape.
    """
    if covariances.shape != (n_points, 2, 2):
        raise ValueError(f"need ({n_points}, 2, 2) covariances, got {covariances.shape}")
    covariances = covariances.astype(np.float64)
    sds = np.sqrt(np.maximum(np.diagonal(covariances, axis1=1, axis2=2), 0.0))
    products = sds.prod(axis=1)
    correlation = np.divide(
        covariances[:, 0, 1], products, out=np.zeros_like(products), where=products != 0
    )
    return np.column_stack([sds, correlation.clip(-1, 1)]).astype("<f2").tobytes()


def covariances_from_blobs(blobs: Sequence[bytes]) -> np.ndarray:
    """n >= 1 times 6 K bytes -> (n, K, 2, 2) float32, squared picture px."""
    stored = np.frombuffer(b"".join(blobs), dtype="<f2").astype(np.float32)
    x, y, correlation = np.moveaxis(stored.reshape(len(blobs), -1, 3), -1, 0)
    xy = correlation * x * y
    return np.stack([x * x, xy, xy, y * y], axis=-1).reshape(len(blobs), -1, 2, 2)
