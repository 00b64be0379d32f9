"""What belongs to the head but not to its surface: shoulders, neck, ears and loose hair."""

from __future__ import annotations

import cv2
import numpy as np

from drf.data.synthetic.camera import Camera
from drf.data.synthetic.head import Head
from drf.data.synthetic.look import Look
from drf.data.synthetic.paint import blend, patch, polygon_mask, spline, stroke, tinted
from drf.data.synthetic.textures import cut

_EAR = np.array(
    [
        (0.366, -0.205, -0.10),
        (0.400, -0.235, -0.15),
        (0.428, -0.240, -0.19),
        (0.446, -0.190, -0.21),
        (0.436, -0.110, -0.19),
        (0.418, -0.050, -0.16),
        (0.400, -0.005, -0.12),
        (0.366, -0.010, -0.10),
    ]
)
_EAR_FOLD = np.array(
    [(0.400, -0.18, -0.13), (0.425, -0.205, -0.17), (0.432, -0.16, -0.18), (0.418, -0.08, -0.15)]
)

# From the neck over one shoulder and out of the picture; y is counted from the neck's foot.
_SHOULDERS = np.array(
    [(-0.3, 0.0, -0.1), (-0.62, 0.16, -0.1), (-1.05, 0.34, -0.1), (-1.2, 1.5, 0.0)]
)

EAR_FLUSH = np.array([6.0, -4.0, -4.0])
"""RGB that blood adds to the ears."""


def draw_ear(
    picture: np.ndarray, head: Head, camera: Camera, side: int, look: Look, light: np.ndarray
) -> None:
    """Draw the ear of one side (-1 the picture's left when frontal), in place."""
    # The average ear stands behind jaw points 0 and 16, at 0.39; this head may be broader.
    place = head.points[[0, 1] if side < 0 else [16, 15]].mean(axis=0)
    shift = np.array([place[0] - side * 0.392, 0.5 * (place[1] + 0.12), 0.0])
    flip = np.array([side, 1.0, 1.0])
    outline = camera.project(spline(_EAR * flip + shift, closed=True))
    region, origin, _ = patch(picture, outline, 3)
    if region.size == 0:
        return
    skin = look.skin * light
    blend(region, 0.92 * skin + EAR_FLUSH, polygon_mask(region.shape, outline - origin, soft=True))
    fold = np.zeros(region.shape[:2], np.uint8)
    stroke(fold, camera.project(spline(_EAR_FOLD * flip + shift)) - origin, 210, 2)
    blend(region, 0.5 * skin, cv2.GaussianBlur(fold, (5, 5), 1.1))


def ear_is_near(camera: Camera, side: int) -> bool:
    """Return whether the side of the head is turned to the camera, so that the ear covers it."""
    return bool(camera.rotation[2, 0] * side > 0.06)


def draw_neck(
    picture: np.ndarray, camera: Camera, look: Look, light: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw shoulders and neck; they follow the head's pose by half and lie in its shadow."""
    width, drop = rng.uniform(0.24, 0.33), rng.uniform(0.60, 0.76)
    neck = np.array(
        [
            (-width, 0.18, -0.10),
            (-width, drop - 0.1, -0.12),
            (-1.5 * width, drop + 0.1, -0.1),
            (0.0, drop + 0.22, 0.0),
        ]
    )
    # The body stays upright: part of the pitch is taken out at the neck's foot.
    foot = camera.rotation[1] * 0.35
    neck[1:] -= np.outer(neck[1:, 1], foot * (1, 0, 1))
    mirrored = neck[:-1][::-1] * (-1, 1, 1)
    collar = np.array([(0.0, drop + rng.uniform(0.05, 0.25), 0.1)])
    shoulder = _SHOULDERS + np.array([0.0, drop, 0.0])
    shoulders = np.concatenate([shoulder, shoulder[::-1] * (-1, 1, 1), collar])
    outline = camera.project(spline(np.concatenate([neck, mirrored]), closed=True))
    region, origin, _ = patch(picture, outline, 2)
    if region.size == 0:  # the head is so low that its body is out of the picture
        return
    shadow = _neck_shade(region.shape, camera.points[8] - origin, 0.28 * camera.scale)
    mask = polygon_mask(region.shape, outline - origin, soft=True)
    blend(region, tinted(look.skin * light, shadow), mask)
    colour = rng.uniform(10, 225, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(10, 240))
    outline = camera.project(spline(shoulders, closed=True))
    region, origin, _ = patch(picture, outline, 2)
    if region.size == 0:
        return
    weave = cut(("fine", "strands", "coarse")[rng.integers(3)], region.shape[:2], rng)
    cloth = tinted(colour * light, np.clip(1 + rng.uniform(0.02, 0.3) * weave, 0, 2))
    blend(region, cloth, polygon_mask(region.shape, outline - origin, soft=True))


def _neck_shade(shape: tuple[int, ...], chin: np.ndarray, reach: float) -> np.ndarray:
    """Return (h, w) float32: the shadow of the chin times the darker sides of a cylinder."""
    rows, columns = np.arange(shape[0]) - chin[1], np.arange(shape[1]) - chin[0]
    shadow = 0.80 - 0.32 * np.exp(-((rows / reach) ** 2))
    cylinder = 1 - 0.35 * np.clip(np.abs(columns) / (1.3 * reach), 0, 1) ** 2
    return (shadow[:, None] * cylinder).astype(np.float32)


def _strand_colour(
    look: Look, light: np.ndarray, shape: tuple[int, int], turn: float, rng: np.random.Generator
) -> np.ndarray:
    strands = cut("strands", shape, rng)
    if abs(turn) > 4:
        matrix = cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), -turn, 1.15)
        strands = cv2.warpAffine(strands, matrix, shape[::-1], borderMode=cv2.BORDER_REFLECT)
    return tinted(look.hair * light, np.clip(1 + 0.26 * strands, 0, 2))


def draw_back_hair(
    picture: np.ndarray, camera: Camera, look: Look, light: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw the volume of hair behind the face: around the skull, and down the sides when long."""
    volume = {"bald": 1.01, "short": rng.uniform(1.03, 1.14), "tied": rng.uniform(1.02, 1.08)}.get(
        look.style, rng.uniform(1.08, 1.26)
    )
    crown_y = -0.72 * (1 + (volume - 1) * 0.8)
    side = 0.39 * volume
    low = {"long": rng.uniform(0.35, 0.95), "fringe": rng.uniform(0.15, 0.7)}.get(look.style, -0.12)
    if look.style == "bald":
        return
    half = [
        (0.0, crown_y, -0.15),
        (0.55 * side, crown_y * 0.93, -0.16),
        (0.92 * side, crown_y * 0.66, -0.18),
        (1.02 * side, -0.25, -0.2),
    ]
    if low > 0:
        spread = rng.uniform(0.95, 1.3)
        half += [
            (1.06 * side * spread, 0.5 * low, -0.2),
            (side * spread, low, -0.2),
            (0.5 * side, low + 0.05, -0.25),
        ]
    else:
        half += [(0.92 * side, low, -0.22), (0.4 * side, low + 0.12, -0.3)]
    right = np.array(half)
    left = right[1:][::-1] * (-1, 1, 1)
    outline = spline(np.concatenate([right, left]), per_span=6, closed=True)
    bumps = 1 + 0.035 * rng.standard_normal((len(outline), 1)) * (look.style != "short")
    polygon = camera.project(outline * bumps)
    region, origin, _ = patch(picture, polygon, 3)
    strands = _strand_colour(look, light * 0.72, region.shape[:2], camera.pose.roll, rng)
    blend(region, strands, polygon_mask(region.shape, polygon - origin, soft=True))


def draw_front_hair(
    picture: np.ndarray, camera: Camera, look: Look, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw locks that fall over the sides of the face; return their uint8 mask."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    length, inner = rng.uniform(0.2, 0.7), rng.uniform(0.27, 0.385)
    part = rng.uniform(-0.12, 0.12)
    for side in (-1, 1):
        # A lock on the averted side would hang in the air in front of the profile.
        if rng.random() < 0.3 or camera.rotation[2, 0] * side < -0.25:
            continue
        lock = np.array(
            [
                (side * part, -0.68, 0.10),
                (0.26, -0.48, 0.22),
                (inner, -0.22, 0.10),
                (inner + 0.02, 0.1, 0.04),
                (0.40, length, -0.05),
                (0.50, length, -0.12),
                (0.47, 0.0, -0.12),
                (0.43, -0.35, -0.1),
                (0.25, -0.70, -0.05),
            ]
        )
        lock[:, 0] *= side
        polygon = camera.project(spline(lock, closed=True))
        region, origin, view = patch(picture, polygon, 3)
        if region.size == 0:
            continue
        cover = polygon_mask(region.shape, polygon - origin, soft=True)
        strands = _strand_colour(look, light, region.shape[:2], camera.pose.roll, rng)
        blend(region, strands, cover)
        mask[view] = np.maximum(mask[view], cover)
    return mask
