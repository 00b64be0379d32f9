"""What the surface of the head looks like: skin, beard, wrinkles and hair in canonical space."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from drf.data.synthetic import sculpt, textures
from drf.data.synthetic.sculpt import gaussian

TEXTURE = 2 * sculpt.GRID
"""Side of the canonical texture, px."""

_SKIN = np.array(
    [
        (244, 212, 190), (232, 190, 162), (218, 168, 134), (196, 142, 106),
        (164, 112, 78), (124, 82, 56), (88, 58, 42), (62, 42, 32),
    ],
    dtype=np.float64,
)  # fmt: skip
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
    style: str  # bald, short, long, fringe, tied


def draw_look(rng: np.random.Generator) -> Look:
    """Draw a person's look."""
    tone = rng.uniform(0, len(_SKIN) - 1.001)
    low = int(tone)
    skin = _SKIN[low] + (tone - low) * (_SKIN[low + 1] - _SKIN[low])
    skin = np.clip(skin * rng.normal(1, 0.035, 3), 20, 250)
    age = rng.beta(1.3, 1.8)
    hair = _HAIR[rng.choice(len(_HAIR), p=(0.3, 0.22, 0.16, 0.1, 0.1, 0.06, 0.06))]
    hair = np.clip(hair * rng.uniform(0.75, 1.25) + (90 * (age - 0.6) if age > 0.75 else 0), 8, 235)
    male = rng.random() < 0.5
    beard = rng.choice([0.0, rng.uniform(0.15, 0.5), rng.uniform(0.5, 1)], p=[0.5, 0.3, 0.2]) * male
    moustache = rng.choice([beard, rng.uniform(0.4, 1.0)], p=[0.8, 0.2]) * male
    made_up = rng.uniform(0, 1) * (not male)
    lips = skin * (0.86, 0.62, 0.60) + (14, 2, 4)
    rouge = np.array(((190, 40, 60), (150, 30, 50), (210, 100, 100))[rng.integers(3)], float)
    lips += made_up * 0.55 * (rouge - lips)
    iris = np.array(((60, 38, 22), (80, 52, 30), (96, 84, 50), (88, 112, 128), (70, 100, 80))[
        rng.choice(5, p=(0.45, 0.25, 0.1, 0.12, 0.08))], float)  # fmt: skip
    styles = ("bald", "short", "long", "fringe", "tied")
    style = rng.choice(
        styles, p=(0.16, 0.62, 0.08, 0.08, 0.06) if male else (0.01, 0.14, 0.4, 0.25, 0.2)
    )
    return Look(
        skin, hair, np.clip(lips, 20, 245), iris, age, float(beard), float(moustache),
        rng.uniform(0.02, 0.3), rng.uniform(0.7, 1.15) + 0.45 * male, made_up,
        rng.normal(-0.10, 0.035) - 0.08 * age * male, abs(rng.normal(0, 0.05)) + 0.10 * age * male,
        str(style),
    )  # fmt: skip


@dataclass(frozen=True)
class _Masks:
    frontal: np.ndarray  # (T, T, 2)
    radius: np.ndarray  # (T, T)
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


@lru_cache(maxsize=1)
def _masks() -> _Masks:
    axis = np.linspace(-sculpt.EXTENT, sculpt.EXTENT, TEXTURE)
    qx, qy = np.meshgrid(axis, axis)
    radius, angle = np.hypot(qx, qy), np.arctan2(qy, qx)
    edge, _ = sculpt.outline_radius(angle)
    reach = np.sin(np.minimum(radius, 2) * np.pi / 2)
    x, y = edge * reach * np.cos(angle), sculpt.ORIGIN_Y + edge * reach * np.sin(angle)
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
    return _Masks(
        np.stack([x, y], -1).astype(np.float32),
        radius.astype(np.float32),
        np.stack([folds, wrinkles, bags, crow, hollows, underside]).astype(np.float32),
        red.astype(np.float32), beard.astype(np.float32), moustache.astype(np.float32),
        _radial_strands(x, y),
    )  # fmt: skip


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
    x, y = masks.frontal[..., 0], masks.frontal[..., 1]
    lean = rng.uniform(-0.12, 0.12)
    across = np.abs(x - lean)
    line = look.hairline - look.peak * np.exp(-(((across - 0.17) / 0.09) ** 2)) + 0.9 * across**2
    if look.style == "fringe":
        line = line + rng.uniform(0.12, 0.24) * np.exp(-((x / 0.27) ** 4))
    soft = 0.012 if look.style == "fringe" else 0.02
    cover = (line - y + 0.016 * masks.strands) / soft
    side = (masks.radius - 0.99 - 0.012 * masks.strands) / 0.02
    side = np.minimum(side, (0.36 - y + (10 if look.style in ("long", "fringe") else 0)) / 0.03)
    if look.style == "bald":
        cover = np.full_like(cover, -9.0)
        side = np.minimum(side, (y + 0.02) / 0.05)
        side = np.minimum(side, 3 * (look.peak - 0.05) / 0.05)
    return np.clip(np.maximum(cover, side) * 0.5 + 0.5, 0, 1)


def albedo(look: Look, smile: float, brows_up: float, rng: np.random.Generator) -> np.ndarray:
    """Paint the surface: (TEXTURE, TEXTURE, 3) float32 RGB 0..255 before shading."""
    masks = _masks()
    shape = (TEXTURE, TEXTURE)
    weights = np.array(
        [
            0.10 + 0.26 * look.age + 0.22 * smile,
            0.30 * max(0.0, look.age - 0.35) + 0.18 * brows_up * look.age,
            0.06 + 0.20 * look.age,
            0.30 * max(0.0, look.age - 0.3) + 0.10 * smile * look.age,
            0.30,
            0.40,
        ],
        dtype=np.float32,
    )  # fmt: skip
    tone = 1 - np.einsum("k,kij->ij", weights, masks.dark)
    tone += 0.028 * textures.cut("coarse", shape, rng) + rng.uniform(0.008, 0.035) * textures.cut(
        "fine", shape, rng
    )
    if rng.random() < 0.25:  # freckles and spots
        tone -= (
            0.10
            * np.clip(textures.cut("fine", shape, rng) - 1.5, 0, 1)
            * (masks.frontal[..., 1] < 0.6)
        )
    picture = tone[..., None] * look.skin.astype(np.float32)
    flush = rng.uniform(0.0, 0.16) * masks.red
    picture *= 1 - flush[..., None] * np.array([0.0, 0.55, 0.5], np.float32)
    if look.beard + look.moustache > 0.05:
        stubble = np.maximum(look.beard * masks.beard, look.moustache * masks.moustache)
        stubble = np.clip(stubble * (0.85 + 0.22 * textures.cut("fine", shape, rng)), 0, 0.95)[
            ..., None
        ]
        picture += stubble * (look.hair.astype(np.float32) * 0.9 + 8 - picture)
    cover = hair_cover(look, rng)[..., None]
    sheen = (1 + 0.22 * masks.strands)[..., None]
    picture += cover * (sheen * look.hair.astype(np.float32) - picture)
    return picture
