"""Things in front of the face: glasses, hands, a hat, a mask, other objects."""

from __future__ import annotations

import cv2
import numpy as np

from drf.data.synthetic.camera import Camera
from drf.data.synthetic.head import Head
from drf.data.synthetic.paint import blend, disc, fill, polygon_mask, spline, stroke, window
from drf.data.synthetic.skin import Look
from drf.data.synthetic.textures import cut


def _rim(centre: np.ndarray, half: tuple[float, float], power: float, droop: float) -> np.ndarray:
    """Return a (32, 3) superellipse around an eye; the outer side bends back."""
    t = np.linspace(0, 2 * np.pi, 32, endpoint=False)
    x = np.sign(np.cos(t)) * np.abs(np.cos(t)) ** (2 / power) * half[0]
    y = np.sign(np.sin(t)) * np.abs(np.sin(t)) ** (2 / power) * half[1]
    outer = np.clip(x * np.sign(centre[0]), 0, None) / half[0]
    return centre + np.stack([x, y + droop * outer * half[1], -0.05 * outer], axis=-1)


def draw_glasses(picture: np.ndarray, head: Head, camera: Camera, dark: bool, light: np.ndarray,
                 rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Draw glasses on the nose; return the uint8 mask of what they hide (dark lenses only)."""
    half, power = (rng.uniform(0.105, 0.14), rng.uniform(0.07, 0.115)), rng.uniform(2.0, 4.5)
    droop, width = rng.uniform(-0.1, 0.2), int(rng.integers(1, 4))
    frame = (rng.uniform(5, 60, 3) if rng.random() < 0.7 else rng.uniform(90, 230, 3)) * light
    frame_colour = tuple(np.clip(frame, 0, 255).tolist())
    hidden = np.zeros(picture.shape[:2], np.uint8)
    depth = float(head.points[27, 2]) + 0.015
    rims = []
    for indices, side in ((range(36, 42), -1), (range(42, 48), 1)):
        centre = head.points[list(indices)].mean(axis=0) + (0, 0.015, 0)
        centre[2] = depth - 0.03
        rim = camera.project(_rim(centre, half, power, droop))
        rims.append(rim)
        lens = polygon_mask(picture.shape, rim)
        if dark:
            hidden = np.maximum(hidden, lens)
            tint = rng.uniform(5, 45, 3) if side < 0 else tint  # noqa: F821 - both lenses share it
            blend(
                picture,
                tint * light,
                lens.astype(np.float32) * np.float32(rng.uniform(0.8, 0.97) / 255),
            )
        glare = rng.choice([0.0, rng.uniform(0.05, 0.3)], p=[0.5, 0.5])
        if glare:
            streak = np.zeros_like(lens)
            fill(streak, rim[[2, 6, 14, 20]], 255)
            streak = cv2.GaussianBlur(cv2.min(streak, lens), (0, 0), 2.0)
            blend(
                picture,
                np.array([235.0, 240, 245]),
                streak.astype(np.float32) * np.float32(glare / 255),
            )
        outer = np.array([centre[0] + side * half[0], centre[1] - 0.3 * half[1], centre[2] - 0.05])
        if camera.rotation[2, 0] * side > -0.15:
            temple = camera.project(np.stack([outer, (side * 0.40, -0.19, -0.13)]))
            stroke(picture, temple, frame_colour, width)
        stroke(picture, rim, frame_colour, width, closed=True)
    bridge = np.array(
        [(-0.055, -0.165, depth), (0.0, -0.178, depth + 0.02), (0.055, -0.165, depth)]
    )
    stroke(picture, camera.project(spline(bridge)), frame_colour, width)
    return hidden


def draw_hand(picture: np.ndarray, camera: Camera, look: Look, light: np.ndarray,
              rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    """Draw a hand that touches the face: palm and fingers as shaded capsules; return its uint8 mask."""
    target = camera.points[int(rng.choice([3, 5, 8, 11, 13, 48, 54, 33, 1, 15]))]
    unit = camera.scale
    side = rng.choice([-1, 1])
    approach = rng.uniform(-0.6, 0.6) + (0.0 if rng.random() < 0.8 else np.pi / 2)
    up = np.array([np.sin(approach), -np.cos(approach)])
    across = np.array([-up[1], up[0]]) * side
    tip, palm = target + up * 0.10 * unit, target - up * rng.uniform(0.32, 0.5) * unit
    mask, inner = np.zeros(picture.shape[:2], np.uint8), np.zeros(picture.shape[:2], np.uint8)
    thickness = 0.088 * unit * rng.uniform(0.85, 1.15)
    spread, curl = rng.uniform(0.075, 0.13) * unit, rng.uniform(-0.08, 0.08) * unit
    for finger, reach in enumerate((0.80, 0.96, 1.0, 0.90)):
        offset = (finger - 1.5) * spread
        end = palm + (tip - palm) * reach + across * offset * 1.25
        knuckle = palm + across * offset
        middle = (end + knuckle) / 2 + across * curl
        line = spline(np.stack([knuckle, middle, end]), per_span=4)
        # One finger at a time, so that the dark gap between neighbours stays.
        stroke(mask, line, 255, max(2, round(thickness)))
        stroke(inner, line - 0.12 * thickness, 255, max(1, round(0.55 * thickness)))
    thumb = spline(np.stack([palm - up * 0.05 * unit, palm + across * -0.26 * unit + up * 0.08 * unit,
                             palm + across * -0.3 * unit + up * 0.24 * unit]))  # fmt: skip
    stroke(mask, thumb, 255, max(2, round(1.15 * thickness)))
    stroke(inner, thumb, 255, max(1, round(0.6 * thickness)))
    disc(
        mask, palm - up * 0.12 * unit, (0.25 * unit, 0.24 * unit), float(np.degrees(approach)), 255
    )
    wrist = np.stack([palm - up * 0.15 * unit, palm - up * 1.2 * unit])
    stroke(mask, wrist, 255, max(2, round(0.30 * unit)))
    disc(
        inner, palm - up * 0.12 * unit, (0.19 * unit, 0.18 * unit), float(np.degrees(approach)), 255
    )
    stroke(inner, wrist, 255, max(2, round(0.2 * unit)))
    shadow = cv2.GaussianBlur(mask, (0, 0), 3).astype(np.float32) * np.float32(0.4 / 255)
    tone = look.skin * light * rng.uniform(0.9, 1.08)
    blend(picture, tone * 0.2, shadow)
    blend(picture, tone * 0.6, cv2.GaussianBlur(mask, (3, 3), 0.6))
    blend(
        picture,
        np.clip(tone, 0, 250),
        cv2.min(mask, cv2.GaussianBlur(inner, (0, 0), 0.02 * unit + 0.5)),
    )
    return mask


def draw_hat(
    picture: np.ndarray, camera: Camera, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a cap, a woollen hat or a scarf over the forehead; return its uint8 mask."""
    brim, bulge = rng.uniform(-0.44, -0.33), rng.uniform(1.03, 1.2)
    side, dip = 0.41 * bulge, rng.uniform(0.0, 0.1)
    half = np.array([(0.0, brim - dip * 0.3, 0.40), (0.26, brim, 0.26), (side, brim + dip, -0.08),
                     (side, -0.55, -0.15), (0.62 * side, -0.75 * bulge, -0.15), (0.0, -0.80 * bulge, -0.15)])  # fmt: skip
    outline = np.concatenate([half, half[1:-1][::-1] * (-1, 1, 1)])
    polygon = camera.project(spline(outline, closed=True))
    mask = polygon_mask(picture.shape, polygon, 0.7)
    colour = rng.uniform(10, 220, 3) * light
    weave = 1 + rng.uniform(0.05, 0.25) * cut(
        ("fine", "medium", "strands")[rng.integers(3)], mask.shape, rng
    )
    blend(picture, np.clip(colour.astype(np.float32) * weave[..., None], 0, 255), mask)
    band = camera.project(spline(np.concatenate([half[2:0:-1] * (-1, 1, 1), half[:3]])))
    stroke(
        picture,
        band,
        tuple(np.clip(colour * rng.uniform(0.3, 0.7), 0, 255).tolist()),
        int(rng.integers(2, 9)),
    )
    return mask


def draw_mask(
    picture: np.ndarray, camera: Camera, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Draw a cloth over mouth and chin along the projected points; return its uint8 mask."""
    points = camera.points
    bridge = points[29] + rng.uniform(-0.2, 0.8) * (points[30] - points[29])
    outline = np.concatenate([points[2:15], bridge[None]])
    polygon = spline(outline, per_span=3, closed=True)
    mask = polygon_mask(picture.shape, polygon, 0.7)
    colour = (np.array([150, 185, 215]) if rng.random() < 0.4 else rng.uniform(15, 235, 3)) * light
    weave = 1 + 0.06 * cut("medium", mask.shape, rng)
    blend(picture, np.clip(colour.astype(np.float32) * weave[..., None], 0, 255), mask)
    dark = tuple(np.clip(colour * 0.7, 0, 255).tolist())
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
    mask = np.zeros(picture.shape[:2], np.uint8)
    kind = rng.integers(3)
    turn = rng.uniform(0, np.pi)
    axis = np.array([np.cos(turn), np.sin(turn)])
    if kind == 0:
        ends = np.stack([centre, centre + axis * unit * 1.5 * rng.choice([-1, 1])])
        stroke(mask, ends, 255, max(2, round(rng.uniform(0.05, 0.16) * unit)))
    elif kind == 1:
        reach = rng.uniform(0.09, 0.26, 2) * unit
        cross = np.array([-axis[1], axis[0]])
        fill(
            mask,
            centre
            + np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach @ np.stack([axis, cross]),
            255,
        )
    else:
        disc(mask, centre, tuple(rng.uniform(0.08, 0.22, 2) * unit), float(np.degrees(turn)), 255)
    view = window(np.argwhere(mask)[:, ::-1] if mask.any() else centre[None], 1, picture.shape)
    texture = 1 + rng.uniform(0, 0.3) * cut("cloud", mask[view].shape, rng)
    colour = (rng.uniform(5, 245, 3) * light).astype(np.float32)
    blend(
        picture[view],
        np.clip(colour * texture[..., None], 0, 255),
        cv2.GaussianBlur(mask, (3, 3), 0.7)[view],
    )
    return mask
