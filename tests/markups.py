"""Other markups and faces that have them: what works for IBUG68 alone fails with these."""

from __future__ import annotations

import numpy as np

from drf.landmarks.markup import COFW29, WFLW98, Markup

FIVE = Markup(
    name="five",
    groups={"right_eye": (0,), "left_eye": (1,), "nose": (2,), "mouth": (3, 4)},
    subsets={"eyes": ("right_eye", "left_eye"), "lower": ("nose", "mouth")},
    flip=(1, 0, 2, 4, 3),
    normalisers={"ocular": ((0,), (1,)), "pupil": ((0,), (1,))},
    displayed=(0, 2, 3),
    titles={2: "tip", 3: "right corner", 4: "left corner"},
)
"""The centres of the eyes, the tip of the nose, the corners of the mouth."""

NINETY_EIGHT = WFLW98
"""A dense one: outlines with more points than IBUG68 has, and pupils."""


def points_of(markup: Markup, ibug68: np.ndarray) -> np.ndarray:
    """Return the landmarks of FIVE, NINETY_EIGHT or COFW29 of faces marked up as IBUG68:
    (..., 68, 2) -> (..., K, 2), interpolated along its outlines."""
    p = ibug68
    right, left = p[..., 36:42, :].mean(axis=-2), p[..., 42:48, :].mean(axis=-2)
    if markup is FIVE:
        return np.stack([right, left, p[..., 30, :], p[..., 48, :], p[..., 54, :]], axis=-2)
    if markup is COFW29:
        return _cofw(p, right, left)
    assert markup is NINETY_EIGHT
    below = np.array([0.0, 0.03]) * np.linalg.norm(left - right, axis=-1)[..., None, None]
    parts = [_along(p[..., 0:17, :], 33)]
    for brow in (p[..., 17:22, :], p[..., 22:27, :]):
        lower = (brow[..., 1:, :] + brow[..., :-1, :]) / 2 + below
        parts += [brow, lower[..., ::-1, :]]
    parts.append(p[..., 27:36, :])
    for eye in (p[..., 36:42, :], p[..., 42:48, :]):
        lower = np.concatenate([eye[..., 3:, :], eye[..., :1, :]], axis=-2)
        parts += [_along(eye[..., :4, :], 5), _along(lower, 5)[..., 1:-1, :]]
    parts += [p[..., 48:68, :], right[..., None, :], left[..., None, :]]
    return np.concatenate(parts, axis=-2)


def _cofw(p: np.ndarray, right: np.ndarray, left: np.ndarray) -> np.ndarray:
    """Return the landmarks of COFW29: (..., 68, 2) -> (..., 29, 2)."""
    one = [p[..., k, :] for k in range(68)]
    below = np.array([0.0, 0.08]) * np.linalg.norm(left - right, axis=-1)[..., None]
    parts = [one[17], one[26], one[21], one[22]]
    parts += [one[19], one[19] + below, one[24], one[24] + below]
    parts += [one[36], one[45], one[39], one[42]]
    for upper, lower in (((37, 38), (40, 41)), ((43, 44), (46, 47))):
        parts += [(one[a] + one[b]) / 2 for a, b in (upper, lower)]
    parts += [right, left, one[31], one[35], one[30], one[33]]
    parts += [one[k] for k in (48, 54, 51, 62, 66, 57, 8)]
    return np.stack(parts, axis=-2)


def _along(line: np.ndarray, n: int) -> np.ndarray:
    """Return n points along a line of m: (..., m, 2) -> (..., n, 2)."""
    place = np.linspace(0, line.shape[-2] - 1, n)
    first = np.minimum(place.astype(int), line.shape[-2] - 2)
    share = (place - first)[:, None]
    return line[..., first, :] * (1 - share) + line[..., first + 1, :] * share
