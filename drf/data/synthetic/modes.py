"""How heads differ and move: displacement fields over the surface of the average head."""

from __future__ import annotations

import numpy as np

from drf.data.synthetic.sculpt import Surface, gaussian

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
