"""One synthetic face from its number.

Profiles say how hard each subset is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np

from drf.data.synthetic import body, parts
from drf.data.synthetic.head import (
    LEFT_LIDS,
    RIGHT_LIDS,
    Camera,
    Head,
    Pose,
    draw_head,
    head_model,
    surface,
)
from drf.data.synthetic.paint import blend, draw_background
from drf.data.synthetic.raster import (
    Raster,
    draw_light,
    expose,
    lit_texture,
    normals,
    rasterise,
    shade,
)
from drf.data.synthetic.sculpt import GRID
from drf.data.synthetic.skin import TEXTURE, Look, albedo, draw_look
from drf.errors import NotFoundError

SIZE = 256
"""Side of a picture, px."""

MAX_YAW = 45.0


@dataclass(frozen=True)
class Profile:
    """Difficulty of a subset. Angles in degrees, probabilities in 0..1.

    offset    keeps the random streams of the subsets apart; never reused
    yaw       spread of the bulk of the yaw angles (normal)
    turned    share of faces whose yaw is uniform between `turned_from` and 45 on either side
    glasses, hand, hat, mask, object: probability of each occluder; dark: of glasses being dark
    harsh     0..1: harder light, more blur and noise
    """

    offset: int
    yaw: float
    turned: float
    turned_from: float
    pitch: float
    roll: float
    glasses: float
    dark: float
    hand: float
    hat: float
    mask: float
    object: float
    harsh: float


_EVERYDAY = Profile(
    offset=1,
    yaw=12,
    turned=0.18,
    turned_from=0,
    pitch=7,
    roll=8,
    glasses=0.16,
    dark=0.25,
    hand=0.08,
    hat=0.08,
    mask=0.02,
    object=0.07,
    harsh=0.35,
)
_HARD = Profile(
    offset=4,
    yaw=20,
    turned=0.6,
    turned_from=15,
    pitch=13,
    roll=16,
    glasses=0.28,
    dark=0.5,
    hand=0.3,
    hat=0.16,
    mask=0.08,
    object=0.35,
    harsh=0.9,
)

SUBSETS: dict[str, Profile] = {
    "train": _EVERYDAY,
    "val": replace(_EVERYDAY, offset=2),
    "common": replace(_EVERYDAY, offset=3),
    "challenging": _HARD,
}
"""The subsets by name. train, val and common share one distribution; challenging is harder."""


def draw_pose(profile: Profile, rng: np.random.Generator) -> Pose:
    """Draw the attitude of the head and its place in the picture."""
    yaw = rng.normal(0, profile.yaw)
    if rng.random() < profile.turned:
        yaw = rng.choice([-1, 1]) * rng.uniform(profile.turned_from, MAX_YAW)
    pitch = np.clip(rng.normal(0, profile.pitch), -25, 25)
    roll = np.clip(rng.normal(0, profile.roll), -35, 35)
    centre = SIZE / 2 - 0.5 + rng.uniform(-10, 10, 2)
    return Pose(
        float(np.clip(yaw, -MAX_YAW, MAX_YAW)),
        float(pitch),
        float(roll),
        float(rng.uniform(5, 14)),
        float(rng.uniform(150, 170)),
        (float(centre[0]), float(centre[1])),
    )


GENERATOR_VERSION = 4
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
    head, look, camera, rng = _stage(subset, index, seed)
    profile, pose = SUBSETS[subset], camera.pose
    picture, hidden = _draw_scene(head, look, camera, profile, rng)
    picture = expose(picture, rng, profile.harsh * rng.random())
    return SyntheticFace(
        picture,
        camera.points.astype(np.float32),
        _covered(hidden, camera.points),
        pose.yaw,
        pose.pitch,
        pose.roll,
    )


def face_points(subset: str, index: int, seed: int = 0) -> np.ndarray:
    """Return the points of `render_face` alone, (68, 2) float32, without drawing the picture.

    Raises NotFoundError as `render_face`.
    """
    return _stage(subset, index, seed)[2].points.astype(np.float32)


def _stage(subset: str, index: int, seed: int) -> tuple[Head, Look, Camera, np.random.Generator]:
    """Draw all that decides the points, and the generator that goes on to draw the rest."""
    if subset not in SUBSETS:
        raise NotFoundError(
            f"There is no synthetic subset {subset!r}; choose from {', '.join(SUBSETS)}."
        )
    if index < 0:
        raise NotFoundError(f"Face {index} does not exist: synthetic faces count from 0.")
    profile = SUBSETS[subset]
    rng = np.random.default_rng(np.random.SeedSequence([seed, profile.offset, index]))
    head, look, pose = draw_head(rng), draw_look(rng), draw_pose(profile, rng)
    return head, look, Camera(head, pose), rng


def _covered(hidden: np.ndarray, points: np.ndarray) -> np.ndarray:
    pixels = np.clip(np.rint(points).astype(int), 0, SIZE - 1)
    return hidden[pixels[:, 1], pixels[:, 0]] > 127


def _draw_scene(
    head: Head, look: Look, camera: Camera, profile: Profile, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray]:
    """Paint from back to front; return the picture and the uint8 mask of what hides the face."""
    light = draw_light(rng, profile.harsh)
    vertices = surface(head)
    normal = normals(vertices)
    gain, glint = shade(cv2.transform(normal, camera.rotation), light, look.shine)
    overall = np.clip(
        gain[GRID // 4 : -GRID // 4, GRID // 4 : -GRID // 4].mean(axis=(0, 1)), 0.1, 1.2
    )
    picture = _draw_behind(look, camera.halved(), overall, rng)
    covered_ears = look.style in ("long", "fringe")
    for side in (-1, 1):
        if not covered_ears and not body.ear_is_near(camera, side):
            body.draw_ear(picture, head, camera, side, look, overall)
    raster = rasterise(vertices, camera, normal, SIZE)
    _draw_face(picture, head, look, camera, raster, gain, glint, rng)
    for side in (-1, 1):
        if not covered_ears and body.ear_is_near(camera, side):
            body.draw_ear(picture, head, camera, side, look, overall)
    hidden = np.zeros(picture.shape[:2], np.uint8)
    if covered_ears:
        hidden = np.maximum(hidden, body.draw_front_hair(picture, camera, look, overall, rng))
    return picture, _draw_occluders(picture, hidden, head, look, camera, profile, overall, rng)


def _draw_behind(
    look: Look, camera: Camera, light: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Paint what lies behind the face at half resolution, where it is out of focus anyway."""
    picture = draw_background(SIZE // 2, rng)
    body.draw_back_hair(picture, camera, look, light, rng)
    body.draw_neck(picture, camera, look, light, rng)
    return np.asarray(cv2.resize(picture, (SIZE, SIZE), interpolation=cv2.INTER_LINEAR))


def _draw_face(
    picture: np.ndarray,
    head: Head,
    look: Look,
    camera: Camera,
    raster: Raster,
    gain: np.ndarray,
    glint: np.ndarray,
    rng: np.random.Generator,
) -> None:
    smile = (head.expression["smile_left"] + head.expression["smile_right"]) / 2
    paint = albedo(look, smile, head.expression["brow_raise_left"], rng)
    surface = raster.warp(lit_texture(paint, gain, glint))
    region = picture[raster.view]
    blend(region, surface, raster.cover)
    column, row = np.rint(head_model().canonical).astype(int).T
    canvas = parts.Canvas(
        region,
        camera.points - (raster.view[1].start, raster.view[0].start),
        gain[row, column],
        look,
        camera.scale,
        abs(camera.pose.yaw) > 12,
        raster.cover,
        raster.column - np.float32((TEXTURE - 1) / 2),
    )
    parts.draw_nostrils(canvas, rng.uniform(0.7, 1.2))
    parts.draw_mouth(canvas, rng.choice([0.0, rng.uniform(0.6, 1.0)], p=[0.15, 0.85]))
    gaze = np.array([rng.normal(0, 0.09), rng.normal(0, 0.03)])
    thickness = camera.scale * rng.uniform(0.011, 0.017)
    parts.draw_eye(canvas, RIGHT_LIDS, gaze, -3.0)
    parts.draw_eye(canvas, LEFT_LIDS, gaze * np.array([-1, 1]), 3.0)
    parts.draw_brow(canvas, [17, 18, 19, 20, 21], thickness, rng, -1.0)
    parts.draw_brow(canvas, [26, 25, 24, 23, 22], thickness, rng, 1.0)


def _draw_occluders(
    picture: np.ndarray,
    hidden: np.ndarray,
    head: Head,
    look: Look,
    camera: Camera,
    profile: Profile,
    light: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    wanted = rng.random(5) < (
        profile.glasses,
        profile.mask,
        profile.hat,
        profile.hand,
        profile.object,
    )
    if wanted[1]:
        hidden = cv2.max(hidden, body.draw_mask(picture, camera, light, rng))
    if wanted[0]:
        dark = rng.random() < profile.dark
        hidden = cv2.max(hidden, body.draw_glasses(picture, head, camera, dark, light, rng))
    if wanted[2]:
        hidden = cv2.max(hidden, body.draw_hat(picture, camera, light, rng))
    if wanted[3]:
        hidden = cv2.max(hidden, body.draw_hand(picture, camera, look, light, rng))
    if wanted[4]:
        hidden = cv2.max(hidden, body.draw_object(picture, camera, light, rng))
    return hidden
