"""Photos of a user: which files, the boxes that go with them, and landmarks as files and pictures.

A photo is turned as its EXIF orientation says; landmarks are in px of what a viewer shows. A
picture of a dataset is not: its annotations are in px of the file.
"""

from __future__ import annotations

import csv
import glob
import io
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from drf.data.boxes import boxes_by_name
from drf.data.crops import encode_jpeg
from drf.data.picture_files import PictureFile, picture_file, read_picture
from drf.data.pts import format_pts
from drf.data.user_files import printable
from drf.data.w300 import PICTURE_SUFFIXES
from drf.errors import DataError, NotFoundError, UsageError
from drf.files import replacing_file, user_path
from drf.inference.alignment import AlignedFace, Aligner
from drf.landmarks import geometry
from drf.landmarks.markup import Markup
from drf.landmarks.overlay import PREDICTION, draw
from drf.text import no_formula

COLUMNS = ("photo", "face", "landmark", "title", "x", "y", "std_x", "std_y", "cov_xy")
"""Of the table of landmarks: faces count from 1, landmarks from 0; x and y in 0-based px."""

ELLIPSE_SIGMAS = 2.0
"""Ellipses of an overlay hold the true place of about 86 % of the landmarks."""


@dataclass(frozen=True)
class Photo:
    """path as the user gave it · boxes (n, 4) x, y, w, h, or None where faces are to be found"""

    path: Path
    boxes: np.ndarray | None = None


@dataclass(frozen=True)
class Located:
    """A photo with its faces, none where there are none; picture: (H, W, 3) uint8 RGB, upright."""

    photo: Photo
    picture: np.ndarray
    faces: list[AlignedFace]


def find_photos(words: Sequence[str]) -> list[Path]:
    """Return the photos that words name: files, folders (their pictures, sorted) and patterns.

    Raises NotFoundError for a word that names nothing.
    """
    found: list[Path] = []
    for word in words:
        path = user_path(word)
        if path.is_dir():
            listed = sorted(f for f in path.iterdir() if f.suffix.lower() in PICTURE_SUFFIXES)
            inside = [f for f in listed if not f.name.startswith(".")]  # ._NAME of macOS
            if not inside:
                raise NotFoundError(f"the folder {printable(word)} contains no pictures")
            found += inside
        elif path.exists() or path.is_symlink() or not glob.has_magic(str(path)):
            if not (path.exists() or path.is_symlink()):
                raise NotFoundError(f"there is no file or folder {printable(word)}")
            found.append(path)
        else:
            matches = sorted(Path(name) for name in glob.glob(str(path)))  # noqa: PTH207 (absolute too)
            if not matches:
                raise NotFoundError(f"no file matches {printable(word)}")
            found += matches
    return list(dict.fromkeys(found))


def with_boxes(paths: Sequence[Path], file: Path) -> list[Photo]:
    """Return the photos with their boxes of a CSV file, whose names are those of the photos with or
    without their endings; it may have boxes of other photos too. Raises DataError for a photo
    without a box."""
    boxes = boxes_by_name(file)
    photos = []
    for path in paths:
        name = next((n for n in (path.as_posix(), path.name, path.stem) if n in boxes), None)
        if name is None:
            raise DataError(f"{file} has no box for {printable(path.name)}: add a row name,x,y,w,h")
        photos.append(Photo(path, boxes[name]))
    return photos


def locate(model: Aligner, photo: Photo, largest_error: float | None = None) -> Located:
    """Read a photo and find the landmarks of its faces; largest_error: as for an `Aligner`. Raises
    DataError that names the photo."""
    return _located(model, photo, read_picture(photo.path), largest_error)


def locate_in(model: Aligner, name: str, data: bytes) -> Located:
    """As `locate`, for the bytes of a photo that is no file here; name: what its owner calls it."""
    return _located(model, Photo(Path(name)), picture_file(printable(name), data))


def _located(
    model: Aligner, photo: Photo, file: PictureFile, largest_error: float | None = None
) -> Located:
    picture = file.decode(upright=True)
    try:
        return Located(photo, picture, model(picture, photo.boxes, largest_error=largest_error))
    except DataError as error:
        raise DataError(f"{file.name}: {error}") from None


def as_document(located: Located) -> dict[str, Any]:
    """Return a photo as JSON can hold it; what the model does not predict is None."""
    height, width = located.picture.shape[:2]
    return {
        "photo": printable(str(located.photo.path)),
        "width": width,
        "height": height,
        "faces": [
            {
                "box": face.box.tolist(),
                "score": face.score,
                "expected_error": _known(face.expected_error),
                "landmarks": _listed(face.landmarks),
                "covariances": _listed(face.covariances),
            }
            for face in located.faces
        ],
    }


def rows(located: Located, markup: Markup) -> Iterator[tuple[Any, ...]]:
    """Yield the COLUMNS of every landmark that the model predicts."""
    name = printable(str(located.photo.path))
    for number, face in enumerate(located.faces, start=1):
        for k in np.flatnonzero(np.isfinite(face.landmarks).all(axis=1)).tolist():
            spread = (*face.std[k].tolist(), float(face.covariances[k, 0, 1]))
            yield name, number, k, markup.title(k), *face.landmarks[k].tolist(), *spread


def csv_lines(located: Located, markup: Markup) -> str:
    """Return a line of CSV for every row of `rows`; COLUMNS are the header."""
    text = io.StringIO()
    lines = csv.writer(text, lineterminator="\n")
    lines.writerows(map(no_formula, row) for row in rows(located, markup))
    return text.getvalue()


def planned_files(paths: Sequence[Path], folder: Path, suffix: str) -> dict[Path, Path]:
    """Return the file in a folder for every photo. The folder is made.

    Raises UsageError for two photos of one name, and for the folder that the photos are in: an
    overlay would replace them. How many faces a photo has is known later: see `write_pts`.
    """
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"{folder} is a file: name a folder")
    folder.mkdir(parents=True, exist_ok=True)
    planned: dict[Path, Path] = {}
    taken: dict[str, Path] = {}
    for path in paths:
        if path.parent.resolve() == folder.resolve():
            raise UsageError(f"{folder} contains the photos themselves: name another folder")
        other = taken.setdefault(path.stem, path)
        if other != path:
            raise _one_name(other, path, f"{path.stem}{suffix}")
        planned[path] = folder / f"{path.stem}{suffix}"
    return planned


def write_pts(located: Located, file: Path, written: dict[Path, Path]) -> None:
    """Write the landmarks as NAME.pts, of several faces as NAME_1.pts, NAME_2.pts, …

    written: file -> photo of what was written before, to which this is added. Raises UsageError,
    and writes nothing, where another photo has become one of these files: two faces of a.jpg and
    the one of a_1.jpg.
    """
    numbers = range(1, len(located.faces) + 1)
    targets = [file.with_name(f"{file.stem}_{number}{file.suffix}") for number in numbers]
    if len(targets) == 1:
        targets = [file]
    own = located.photo.path
    for target in targets:
        if written.get(target, own) != own:
            raise _one_name(written[target], own, target.name)
    for target, face in zip(targets, located.faces, strict=True):
        with replacing_file(target) as unfinished:
            unfinished.write_text(format_pts(face.landmarks), encoding="utf-8")
        written[target] = own


def _one_name(one: Path, other: Path, name: str) -> UsageError:
    """Return the error to raise where two photos become one file."""
    return UsageError(
        f"{printable(str(one))} and {printable(str(other))} would both become {printable(name)}:"
        " predict them into folders of their own"
    )


def write_overlay(located: Located, file: Path, markup: Markup) -> None:
    """Write the photo with landmarks and the ellipses of their errors as a JPEG.

    They are drawn on the picture of `located` itself: with a copy, a photo of 81 million pixels
    takes more than 1 GB.
    """
    _draw_faces(located.picture, located.faces, markup)
    with replacing_file(file) as unfinished:
        unfinished.write_bytes(encode_jpeg(located.picture, 92))


def overlay(located: Located, markup: Markup, most: int | None = None) -> np.ndarray:
    """Return the photo, (H, W, 3) uint8 RGB, with landmarks and ELLIPSE_SIGMAS ellipses on it.

    most: its longer side is at most so many px; None for the size of the photo
    """
    canvas = located.picture.copy()
    _draw_faces(canvas, located.faces, markup)
    scale = most / max(canvas.shape[:2]) if most else 1.0
    return canvas if scale >= 1 else _resized(canvas, scale)


def close_up(located: Located, face: AlignedFace, markup: Markup, size: int) -> np.ndarray:
    """Return a face of the photo and what is around it as `overlay` draws them, uint8 RGB, its
    longer side `size` px."""
    left, top, right, bottom = _surroundings(face, located.picture)
    part = located.picture[top:bottom, left:right]
    scale = size / max(part.shape[:2])
    return _drawn(_resized(part, scale), face, np.array([left, top]), scale, markup)


def _draw_faces(canvas: np.ndarray, faces: Sequence[AlignedFace], markup: Markup) -> None:
    """Draw faces on the photo itself, (H, W, 3) uint8 RGB."""
    for face in faces:
        left, top, right, bottom = _surroundings(face, canvas)
        part = canvas[top:bottom, left:right]
        part[:] = _drawn(part, face, np.array([left, top]), 1.0, markup)


def _resized(picture: np.ndarray, scale: float) -> np.ndarray:
    width, height = (max(1, round(side * scale)) for side in picture.shape[1::-1])
    how = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return cv2.resize(picture, (width, height), interpolation=how)


def _drawn(
    part: np.ndarray, face: AlignedFace, corner: np.ndarray, scale: float, markup: Markup
) -> np.ndarray:
    """Return a part of a photo, (h, w, 3) uint8 RGB, with a face on it. The part begins at a corner
    (2,) of the photo, and was resized by a scale."""
    pen = max(1.0, scale * face.box[2] / 320)
    landmarks = (face.landmarks - corner + 0.5) * scale - 0.5
    drawn = draw(part, None, landmarks, markup=markup, scale=1.0, pen=pen)
    known = np.isfinite(face.covariances).all(axis=(1, 2))
    spread = face.covariances[known] * scale**2
    lines = geometry.ellipses(landmarks[known], spread, sigmas=ELLIPSE_SIGMAS)
    fixed = [np.rint(line * 16).astype(np.int32) for line in lines]
    cv2.polylines(drawn, fixed, False, PREDICTION, max(1, round(pen / 2)), cv2.LINE_AA, 4)
    return drawn


def _surroundings(face: AlignedFace, picture: np.ndarray) -> tuple[int, int, int, int]:
    """Return left, top, right, bottom of the part of a picture that a face is drawn in."""
    points = face.landmarks[np.isfinite(face.landmarks).all(axis=1)]
    margin = face.box[2] / 4
    low = np.minimum(points.min(axis=0), face.box[:2]) - margin
    high = np.maximum(points.max(axis=0), face.box[:2] + face.box[2:]) + margin
    height, width = picture.shape[:2]
    left, top = np.clip(np.floor(low), 0, [width - 1, height - 1]).astype(int).tolist()
    right, bottom = (
        np.clip(np.ceil(high), [left + 1, top + 1], [width, height]).astype(int).tolist()
    )
    return left, top, right, bottom


def parse_box(text: str) -> np.ndarray:
    """Return the (1, 4) box of "x,y,w,h". Raises UsageError for anything else."""
    try:
        found = [float(part) for part in text.split(",")]
    except ValueError:
        found = []
    if len(found) != 4 or not all(map(math.isfinite, found)):
        raise UsageError(f"--box {text}: four numbers x,y,w,h in pixels are needed")
    return np.array([found])


def _listed(values: np.ndarray) -> list[Any] | None:
    """Return nested lists with None for NaN; None where all are NaN."""
    if np.isnan(values).all():
        return None
    plain: Mapping[bool, Any] = {True: None}
    flat = [plain.get(v != v, v) for v in values.ravel().tolist()]
    return np.array(flat, dtype=object).reshape(values.shape).tolist()


def _known(value: float) -> float | None:
    return None if value != value else value
