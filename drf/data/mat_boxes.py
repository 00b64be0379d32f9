"""The official boxes of 300-W: bounding_boxes_*.mat, as rows of a box file.

There is a file for each of afw, helen/trainset, helen/testset, lfpw/trainset, lfpw/testset and
ibug; the test set of the challenge has none. Each holds a row of structures with imgName
("232194_1.jpg"), bb_detector, what iBUG's face detector found, and bb_ground_truth, the box of the
landmarks: xmin, ymin, xmax, ymax in 1-based picture px.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np

from drf.data.mat_file import read_variables
from drf.data.user_files import read_bytes
from drf.data.w300 import FOLDERS, TEST_SIZES
from drf.errors import DataError

KINDS = {"detector": "bb_detector", "ground-truth": "bb_ground_truth"}
"""Which box of a face -> its field."""

_MOST_BYTES = 2**24
_MOST_UNPACKED = 2**26
"""The largest of the official files has 2000 boxes, some 2 MB."""


def read_mat_boxes(path: Path, kind: str, folder: str | None = None) -> dict[str, list[float]]:
    """Return the boxes of a .mat file: face name -> x, y, w, h in 0-based picture px.

    kind: one of KINDS; folder: of the faces in 300-W; by default the one in the name of the file,
    e.g. helen/testset of bounding_boxes_helen_testset.mat. Raises DataError for a file that is none
    of 300-W's, and for one whose folder is not known.
    """
    rows = _rows(path)
    folder = folder or _folder_of(path)
    boxes: dict[str, list[float]] = {}
    for row in rows:
        known = row if isinstance(row, dict) else {}
        name, box = known.get("imgName"), known.get(KINDS[kind])
        try:
            x1, y1, x2, y2 = np.asarray(box, dtype=np.float64).ravel().tolist()
        except (TypeError, ValueError):
            x1 = y1 = x2 = y2 = float("nan")
        if not isinstance(name, str) or not (x2 > x1 and y2 > y1 and abs(x1 + y1 + x2 + y2) < 1e7):
            raise DataError(
                f"{path.name} has an entry without imgName and {KINDS[kind]} (xmin, ymin, xmax,"
                " ymax), as the official boxes of 300-W have them"
            )
        face = f"{folder}/{Path(name).stem}"
        if face in boxes:
            raise DataError(f"{path.name} has two boxes for {name!r}")
        boxes[face] = [x1 - 1, y1 - 1, x2 - x1, y2 - y1]
    return boxes


SIZES = {"afw": 337, "helen/trainset": 2000, "lfpw/trainset": 811} | TEST_SIZES
"""Faces of each folder in the original set."""


def short_of(boxes: Iterable[str]) -> list[str]:
    """Return in which folders the faces are fewer or more than the original ones, a phrase each."""
    found = Counter(face.rpartition("/")[0] for face in boxes)
    return [
        f"there are boxes for {n} of the {SIZES[folder]} faces of {folder}"
        for folder, n in found.items()
        if n != SIZES[folder]
    ]


def _folder_of(path: Path) -> str:
    for folder in FOLDERS:
        if path.stem.lower().endswith(folder.replace("/", "_")):
            return folder
    raise DataError(
        f"the name of {path.name} does not say which faces it is of: name one of"
        f" {', '.join(FOLDERS)} with --folder"
    )


def _rows(path: Path) -> list[Any]:
    """Return the structures of a .mat file. Raises DataError for any other file."""
    data = read_bytes(path, _MOST_BYTES)
    try:
        held = read_variables(data, _MOST_UNPACKED)
    except DataError as error:
        raise DataError(f"{path.name} {error}") from None
    if "bounding_boxes" not in held:
        raise DataError(f"{path.name} has no variable bounding_boxes, as the boxes of 300-W have")
    rows = held["bounding_boxes"]
    if not isinstance(rows, list):
        return [rows]
    # A cell holds one structure, which is a list of one.
    return [one[0] if isinstance(one, list) and len(one) == 1 else one for one in rows]
