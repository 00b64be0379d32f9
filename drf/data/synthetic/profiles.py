"""How hard each subset is."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from drf.data.synthetic.camera import Pose

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
