"""What the surface of the head looks like: skin, beard, wrinkles and hair in canonical space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from drf.data.synthetic import sculpt, textures
from drf.data.synthetic.look import Look
from drf.data.synthetic.sculpt import gaussian

TEXTURE = 2 * sculpt.GRID
"""Side of the canonical texture, px."""


@dataclass(frozen=True)
class _Masks:
    columns: np.ndarray  # (257,) proportions across the face for tables, -0.5..0.5
    lookup: np.ndarray  # (T, T) int: the column a texel lies in
    combed: np.ndarray  # (T, T) height, ragged along the strands
    sides: np.ndarray  # (T, T) > 0 where hair grows beside the face, however long
    cropped: np.ndarray  # (T, T) the same, ending at the ears
    wreath: np.ndarray  # (T, T) the same, without the top
    dark: (
        np.ndarray
    )  # (6, T, T): folds, forehead wrinkles, eye bags, crow's feet, hollows, underside
    red: np.ndarray  # (T, T) cheeks and nose
    beard: np.ndarray  # (T, T)
    moustache: np.ndarray  # (T, T)
    strands: np.ndarray  # (T, T) streaks that run away from the crown


def _crease(
    x: np.ndarray, y: np.ndarray, path: list[tuple[float, float]], width: float
) -> np.ndarray:
    """Return exp(-(distance to a polyline / width)^2), on both sides of the face."""
    nearest = np.full(x.shape, np.inf)
    for a, b in zip(np.array(path[:-1]), np.array(path[1:]), strict=True):
        axis = b - a
        dx, dy = np.abs(x) - a[0], y - a[1]
        t = np.clip((dx * axis[0] + dy * axis[1]) / (axis @ axis), 0, 1)
        nearest = np.minimum(nearest, np.hypot(dx - t * axis[0], dy - t * axis[1]))
    return np.exp(-((nearest / width) ** 2))


def _darkness(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return the (6, T, T) masks of `_Masks.dark`."""
    folds = _crease(x, y, [(0.085, 0.47), (0.135, 0.53), (0.175, 0.60), (0.18, 0.65)], 0.011)
    wrinkles = sum(np.exp(-(((y - h + 0.25 * x**2) / 0.008) ** 2)) for h in (0.0, 0.04, 0.08))
    wrinkles = wrinkles * np.exp(-((x / 0.22) ** 4)) + _crease(
        x, y, [(0.02, 0.13), (0.018, 0.19)], 0.008
    )
    bags = _crease(x, y, [(0.11, 0.30), (0.15, 0.318), (0.205, 0.31)], 0.014)
    crow = _crease(x, y, [(0.27, 0.25), (0.31, 0.23)], 0.006) + _crease(
        x, y, [(0.27, 0.265), (0.315, 0.28)], 0.006
    )
    hollows = (
        0.55 * _crease(x, y, [(0.075, 0.225), (0.10, 0.27)], 0.030)
        + 0.35 * _crease(x, y, [(0.13, 0.215), (0.23, 0.215)], 0.022)
        + 0.55 * _crease(x, y, [(0.092, 0.455), (0.095, 0.49)], 0.012)
        + 0.50 * gaussian(x, y - 0.522, 0.045, 0.013)
        + 0.45 * gaussian(x, y - 0.715, 0.07, 0.016)
        + 0.25 * gaussian(x, y - 0.548, 0.012, 0.02)
    )
    behind = np.clip(radius - 1, 0, 1)
    underside = np.clip(behind * 5, 0, 1) * np.clip((y - 0.45) / 0.25, 0, 1)
    return np.stack([folds, wrinkles, bags, crow, hollows, underside])


@lru_cache(maxsize=1)
def _masks() -> _Masks:
    axis = np.linspace(-sculpt.EXTENT, sculpt.EXTENT, TEXTURE)
    qx, qy = np.meshgrid(axis, axis)
    radius, angle = np.hypot(qx, qy), np.arctan2(qy, qx)
    edge, _ = sculpt.outline_radius(angle)
    reach = np.sin(np.minimum(radius, 2) * np.pi / 2)
    x, y = edge * reach * np.cos(angle), sculpt.ORIGIN_Y + edge * reach * np.sin(angle)
    jaw = np.clip((radius - 0.60 - 0.24 * np.clip(np.abs(x) / 0.3, 0, 1)) / 0.14, 0, 1)
    jaw *= np.clip((y - 0.40) / 0.15, 0, 1)
    lips = _crease(x, y, [(0.0, 0.635), (0.13, 0.62)], 0.062)
    beard = np.clip(jaw + 0.8 * gaussian(x, y - 0.76, 0.1, 0.04), 0, 1) * (
        1 - np.clip(lips * 1.6, 0, 1)
    )
    moustache = _crease(x, y, [(0.0, 0.555), (0.09, 0.565), (0.16, 0.61)], 0.022)
    red = gaussian(np.abs(x) - 0.21, y - 0.41, 0.075, 0.06) + 0.8 * gaussian(
        x, y - 0.46, 0.05, 0.04
    )
    strands = _radial_strands(x, y)
    sides = (radius - 0.99 - 0.012 * strands) * 50
    cropped = np.minimum(sides, (0.36 - y) * 33)
    return _Masks(
        np.linspace(-0.5, 0.5, 257),
        np.clip(np.rint((x + 0.5) * 256), 0, 256).astype(np.int32),
        (y - 0.016 * strands).astype(np.float32),
        sides.astype(np.float32),
        cropped.astype(np.float32),
        np.minimum(cropped, (y + 0.02) * 20).astype(np.float32),
        _darkness(x, y, radius).astype(np.float32),
        red.astype(np.float32),
        beard.astype(np.float32),
        moustache.astype(np.float32),
        strands,
    )


def _radial_strands(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return streaks that fan out from a point above the forehead."""
    tile = textures.noise_tiles()["strands"]
    angle = np.arctan2(x, y + 0.42)
    u = (angle * 95) % (textures.TILE - 1)
    v = (np.hypot(x, y + 0.42) * 60) % (textures.TILE - 1)
    return cv2.remap(tile, u.astype(np.float32), v.astype(np.float32), cv2.INTER_LINEAR)


def hair_cover(look: Look, rng: np.random.Generator) -> np.ndarray:
    """Return the (TEXTURE, TEXTURE) share 0..1 of hair on the head's surface."""
    masks = _masks()
    line, lean = _hairline(look, rng), rng.uniform(-0.12, 0.12)
    # The line depends on x alone: tabulate it and look it up with a shift for the parting.
    height = np.interp(np.abs(masks.columns - lean), masks.columns, line).astype(np.float32)
    if look.style == "fringe":
        fringe = np.exp(-((masks.columns / 0.27) ** 4)) * rng.uniform(0.12, 0.24)
        height += fringe.astype(np.float32)
    soft = 0.012 if look.style == "fringe" else 0.02
    if look.style == "bald":
        cover = np.minimum(masks.wreath, np.float32(60 * (look.peak - 0.05)))
    else:
        long = look.style in ("long", "fringe")
        cover = (height[masks.lookup] - masks.combed) * np.float32(1 / soft)
        cover = np.maximum(cover, masks.sides if long else masks.cropped)
    return np.clip(cover * np.float32(0.5) + np.float32(0.5), 0, 1)


def _hairline(look: Look, rng: np.random.Generator) -> np.ndarray:
    """Return the height of the hairline at the columns' distance from the parting."""
    across = _masks().columns
    corner = np.exp(-(((across - rng.uniform(0.14, 0.2)) / 0.09) ** 2))
    return look.hairline - look.peak * corner + 0.9 * across**2


def albedo(look: Look, smile: float, brows_up: float, rng: np.random.Generator) -> list[np.ndarray]:
    """Paint the surface: three (TEXTURE, TEXTURE) float32 planes, RGB 0..255 before shading."""
    masks = _masks()
    shape = (TEXTURE, TEXTURE)
    tone = np.ones(shape, np.float32)
    weights = (
        0.10 + 0.26 * look.age + 0.22 * smile,
        0.30 * max(0.0, look.age - 0.35) + 0.18 * brows_up * look.age,
        0.06 + 0.20 * look.age,
        0.30 * max(0.0, look.age - 0.3) + 0.10 * smile * look.age,
        0.30,
        0.40,
    )
    for weight, mask in zip(weights, masks.dark, strict=True):
        cv2.scaleAdd(mask, -weight, tone, dst=tone)
    cv2.scaleAdd(textures.cut("coarse", shape, rng), 0.028, tone, dst=tone)
    cv2.scaleAdd(textures.cut("fine", shape, rng), rng.uniform(0.008, 0.035), tone, dst=tone)
    if rng.random() < 0.25:  # freckles and spots
        spots = np.clip(textures.cut("fine", shape, rng) - 1.5, 0, 1)
        cv2.scaleAdd(spots, -0.1, tone, dst=tone)
    flush = rng.uniform(0.0, 0.16)
    stubble = np.maximum(look.beard * masks.beard, look.moustache * masks.moustache)
    stubble *= np.clip(0.85 + 0.22 * textures.cut("fine", shape, rng), 0, 1)
    cover, sheen = hair_cover(look, rng), 1 + 0.22 * masks.strands
    planes = []
    for channel, reddening in enumerate((0.0, 0.55, 0.5)):
        plane = tone * np.float32(look.skin[channel])
        plane *= 1 - np.float32(flush * reddening) * masks.red
        if look.beard or look.moustache:
            plane += stubble * (np.float32(0.9 * look.hair[channel] + 8) - plane)
        plane += cover * (np.float32(look.hair[channel]) * sheen - plane)
        planes.append(plane)
    return planes
