"""Heads: identity and expression deform the average surface, and the 68 points ride on it.

A deformation mode is a displacement field over the whole surface; a head is the average plus a
random combination. Eyelids and lips are finer than the surface: they move as curves of their own.

The camera brings it from the head's frame to picture pixels.
"""

from __future__ import annotations

import copy
from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from drf.data.synthetic import sculpt
from drf.data.synthetic.sculpt import GRID, displacement_modes
from drf.landmarks.markup import IBUG68

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

_CONTOUR = (*range(17), 17, 18, 25, 26)
"""Points that move to the silhouette when the skin they sit on turns away."""

_LOWER_LIP = {55: 0.62, 56: 0.93, 57: 1.0, 58: 0.93, 59: 0.62, 65: 0.96, 66: 1.0, 67: 0.96}
_MOUTH_CORNERS = {48: 0.30, 54: 0.30, 60: 0.34, 64: 0.34}
_LIP_PAIRS = {  # outer and inner point across each lip
    "upper_lip": ((49, 60), (50, 61), (51, 62), (52, 63), (53, 64)),
    "lower_lip": ((59, 60), (58, 67), (57, 66), (56, 65), (55, 64)),
}
_UPPER_LIP = {49: 0.5, 50: 0.9, 51: 1.0, 52: 0.9, 53: 0.5, 61: 1.0, 62: 1.0, 63: 1.0}


RIGHT_LIDS = (36, 37, 38, 39, 40, 41)
LEFT_LIDS = (45, 44, 43, 42, 47, 46)
"""Points of an eye: outer corner, two upper, inner corner, two lower from the inner corner."""


def frontal_points() -> np.ndarray:
    """Return the (68, 2) frontal points of the average face in proportions of its box."""
    points = np.zeros((IBUG68.n_points, 2))
    for i, (x, y) in _RIGHT.items():
        points[i], points[IBUG68.flip[i]] = (x, y), (-x, y)
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

    weights: np.ndarray  # (M,) coefficients of the modes
    points: np.ndarray  # (68, 3)
    paths: np.ndarray  # (K, MARCH, 3)
    expression: dict[str, float]


def _sample(field: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Bilinear values of a (GRID, GRID, 3) field at (..., 2) grid positions."""
    maps = at.reshape(1, -1, 2).astype(np.float32)
    columns, rows = cv2.split(maps)
    values = np.asarray(cv2.remap(field.astype(np.float32), columns, rows, cv2.INTER_LINEAR))
    return values.reshape(*at.shape[:-1], 3).astype(np.float64)


def _to_grid(canonical: np.ndarray) -> np.ndarray:
    return (canonical / sculpt.EXTENT + 1) * (GRID - 1) / 2


@lru_cache(maxsize=1)
def head_model() -> HeadModel:
    """Build the model (once per process, a fraction of a second)."""
    head = sculpt.average_head()
    modes = displacement_modes(head)
    coarse = GRID // 2
    # The surface is deformed with the upsampled coarse field, and so are the points.
    small = [cv2.resize(f.astype(np.float32), (coarse, coarse), interpolation=cv2.INTER_AREA)
             for _, f in modes.values()]  # fmt: skip
    full = [cv2.resize(f, (GRID, GRID), interpolation=cv2.INTER_LINEAR) for f in small]
    canonical = sculpt.to_canonical(frontal_points())
    reach = np.linspace(0.45, 1.0, MARCH)[None, :, None]
    at, paths = _to_grid(canonical), _to_grid(canonical[list(_CONTOUR), None] * reach)
    point_modes = np.stack([_sample(f, at) for f in full])
    # Where the jaw opens the skin tears between the lips: `_move_lips` moves them as curves.
    point_modes[list(modes).index("jaw_open"), 48:68] = 0
    return HeadModel(
        names=tuple(modes),
        sigma=np.array([sigma for sigma, _ in modes.values()]),
        surface=np.stack([f.ravel() for f in small]),
        points=_sample(head.vertices, at),
        point_modes=point_modes,
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
    lids = np.clip(rng.normal(1.12, 0.22) - 0.18 * smile + 0.12 * brow, 0.3, 1.6)
    blink = rng.random()
    values["lids_right"] = 0.06 if blink < 0.05 else lids
    values["lids_left"] = 0.06 if blink < 0.04 or blink > 0.985 else lids
    values["lip_lift"] = max(0.0, rng.normal(0.25, 0.5)) * (0.3 + 0.7 * smile)
    values["upper_lip"], values["lower_lip"] = np.clip(rng.normal(1.0, 0.3, 2), 0.35, 1.8)
    return {name: float(value) for name, value in values.items()}


def _move_lids(points: np.ndarray, opening: float, lids: tuple[int, ...]) -> None:
    """Open or close one eye, in place.

    lids: outer corner, two upper points, inner corner, two lower points (from the inner corner);
    opening: 0 closed (the upper lid rests on the lower one), 1 the average.
    """
    outer, inner = points[lids[0]], points[lids[3]]
    axis = inner - outer
    for upper, lower in ((lids[1], lids[5]), (lids[2], lids[4])):
        gap = points[upper] - points[lower]
        foot = outer + ((points[lower] - outer) @ axis / (axis @ axis)) * axis
        points[lower] = foot + (points[lower] - foot) * (0.6 + 0.4 * opening)
        points[upper] = points[lower] + opening * gap


def _move_lips(points: np.ndarray, expression: dict[str, float], rest: np.ndarray) -> None:
    """Open the jaw, lift the upper lip and set the thickness of both lips, in place."""
    jaw = expression["jaw_open"]
    for table in (_LOWER_LIP, _MOUTH_CORNERS):
        for index, weight in table.items():
            points[index] += jaw * weight * np.array([0.0, 0.115, -0.045])
    for index, weight in _UPPER_LIP.items():
        points[index, 1] -= 0.022 * weight * expression["lip_lift"]
    for key, pairs in _LIP_PAIRS.items():
        for outer, inner in pairs:
            thicker = 0.6 * (expression[key] - 1)
            points[outer, 1] += thicker * (rest[outer, 1] - rest[inner, 1])


def draw_head(rng: np.random.Generator) -> Head:
    """Draw identity and expression and return the deformed head."""
    model = head_model()
    expression = _draw_expression(rng)
    weights = np.clip(rng.standard_normal(len(model.names)), -2.2, 2.2) * model.sigma * 0.85
    weights += [expression.get(name, 0.0) for name in model.names]
    points = model.points + np.einsum("m,mkc->kc", weights, model.point_modes)
    paths = model.paths + np.einsum("m,mksc->ksc", weights, model.path_modes)
    _move_lids(points, expression["lids_right"], RIGHT_LIDS)
    _move_lids(points, expression["lids_left"], LEFT_LIDS)
    _move_lips(points, expression, model.points)
    return Head(weights, points, paths, expression)


def surface(head: Head) -> np.ndarray:
    """Return the deformed surface, (GRID, GRID, 3) float32 in the head's frame."""
    coarse = GRID // 2
    field = np.einsum("m,mk->k", head.weights.astype(np.float32), head_model().surface)
    return average_vertices() + cv2.resize(field.reshape(coarse, coarse, 3), (GRID, GRID))


@lru_cache(maxsize=1)
def average_vertices() -> np.ndarray:
    """Return the average surface, (GRID, GRID, 3) float32."""
    return sculpt.average_head().vertices.astype(np.float32)


@dataclass(frozen=True)
class Pose:
    """Attitude of the head (degrees) and its place in the picture.

    yaw > 0 turns the face to the picture's right, pitch > 0 lifts the chin, roll > 0 is clockwise.
    """

    yaw: float
    pitch: float
    roll: float
    distance: float  # of the camera from the head's origin, head units
    box_side: float  # wanted side of the face box, px
    centre: tuple[float, float]  # of the face box, px


class Camera:
    """Perspective projection of one head; picture px, 0-based, pixel centres at integers."""

    def __init__(self, head: Head, pose: Pose) -> None:
        self.pose = pose
        yaw, pitch = np.radians(pose.yaw), np.radians(pose.pitch)
        cy, sy, cp, sp = np.cos(yaw), np.sin(yaw), np.cos(pitch), np.sin(pitch)
        turn = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
        # A lifted chin sends the front of the face up the picture (towards smaller y).
        nod = np.array([[1, 0, 0], [0, cp, -sp], [0, sp, cp]])
        self.rotation = nod @ turn  # (3, 3) head frame -> upright camera frame
        roll = np.radians(pose.roll)
        self._roll = np.array([[np.cos(roll), -np.sin(roll)], [np.sin(roll), np.cos(roll)]])
        self._scale, self._shift = 1.0, np.zeros(2)
        upright = self._upright_points(head)
        rolled = self.to_picture(upright)
        low, high = rolled.min(axis=0), rolled.max(axis=0)
        self._scale = pose.box_side / (1.25 * float((high - low).max()))
        self._shift = np.asarray(pose.centre) - self._scale * (low + high) / 2
        self.points = self.to_picture(upright)  # (68, 2)

    @property
    def scale(self) -> float:
        """Pixels per head unit at the depth of the head's origin."""
        return self._scale

    def upright(self, xyz: np.ndarray) -> np.ndarray:
        """Project (..., 3) of the head's frame, head units, to (..., 2) head units in the plane of
        the picture: before roll, scale and shift."""
        turned = xyz @ self.rotation.T
        depth = 1 - turned[..., 2:] / self.pose.distance
        return turned[..., :2] / depth

    def to_picture(self, upright: np.ndarray) -> np.ndarray:
        """Roll, scale and place (..., 2) of `upright`; returns px."""
        return upright @ (self._roll.T * self._scale) + self._shift

    def project(self, xyz: np.ndarray) -> np.ndarray:
        """Project (..., 3) of the head's frame to (..., 2) px."""
        return self.to_picture(self.upright(xyz))

    def project_surface(self, vertices: np.ndarray) -> np.ndarray:
        """Project a (h, w, 3) float32 surface to (h, w, 2) px, like `project`."""
        x, y, z = cv2.split(cv2.transform(vertices, self.rotation))
        scale = np.float32(self._scale) / (1 - z / np.float32(self.pose.distance))
        flat = cv2.merge([x * scale, y * scale])
        return np.asarray(cv2.transform(flat, np.column_stack([self._roll, self._shift])))

    def halved(self) -> Camera:
        """Return the same camera for the picture at half resolution."""
        camera = copy.copy(self)
        camera._scale = self._scale / 2
        camera._shift = (self._shift - 0.5) / 2
        camera.points = (self.points - 0.5) / 2
        return camera

    def _upright_points(self, head: Head) -> np.ndarray:
        """Project the 68 points; those of the contour march to the visible silhouette.

        A contour point's path runs from inside the face to the point itself. Seen from the front
        the end is the outermost place of the path; once the skin there has turned away, the
        outermost place is where the path crosses the silhouette, which is what annotators mark.
        Outermost is meant across the contour, whose direction is found from the neighbours.
        """
        points = self.upright(head.points)
        paths = self.upright(head.paths)  # (K, S, 2)
        outward = head.paths[:, -1, :2] - head.paths[:, 0, :2]
        jaw = slice(0, 17)
        for _ in range(3):
            contour = _outermost(paths, outward)
            tangent = np.gradient(contour[jaw], axis=0)
            outward[jaw] = np.stack([tangent[:, 1] * -1, tangent[:, 0]], axis=1)
        points[contour_indices()] = contour
        return points


def _outermost(paths: np.ndarray, outward: np.ndarray) -> np.ndarray:
    """Return the (K, 2) places of (K, S, 2) paths that lie farthest along (K, 2) directions."""
    reach = (paths * outward[:, None]).sum(axis=2)
    last = reach.shape[1] - 1
    best = reach.argmax(axis=1)
    rows = np.arange(len(best))
    left, mid, right = (reach[rows, np.clip(best + step, 0, last)] for step in (-1, 0, 1))
    bend = left - 2 * mid + right
    inner = (best > 0) & (best < last) & (bend < 0)
    place = best + np.where(inner, (left - right) / np.where(inner, 2 * bend, 1), 0)
    low = np.clip(place.astype(int), 0, last - 1)
    share = (place - low)[:, None]
    return paths[rows, low] * (1 - share) + paths[rows, low + 1] * share
