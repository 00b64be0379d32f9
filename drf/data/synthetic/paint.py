"""Drawing with sub-pixel positions: anti-aliased masks, curves through points, blending in place."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

_SHIFT = 4  # fractional bits of cv2's drawing


def fixed(points: np.ndarray) -> np.ndarray:
    """Convert (n, 2) px to cv2's fixed-point int32."""
    return np.round(np.asarray(points) * (1 << _SHIFT)).astype(np.int32)


def fill(picture: np.ndarray, polygon: np.ndarray, colour: tuple[float, ...] | float) -> None:
    """Fill a closed (n, 2) px polygon, anti-aliased, in place."""
    cv2.fillPoly(picture, [fixed(polygon)], colour, lineType=cv2.LINE_AA, shift=_SHIFT)


def stroke(picture: np.ndarray, curve: np.ndarray, colour: tuple[float, ...] | float,
           width: int = 1, closed: bool = False) -> None:  # fmt: skip
    """Draw an open or closed (n, 2) px polyline, anti-aliased, in place."""
    cv2.polylines(picture, [fixed(curve)], closed, colour, width, cv2.LINE_AA, _SHIFT)


def disc(picture: np.ndarray, centre: np.ndarray, axes: tuple[float, float], angle: float,
         colour: tuple[float, ...] | float) -> None:  # fmt: skip
    """Fill an ellipse of half-axes `axes` px turned by `angle` degrees, anti-aliased, in place."""
    c, a = fixed(np.asarray(centre)), fixed(np.maximum(axes, 0.5))
    cv2.ellipse(picture, c.tolist(), a.tolist(), angle, 0, 360, colour, -1, cv2.LINE_AA, _SHIFT)


def polygon_mask(shape: tuple[int, ...], polygon: np.ndarray, blur: float = 0.0) -> np.ndarray:
    """Return a uint8 mask (255 inside), optionally softened by a Gaussian of `blur` px."""
    mask = np.zeros(shape[:2], np.uint8)
    fill(mask, polygon, 255)
    return cv2.GaussianBlur(mask, (0, 0), blur) if blur > 0 else mask


def window(points: np.ndarray, margin: float, shape: tuple[int, ...]) -> tuple[slice, slice]:
    """Return the (rows, columns) of the picture around points; may be empty."""
    low = np.floor(points.min(axis=0) - margin).astype(int)
    high = np.ceil(points.max(axis=0) + margin).astype(int) + 1
    x0, x1 = np.clip((low[0], high[0]), 0, shape[1])
    y0, y1 = np.clip((low[1], high[1]), 0, shape[0])
    return slice(int(y0), int(y1)), slice(int(x0), int(x1))


def blend(picture: np.ndarray, source: np.ndarray, alpha: np.ndarray) -> None:
    """Mix a colour or a picture of the same size into uint8 `picture` by alpha (0..1 or uint8), in place."""
    if picture.size == 0:
        return
    if alpha.dtype == np.uint8:
        alpha = alpha.astype(np.float32) * np.float32(1 / 255)
    if source.ndim == 1:
        source = np.broadcast_to(source.astype(np.float32), picture.shape)
    alpha = np.ascontiguousarray(alpha, dtype=np.float32)
    mixed = cv2.blendLinear(np.ascontiguousarray(source, dtype=np.float32), picture.astype(np.float32),
                            alpha, 1 - alpha)  # fmt: skip
    np.copyto(picture, np.clip(mixed, 0, 255), casting="unsafe")


@lru_cache(maxsize=64)
def _spline_matrix(n: int, per_span: int, closed: bool) -> np.ndarray:
    spans = n if closed else n - 1
    t = np.arange(spans * per_span + (not closed)) / per_span
    span = np.minimum(t.astype(int), spans - 1)
    u = t - span
    weights = 0.5 * np.stack(
        [-u + 2 * u**2 - u**3, 2 - 5 * u**2 + 3 * u**3, u + 4 * u**2 - 3 * u**3, -(u**2) + u**3]
    )
    matrix = np.zeros((len(t), n))
    for offset, weight in zip((-1, 0, 1, 2), weights, strict=True):
        column = (span + offset) % n if closed else np.clip(span + offset, 0, n - 1)
        np.add.at(matrix, (np.arange(len(t)), column), weight)
    return matrix


def spline(points: np.ndarray, per_span: int = 5, closed: bool = False) -> np.ndarray:
    """Return a Catmull-Rom curve through (n, d) points."""
    return np.einsum("ij,jk->ik", _spline_matrix(len(points), per_span, closed), points)
