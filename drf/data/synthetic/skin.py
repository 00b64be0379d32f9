"""People: colours, age, beard and hair, and the texture of the skin that follows from them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from drf.data.synthetic import paint, sculpt
from drf.data.synthetic.sculpt import gaussian

_SKIN = np.array(
    [
        (244, 212, 190),
        (232, 190, 162),
        (218, 168, 134),
        (196, 142, 106),
        (164, 112, 78),
        (124, 82, 56),
        (88, 58, 42),
        (62, 42, 32),
    ],
    dtype=np.float64,
)
_HAIR = np.array(
    [
        (24, 18, 16),
        (46, 30, 22),
        (84, 54, 34),
        (128, 84, 48),
        (190, 150, 92),
        (150, 66, 34),
        (172, 168, 162),
    ],
    dtype=np.float64,
)


_ROUGE = np.array([(190, 40, 60), (150, 30, 50), (210, 100, 100)], dtype=np.float64)
_IRIS = np.array(
    [(60, 38, 22), (80, 52, 30), (96, 84, 50), (88, 112, 128), (70, 100, 80)], dtype=np.float64
)

STYLES = ("bald", "short", "long", "fringe", "tied")
"""Hair styles."""


@dataclass(frozen=True)
class Look:
    """Colours and habits of one person. Colours are RGB 0..255 under neutral light."""

    skin: np.ndarray  # (3,)
    hair: np.ndarray  # (3,)
    lips: np.ndarray  # (3,)
    iris: np.ndarray  # (3,)
    age: float  # 0..1: depth of wrinkles and folds
    beard: float  # 0..1
    moustache: float  # 0..1
    shine: float  # strength of the highlights
    brow_weight: float  # thickness of the brows relative to the average
    lashes: float  # 0..1
    hairline: float  # height of the hairline in proportions of the box, small = high
    peak: float  # how far the hairline recedes beside the middle
    style: str  # one of STYLES


def draw_look(rng: np.random.Generator) -> Look:
    """Draw a person's look."""
    skin = _draw_skin(rng)
    age = rng.beta(1.3, 1.8)
    hair = _HAIR[rng.choice(len(_HAIR), p=(0.3, 0.22, 0.16, 0.1, 0.1, 0.06, 0.06))]
    hair = np.clip(hair * rng.uniform(0.75, 1.25) + (90 * (age - 0.6) if age > 0.75 else 0), 8, 235)
    male = rng.random() < 0.5
    beard = rng.choice([0.0, rng.uniform(0.15, 0.5), rng.uniform(0.5, 1)], p=[0.5, 0.3, 0.2]) * male
    moustache = rng.choice([beard, rng.uniform(0.4, 1.0)], p=[0.8, 0.2]) * male
    made_up = rng.uniform(0, 1) * (not male)
    lips = skin * (0.86, 0.62, 0.60) + (14, 2, 4)
    lips += made_up * 0.55 * (_ROUGE[rng.integers(3)] - lips)
    habits = (0.16, 0.62, 0.08, 0.08, 0.06) if male else (0.01, 0.14, 0.40, 0.25, 0.20)
    return Look(
        skin=skin,
        hair=hair,
        lips=np.clip(lips, 20, 245),
        iris=_IRIS[rng.choice(5, p=(0.45, 0.25, 0.1, 0.12, 0.08))],
        age=age,
        beard=float(beard),
        moustache=float(moustache),
        shine=rng.uniform(0.02, 0.3),
        brow_weight=rng.uniform(0.7, 1.15) + 0.45 * male,
        lashes=made_up,
        hairline=rng.normal(-0.10, 0.035) - 0.08 * age * male,
        peak=abs(rng.normal(0, 0.05)) + 0.10 * age * male,
        style=str(rng.choice(STYLES, p=habits)),
    )


def _draw_skin(rng: np.random.Generator) -> np.ndarray:
    tone = rng.beta(1.0, 1.5) * (len(_SKIN) - 1.001)
    low = int(tone)
    skin = _SKIN[low] + (tone - low) * (_SKIN[low + 1] - _SKIN[low])
    return np.clip(skin * rng.normal(1, 0.035, 3), 20, 250)


TEXTURE = 2 * sculpt.GRID
"""Side of the canonical texture, px."""


@dataclass(frozen=True)
class _Masks:
    """What is the same for everybody, on the canonical texture; (T, T) float32 if not said."""

    columns: np.ndarray  # (257,) proportions across the face for tables, -0.5..0.5
    lookup: np.ndarray  # (T, T) int32: the column a texel lies in
    combed: np.ndarray  # height, ragged along the strands
    sides: np.ndarray  # > 0 where hair grows beside the face, however long
    cropped: np.ndarray  # the same, ending at the ears
    wreath: np.ndarray  # the same, without the top
    base: np.ndarray  # tone: 1, less in the hollows and under the jaw
    dark: np.ndarray  # (4, T, T): folds, forehead wrinkles, eye bags, crow's feet
    red: np.ndarray  # cheeks and nose
    beard: np.ndarray
    moustache: np.ndarray
    strands: np.ndarray  # streaks that run away from the crown, zero mean, unit spread
    sheen: np.ndarray  # brightness of the hair along them
    ones: np.ndarray


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


def _wrinkles(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return the (4, T, T) masks of `_Masks.dark`."""
    folds = _crease(x, y, [(0.085, 0.47), (0.135, 0.53), (0.175, 0.60), (0.18, 0.65)], 0.011)
    rows = [np.exp(-(((y - h + 0.25 * x**2) / 0.008) ** 2)) for h in (0.0, 0.04, 0.08)]
    forehead = np.sum(rows, axis=0) * np.exp(-((x / 0.22) ** 4))
    forehead += _crease(x, y, [(0.02, 0.13), (0.018, 0.19)], 0.008)
    bags = _crease(x, y, [(0.11, 0.30), (0.15, 0.318), (0.205, 0.31)], 0.014)
    crow = _crease(x, y, [(0.27, 0.25), (0.31, 0.23)], 0.006)
    crow += _crease(x, y, [(0.27, 0.265), (0.315, 0.28)], 0.006)
    return np.stack([folds, forehead, bags, crow])


def _base_tone(x: np.ndarray, y: np.ndarray, radius: np.ndarray) -> np.ndarray:
    """Return how much ambient light reaches the skin: little in hollows and under the jaw."""
    hollows = (
        0.55 * _crease(x, y, [(0.075, 0.225), (0.10, 0.27)], 0.030)
        + 0.35 * _crease(x, y, [(0.13, 0.215), (0.23, 0.215)], 0.022)
        + 0.55 * _crease(x, y, [(0.092, 0.455), (0.095, 0.49)], 0.012)
        + 0.50 * gaussian(x, y - 0.522, 0.045, 0.013)
        + 0.45 * gaussian(x, y - 0.715, 0.07, 0.016)
        + 0.25 * gaussian(x, y - 0.548, 0.012, 0.02)
    )
    underside = np.clip((radius - 1) * 5, 0, 1) * np.clip((y - 0.45) / 0.25, 0, 1)
    return 1 - 0.30 * hollows - 0.40 * underside


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
    beard = np.clip(jaw + 0.8 * gaussian(x, y - 0.76, 0.1, 0.04), 0, 1)
    beard *= 1 - np.clip(lips * 1.6, 0, 1)
    red = gaussian(np.abs(x) - 0.21, y - 0.41, 0.075, 0.06)
    red += 0.8 * gaussian(x, y - 0.46, 0.05, 0.04)
    strands = _radial_strands(x, y)
    sides = (radius - 0.99 - 0.012 * strands) * 50
    cropped = np.minimum(sides, (0.36 - y) * 33)
    maps = {
        "combed": y - 0.016 * strands,
        "sides": sides,
        "cropped": cropped,
        "wreath": np.minimum(cropped, (y + 0.02) * 20),
        "base": _base_tone(x, y, radius),
        "dark": _wrinkles(x, y),
        "red": red,
        "beard": beard,
        "moustache": _crease(x, y, [(0.0, 0.555), (0.09, 0.565), (0.16, 0.61)], 0.022),
        "strands": strands,
        "sheen": np.clip(1 + 0.22 * strands, 0, 2),
        "ones": np.ones_like(x),
    }
    return _Masks(
        columns=np.linspace(-0.5, 0.5, 257),
        lookup=np.clip(np.rint((x + 0.5) * 256), 0, 256).astype(np.int32),
        **{name: field.astype(np.float32) for name, field in maps.items()},
    )


def _radial_strands(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    """Return streaks that fan out from a point above the forehead."""
    tile = paint.noise_tiles()["strands"]
    angle = np.arctan2(x, y + 0.42)
    u = (angle * 95) % (paint.TILE - 1)
    v = (np.hypot(x, y + 0.42) * 60) % (paint.TILE - 1)
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
    tone = masks.base.copy()
    weights = (
        0.10 + 0.26 * look.age + 0.22 * smile,
        0.30 * max(0.0, look.age - 0.35) + 0.18 * brows_up * look.age,
        0.06 + 0.20 * look.age,
        0.30 * max(0.0, look.age - 0.3) + 0.10 * smile * look.age,
    )
    for weight, mask in zip(weights, masks.dark, strict=True):
        cv2.scaleAdd(mask, -weight, tone, dst=tone)
    cv2.scaleAdd(paint.cut("coarse", shape, rng), 0.028, tone, dst=tone)
    cv2.scaleAdd(paint.cut("fine", shape, rng), rng.uniform(0.008, 0.035), tone, dst=tone)
    if rng.random() < 0.25:  # freckles and spots
        spots = np.clip(paint.cut("fine", shape, rng) - 1.5, 0, 1)
        cv2.scaleAdd(spots, -0.1, tone, dst=tone)
    cover = hair_cover(look, rng)
    bare = 1 - cover
    strands = cover * masks.sheen
    stubble = np.maximum(look.beard * masks.beard, look.moustache * masks.moustache) * bare
    stubble *= np.clip(0.85 + 0.22 * paint.cut("fine", shape, rng), 0, 1)
    tone *= bare - stubble
    flush = rng.uniform(0.0, 0.16)
    planes = []
    for channel, reddening in enumerate((0.0, 0.55, 0.5)):
        plane = cv2.scaleAdd(masks.red, -flush * reddening, masks.ones) * tone
        plane *= np.float32(look.skin[channel])
        cv2.scaleAdd(stubble, 0.9 * look.hair[channel] + 8, plane, dst=plane)
        planes.append(np.asarray(cv2.scaleAdd(strands, look.hair[channel], plane, dst=plane)))
    return planes
