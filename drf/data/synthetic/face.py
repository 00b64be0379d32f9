"""One synthetic face from its number."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from drf.data.synthetic import body, occluders, parts
from drf.data.synthetic.background import draw_background
from drf.data.synthetic.camera import Camera
from drf.data.synthetic.head import Head, draw_head, head_model
from drf.data.synthetic.profiles import SIZE, SUBSETS, Profile, draw_pose
from drf.data.synthetic.raster import draw_light, lit_texture, normals, rasterise, shade
from drf.data.synthetic.sculpt import GRID
from drf.data.synthetic.sensor import expose
from drf.data.synthetic.skin import TEXTURE, Look, albedo, draw_look
from drf.errors import NotFoundError

GENERATOR_VERSION = 1
"""Raised whenever the pictures or the points of any (subset, index, seed) change."""


@dataclass(frozen=True)
class SyntheticFace:
    """A picture and what is known about it.

    picture   (256, 256, 3) uint8 RGB
    points    (68, 2) float32, 0-based px, pixel centres at integers, iBUG order
    occluded  (68,) bool: the point is covered by hair, glasses, a hand or another thing
    yaw, pitch, roll  degrees; yaw > 0 turns to the picture's right, pitch > 0 lifts the chin,
                      roll > 0 is clockwise
    """

    picture: np.ndarray
    points: np.ndarray
    occluded: np.ndarray
    yaw: float
    pitch: float
    roll: float


def render_face(subset: str, index: int, seed: int = 0) -> SyntheticFace:
    """Render face `index` (>= 0) of a subset.

    The same arguments give the same bytes in any process and any order; different subsets never
    share a face. Raises NotFoundError for an unknown subset or a negative index.
    """
    if subset not in SUBSETS:
        raise NotFoundError(
            f"There is no synthetic subset {subset!r}; choose from {', '.join(SUBSETS)}."
        )
    if index < 0:
        raise NotFoundError(f"Face {index} does not exist: synthetic faces count from 0.")
    profile = SUBSETS[subset]
    rng = np.random.default_rng(np.random.SeedSequence([seed, profile.offset, index]))
    head, look, pose = draw_head(rng), draw_look(rng), draw_pose(profile, rng)
    camera = Camera(head, pose)
    picture, hidden = _draw_scene(head, look, camera, profile, rng)
    picture = expose(picture, rng, profile.harsh * rng.random())
    return SyntheticFace(
        picture, camera.points.astype(np.float32), _covered(hidden, camera.points),
        pose.yaw, pose.pitch, pose.roll,
    )  # fmt: skip


def _covered(hidden: np.ndarray, points: np.ndarray) -> np.ndarray:
    pixels = np.clip(np.rint(points).astype(int), 0, SIZE - 1)
    return hidden[pixels[:, 1], pixels[:, 0]] > 127


def _draw_scene(head: Head, look: Look, camera: Camera, profile: Profile,
                rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:  # fmt: skip
    """Paint from back to front; return the picture and the uint8 mask of what hides the face."""
    picture = draw_background(SIZE, rng)
    light = draw_light(rng, profile.harsh)
    normal = normals(head.vertices)
    gain, glint = shade(normal @ camera.rotation.T.astype(np.float32), light, look.shine)
    overall = np.clip(
        gain[GRID // 4 : -GRID // 4, GRID // 4 : -GRID // 4].mean(axis=(0, 1)), 0.1, 1.2
    )
    body.draw_back_hair(picture, head, camera, look, overall, rng)
    body.draw_neck(picture, camera, look, overall, rng)
    ears = rng.uniform(0.97, 1.08)
    covered_ears = look.style in ("long", "fringe")
    for side in (-1, 1):
        if not covered_ears and not body.ear_is_near(camera, side):
            body.draw_ear(picture, camera, side, look, overall, ears)
    _draw_face(picture, head, look, camera, normal, gain, glint, rng)
    for side in (-1, 1):
        if not covered_ears and body.ear_is_near(camera, side):
            body.draw_ear(picture, camera, side, look, overall, ears)
    hidden = np.zeros(picture.shape[:2], np.uint8)
    if covered_ears:
        hidden = np.maximum(hidden, body.draw_front_hair(picture, camera, look, overall, rng))
    return picture, _draw_occluders(picture, hidden, head, look, camera, profile, overall, rng)


def _draw_face(picture: np.ndarray, head: Head, look: Look, camera: Camera, normal: np.ndarray,
               gain: np.ndarray, glint: np.ndarray, rng: np.random.Generator) -> None:  # fmt: skip
    raster = rasterise(head, camera, normal, SIZE)
    smile = (head.expression["smile_left"] + head.expression["smile_right"]) / 2
    paint = albedo(look, smile, head.expression["brow_raise_left"], rng)
    surface = raster.warp(lit_texture(paint, gain, glint))
    parts.blend(picture, np.clip(surface, 0, 255), raster.cover)
    column, row = np.rint(head_model().canonical).astype(int).T
    canvas = parts.Canvas(picture, camera.points, gain[row, column], look, raster.cover,
                          raster.canonical[..., 0] - np.float32((TEXTURE - 1) / 2))  # fmt: skip
    parts.draw_nostrils(canvas, rng.uniform(0.7, 1.2))
    parts.draw_mouth(canvas, rng.choice([0.0, rng.uniform(0.6, 1.0)], p=[0.15, 0.85]))
    gaze = np.array([rng.normal(0, 0.09), rng.normal(0, 0.03)])
    thickness = camera.scale * rng.uniform(0.011, 0.017)
    parts.draw_eye(canvas, [36, 37, 38, 39, 40, 41], gaze * (-1, 1) * -1, -3.0)
    parts.draw_eye(canvas, [45, 44, 43, 42, 47, 46], gaze * (-1, 1), 3.0)
    parts.draw_brow(canvas, [17, 18, 19, 20, 21], thickness, rng, -1.0)
    parts.draw_brow(canvas, [26, 25, 24, 23, 22], thickness, rng, 1.0)


def _draw_occluders(picture: np.ndarray, hidden: np.ndarray, head: Head, look: Look, camera: Camera,
                    profile: Profile, light: np.ndarray, rng: np.random.Generator) -> np.ndarray:  # fmt: skip
    wanted = rng.random(5) < (
        profile.glasses,
        profile.mask,
        profile.hat,
        profile.hand,
        profile.object,
    )
    if wanted[1]:
        hidden = cv2.max(hidden, occluders.draw_mask(picture, camera, light, rng))
    if wanted[0]:
        dark = rng.random() < profile.dark
        hidden = cv2.max(hidden, occluders.draw_glasses(picture, head, camera, dark, light, rng))
    if wanted[2]:
        hidden = cv2.max(hidden, occluders.draw_hat(picture, camera, light, rng))
    if wanted[3]:
        hidden = cv2.max(hidden, occluders.draw_hand(picture, camera, look, light, rng))
    if wanted[4]:
        hidden = cv2.max(hidden, occluders.draw_object(picture, camera, light, rng))
    return hidden
