"""Drawing with sub-pixel positions, noise fields to draw with, and textured backgrounds."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import cv2
import numpy as np

TILE = 512
"""Side of a noise tile, px."""

GRAIN_SPREAD = 28.0


def _normalised(field: np.ndarray) -> np.ndarray:
    return ((field - field.mean()) / field.std()).astype(np.float32)


@lru_cache(maxsize=1)
def noise_tiles() -> dict[str, np.ndarray]:
    """Return (TILE, TILE) float32 fields of zero mean and unit spread.

    fine, medium, coarse: white noise smoothed to about 1, 4 and 16 px; cloud: all octaves;
    strands: streaks along y; white: unsmoothed.
    """
    rng = np.random.default_rng(20210517)
    white = rng.standard_normal((TILE, TILE)).astype(np.float32)

    def smooth(sx: float, sy: float) -> np.ndarray:
        source = rng.standard_normal((TILE, TILE)).astype(np.float32)
        return _normalised(
            cv2.GaussianBlur(source, (0, 0), sx, sigmaY=sy, borderType=cv2.BORDER_REFLECT)
        )

    fine, medium, coarse, broad = smooth(1, 1), smooth(4, 4), smooth(16, 16), smooth(48, 48)
    return {
        "white": white,
        "fine": fine,
        "medium": medium,
        "coarse": coarse,
        "cloud": _normalised(0.3 * fine + 0.6 * medium + coarse + 1.5 * broad),
        "strands": _normalised(smooth(1.0, 14) + 0.8 * smooth(3.0, 40)),
    }


def cut(name: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a random (H, W) view of a tile; H and W at most TILE."""
    y, x = (int(rng.integers(0, TILE - n + 1)) for n in shape)
    return noise_tiles()[name][y : y + shape[0], x : x + shape[1]]


@lru_cache(maxsize=1)
def grain() -> np.ndarray:
    """Return a (TILE, TILE, 3) uint8 field of colour noise: mean 128, spread GRAIN_SPREAD."""
    noise = np.random.default_rng(20210705).standard_normal((TILE, TILE, 3))
    return np.clip(np.rint(128 + GRAIN_SPREAD * noise), 0, 255).astype(np.uint8)


_SHIFT = 4  # fractional bits of cv2's drawing


Colour = np.ndarray | tuple[float, ...] | float
"""RGB 0..255 for pictures, one value for masks; cv2 saturates what lies outside."""


def fixed(points: np.ndarray) -> np.ndarray:
    """Convert (..., n, 2) px to cv2's fixed-point int32."""
    return np.rint(points * (1 << _SHIFT)).astype(np.int32)


def _scalar(colour: Colour) -> Any:
    return colour.tolist() if isinstance(colour, np.ndarray) else colour


def fill(picture: np.ndarray, polygon: np.ndarray, colour: Colour) -> None:
    """Fill a closed (n, 2) px polygon, anti-aliased, in place."""
    cv2.fillPoly(picture, [fixed(polygon)], _scalar(colour), lineType=cv2.LINE_AA, shift=_SHIFT)


def stroke(
    picture: np.ndarray, curve: np.ndarray, colour: Colour, width: int = 1, closed: bool = False
) -> None:
    """Draw an open or closed (n, 2) px polyline, anti-aliased, in place."""
    line = [fixed(curve)]
    cv2.polylines(picture, line, closed, _scalar(colour), width, cv2.LINE_AA, _SHIFT)


def strokes(picture: np.ndarray, segments: np.ndarray, colour: Colour) -> None:
    """Draw many (n, k, 2) px polylines one pixel wide, anti-aliased, in place."""
    lines = list(fixed(segments))
    cv2.polylines(picture, lines, False, _scalar(colour), 1, cv2.LINE_AA, _SHIFT)


def disc(
    picture: np.ndarray,
    centre: np.ndarray,
    axes: tuple[float, float],
    angle: float,
    colour: Colour,
) -> None:
    """Fill an ellipse of half-axes `axes` px turned by `angle` degrees, anti-aliased, in place."""
    unit = 1 << _SHIFT
    at = (round(float(centre[0]) * unit), round(float(centre[1]) * unit))
    reach = (round(max(axes[0], 0.5) * unit), round(max(axes[1], 0.5) * unit))
    cv2.ellipse(picture, at, reach, angle, 0, 360, _scalar(colour), -1, cv2.LINE_AA, _SHIFT)


def polygon_mask(shape: tuple[int, ...], polygon: np.ndarray, soft: bool = False) -> np.ndarray:
    """Return the mask of a closed polygon, (n, 2) px: (H, W) uint8 of shape[:2], 255 inside.

    soft: with an edge about three pixels wide.
    """
    mask = np.zeros(shape[:2], np.uint8)
    fill(mask, polygon, 255)
    return np.asarray(cv2.blur(mask, (3, 3))) if soft else mask


class Patch(NamedTuple):
    """A rectangle of a picture: a view to draw on, and where it lies."""

    region: np.ndarray  # (h, w, ...) view; empty when the rectangle is outside the picture
    origin: np.ndarray  # (2,) px of its first pixel in the picture
    view: tuple[slice, slice]  # rows and columns


def patch(picture: np.ndarray, points: np.ndarray, margin: float) -> Patch:
    """Return the part of a picture around (n, 2) px points."""
    height, width = picture.shape[:2]
    left, top = np.minimum.reduce(points).tolist()
    right, bottom = np.maximum.reduce(points).tolist()
    x0, x1 = (min(max(int(x), 0), width) for x in (left - margin, right + margin + 2))
    y0, y1 = (min(max(int(y), 0), height) for y in (top - margin, bottom + margin + 2))
    view = (slice(y0, y1), slice(x0, x1))
    return Patch(picture[view], np.array([x0, y0], dtype=np.float64), view)


def blend(picture: np.ndarray, source: np.ndarray, alpha: np.ndarray) -> None:
    """Mix `source` into a uint8 picture by `alpha`, in place.

    source: an RGB colour 0..255 or a uint8 picture of the same size; alpha: (h, w), uint8 0..255 or
    a float 0..1.
    """
    if picture.size == 0:
        return
    if alpha.dtype == np.uint8:
        alpha = alpha * np.float32(1 / 255)
    alpha = alpha.astype(np.float32, copy=False)
    if source.ndim == 1:
        colour, source = source.tolist(), np.empty(picture.shape, np.uint8)
        cv2.rectangle(source, (0, 0), picture.shape[1::-1], colour, -1)
    picture[:] = cv2.blendLinear(source, picture, alpha, 1 - alpha)


def tinted(colour: np.ndarray, texture: np.ndarray) -> np.ndarray:
    """Return the (h, w, 3) uint8 picture of a colour times a (h, w) float32 texture >= 0."""
    planes = [cv2.convertScaleAbs(texture, alpha=max(0.0, float(value))) for value in colour]
    return np.asarray(cv2.merge(planes))


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
    """Return a Catmull-Rom curve through (n, d) points: per_span points for each span between two
    of them, (m, d), in the unit of the points."""
    return _spline_matrix(len(points), per_span, closed) @ points


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour; one in four is near skin's: colour alone must not find the face."""
    if rng.random() < 0.25:
        colour = np.array([200, 150, 115]) * rng.uniform(0.35, 1.15) + rng.normal(0, 10, 3)
    else:
        colour = rng.uniform(15, 235) + rng.normal(0, 38, 3)
    return np.clip(colour, 0, 255)


def draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a (size, size, 3) uint8 picture: two colours mixed by a field, clutter, blur."""
    focused = rng.random() < 0.35
    small = size if focused else size // 2  # blur is cheaper where there are fewer pixels
    first, second = _colour(rng), _colour(rng)
    field = _draw_field(small, rng)
    # A mix of two colours in 0..255 stays in 0..255.
    picture = cv2.merge(
        [
            cv2.convertScaleAbs(field, alpha=a - b, beta=b)
            for a, b in zip(first.tolist(), second.tolist(), strict=True)
        ]
    )
    _draw_clutter(picture, rng)
    if focused:
        return np.asarray(picture)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.7))
    return np.asarray(cv2.resize(picture, (size, size)))


def _draw_field(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return (size, size) float32 in 0..1: clouds, a ramp, stripes, blotches or brushed streaks."""
    kind = rng.choice(5, p=(0.3, 0.2, 0.2, 0.15, 0.15))
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = axis * np.float32(np.cos(angle)) + axis[:, None] * np.float32(np.sin(angle))
    if kind == 0:
        field = 0.5 + 0.3 * cut("cloud", (size, size), rng)
    elif kind == 1:
        field = 0.5 + ramp
    elif kind == 2:
        field = 0.5 + 0.5 * np.sin(ramp * np.float32(rng.uniform(12, 90)))
        field = np.rint(field) if rng.random() < 0.5 else field
    elif kind == 3:
        blotches = np.abs(cut("medium", (size, size), rng)) < rng.uniform(0.3, 1.0)
        field = blotches.astype(np.float32)
    else:
        field = 0.5 + ramp + 0.35 * cut("strands", (size, size), rng)
    return np.clip(field, 0, 1)


def _draw_clutter(picture: np.ndarray, rng: np.random.Generator) -> None:
    size = picture.shape[0]
    for _ in range(int(rng.choice([0, 3, 8, 16]))):
        centre, colour = rng.uniform(0, size, 2), _colour(rng)
        reach = rng.uniform(0.03, 0.3, 2) * size
        if rng.random() < 0.5:
            disc(picture, centre, (reach[0], reach[1]), rng.uniform(0, 180), colour)
        else:
            turn = rng.uniform(0, np.pi)
            axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach
            fill(picture, centre + corners @ axes, colour)
