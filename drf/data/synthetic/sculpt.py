"""The average head as a smooth surface over a canonical square, sculpted by hand.

Frame of the head: x to the picture's right when frontal, y down, z towards the viewer; one unit is
the side of the face box of a frontal face (about 19 cm), the origin lies near the ears' axis.

The canonical plane is an azimuthal map centred under the nose: a point at angle phi and radius 1 is
the frontal outline (jaw, temples, crown), radius above 1 wraps to the sides and under the chin. The
surface is a dome between that outline and the centre with the features added as bumps.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

GRID = 80
"""Nodes of the canonical grid along each axis."""

EXTENT = 1.42
"""The grid spans -EXTENT..EXTENT in canonical units on both axes."""

ORIGIN_Y = 0.42
"""Height of the canonical centre in the proportions below (0 = top of the face box, 1 = bottom)."""

_DEPTH_SCALE = 0.9
_BREADTH = 1.05
_CENTRE_DEPTH = 0.45 * _DEPTH_SCALE

# Half of the frontal outline from chin to crown: x, y, z of the proportions of an average head.
_OUTLINE = np.array(
    [
        (0.000, 0.885, 0.340),
        (0.100, 0.868, 0.315),
        (0.185, 0.812, 0.245),
        (0.265, 0.740, 0.145),
        (0.325, 0.650, 0.060),
        (0.358, 0.555, 0.000),
        (0.376, 0.450, -0.040),
        (0.386, 0.350, -0.065),
        (0.390, 0.250, -0.080),
        (0.388, 0.120, -0.090),
        (0.374, 0.000, -0.100),
        (0.325, -0.140, -0.110),
        (0.240, -0.245, -0.120),
        (0.125, -0.310, -0.130),
        (0.000, -0.330, -0.130),
    ]
)

# x, y, height, spread in x, spread in y; those off the midline stand on both sides.
_BUMPS = np.array(
    [
        (0.000, 0.050, 0.030, 0.200, 0.130),  # forehead
        (0.170, 0.165, 0.020, 0.110, 0.032),  # brow ridge
        (0.000, 0.170, 0.012, 0.050, 0.040),  # glabella
        (0.175, 0.252, -0.038, 0.075, 0.045),  # eye socket
        (0.088, 0.255, -0.030, 0.030, 0.036),  # inner corner of the socket
        (0.175, 0.250, 0.020, 0.045, 0.030),  # eyeball
        (0.240, 0.360, 0.020, 0.080, 0.060),  # cheekbone
        (0.250, 0.520, -0.014, 0.070, 0.080),  # hollow of the cheek
        (0.160, 0.430, 0.014, 0.060, 0.060),  # apple of the cheek
        (0.000, 0.600, 0.030, 0.130, 0.090),  # muzzle
        (0.000, 0.582, 0.014, 0.075, 0.020),  # upper lip
        (0.000, 0.660, 0.016, 0.070, 0.022),  # lower lip
        (0.000, 0.618, -0.012, 0.120, 0.016),  # line between the lips
        (0.000, 0.548, -0.007, 0.016, 0.025),  # philtrum
        (0.000, 0.735, -0.022, 0.075, 0.024),  # furrow above the chin
        (0.000, 0.805, 0.030, 0.075, 0.050),  # chin
        (0.062, 0.468, 0.042, 0.026, 0.030),  # wings of the nose
    ]
)

# Ridge of the nose: y, height over the dome, half-width.
_NOSE = np.array(
    [
        (0.16, 0.000, 0.030),
        (0.24, 0.012, 0.034),
        (0.31, 0.052, 0.036),
        (0.38, 0.094, 0.040),
        (0.43, 0.122, 0.048),
        (0.455, 0.124, 0.052),
        (0.485, 0.080, 0.055),
        (0.515, 0.018, 0.050),
        (0.550, 0.000, 0.045),
    ]
)


class Surface(NamedTuple):
    """The average head on the canonical grid."""

    radius: np.ndarray  # (GRID, GRID) canonical radius, 1 on the frontal outline
    frontal: np.ndarray  # (GRID, GRID, 2) x, y in proportions (y down from the box's top)
    vertices: np.ndarray  # (GRID, GRID, 3) head frame


def canonical_axis() -> np.ndarray:
    """Return the (GRID,) canonical coordinate of the grid's columns (and rows)."""
    return np.linspace(-EXTENT, EXTENT, GRID)


@lru_cache(maxsize=1)
def _smooth_outline() -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return angles from crown to chin, distance from the centre and depth, without corners."""
    x, y, z = _OUTLINE[::-1].T
    half = np.arctan2(y - ORIGIN_Y, x)
    angles = np.linspace(-np.pi / 2, np.pi / 2, 361)
    window = np.exp(-0.5 * (np.arange(-24, 25) / 9) ** 2)
    smooth = [
        np.convolve(
            np.pad(np.interp(angles, half, v), 24, mode="reflect"), window / window.sum(), "valid"
        )
        for v in (np.hypot(x, y - ORIGIN_Y), z * _DEPTH_SCALE)
    ]
    return angles, smooth[0], smooth[1]


def outline_radius(angle: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return distance from the centre and depth of the outline at `angle` (rad, from +x to +y)."""
    angles, distance, depth = _smooth_outline()
    folded = np.arctan2(np.sin(angle), np.abs(np.cos(angle)))
    return np.interp(folded, angles, distance), np.interp(folded, angles, depth)


def to_canonical(frontal: np.ndarray) -> np.ndarray:
    """Map (..., 2) frontal proportions inside the outline to canonical coordinates."""
    x, y = frontal[..., 0], frontal[..., 1] - ORIGIN_Y
    angle = np.arctan2(y, x)
    edge, _ = outline_radius(angle)
    radius = np.arcsin(np.clip(np.hypot(x, y) / edge, 0, 1)) * 2 / np.pi
    return np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)


def gaussian(x: np.ndarray, y: np.ndarray, sx: float, sy: float) -> np.ndarray:
    """Return exp(-x^2 / 2 sx^2 - y^2 / 2 sy^2)."""
    return np.exp(-0.5 * (x / sx) ** 2 - 0.5 * (y / sy) ** 2)


def _relief(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    height, half_width = (np.interp(y, _NOSE[:, 0], column) for column in _NOSE[:, 1:].T)
    relief = height * np.exp(-((np.abs(x) / half_width) ** 2.3) * 0.55)
    for x0, y0, amplitude, sx, sy in _BUMPS:
        relief = relief + amplitude * gaussian(x - x0, y - y0, sx, sy)
        if x0:
            relief = relief + amplitude * gaussian(x + x0, y - y0, sx, sy)
    return relief


@lru_cache(maxsize=1)
def average_head() -> Surface:
    """Build the average head (once per process)."""
    qx, qy = np.meshgrid(canonical_axis(), canonical_axis())
    radius, angle = np.hypot(qx, qy), np.arctan2(qy, qx)
    edge, depth = outline_radius(angle)
    reach = np.sin(np.minimum(radius, 2) * np.pi / 2)
    x, y = edge * reach * np.cos(angle), ORIGIN_Y + edge * reach * np.sin(angle)
    bend = np.cos(radius * np.pi / 2)
    bend += 0.25 * np.clip(bend, 0, 1) * (1 - bend)  # a face is flatter than a ball
    z = depth + (_CENTRE_DEPTH - depth) * bend
    # Behind the outline the jaw runs back to the neck faster than the dome would.
    z -= np.clip(radius - 1, 0, None) * 0.75 * np.clip(np.sin(angle), 0, 1) ** 2
    z += _relief(x, y) * (radius < 1)
    frontal = np.stack([x, y], axis=-1)
    return Surface(radius, frontal, np.stack([_BREADTH * x, y - ORIGIN_Y, z], axis=-1))


Push = tuple[float, ...]
"""x, y, spread in x, spread in y (proportions); shift dx, dy, dz at (x, y) (head units)."""

# One standard deviation of identity. Pushes off the midline act on both sides, mirrored.
_IDENTITY: dict[str, list[Push]] = {
    "jaw_width": [(0.30, 0.68, 0.12, 0.15, 0.024, 0.0, 0.0)],
    "chin_length": [(0.0, 0.86, 0.16, 0.10, 0.0, 0.018, 0.0)],
    "chin_depth": [(0.0, 0.82, 0.12, 0.08, 0.0, 0.0, 0.026)],
    "chin_width": [(0.13, 0.85, 0.07, 0.06, 0.016, 0.0, 0.0)],
    "eye_spacing": [(0.175, 0.25, 0.085, 0.09, 0.009, 0.0, 0.0)],
    "eye_height": [(0.175, 0.25, 0.12, 0.06, 0.0, 0.011, 0.0)],
    "eye_tilt": [(0.26, 0.25, 0.05, 0.05, 0, -0.009, 0), (0.1, 0.26, 0.04, 0.04, 0, 0.005, 0)],
    "eye_length": [(0.25, 0.255, 0.05, 0.06, 0.007, 0, 0), (0.1, 0.26, 0.03, 0.05, -0.004, 0, 0)],
    "brow_height": [(0.20, 0.14, 0.13, 0.045, 0.0, -0.015, 0.0)],
    "brow_tilt": [(0.31, 0.18, 0.06, 0.05, 0, -0.014, 0), (0.08, 0.155, 0.05, 0.04, 0, 0.008, 0)],
    "brow_ridge": [(0.15, 0.16, 0.12, 0.035, 0.0, 0.0, 0.012)],
    "nose_length": [(0.0, 0.48, 0.09, 0.06, 0.0, 0.020, 0.0)],
    "nose_width": [(0.07, 0.485, 0.04, 0.04, 0.012, 0.0, 0.0)],
    "nose_depth": [(0.0, 0.44, 0.05, 0.06, 0.0, 0.0, 0.022)],
    "nose_bridge": [(0.0, 0.29, 0.04, 0.06, 0.0, 0.0, 0.017)],
    "nose_tip": [(0.0, 0.45, 0.05, 0.035, 0.0, 0.012, 0.0)],
    "mouth_width": [(0.15, 0.612, 0.07, 0.06, 0.014, 0.0, 0.0)],
    "mouth_height": [(0.0, 0.62, 0.17, 0.07, 0.0, 0.015, 0.0)],
    "mouth_depth": [(0.0, 0.61, 0.12, 0.06, 0.0, 0.0, 0.016)],
    "cheek_fullness": [(0.27, 0.52, 0.10, 0.12, 0.016, 0.0, 0.022)],
    "cheekbones": [(0.27, 0.34, 0.08, 0.06, 0.006, 0.0, 0.018)],
    "forehead": [(0.0, -0.12, 0.35, 0.16, 0.0, -0.045, 0.012)],
    "temples": [(0.35, 0.08, 0.10, 0.16, 0.016, 0.0, 0.0)],
}
# Modes that act on one side of the face each, with the spread of their coefficient in identity:
# 0 where expression alone moves them.
_SIDE: dict[str, tuple[float, list[Push]]] = {
    "smile": (
        0.0,
        [
            (0.15, 0.61, 0.065, 0.05, 0.026, -0.034, -0.016),
            (0.20, 0.42, 0.07, 0.06, 0.006, -0.010, 0.020),
        ],
    ),
    "brow_raise": (0.0, [(0.21, 0.14, 0.12, 0.05, 0.0, -0.034, 0.0)]),
    "brow_furrow": (0.0, [(0.08, 0.155, 0.055, 0.05, -0.012, 0.022, 0.004)]),
    "mouth_corner_down": (0.0, [(0.15, 0.615, 0.05, 0.045, 0.004, 0.026, 0.0)]),
    "asymmetry_brow": (0.35, [(0.20, 0.14, 0.12, 0.045, 0.0, -0.015, 0.0)]),
    "asymmetry_mouth": (0.35, [(0.15, 0.612, 0.07, 0.06, 0.008, 0.008, 0.0)]),
    "asymmetry_jaw": (0.35, [(0.30, 0.68, 0.12, 0.15, 0.020, 0.0, 0.0)]),
}


def displacement_modes(head: Surface) -> dict[str, tuple[float, np.ndarray]]:
    """Return name -> (spread of its coefficient among people, (GRID, GRID, 3) displacement).

    Modes of spread 0 belong to the expression alone.
    """
    modes = _global_modes(head)
    for name, pushes in _IDENTITY.items():
        modes[name] = (1.0, _displace(pushes, head.frontal, (1, -1)))
    for name, (spread, pushes) in _SIDE.items():
        for side, label in ((-1, "right"), (1, "left")):
            modes[f"{name}_{label}"] = (spread, _displace(pushes, head.frontal, (side,)))
    return modes


def _displace(pushes: list[Push], frontal: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    field = np.zeros((*frontal.shape[:-1], 3))
    for x0, y0, sx, sy, dx, dy, dz in pushes:
        for side in sides if x0 else (1,):
            weight = gaussian(frontal[..., 0] - side * x0, frontal[..., 1] - y0, sx, sy)
            field += weight[..., None] * np.array([side * dx if x0 else dx, dy, dz])
    return field


def _global_modes(head: Surface) -> dict[str, tuple[float, np.ndarray]]:
    x, z = head.vertices[..., 0], head.vertices[..., 2]
    height = head.frontal[..., 1]
    zero = np.zeros_like(x)
    low = np.clip((height - 0.30) / 0.55, 0, 1.1)
    # The jaw swings around the ears; the skin above the mouth stays.
    swing = 1 / (1 + np.exp(-(height - 0.625 + 0.25 * np.abs(x)) / 0.022))
    swing *= np.clip((z + 0.10) / 0.25, 0, 1)
    pucker: list[Push] = [(0.13, 0.615, 0.06, 0.05, -0.055, 0.0, 0.012)]
    return {
        "width": (1.0, np.stack([x * 0.055, zero, zero], -1)),
        "length": (1.0, np.stack([zero, low * 0.024, zero], -1)),
        "taper": (1.0, np.stack([x * low * 0.07, zero, zero], -1)),
        "depth": (1.0, np.stack([zero, zero, z * 0.07], -1)),
        "jaw_open": (0.0, np.stack([zero, 0.115 * swing, -0.055 * swing], -1)),
        "pucker": (0.0, _displace(pucker, head.frontal, (1, -1))),
    }
