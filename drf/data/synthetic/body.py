"""What belongs to the head but not to its surface: shoulders, neck, ears and loose hair."""

from __future__ import annotations

import cv2
import numpy as np

from drf.data.synthetic.camera import Camera
from drf.data.synthetic.head import Head
from drf.data.synthetic.paint import blend, polygon_mask, spline, stroke, window
from drf.data.synthetic.skin import Look
from drf.data.synthetic.textures import cut

_EAR = np.array(
    [
        (0.382, -0.205, -0.10), (0.400, -0.235, -0.15), (0.428, -0.240, -0.19), (0.446, -0.190, -0.21),
        (0.436, -0.110, -0.19), (0.418, -0.050, -0.16), (0.400, -0.005, -0.12), (0.384, -0.010, -0.10),
    ]
)  # fmt: skip
_EAR_FOLD = np.array(
    [(0.400, -0.18, -0.13), (0.425, -0.205, -0.17), (0.432, -0.16, -0.18), (0.418, -0.08, -0.15)]
)


def draw_ear(
    picture: np.ndarray, camera: Camera, side: int, look: Look, light: np.ndarray, stretch: float
) -> None:
    """Draw the ear of one side (-1 the picture's left when frontal), in place."""
    flip = np.array([side * stretch, 1.0, 1.0])
    outline = camera.project(spline(_EAR * flip, closed=True))
    view = window(outline, 3, picture.shape)
    region = picture[view]
    if region.size == 0:
        return
    origin = np.array([view[1].start, view[0].start], dtype=float)
    blend(
        region,
        look.skin * light * 0.92 + (6, -4, -4),
        polygon_mask(region.shape, outline - origin, 0.6),
    )
    fold = np.zeros(region.shape[:2], np.uint8)
    stroke(fold, camera.project(spline(_EAR_FOLD * flip)) - origin, 210, 2)
    blend(region, look.skin * light * 0.5, cv2.GaussianBlur(fold, (5, 5), 1.1))


def ear_is_near(camera: Camera, side: int) -> bool:
    """Return whether the side of the head faces the camera enough to show the ear in front of it."""
    return bool(camera.rotation[2, 0] * side > 0.06)


def draw_neck(
    picture: np.ndarray, camera: Camera, look: Look, light: np.ndarray, rng: np.random.Generator
) -> None:
    """Draw shoulders and neck; they follow the head's pose by half and lie in its shadow."""
    width, drop = rng.uniform(0.24, 0.33), rng.uniform(0.60, 0.76)
    neck = np.array([(-width, 0.18, -0.10), (-width, drop - 0.1, -0.12), (-1.5 * width, drop + 0.1, -0.1),
                     (0.0, drop + 0.22, 0.0)])  # fmt: skip
    # The body stays upright: take out most of the pitch by moving the neck's foot back to the front.
    foot = camera.rotation[1] * 0.35
    neck[1:] -= np.outer(neck[1:, 1], foot * (1, 0, 1))
    mirrored = neck[:-1][::-1] * (-1, 1, 1)
    shoulders = np.array([(-0.3, drop, -0.1), (-0.62, drop + 0.16, -0.1), (-1.05, drop + 0.34, -0.1), (-1.2, 2.2, 0),
                          (1.2, 2.2, 0), (1.05, drop + 0.34, -0.1), (0.62, drop + 0.16, -0.1), (0.3, drop, -0.1),
                          (0.0, drop + rng.uniform(0.05, 0.25), 0.1)])  # fmt: skip
    shape = picture.shape[:2]
    cloth = polygon_mask(shape, camera.project(spline(shoulders, closed=True)), 0.8)
    skin = polygon_mask(
        shape, camera.project(spline(np.concatenate([neck, mirrored]), closed=True)), 1.0
    )
    chin = camera.points[8]
    rows = np.arange(shape[0], dtype=np.float32)[:, None]
    columns = np.arange(shape[1], dtype=np.float32)[None, :]
    reach = 0.28 * camera.scale
    shadow = 0.80 - 0.32 * np.exp(-(((rows - chin[1]) / reach) ** 2))
    cylinder = 1 - 0.35 * np.clip(np.abs(columns - chin[0]) / (1.3 * reach), 0, 1) ** 2
    blend(
        picture,
        look.skin.astype(np.float32) * light.astype(np.float32) * (shadow * cylinder)[..., None],
        skin,
    )
    colour = rng.uniform(10, 225, 3) if rng.random() < 0.6 else np.full(3, rng.uniform(10, 240))
    weave = 1 + rng.uniform(0.02, 0.3) * cut(
        ("fine", "strands", "coarse")[rng.integers(3)], shape, rng
    )
    blend(picture, np.clip((colour * light).astype(np.float32) * weave[..., None], 0, 255), cloth)


def _strand_colour(look: Look, light: np.ndarray, shape: tuple[int, int], turn: float,
                   rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    strands = cut("strands", shape, rng)
    if abs(turn) > 4:
        matrix = cv2.getRotationMatrix2D((shape[1] / 2, shape[0] / 2), -turn, 1.15)
        strands = cv2.warpAffine(strands, matrix, shape[::-1], borderMode=cv2.BORDER_REFLECT)
    colour = (look.hair * light).astype(np.float32)
    return np.clip(colour * (1 + 0.26 * strands)[..., None], 0, 255)


def draw_back_hair(picture: np.ndarray, head: Head, camera: Camera, look: Look, light: np.ndarray,
                   rng: np.random.Generator) -> None:  # fmt: skip
    """Draw the volume of hair behind the face: around the skull, and down the sides when long."""
    volume = {"bald": 1.01, "short": rng.uniform(1.03, 1.14), "tied": rng.uniform(1.02, 1.08)}.get(
        look.style, rng.uniform(1.08, 1.26)
    )
    crown_y = -0.72 * (1 + (volume - 1) * 0.8)
    side = 0.39 * volume
    low = {"long": rng.uniform(0.35, 0.95), "fringe": rng.uniform(0.15, 0.7)}.get(look.style, -0.12)
    if look.style == "bald":
        return
    half = [(0.0, crown_y, -0.15), (0.55 * side, crown_y * 0.93, -0.16), (0.92 * side, crown_y * 0.66, -0.18),
            (1.02 * side, -0.25, -0.2)]  # fmt: skip
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
    mask = polygon_mask(picture.shape, polygon, 1.2)
    blend(
        picture, _strand_colour(look, light * 0.72, picture.shape[:2], camera.pose.roll, rng), mask
    )


def draw_front_hair(picture: np.ndarray, camera: Camera, look: Look, light: np.ndarray,
                    rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Draw locks that fall over the sides of the face; return their uint8 mask."""
    mask = np.zeros(picture.shape[:2], np.uint8)
    length, inner = rng.uniform(0.2, 0.7), rng.uniform(0.27, 0.385)
    part = rng.uniform(-0.12, 0.12)
    for side in (-1, 1):
        if rng.random() < 0.3:
            continue
        lock = np.array([(side * part, -0.68, 0.10), (side * 0.26, -0.48, 0.22), (inner, -0.22, 0.10),
                         (inner + 0.02, 0.1, 0.04), (0.40, length, -0.05), (0.50, length, -0.12),
                         (0.47, 0.0, -0.12), (0.43, -0.35, -0.1), (0.25, -0.70, -0.05)])  # fmt: skip
        lock[:, 0] *= side
        polygon = camera.project(spline(lock, closed=True))
        mask = np.maximum(mask, polygon_mask(mask.shape, polygon, 1.0))
    blend(picture, _strand_colour(look, light, picture.shape[:2], camera.pose.roll, rng), mask)
    return mask
