"""Heads: identity and expression deform the average surface, and the 68 points ride on it.

A deformation mode is a displacement field over the whole surface; a head is the average plus a
random combination. Eyelids and lips are finer than the surface: they move as curves of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from drf.data.synthetic import sculpt
from drf.data.synthetic.sculpt import GRID, gaussian

MARCH = 16
"""Samples along the path on which a contour point looks for the visible silhouette."""

# Right half (negative x) of the frontal points of an average face, then the midline.
_RIGHT = {
    0: (-0.390, 0.250), 1: (-0.386, 0.350), 2: (-0.376, 0.450), 3: (-0.358, 0.555),
    4: (-0.325, 0.650), 5: (-0.265, 0.740), 6: (-0.185, 0.812), 7: (-0.100, 0.868),
    17: (-0.325, 0.195), 18: (-0.275, 0.148), 19: (-0.210, 0.130), 20: (-0.138, 0.138),
    21: (-0.072, 0.158), 31: (-0.080, 0.492), 32: (-0.042, 0.505),
    36: (-0.245, 0.255), 37: (-0.203, 0.230), 38: (-0.150, 0.230), 39: (-0.107, 0.264),
    40: (-0.152, 0.272), 41: (-0.205, 0.272),
    48: (-0.155, 0.612), 49: (-0.100, 0.592), 50: (-0.042, 0.581), 59: (-0.102, 0.655),
    58: (-0.048, 0.680), 60: (-0.132, 0.614), 61: (-0.045, 0.613), 67: (-0.045, 0.617),
}  # fmt: skip
_MIDLINE = {
    8: 0.885, 27: 0.243, 28: 0.313, 29: 0.381, 30: 0.450, 33: 0.516,
    51: 0.589, 57: 0.686, 62: 0.617, 66: 0.621,
}  # fmt: skip

# name: (sigma, pushes). A push moves the skin around (x, y), spread (sx, sy), by (dx, dy, dz);
# pushes off the midline act on both sides, mirrored. `side` modes act on one side only.
_IDENTITY: dict[str, tuple[float, list[tuple[float, ...]]]] = {
    "jaw_width": (1.0, [(0.30, 0.68, 0.12, 0.15, 0.024, 0.0, 0.0)]),
    "chin_length": (1.0, [(0.0, 0.86, 0.16, 0.10, 0.0, 0.026, 0.0)]),
    "chin_depth": (1.0, [(0.0, 0.82, 0.12, 0.08, 0.0, 0.0, 0.026)]),
    "chin_width": (1.0, [(0.13, 0.85, 0.07, 0.06, 0.016, 0.0, 0.0)]),
    "eye_spacing": (1.0, [(0.175, 0.25, 0.085, 0.09, 0.009, 0.0, 0.0)]),
    "eye_height": (1.0, [(0.175, 0.25, 0.12, 0.06, 0.0, 0.011, 0.0)]),
    "eye_tilt": (1.0, [(0.26, 0.25, 0.05, 0.05, 0, -0.009, 0), (0.1, 0.26, 0.04, 0.04, 0, 0.005, 0)]),
    "eye_length": (1.0, [(0.25, 0.255, 0.05, 0.06, 0.007, 0, 0), (0.1, 0.26, 0.03, 0.05, -0.004, 0, 0)]),
    "brow_height": (1.0, [(0.20, 0.14, 0.13, 0.045, 0.0, -0.015, 0.0)]),
    "brow_tilt": (1.0, [(0.31, 0.18, 0.06, 0.05, 0, -0.014, 0), (0.08, 0.155, 0.05, 0.04, 0, 0.008, 0)]),
    "brow_ridge": (1.0, [(0.15, 0.16, 0.12, 0.035, 0.0, 0.0, 0.012)]),
    "nose_length": (1.0, [(0.0, 0.48, 0.09, 0.06, 0.0, 0.020, 0.0)]),
    "nose_width": (1.0, [(0.07, 0.485, 0.04, 0.04, 0.012, 0.0, 0.0)]),
    "nose_depth": (1.0, [(0.0, 0.44, 0.05, 0.06, 0.0, 0.0, 0.022)]),
    "nose_bridge": (1.0, [(0.0, 0.29, 0.04, 0.06, 0.0, 0.0, 0.017)]),
    "nose_tip": (1.0, [(0.0, 0.45, 0.05, 0.035, 0.0, 0.012, 0.0)]),
    "mouth_width": (1.0, [(0.15, 0.612, 0.07, 0.06, 0.014, 0.0, 0.0)]),
    "mouth_height": (1.0, [(0.0, 0.62, 0.17, 0.07, 0.0, 0.015, 0.0)]),
    "mouth_depth": (1.0, [(0.0, 0.61, 0.12, 0.06, 0.0, 0.0, 0.016)]),
    "cheek_fullness": (1.0, [(0.27, 0.52, 0.10, 0.12, 0.016, 0.0, 0.022)]),
    "cheekbones": (1.0, [(0.27, 0.34, 0.08, 0.06, 0.006, 0.0, 0.018)]),
    "forehead": (1.0, [(0.0, -0.12, 0.35, 0.16, 0.0, -0.045, 0.012)]),
    "temples": (1.0, [(0.35, 0.08, 0.10, 0.16, 0.016, 0.0, 0.0)]),
}  # fmt: skip
_SIDE: dict[str, tuple[float, list[tuple[float, ...]]]] = {
    "smile": (0.0, [
        (0.15, 0.61, 0.065, 0.05, 0.026, -0.034, -0.016), (0.20, 0.42, 0.07, 0.06, 0.006, -0.010, 0.020),
    ]),
    "brow_raise": (0.0, [(0.21, 0.14, 0.12, 0.05, 0.0, -0.034, 0.0)]),
    "brow_furrow": (0.0, [(0.08, 0.155, 0.055, 0.05, -0.012, 0.022, 0.004)]),
    "mouth_corner_down": (0.0, [(0.15, 0.615, 0.05, 0.045, 0.004, 0.026, 0.0)]),
    "asymmetry_brow": (0.35, [(0.20, 0.14, 0.12, 0.045, 0.0, -0.015, 0.0)]),
    "asymmetry_mouth": (0.35, [(0.15, 0.612, 0.07, 0.06, 0.008, 0.008, 0.0)]),
    "asymmetry_jaw": (0.35, [(0.30, 0.68, 0.12, 0.15, 0.020, 0.0, 0.0)]),
}  # fmt: skip
_CONTOUR = (*range(17), 17, 18, 25, 26)
"""Points that move to the silhouette when the skin they sit on turns away."""

_LOWER_LIP = {55: 0.62, 56: 0.93, 57: 1.0, 58: 0.93, 59: 0.62, 65: 0.96, 66: 1.0, 67: 0.96}
_MOUTH_CORNERS = {48: 0.30, 54: 0.30, 60: 0.34, 64: 0.34}
_UPPER_LIP = {49: 0.5, 50: 0.9, 51: 1.0, 52: 0.9, 53: 0.5, 61: 1.0, 62: 1.0, 63: 1.0}


def frontal_points() -> np.ndarray:
    """Return the (68, 2) frontal points of the average face in proportions of its box."""
    from drf.landmarks import FLIP, N_POINTS

    points = np.zeros((N_POINTS, 2))
    for i, (x, y) in _RIGHT.items():
        points[i], points[FLIP[i]] = (x, y), (-x, y)
    for i, y in _MIDLINE.items():
        points[i] = (0, y)
    return points


@dataclass(frozen=True)
class HeadModel:
    """Linear model of the surface and of the points on it; displacements are in head units."""

    names: tuple[str, ...]
    sigma: np.ndarray  # (M,) spread of the coefficients of identity, 0 for expression
    surface: np.ndarray  # (M, C*C*3) float32 displacement on a coarse grid, C = GRID // 2
    points: np.ndarray  # (68, 3)
    point_modes: np.ndarray  # (M, 68, 3)
    paths: np.ndarray  # (K, MARCH, 3) from inside the face to the contour point
    path_modes: np.ndarray  # (M, K, MARCH, 3)
    canonical: np.ndarray  # (68, 2) grid position (column, row) of the points


@dataclass(frozen=True)
class Head:
    """One deformed head in its own frame."""

    vertices: np.ndarray  # (GRID, GRID, 3) float32
    points: np.ndarray  # (68, 3)
    paths: np.ndarray  # (K, MARCH, 3)
    expression: dict[str, float]


def _push(push: tuple[float, ...], frontal: np.ndarray, sides: tuple[int, ...]) -> np.ndarray:
    x0, y0, sx, sy, dx, dy, dz = push
    field = np.zeros((*frontal.shape[:-1], 3))
    for side in sides if x0 else (1,):
        weight = gaussian(frontal[..., 0] - side * x0, frontal[..., 1] - y0, sx, sy)
        field += weight[..., None] * np.array([side * dx if x0 else dx, dy, dz])
    return field


def _global_modes(head: sculpt.Surface) -> dict[str, tuple[float, np.ndarray]]:
    x, y, z = np.moveaxis(head.vertices, -1, 0)
    height = head.frontal[..., 1]
    zero = np.zeros_like(x)
    low = np.clip((height - 0.30) / 0.55, 0, 1.1)
    # The jaw swings around the ears; skin above the mouth stays, cheeks follow by half.
    swing = 1 / (1 + np.exp(-(height - 0.625 + 0.25 * np.abs(x)) / 0.022))
    swing *= np.clip((z + 0.10) / 0.25, 0, 1)
    return {
        "width": (1.0, np.stack([x * 0.055, zero, zero], -1)),
        "length": (1.0, np.stack([zero, low * 0.035, zero], -1)),
        "taper": (1.0, np.stack([x * low * 0.07, zero, zero], -1)),
        "depth": (1.0, np.stack([zero, zero, z * 0.07], -1)),
        "jaw_open": (0.0, np.stack([zero, 0.115 * swing, -0.055 * swing], -1)),
        "pucker": (
            0.0,
            _push((0.13, 0.615, 0.06, 0.05, -0.055, 0.0, 0.012), head.frontal, (1, -1)),
        ),
    }


def _sample(field: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bilinear values of a (GRID, GRID, 3) field at (..., 2) grid positions."""
    maps = at.reshape(1, -1, 2).astype(np.float32)
    values = cv2.remap(field.astype(np.float32), maps, None, cv2.INTER_LINEAR)
    return values.reshape(*at.shape[:-1], 3).astype(np.float64)


def _to_grid(canonical: np.ndarray) -> np.ndarray:
    return (canonical / sculpt.EXTENT + 1) * (GRID - 1) / 2


@lru_cache(maxsize=1)
def head_model() -> HeadModel:
    """Build the model (once per process, a fraction of a second)."""
    head = sculpt.average_head()
    modes = _global_modes(head)
    for name, (sigma, pushes) in _IDENTITY.items():
        modes[name] = (sigma, sum(_push(p, head.frontal, (1, -1)) for p in pushes))
    for name, (sigma, pushes) in _SIDE.items():
        for side, label in ((-1, "right"), (1, "left")):
            modes[f"{name}_{label}"] = (sigma, sum(_push(p, head.frontal, (side,)) for p in pushes))
    coarse = GRID // 2
    # The surface is deformed with the upsampled coarse field, and so are the points.
    small = [cv2.resize(f.astype(np.float32), (coarse, coarse), interpolation=cv2.INTER_AREA)
             for _, f in modes.values()]  # fmt: skip
    full = [cv2.resize(f, (GRID, GRID), interpolation=cv2.INTER_LINEAR) for f in small]
    canonical = sculpt.to_canonical(frontal_points())
    reach = np.linspace(0.45, 1.0, MARCH)[None, :, None]
    at, paths = _to_grid(canonical), _to_grid(canonical[list(_CONTOUR), None] * reach)
    return HeadModel(
        names=tuple(modes),
        sigma=np.array([sigma for sigma, _ in modes.values()]),
        surface=np.stack([f.ravel() for f in small]),
        points=_sample(head.vertices, at),
        point_modes=np.stack([_sample(f, at) for f in full]),
        paths=_sample(head.vertices, paths),
        path_modes=np.stack([_sample(f, paths) for f in full]),
        canonical=at,
    )


def contour_indices() -> np.ndarray:
    """Return the (K,) indices of the points whose paths `Head.paths` holds."""
    return np.asarray(_CONTOUR)


def _draw_expression(rng: np.random.Generator) -> dict[str, float]:
    """Draw the coefficients of the expression: surface modes and the finer lids and lips."""
    smile = rng.choice([0.0, rng.uniform(0.2, 1.3)], p=[0.4, 0.6])
    jaw = rng.choice([0.0, rng.uniform(0.05, 0.45), rng.uniform(0.3, 1.25)], p=[0.5, 0.3, 0.2])
    brow, furrow = max(0.0, rng.normal(0.0, 0.55)), max(0.0, rng.normal(-0.1, 0.6))
    pucker = rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.88, 0.12]) * (smile < 0.4)
    down = rng.choice([0.0, rng.uniform(0.2, 1.0)], p=[0.85, 0.15]) * (smile < 0.3)
    values = {"jaw_open": jaw, "pucker": pucker}
    for side in ("right", "left"):
        values[f"smile_{side}"] = smile * rng.uniform(0.8, 1.2)
        values[f"brow_raise_{side}"] = brow * rng.uniform(0.7, 1.3)
        values[f"brow_furrow_{side}"] = furrow
        values[f"mouth_corner_down_{side}"] = down
    lids = np.clip(rng.normal(1.0, 0.22) - 0.18 * smile + 0.12 * brow, 0.3, 1.6)
    blink = rng.random()
    values["lids_right"] = 0.06 if blink < 0.05 else lids
    values["lids_left"] = 0.06 if blink < 0.04 or blink > 0.985 else lids
    values["lip_lift"] = max(0.0, rng.normal(0.25, 0.5)) * (0.3 + 0.7 * smile)
    values["upper_lip"], values["lower_lip"] = np.clip(rng.normal(1.0, 0.3, 2), 0.35, 1.8)
    return {name: float(value) for name, value in values.items()}


def _move_lids(points: np.ndarray, opening: float, outer: int, upper: tuple[int, int],
               inner: int, lower: tuple[int, int]) -> None:  # fmt: skip
    """Scale the distance of the lid points from the line between the corners, in place."""
    for pair in (upper, lower):
        for index in pair:
            axis = points[inner] - points[outer]
            along = (points[index] - points[outer]) @ axis / (axis @ axis)
            foot = points[outer] + along * axis
            points[index] = foot + (points[index] - foot) * opening


def _move_lips(points: np.ndarray, expression: dict[str, float], rest: np.ndarray) -> None:
    """Open the jaw, lift the upper lip and set the thickness of both lips, in place."""
    jaw = expression["jaw_open"]
    for table in (_LOWER_LIP, _MOUTH_CORNERS):
        for index, weight in table.items():
            points[index] += jaw * weight * np.array([0.0, 0.115, -0.045])
    for index, weight in _UPPER_LIP.items():
        points[index, 1] -= 0.022 * weight * expression["lip_lift"]
    for outer, inner, key in (((49, 50, 51, 52, 53), (60, 61, 62, 63, 64), "upper_lip"),
                              ((59, 58, 57, 56, 55), (60, 67, 66, 65, 64), "lower_lip")):  # fmt: skip
        for o, i in zip(outer, inner, strict=True):
            points[o, 1] += (expression[key] - 1) * (rest[o, 1] - rest[i, 1]) * 0.6


def draw_head(rng: np.random.Generator) -> Head:
    """Draw identity and expression and return the deformed head."""
    model = head_model()
    expression = _draw_expression(rng)
    weights = np.clip(rng.standard_normal(len(model.names)), -2.2, 2.2) * model.sigma
    # The surface's own jaw and lips are replaced by the curves of `_move_lips` below.
    weights += [expression.get(name, 0.0) for name in model.names]
    coarse = GRID // 2
    field = np.einsum("m,mk->k", weights.astype(np.float32), model.surface)
    field = cv2.resize(
        field.reshape(coarse, coarse, 3), (GRID, GRID), interpolation=cv2.INTER_LINEAR
    )
    vertices = sculpt.average_head().vertices.astype(np.float32) + field

    jaw = model.names.index("jaw_open")
    lips = weights.copy()
    lips[jaw] = 0.0
    points = model.points + np.einsum("m,mkc->kc", weights, model.point_modes)
    points[48:68] = model.points[48:68] + np.einsum("m,mkc->kc", lips, model.point_modes[:, 48:68])
    paths = model.paths + np.einsum("m,mksc->ksc", weights, model.path_modes)
    _move_lids(points, expression["lids_right"], 36, (37, 38), 39, (40, 41))
    _move_lids(points, expression["lids_left"], 45, (44, 43), 42, (47, 46))
    _move_lips(points, expression, model.points)
    return Head(vertices, points, paths, expression)
