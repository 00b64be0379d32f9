"""Made-up trees in the formats of other datasets, of synthetic faces in small pictures."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np

from drf.data.synthetic_dataset import SyntheticDataset
from drf.markup import WFLW98, Markup
from tests.data.made_up import pts_text, write_picture
from tests.markups import FIVE, points_of

FIVE_TOML = """
name = "mine"
[markup]
landmarks = ["right_eye", "left_eye", "nose", "right_corner", "left_corner"]
flip = [["right_eye", "left_eye"], ["right_corner", "left_corner"]]
displayed = ["nose"]
[markup.groups]
mouth = ["right_corner", "left_corner"]
[markup.subsets]
lower = ["nose", "mouth"]
[markup.normalisers]
ocular = [["right_eye"], ["left_eye"]]
"""


@functools.cache
def _faces(n: int) -> tuple[tuple[np.ndarray, np.ndarray], ...]:
    """Return the pictures of n synthetic faces, 128 px wide, and their 68 points."""
    dataset = SyntheticDataset(size=n)
    faces = dataset.subset("train").faces
    half = [cv2.resize(dataset.picture(f), None, fx=0.5, fy=0.5) for f in faces]
    return tuple((p, (f.points.astype(float) - 0.5) / 2) for p, f in zip(half, faces, strict=True))


def face(number: int, markup: Markup, n: int = 5) -> tuple[np.ndarray, np.ndarray]:
    """Return picture and points of one of n faces under FIVE or WFLW98."""
    picture, points = _faces(n)[number % n]
    return picture, points_of(markup, points)


def write_pts_face(root: Path, name: str, number: int = 0) -> np.ndarray:
    picture, points = face(number, FIVE)
    write_picture(root / f"{name}.png", picture)
    (root / f"{name}.pts").write_text(pts_text(points))
    return points


def write_pts_folder(root: Path, n: int = 5, toml: str = FIVE_TOML) -> Path:
    """Write n pictures with five points each and their description."""
    for i in range(n):
        write_pts_face(root, f"face{i}", i)
    (root / "dataset.toml").write_text(toml)
    return root


def write_csv_folder(root: Path, n: int = 5, first_pixel: int = 0, toml: str = FIVE_TOML) -> Path:
    """Write n pictures, a CSV file with their points and a description."""
    root.mkdir(exist_ok=True)
    lines = ["name," + ",".join(f"x{k},y{k}" for k in range(5))]
    for i in range(n):
        picture, points = face(i, FIVE)
        write_picture(root / f"face{i}.png", picture)
        values = (points + first_pixel).ravel().round(4).tolist()
        lines.append(",".join([f"face{i}.png", *map(str, values)]))
    (root / "points.csv").write_text("\n".join(lines) + "\n")
    (root / "dataset.toml").write_text(f'labels = "points.csv"\nfirst_pixel = {first_pixel}' + toml)
    return root


def wflw_line(points: np.ndarray, image: str, flags: str = "0 0 0 0 0 0") -> str:
    box = [*points.min(axis=0), *points.max(axis=0)]
    numbers = " ".join(f"{value:.6f}" for value in points.ravel())
    return f"{numbers} {' '.join(str(int(value)) for value in box)} {flags} {image}"


def write_wflw(root: Path, n_train: int = 40, n_test: int = 10) -> Path:
    """Write WFLW as its archives unpack; of the test faces every second has a large pose, the first
    is blurred, and the last two are in one picture."""
    folder = root / "WFLW_annotations/list_98pt_rect_attr_train_test"
    folder.mkdir(parents=True)
    for part, n in (("train", n_train), ("test", n_test)):
        lines = []
        for i in range(n):
            picture, points = face(i, WFLW98, 10)
            number = n - 2 if part == "test" and i == n - 1 else i
            image = f"7--{part}/7_{part}_{number}.jpg"
            write_picture(root / "WFLW_images" / image, picture)
            lines.append(wflw_line(points, image, f"{i % 2} 0 0 0 0 {int(i == 0)}"))
        (folder / f"list_98pt_rect_attr_{part}.txt").write_text("\n".join(lines) + "\n")
    return root
