"""How hard each subset is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drf.data.synthetic.camera import Pose

SIZE = 256
"""Side of a picture, px."""

MAX_YAW = 45.0


@dataclass(frozen=True)
class Profile:
    """Difficulty of a subset. Angles in degrees, probabilities in 0..1.

    count     faces in the subset unless another number is asked for
    offset    keeps the random streams of the subsets apart; never reused
    yaw       spread of the bulk of the yaw angles (normal)
    turned    share of faces whose yaw is uniform between `turned_from` and 45 on either side
    glasses, hand, hat, mask, object: probability of each occluder; dark: of glasses being dark
    harsh     0..1: harder light, more blur and noise
    """

    count: int
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


def _everyday(count: int, offset: int) -> Profile:
    return Profile(count, offset, 12, 0.18, 0, 7, 8, 0.16, 0.25, 0.08, 0.08, 0.02, 0.07, 0.35)


SUBSETS: dict[str, Profile] = {
    "train": _everyday(4000, 1),
    "val": _everyday(400, 2),
    "common": _everyday(500, 3),
    "challenging": Profile(200, 4, 20, 0.6, 15, 13, 16, 0.28, 0.5, 0.30, 0.16, 0.08, 0.35, 0.9),
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
