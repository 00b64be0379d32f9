"""A contact sheet: faces of a subset with their landmarks, to look at before a training."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Sequence

import cv2
import numpy as np

from drf.data import crops
from drf.data.boxes import gt_boxes
from drf.data.dataset import Dataset, Face
from drf.errors import DataError
from drf.landmarks import geometry, overlay

TILE_PX = 224
MOST_FACES = 400

_LINE_PX = 18
_NAME_LETTERS = 36
_CONTEXT = 1.2
"""Side of a tile over the side of the box: what lies around the landmarks is seen too."""
_BACKGROUND, _INK = 255, (40, 40, 40)


def chosen(faces: Sequence[Face], n: int) -> list[Face]:
    """Return up to n faces in the order of the subset: the first by hash of their names."""
    ranked = sorted(faces, key=lambda face: hashlib.sha256(face.name.encode()).digest())
    kept = {face.name for face in ranked[:n]}
    return [face for face in faces if face.name in kept]


def contact_sheet(dataset: Dataset, faces: Sequence[Face]) -> np.ndarray:
    """Return a sheet of faces with their landmarks and names, (H, W, 3) uint8 RGB.

    A face whose picture cannot be read has its reason in place of it. Raises ValueError for none
    and for more than MOST_FACES.
    """
    if not 1 <= len(faces) <= MOST_FACES:
        raise ValueError(f"a sheet has 1 to {MOST_FACES} faces, not {len(faces)}")
    columns = math.ceil(math.sqrt(len(faces)))
    rows = math.ceil(len(faces) / columns)
    height = TILE_PX + _LINE_PX
    sheet = np.full((rows * height, columns * TILE_PX, 3), _BACKGROUND, np.uint8)
    for i, (face, picture) in enumerate(zip(faces, dataset.pictures(faces), strict=True)):
        y, x = i // columns * height, i % columns * TILE_PX
        tile = sheet[y : y + height, x : x + TILE_PX]
        try:
            tile[:TILE_PX] = _drawn(face, picture, dataset)
        except DataError as error:
            _write(tile, str(error), TILE_PX // 2)
        _write(tile, face.name, height - 5)
    return sheet


def _drawn(face: Face, picture: np.ndarray | DataError, dataset: Dataset) -> np.ndarray:
    if isinstance(picture, DataError):
        raise picture
    boxes = gt_boxes(face.points[None].astype(np.float64)) * [1.0, 1.0, _CONTEXT]
    crop = crops.cut(picture, boxes[0], TILE_PX)
    to_crop = geometry.invert(geometry.crop_to_picture(boxes, TILE_PX))
    points = geometry.apply(to_crop, face.points[None].astype(np.float64))[0]
    return overlay.draw(crop, points, markup=dataset.markup, scale=1.0, visibility=face.visibility)


def _write(tile: np.ndarray, text: str, baseline: int) -> None:
    """Write the end of a text: the end of a name tells faces apart. OpenCV's letters are ASCII."""
    shown = text if len(text) <= _NAME_LETTERS else "..." + text[3 - _NAME_LETTERS :]
    shown = shown.encode("ascii", "replace").decode()
    font, scale = cv2.FONT_HERSHEY_SIMPLEX, 0.35
    cv2.putText(tile, shown, (3, baseline), font, scale, _INK, 1, cv2.LINE_AA)
