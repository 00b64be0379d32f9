"""The iBUG 68-point markup: groups, the flip permutation, outlines, points of the normalisers.

Indices are 0-based; sides are the subject's own, so `left_eye` (42..47) lies on the right of a
frontal picture.
"""

from __future__ import annotations

import numpy as np

N_POINTS = 68

GROUPS: dict[str, range] = {
    "jaw": range(0, 17),
    "right_brow": range(17, 22),
    "left_brow": range(22, 27),
    "nose_bridge": range(27, 31),
    "nostrils": range(31, 36),
    "right_eye": range(36, 42),
    "left_eye": range(42, 48),
    "outer_lip": range(48, 60),
    "inner_lip": range(60, 68),
}

SUBSETS: dict[str, tuple[str, ...]] = {
    "all": tuple(GROUPS),
    "eyes": ("right_eye", "left_eye"),
    "brows": ("right_brow", "left_brow"),
    "nose": ("nose_bridge", "nostrils"),
    "mouth": ("outer_lip", "inner_lip"),
    "jaw": ("jaw",),
}
"""Landmark subsets by the name used in configurations and on the board."""

REGIONS = tuple(name for name in SUBSETS if name != "all")
"""The parts of a face: subsets that share no landmark and together have all."""

_PLACES: dict[int, str] = {
    **{0: "right end", 8: "chin", 16: "left end"},
    **{17: "outer end", 21: "inner end", 22: "inner end", 26: "outer end"},
    **{27: "root", 30: "tip", 33: "base of the septum"},
    **{36: "outer corner", 39: "inner corner", 42: "inner corner", 45: "outer corner"},
    **{48: "right corner", 51: "top, middle", 54: "left corner", 57: "bottom, middle"},
    **{60: "right corner", 62: "top, middle", 64: "left corner", 66: "bottom, middle"},
}
"""Landmarks that have a place of their own in their group; the others lie between them."""

CLOSED = frozenset({"right_eye", "left_eye", "outer_lip", "inner_lip"})
"""Groups whose outline returns to its first point."""

OUTER_EYE_CORNERS = (36, 45)
RIGHT_EYE = tuple(GROUPS["right_eye"])
LEFT_EYE = tuple(GROUPS["left_eye"])

_MIRRORED_PAIRS = (
    [(i, 16 - i) for i in range(8)]  # jaw
    + [(17 + i, 26 - i) for i in range(5)]  # brows
    + [(31, 35), (32, 34)]  # nostrils
    + [(36, 45), (37, 44), (38, 43), (39, 42), (40, 47), (41, 46)]  # eyes
    + [(48, 54), (49, 53), (50, 52), (55, 59), (56, 58)]  # outer lip
    + [(60, 64), (61, 63), (65, 67)]  # inner lip
)


def _flip_permutation() -> np.ndarray:
    permutation = np.arange(N_POINTS)
    for a, b in _MIRRORED_PAIRS:
        permutation[[a, b]] = b, a
    permutation.setflags(write=False)
    return permutation


FLIP = _flip_permutation()
"""(68,) int: point k of a mirrored picture is the mirror image of point FLIP[k]."""


def indices(subset: str) -> np.ndarray:
    """Return the (k,) int indices of a landmark subset, ascending.

    Raises KeyError for a name that is not in SUBSETS.
    """
    return np.concatenate([np.asarray(GROUPS[group]) for group in SUBSETS[subset]])


def name(index: int) -> str:
    """Return what a landmark is called: "36 · right eye, outer corner", or "2 · jaw".

    Raises ValueError for an index that is not in 0..67.
    """
    for group, members in GROUPS.items():
        if index in members:
            place = f", {_PLACES[index]}" if index in _PLACES else ""
            return f"{index} · {group.replace('_', ' ')}{place}"
    raise ValueError(f"landmark {index} is not in 0..{N_POINTS - 1}")


def outlines() -> list[np.ndarray]:
    """Return one (k,) int array per group: the order in which a pen draws it."""
    return [
        np.asarray([*group, group[0]] if name in CLOSED else [*group])
        for name, group in GROUPS.items()
    ]
