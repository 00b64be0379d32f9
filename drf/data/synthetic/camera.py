"""Pose and projection: from the head's frame to picture pixels."""

from __future__ import annotations

import copy
from dataclasses import dataclass

import cv2
import numpy as np

from drf.data.synthetic.head import Head, contour_indices


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
        """Project (..., 3) of the head's frame to (..., 2) of the unrolled, unscaled picture."""
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
