"""Eyes, brows, lips and nostrils, drawn as curves through the projected points."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from drf.data.synthetic.paint import (
    blend,
    cut,
    disc,
    fill,
    patch,
    polygon_mask,
    spline,
    stroke,
    strokes,
)
from drf.data.synthetic.skin import Look

NOSTRIL_TONE = np.array([0.20, 0.13, 0.12])
"""Colour of a nostril's inside relative to the skin."""

_BROW_ALONG = np.linspace(0, 1, 17)[:, None]  # from the tail to the root
_BROW_TAPER = 0.35 + 0.9 * _BROW_ALONG - 0.35 * _BROW_ALONG**3


@dataclass(frozen=True)
class Canvas:
    """What the parts are drawn on and with."""

    picture: np.ndarray  # (H, W, 3) uint8 RGB, drawn in place
    points: np.ndarray  # (68, 2) px
    gain: np.ndarray  # (68, 3) light at the points
    look: Look
    unit: float  # px per head unit
    turned: bool  # whether the nose may hide a part of an eye or a brow
    seen: np.ndarray  # (H, W) float32: share of the skin that is seen there
    side: np.ndarray  # (H, W) float32: texture px from the midline of the skin seen there


def _visible(canvas: Canvas, view: tuple[slice, slice], edge: float) -> np.ndarray:
    """Return (h, w) 0..1: skin on the eye's own side of the nose; `edge` is the bound, signed."""
    sign = 1 if edge > 0 else -1
    own = canvas.side[view] * np.float32(0.5 * sign) + np.float32(0.5 - 0.5 * abs(edge))
    return np.clip(own, 0, 1) * canvas.seen[view]


def draw_eye(canvas: Canvas, lids: tuple[int, ...], gaze: np.ndarray, edge: float) -> None:
    """Draw one eye.

    lids: its points, see `head.RIGHT_LIDS`; gaze: shift of the iris towards the inner corner and
    down, in eye widths; edge: see `_visible`.
    """
    indices = list(lids)
    points = canvas.points[indices]
    a, b = points[0], points[3]
    width = float(np.hypot(*(b - a)))
    region, origin, view = patch(canvas.picture, points, 0.5 * width + 3)
    if region.size == 0:
        return
    upper, lower = spline(points[:4] - origin), spline(points[[3, 4, 5, 0]] - origin)
    opening = np.concatenate([upper[:-1], lower[:-1]])
    light = canvas.gain[indices].mean(axis=0)
    look = canvas.look
    before = region.copy() if canvas.turned else None
    ball = _eyeball(canvas, region.shape, points - origin, upper, gaze, light)
    blend(region, ball, polygon_mask(region.shape, opening))

    dark = look.skin * light * (0.42 - 0.2 * look.lashes)
    up = points[[1, 2]].mean(axis=0) - points[[4, 5]].mean(axis=0)
    up /= max(float(np.hypot(*up)), 1e-6)
    middle = np.sin(np.linspace(0, np.pi, len(upper)))[:, None]
    crease = upper + up * (0.6 + (0.10 + 0.06 * look.age) * width) * middle
    stroke(region, crease, look.skin * light * 0.74)
    stroke(region, lower, look.skin * light * (0.68 - 0.15 * look.lashes))
    stroke(region, upper, dark, 2 if width > 17 else 1)
    if look.lashes > 0.5:
        stroke(region, upper + 0.5 * up * middle, dark * 0.6, 2)
    if before is not None:
        blend(region, before, 1 - _visible(canvas, view, edge))


def _eyeball(
    canvas: Canvas,
    shape: tuple[int, ...],
    points: np.ndarray,
    upper: np.ndarray,
    gaze: np.ndarray,
    light: np.ndarray,
) -> np.ndarray:
    """Paint white, iris, pupil, highlight and the shadow of the upper lid on a patch."""
    ball = np.empty(shape, np.uint8)
    ball[:] = np.clip(np.array([226, 218, 212]) * light, 0, 255)
    look, axis = canvas.look, points[3] - points[0]
    width = max(float(np.hypot(*axis)), 1e-6)
    axis = axis / width
    down = np.array([-axis[1], axis[0]]) * np.sign(axis[0] or 1)
    centre = (points[0] + points[3]) / 2 + axis * gaze[0] * width + down * (gaze[1] - 0.02) * width
    radius = 0.031 * canvas.unit
    corner = points[3] - axis * 0.05 * width
    disc(ball, corner, (0.07 * width, 0.05 * width), 0, np.array([206, 130, 120]) * light)
    disc(ball, centre, (radius, radius), 0, look.iris * light * 0.45)
    disc(ball, centre, (0.84 * radius, 0.84 * radius), 0, look.iris * light * 1.1)
    disc(ball, centre, (0.42 * radius, 0.42 * radius), 0, np.array([10, 8, 8]))
    shade = polygon_mask(
        shape, np.concatenate([upper, upper[::-1] + 0.11 * width * down]), soft=True
    )
    blend(ball, look.skin * light * 0.25, shade * np.float32(0.5 / 255))
    glint = centre + np.array([-0.3, -0.35]) * radius
    spark = np.full(3, 250.0) * min(1.0, light.mean() + 0.3)
    disc(ball, glint, (0.22 * radius, 0.22 * radius), 0, spark)
    return ball


def draw_brow(
    canvas: Canvas, indices: list[int], thickness: float, rng: np.random.Generator, edge: float
) -> None:
    """Draw one brow along its five points (tail first): a soft tapered band of hairs."""
    points = canvas.points[indices]
    curve, along = spline(points, per_span=4), _BROW_ALONG
    steps = curve[1:] - curve[:-1]
    tangent = np.concatenate([steps[:1], steps])
    tangent /= np.hypot(tangent[:, :1], tangent[:, 1:]) + 1e-9
    down = np.stack([-tangent[:, 1], tangent[:, 0]], axis=1) * (1 if edge < 0 else -1)
    half = thickness * canvas.look.brow_weight * _BROW_TAPER
    band = np.concatenate([curve - half * down, (curve + half * down)[::-1]])
    region, origin, view = patch(canvas.picture, band, 4)
    if region.size == 0:
        return
    mask = polygon_mask(region.shape, band - origin, soft=True)
    hairs = np.zeros(region.shape[:2], np.uint8)
    place, length = rng.uniform((-0.2, 0.7), (1.1, 1.5), (len(curve), 2)).T[..., None]
    starts = curve + down * half * place - origin
    ends = starts - (down * (0.6 + along) + tangent * 1.3) * half * length
    strokes(hairs, np.stack([starts, ends], axis=1), 255)
    density = min(0.95, 0.55 + 0.3 * canvas.look.brow_weight) / 255
    grain = 0.62 + 0.14 * cut("fine", region.shape[:2], rng)
    alpha = mask * grain * np.float32(density) + hairs * np.float32(0.3 / 255)
    alpha = np.minimum(alpha, np.float32(0.95))
    if canvas.turned:
        alpha *= _visible(canvas, view, edge)
    colour = (0.72 * canvas.look.hair + 0.12 * canvas.look.skin) * canvas.gain[indices].mean(axis=0)
    blend(region, colour, alpha)


def draw_mouth(canvas: Canvas, teeth: float) -> None:
    """Draw lips, and between them teeth, tongue and the dark of the open mouth."""
    points = canvas.points
    region, origin, view = patch(canvas.picture, points[48:68], 6)
    if region.size == 0:
        return
    local = points - origin
    upper_out, lower_out = spline(local[48:55]), spline(local[[54, 55, 56, 57, 58, 59, 48]])
    upper_in, lower_in = spline(local[60:65]), spline(local[[64, 65, 66, 67, 60]])
    light = canvas.gain[48:68].mean(axis=0)
    lips = canvas.look.lips * light
    paint = np.empty(region.shape, np.uint8)
    paint[:] = np.clip(lips, 0, 255)
    # The upper lip faces down and is darker; the lower one catches the light along its middle.
    fill(paint, np.concatenate([upper_out, local[64:65], upper_in[::-1]]), 0.84 * lips)
    shine = 0.55 * local[[55, 56, 57, 58, 59]] + 0.45 * local[[55, 65, 66, 67, 59]]
    stroke(paint, spline(shine), 1.22 * lips + 12, 2)
    mask = polygon_mask(region.shape, np.concatenate([upper_out, lower_out]), soft=True)
    alpha = mask * np.float32(0.88 / 255) * canvas.seen[view]
    blend(region, np.asarray(cv2.blur(paint, (3, 3))), alpha)
    _draw_inside(region, local, np.concatenate([upper_in, lower_in[1:-1]]), teeth, light)
    line = lips * 0.36
    stroke(region, np.concatenate([local[48:49], upper_in, local[54:55]]), line)
    height = float(np.hypot(*(local[62] - local[66])))
    if height > 2:
        stroke(region, lower_in, lips * 0.6)


def _draw_inside(
    region: np.ndarray, local: np.ndarray, opening: np.ndarray, teeth: float, light: np.ndarray
) -> None:
    height = float(np.hypot(*(local[62] - local[66])))
    if height < 1.2:
        return
    inside = np.empty(region.shape, np.uint8)
    inside[:] = np.clip(np.array([52, 18, 18]) * light, 0, 255)
    down = (local[66] - local[62]) / height
    width = float(np.hypot(*(local[64] - local[60])))
    disc(
        inside,
        local[66] - down * 0.08 * height,
        (0.27 * width, 0.36 * height),
        0,
        np.array([168, 72, 70]) * light,
    )
    if teeth > 0:
        drop = min(0.62 * height, 0.13 * width) * teeth + 0.5
        upper = spline(local[60:65])
        row = np.concatenate([upper, upper[::-1] + down * drop])
        fill(inside, row, np.array([232, 224, 208]) * np.minimum(light, 1.05))
        gaps = upper[4:-4:3]
        for gap in gaps:
            stroke(
                inside,
                np.stack([gap, gap + down * drop * 0.9]),
                np.array([190, 176, 160]) * light,
            )
    blend(region, inside, polygon_mask(region.shape, opening))


def draw_nostrils(canvas: Canvas, openness: float) -> None:
    """Draw the two nostrils in place, just above the points of the nose's base.

    openness: about 0 (closed) to 1 (wide open)
    """
    points = canvas.points
    base = points[33] - points[30]
    size = float(np.hypot(*(points[35] - points[31])))
    lift = -base / max(float(np.hypot(*base)), 1e-6) * 0.06 * size
    region, origin, view = patch(canvas.picture, points[30:36], 5)
    if region.size == 0:
        return
    mask = np.zeros(region.shape[:2], np.uint8)
    angle = float(np.degrees(np.arctan2(*(points[35] - points[31])[::-1])))
    for outer, inner, tilt in ((31, 32, -18), (35, 34, 18)):
        centre = 0.32 * points[outer] + 0.68 * points[inner] + lift - origin
        reach = float(np.hypot(*(points[outer] - points[inner])))
        disc(mask, centre, (0.50 * reach, openness * 0.085 * size), angle + tilt, 235)
    along = (points[35] - points[31]) / max(size, 1e-6)
    edges = np.zeros_like(mask)
    for outer, sign in ((31, -1), (35, 1)):
        foot = points[outer] - origin
        wing = np.stack(
            [
                foot,
                foot + sign * 0.05 * along * size - 0.28 * base,
                foot - 0.62 * base - sign * 0.02 * along * size,
            ]
        )
        stroke(edges, spline(wing), 120)
    stroke(edges, spline(points[31:36] - origin), 110)
    skin = canvas.look.skin * canvas.gain[31:36].mean(axis=0)
    softened = cv2.GaussianBlur(edges, (3, 3), 0.8) * np.float32(1 / 255)
    blend(region, skin * 0.5, softened * canvas.seen[view])
    blend(region, skin * NOSTRIL_TONE, cv2.GaussianBlur(mask, (3, 3), 0.7))
