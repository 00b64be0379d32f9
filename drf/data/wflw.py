"""WFLW as its archives unpack: WFLW_images beside WFLW_annotations, or the two lists themselves.

A line of list_98pt_rect_attr_train.txt or list_98pt_rect_attr_test.txt is one face:

    x0 y0 ... x97 y97  x_min y_min x_max y_max  pose expression illumination make-up occlusion blur
    image_name

The subsets:
  train, val  the training list; val is a tenth of its photos, by hash of the photo's name
  test        the test list (2500 faces)
  pose, expression, illumination, make-up, occlusion, blur
              faces of `test` with the attribute
Points are 0-based px. A face is called LIST/PICTURE without suffix, e.g. "test/37--Soccer/x_42";
the second and later faces of one picture in a list end in ~2, ~3.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from drf.data.dataset import Face, Source
from drf.data.file_dataset import TRAIN, VAL, Box, Entry, FileDataset, drawn, labelled
from drf.data.pts import check_points, without_placeholders
from drf.data.user_files import is_inside, read_text
from drf.errors import DataError
from drf.landmarks.markup import WFLW98

ATTRIBUTES = ("pose", "expression", "illumination", "make-up", "occlusion", "blur")
SIZES = {
    **{"test": 2500, "pose": 326, "expression": 314, "illumination": 698},
    **{"make-up": 206, "occlusion": 736, "blur": 773},
}
"""Faces of each test subset in the original set."""

VAL_SHARE = 0.1

_LIST = "list_98pt_rect_attr_{}.txt"
_FOLDERS = (
    "",
    "list_98pt_rect_attr_train_test",
    "WFLW_annotations/list_98pt_rect_attr_train_test",
)
_PICTURES = ("WFLW_images", "images", "")
_COORDINATES, _BOX = 2 * WFLW98.n_points, 4
_NUMBERS = _COORDINATES + _BOX + len(ATTRIBUTES)
_MOST_LIST_BYTES = 128 * 2**20
"""The training list has some 20 MB."""


@dataclass(frozen=True)
class _Row:
    """One line of a list: the face's name, what is known of it, and its attributes."""

    name: str
    entry: Entry
    attributes: frozenset[str]


class WFLW(FileDataset):
    """The WFLW dataset, or one of its two lists, under a root folder."""

    @classmethod
    def open(cls, source: Source) -> WFLW:
        """Return the dataset in the folder of a source.

        Raises UsageError where none is named, DataError where it has neither of the two lists.
        """
        root = source.required_root("wflw")
        lists = {part: _find(root, part) for part in (TRAIN, "test")}
        if not any(lists.values()):
            raise DataError(
                f"{root} is not the root of WFLW: it holds neither {_LIST.format('train')} nor"
                f" {_LIST.format('test')}, nor WFLW_annotations with them"
            )
        pictures = next(root / folder for folder in _PICTURES if (root / folder).is_dir())
        rows = {part: _read(path, part, pictures) if path else [] for part, path in lists.items()}
        return cls(
            "wflw",
            WFLW98,
            root,
            {row.name: row.entry for part in rows.values() for row in part},
            _subsets(rows[TRAIN], rows["test"]),
            SIZES,
        )


def _subsets(train: list[_Row], test: list[_Row]) -> dict[str, list[str]]:
    photos = {row.name: row.name.partition("~")[0] for row in train}
    val = drawn(photos.values(), VAL_SHARE) if train else set()
    return {
        TRAIN: [name for name, photo in photos.items() if photo not in val],
        VAL: [name for name, photo in photos.items() if photo in val],
        "test": [row.name for row in test],
        **{kind: [row.name for row in test if kind in row.attributes] for kind in ATTRIBUTES},
    }


def _find(root: Path, part: str) -> Path | None:
    places = (root / folder / _LIST.format(part) for folder in _FOLDERS)
    return next((path for path in places if path.is_file()), None)


def _read(path: Path, part: str, pictures: Path) -> list[_Row]:
    """Return the faces of a list. Raises DataError for a line without a usable picture name: what
    it is of cannot be told; other faults cost their own face."""
    seen: Counter[str] = Counter()
    rows = []
    for number, line in enumerate(read_text(path, _MOST_LIST_BYTES).splitlines(), 1):
        if not line.strip():
            continue
        *numbers, image = line.split(maxsplit=_NUMBERS)
        image = image.strip()
        where = PurePosixPath(image)
        if len(numbers) != _NUMBERS or not is_inside(image):
            raise DataError(
                f"{path.name}, line {number}: need {_NUMBERS} numbers and the name of a picture in"
                f" {pictures.name}, as in WFLW's lists of 98 points"
            )
        photo = f"{part}/{where.with_suffix('')}"
        seen[photo] += 1
        name = photo if seen[photo] == 1 else f"{photo}~{seen[photo]}"
        rows.append(_row(name, photo, numbers, pictures / where))
    return rows


def _row(name: str, photo: str, numbers: list[str], picture: Path) -> _Row:
    """Return the face of one line."""
    face: Face | None = None
    box: Box | None = None
    flags: frozenset[str] = frozenset()
    fault = "" if picture.is_file() else "its picture is missing"
    try:
        values = np.array(numbers, dtype=np.float64)
        points = without_placeholders(values[:_COORDINATES].reshape(-1, 2))
        if not (np.abs(values) < 1e6).all():
            raise DataError("has a coordinate that is no place in a picture")
        flags = frozenset(
            kind for kind, set_ in zip(ATTRIBUTES, values[-len(ATTRIBUTES) :], strict=True) if set_
        )
        x1, y1, x2, y2 = values[_COORDINATES : _COORDINATES + _BOX].tolist()
        box = (x1, y1, x2 - x1, y2 - y1)
        check_points(points, WFLW98)
        face = labelled(name, photo, points)
    except DataError as error:
        fault = fault or f"it {error}"
    except ValueError:
        fault = fault or "its line holds something that is no number"
    return _Row(name, Entry(picture if picture.is_file() else None, face, fault, box), flags)
