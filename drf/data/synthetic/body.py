"""What belongs to the head but not to its surface, and what may lie before it: shoulders,
neck, ears, loose hair; glasses, hands, masks and other occluders.
"""

from __future__ import annotations

import cv2
import numpy as np

from drf.data.synthetic.head import Camera, Head
from drf.data.synthetic.paint import (
    blend,
    cut,
    disc,
    fill,
    patch,
    polygon_mask,
    spline,
    stroke,
    tinted,
)
from drf.data.synthetic.skin import Look
from drf.landmarks.markup import IBUG68

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
    """Draw shoulders and neck in place; they follow the head's pose by half and lie in its shadow.

    picture: (H, W, 3) uint8 RGB · light: (3,) RGB factors of the light's colour
    """
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
    """Draw the volume of hair behind the face in place: around the skull, and down the sides when
    long.

    picture: (H, W, 3) uint8 RGB · light: (3,) RGB factors of the light's colour
    """
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


GLARE = np.array([235.0, 240.0, 245.0])


def _rim(centre: np.ndarray, half: tuple[float, float], power: float, droop: float) -> np.ndarray:
    """Return a (32, 3) superellipse around an eye; the outer side bends back."""
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / power) * half[0]
    y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / power) * half[1]
    outer = np.clip(x * np.sign(centre[0]), 0, None) / half[0]
    return centre + np.stack([x, y + droop * outer * half[1], -0.05 * outer], axis=-1)


def draw_glasses(
    picture: np.ndarray,
    head: Head,
    camera: Camera,
    dark: bool,
    light: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Draw glasses on the nose; return the uint8 mask of what they hide (dark lenses only)."""
    half, power = (rng.uniform(0.105, 0.14), rng.uniform(0.07, 0.115)), rng.uniform(2.0, 4.5)
    droop, width = rng.uniform(-0.1, 0.2), int(rng.integers(1, 4))
    frame = (rng.uniform(5, 60, 3) if rng.random() < 0.7 else rng.uniform(90, 230, 3)) * light
    tint, density = rng.uniform(5, 45, 3) * light, rng.uniform(0.8, 0.97) if dark else 0.0
    glare = rng.choice([0.0, rng.uniform(0.05, 0.3)], p=[0.5, 0.5])
    hidden = np.zeros(picture.shape[:2], np.uint8)
    depth = float(head.points[27, 2]) + 0.015
    for eye, side in (("right_eye", -1), ("left_eye", 1)):
        centre = head.points[list(IBUG68.groups[eye])].mean(axis=0) + np.array([0, 0.015, 0])
        centre[2] = depth - 0.03
        rim = camera.project(_rim(centre, half, power, droop))
        region, origin, view = patch(picture, rim, 2)
        if region.size:
            lens = _draw_lens(region, rim - origin, tint, density, glare)
            if dark:
                hidden[view] = np.maximum(hidden[view], lens)
        if camera.rotation[2, 0] * side > -0.15:
            hinge = centre + np.array([side * half[0], -0.3 * half[1], -0.05])
            stroke(
                picture,
                camera.project(np.stack([hinge, (side * 0.41, -0.19, -0.13)])),
                frame,
                width,
            )
        stroke(picture, rim, frame, width, closed=True)
    inner = float(abs(head.points[39, 0])) * 0.5
    bridge = np.array([(-inner, -0.165, depth), (0, -0.178, depth + 0.02), (inner, -0.165, depth)])
    stroke(picture, camera.project(spline(bridge)), frame, width)
    return hidden


def _draw_lens(
    picture: np.ndarray, rim: np.ndarray, tint: np.ndarray, density: float, glare: float
) -> np.ndarray:
    """Tint the inside of a rim and lay a streak of glare over it; return the lens's uint8 mask."""
    lens = polygon_mask(picture.shape, rim)
    if density:
        blend(picture, tint, lens * np.float32(density / 255))
    if glare:
        streak = polygon_mask(picture.shape, rim[[2, 6, 14, 20]])
        streak = cv2.GaussianBlur(cv2.min(streak, lens), (0, 0), 2.0)
        blend(picture, GLARE, streak * np.float32(glare / 255))
    return lens


def _capsules(
    target: np.ndarray, unit: float, rng: np.random.Generator
) -> list[tuple[np.ndarray, float]]:
    """Lay out a hand whose fingertips reach a point: centre lines (px) and their thickness (px)."""
    side = rng.choice([-1, 1])
    approach = rng.uniform(-0.6, 0.6) + (0.0 if rng.random() < 0.8 else np.pi / 2)
    up = np.array([np.sin(approach), -np.cos(approach)])
    across = np.array([-up[1], up[0]]) * side
    tip, palm = target + up * 0.10 * unit, target - up * rng.uniform(0.32, 0.5) * unit
    thickness = 0.088 * unit * rng.uniform(0.85, 1.15)
    spread, curl = rng.uniform(0.075, 0.13) * unit, rng.uniform(-0.08, 0.08) * unit
    capsules = []
    for finger, reach in enumerate((0.80, 0.96, 1.0, 0.90)):
        offset = (finger - 1.5) * spread
        knuckle = palm + across * offset
        end = palm + (tip - palm) * reach + across * offset * 1.25
        middle = (end + knuckle) / 2 + across * curl
        capsules.append((spline(np.stack([knuckle, middle, end]), per_span=4), thickness))
    bend = np.array([(0.0, -0.05), (-0.26, 0.08), (-0.30, 0.24)]) * unit
    thumb = palm + bend[:, :1] * across + bend[:, 1:] * up
    capsules.append((spline(thumb), 1.15 * thickness))
    capsules.append((np.stack([palm - up * 0.10 * unit, palm - up * 0.14 * unit]), 0.47 * unit))
    capsules.append((np.stack([palm - up * 0.15 * unit, palm - up * 1.2 * unit]), 0.30 * unit))
    return capsules


def draw_hand(
    picture: np.ndarray, camera: Camera, look: Look, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a hand that touches the face, of shaded capsules; return its uint8 mask."""
    target = camera.points[int(rng.choice([1, 3, 5, 8, 11, 13, 15, 33, 48, 54]))]
    mask, inner = np.zeros(picture.shape[:2], np.uint8), np.zeros(picture.shape[:2], np.uint8)
    for line, thickness in _capsules(target, camera.scale, rng):
        stroke(mask, line, 255, max(2, round(thickness)))
        # A narrower core, lit from the upper left, leaves the rim of each finger dark.
        stroke(inner, line - 0.1 * min(thickness, 12), 255, max(1, round(0.6 * thickness)))
    tone = look.skin * light * rng.uniform(0.9, 1.08)
    x, y, width, height = cv2.boundingRect(mask)
    view = (slice(max(0, y - 6), y + height + 6), slice(max(0, x - 6), x + width + 6))
    region, outer = picture[view], mask[view]
    blend(region, tone * 0.2, cv2.blur(outer, (9, 9)) * np.float32(0.4 / 255))
    blend(region, tone * 0.6, cv2.blur(outer, (3, 3)))
    core = cv2.GaussianBlur(inner[view], (0, 0), 0.02 * camera.scale + 0.5)
    blend(region, tone, np.asarray(cv2.min(outer, core)))
    return mask


def _draw_cloth(
    picture: np.ndarray, polygon: np.ndarray, colour: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Fill a polygon with woven cloth; return its uint8 mask over the whole picture."""
    whole = np.zeros((picture.shape[0], picture.shape[1]), np.uint8)
    region, origin, view = patch(picture, polygon, 3)
    if region.size:
        mask = polygon_mask(region.shape, polygon - origin, soft=True)
        weave = cut(("fine", "medium", "strands")[rng.integers(3)], mask.shape, rng)
        weave = np.clip(1 + rng.uniform(0.05, 0.25) * weave, 0, 2)
        blend(region, tinted(colour, weave), mask)
        whole[view] = mask
    return whole


def draw_hat(
    picture: np.ndarray, camera: Camera, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a cap, a woollen hat or a scarf over the forehead; return its uint8 mask."""
    brim, bulge = rng.uniform(-0.44, -0.33), rng.uniform(1.03, 1.2)
    side, dip = 0.41 * bulge, rng.uniform(0.0, 0.1)
    half = np.array(
        [
            (0.0, brim - dip * 0.3, 0.40),
            (0.26, brim, 0.26),
            (side, brim + dip, -0.08),
            (side, -0.55, -0.15),
            (0.62 * side, -0.75 * bulge, -0.15),
            (0.0, -0.80 * bulge, -0.15),
        ]
    )
    outline = spline(np.concatenate([half, half[1:-1][::-1] * (-1, 1, 1)]), closed=True)
    # The hull: a turned hat hides its own far side.
    polygon = cv2.convexHull(camera.project(outline).astype(np.float32))[:, 0]
    colour = rng.uniform(10, 220, 3) * light
    mask = _draw_cloth(picture, polygon, colour, rng)
    if abs(camera.pose.yaw) < 25:
        band = camera.project(spline(np.concatenate([half[2:0:-1] * (-1, 1, 1), half[:3]])))
        stroke(picture, band, colour * rng.uniform(0.3, 0.7), int(rng.integers(2, 9)))
    return mask


def draw_mask(
    picture: np.ndarray, camera: Camera, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a cloth over mouth and chin along the projected points; return its uint8 mask."""
    points = camera.points
    bridge = points[29] + rng.uniform(-0.2, 0.8) * (points[30] - points[29])
    outline = np.concatenate([points[2:15], bridge[None]])
    polygon = spline(outline, per_span=3, closed=True)
    colour = (np.array([150, 185, 215]) if rng.random() < 0.4 else rng.uniform(15, 235, 3)) * light
    mask = _draw_cloth(picture, polygon, colour, rng)
    dark = colour * 0.7
    for share in (0.35, 0.65):
        fold = np.stack([points[3], points[51] + share * (points[8] - points[51]), points[13]])
        stroke(picture, spline(fold), dark)
    return mask


def draw_object(
    picture: np.ndarray, camera: Camera, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a bar, a card or a ball in front of some part of the face; return its uint8 mask."""
    unit = camera.scale
    centre = camera.points[int(rng.integers(68))] + rng.normal(0, 0.08, 2) * unit
    mask = np.zeros((picture.shape[0], picture.shape[1]), np.uint8)
    kind = rng.integers(3)
    turn = rng.uniform(0, np.pi)
    axis = np.array([np.cos(turn), np.sin(turn)])
    if kind == 0:
        ends = np.stack([centre, centre + axis * unit * 1.5 * rng.choice([-1, 1])])
        stroke(mask, ends, 255, max(2, round(rng.uniform(0.05, 0.16) * unit)))
    elif kind == 1:
        reach = rng.uniform(0.09, 0.26, 2) * unit
        cross = np.array([-axis[1], axis[0]])
        corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach
        fill(mask, centre + corners @ np.stack([axis, cross]), 255)
    else:
        disc(mask, centre, tuple(rng.uniform(0.08, 0.22, 2) * unit), float(np.degrees(turn)), 255)
    texture = 1 + rng.uniform(0, 0.3) * cut("cloud", mask.shape, rng)
    colour = rng.uniform(5, 245, 3) * light
    blend(picture, tinted(colour, np.clip(texture, 0, 2)), cv2.GaussianBlur(mask, (3, 3), 0.7))
    return mask
