"""Made-up 300-W trees: noise for faces, but files, names and points as in the original."""

from __future__ import annotations

import functools
import hashlib
from pathlib import Path

import cv2
import numpy as np

from drf.data.synthetic import face_points

SIDE = 48


def draws(name: str) -> np.random.Generator:
    """Return a generator that depends on the face's name alone."""
    return np.random.default_rng(list(hashlib.sha256(name.encode()).digest()))


@functools.cache
def _shapes() -> np.ndarray:
    """Shapes of 20 synthetic faces, each in the unit square."""
    faces = np.stack([face_points("train", index, 0) for index in range(20)]).astype(float)
    low, high = faces.min(axis=1, keepdims=True), faces.max(axis=1, keepdims=True)
    return (faces - low) / (high - low).max(axis=2, keepdims=True)


def points_of(name: str) -> np.ndarray:
    """Return the (68, 2) points of a face inside the picture, 0-based, with four decimals as real
    files have them."""
    rng = draws(name)
    side = rng.uniform(20, 30)
    corner = rng.uniform(6, SIDE - 7 - side, 2)
    return (corner + side * _shapes()[rng.integers(20)]).round(4)


def picture_of(name: str) -> np.ndarray:
    """Return a (SIDE, SIDE, 3) uint8 RGB picture: coarse noise, so that JPEG keeps it."""
    coarse = draws(name).integers(0, 256, (6, 6, 3), dtype=np.uint8)
    return cv2.resize(coarse, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)


def pts_text(points: np.ndarray, header: bool = True) -> str:
    """Return the text of a .pts file: 1-based."""
    lines = "\n".join(f"{x + 1:.4f} {y + 1:.4f}" for x, y in points)
    return f"version: 1\nn_points: {len(points)}\n{{\n{lines}\n}}\n" if header else lines + "\n"


def write_picture(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    ok, encoded = cv2.imencode(path.suffix.lower(), picture[..., ::-1])
    assert ok
    path.write_bytes(encoded.tobytes())


def write_face(root: Path, name: str, suffix: str = ".jpg", header: bool = True) -> None:
    """Write NAME.jpg and NAME.pts."""
    write_picture(root / f"{name}{suffix}", picture_of(name))
    (root / f"{name}.pts").write_text(pts_text(points_of(name), header))


def write_folder(root: Path, folder: str, n: int) -> list[str]:
    """Write n faces, each its own photo, and return their names."""
    names = [f"{folder}/{1000 + i}_1" for i in range(n)]
    for name in names:
        write_face(root, name)
    return names
