"""Made-up trees in the formats of other datasets, of synthetic faces in small pictures."""

from __future__ import annotations

import functools
from pathlib import Path

import cv2
import numpy as np

from drf.data.synthetic_dataset import SyntheticDataset
from drf.landmarks.markup import COFW29, WFLW98, Markup
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
    """Return picture and points of one of n faces under a markup of `points_of`."""
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


DLIB_TOML = (
    FIVE_TOML.replace(
        'name = "mine"',
        'name = "mine"\nlabels = ["train.xml", "test.xml"]\nphoto = "(.+?)(?:_mirror)?$"',
    )
    + """
[subsets]
test = { labels = "test.xml" }
"""
)


def xml_box(points: np.ndarray, names: list[str], more: str = "") -> str:
    """Return a box of imglab with its parts; one that is NaN is left out."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    (left, top), (width, height) = low.astype(int), np.ceil(high - low).astype(int)
    parts = "".join(
        f"      <part name='{name}' x='{x:g}' y='{y:g}'/>\n"
        for name, (x, y) in zip(names, points, strict=True)
        if np.isfinite(x)
    )
    where = f"top='{top}' left='{left}' width='{width}' height='{height}'{more}"
    return f"    <box {where}>\n{parts}    </box>\n"


def write_xml(path: Path, images: list[tuple[str, list[str]]]) -> Path:
    """Write a file as dlib's imglab does. images: names of pictures, and the boxes in each."""
    listed = "".join(f"  <image file='{name}'>\n{''.join(b)}  </image>\n" for name, b in images)
    path.write_text(
        "<?xml version='1.0' encoding='ISO-8859-1'?>\n"
        "<?xml-stylesheet type='text/xsl' href='image_metadata_stylesheet.xsl'?>\n<dataset>\n"
        f"<name>made-up faces</name>\n<comment/>\n<images>\n{listed}</images>\n</dataset>\n",
        encoding="latin-1",
    )
    return path


def write_dlib_folder(root: Path, n_train: int = 4, n_test: int = 1, toml: str = DLIB_TOML) -> Path:
    """Write pictures and two XML files of imglab, whose parts are numbers as dlib's own are."""
    number = 0
    for part, n in (("train", n_train), ("test", n_test)):
        images = []
        for _ in range(n):
            picture, points = face(number, FIVE)
            write_picture(root / f"faces/{number}.jpg", picture)
            names = [f"{k:02d}" for k in range(5)]
            images.append((f"faces/{number}.jpg", [xml_box(points.round(), names)]))
            number += 1
        write_xml(root / f"{part}.xml", images)
    (root / "dataset.toml").write_text(toml)
    return root


def write_cofw(root: Path, n_train: int = 40, n_test: int = 10, color: bool = True) -> Path:
    """Write COFW's two files: MATLAB 7.3, so HDF5 behind a header of 512 bytes, every array
    transposed, the cells references into #refs#. Of each part the first picture is grey, as some
    are; every fourth face has its first eye corner occluded."""
    import h5py

    root.mkdir(parents=True, exist_ok=True)
    for part, ending, n in (("train", "Tr", n_train), ("test", "T", n_test)):
        path = root / f"COFW_{part}{'_color' if color else ''}.mat"
        with h5py.File(path, "w", userblock_size=512) as file:
            rows, boxes, cells = [], [], []
            for i in range(n):
                picture, points = face(i, COFW29, 10)
                stored = picture if color and i else cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
                cells.append(file.create_dataset(f"#refs#/{part}{i}", data=stored.T).ref)
                occluded = np.zeros(29)
                occluded[8] = i % 4 == 0
                rows.append(np.concatenate([*(points + 1).T, occluded]))
                low, high = points.min(axis=0), points.max(axis=0)
                boxes.append([*(low + 1), *(high - low)])
            file.create_dataset(f"phis{ending}", data=np.array(rows).T)
            file.create_dataset(f"bboxes{ending}", data=np.array(boxes).T)
            held = file.create_dataset(f"Is{ending}", (1, n), dtype=h5py.ref_dtype)
            held[0] = cells
        with path.open("r+b") as header:
            header.write(b"MATLAB 7.3 MAT-file, Platform: GLNXA64".ljust(124) + b"\0\2IM")
    return root
