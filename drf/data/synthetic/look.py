"""People: colours, age, beard and hair."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

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
