"""Box protocols: which square of the picture a model is shown.

  gt         square on the longer side of the landmark box x 1.25, around its centre, no stretching
  gt_jitter  gt, its centre moved by 5 % of the side and its side scaled by 10 % (normal, seeded)
  file       read from a CSV file, e.g. the output of a face detector

A box is (cx, cy, side) in 0-based picture px, float64. What the box is matters as much as the
model (the mean shape's NME rises by a third from gt to gt_jitter), so every result names it.
"""

from __future__ import annotations

import csv
import hashlib
import io
import logging
import math
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from statistics import NormalDist
from typing import Literal, get_args

import numpy as np

from drf.data.user_files import MOST_TEXT_BYTES, read_bytes, read_text
from drf.errors import DataError

_log = logging.getLogger(__name__)

BoxProtocol = Literal["gt", "gt_jitter", "file"]
BOX_PROTOCOLS: tuple[BoxProtocol, ...] = get_args(BoxProtocol)

GT_MARGIN = 1.25
JITTER_CENTRE = 0.05
JITTER_SCALE = 0.10
JITTER_LIMIT = 3.0
"""Standard deviations at which a jitter is cut off: no box loses its face by one unlucky draw."""

MORE_EVEN = 0.6
LEAST_BOXES = 10
"""A file of at least LEAST_BOXES boxes is misread where another reading varies less than MORE_EVEN
times as much around the faces; see `_more_even`."""

BOX_FILE_HEADER = ("name", "x", "y", "w", "h")


def gt_boxes(points: np.ndarray) -> np.ndarray:
    """Return the squares on the longer side of the landmark box x 1.25. (n, K, 2) -> (n, 3).

    Missing landmarks (NaN) are left out.
    """
    low = np.nanmin(points, axis=1).astype(np.float64)
    high = np.nanmax(points, axis=1).astype(np.float64)
    side = (high - low).max(axis=1) * GT_MARGIN
    return np.column_stack([(low + high) / 2, side])


def jitter_boxes(boxes: np.ndarray, names: Sequence[str], seed: int) -> np.ndarray:
    """Return boxes off by what a detector might be off by. (n, 3) px, n names -> (n, 3) px.

    centre + 0.05 side (z0, z1), side (1 + 0.1 z2), z standard normal within +-3. A face's draw
    depends on its name and the seed alone: the same in whatever order or subset it is asked for.
    """
    draws = np.array([_normal_draws(f"{seed}/{name}", 3) for name in names]).reshape(-1, 3)
    draws = draws.clip(-JITTER_LIMIT, JITTER_LIMIT)
    side = boxes[:, 2:]
    centre = boxes[:, :2] + JITTER_CENTRE * side * draws[:, :2]
    return np.hstack([centre, side * (1 + JITTER_SCALE * draws[:, 2:])])


MOST_BOXES_OFF = 0.05
"""Share of the boxes of a file that may miss their face before the file is refused."""

MOST_OFF_CENTRE = 0.3
"""Distance of the centre of a face's landmarks from that of its box, in x or y as a share of the
box's side, above which the box misses the face."""

SIDE_RANGE = (0.4, 5.0)
"""Side of a box over the longer side of its landmarks outside which it misses the face; detectors
lie between 0.8 and 2."""

LEAST_MISFIT = 0.3
MISREAD = 0.4
"""A box that differs from that of the landmarks by more than LEAST_MISFIT is misread where another
reading of its four numbers differs by less than this share of that; see `_misfit`."""


def read_box_file(
    path: Path,
    names: Sequence[str],
    has_face: Callable[[str], bool] = lambda name: False,
    points: np.ndarray | None = None,
) -> np.ndarray:
    """Return the boxes of the named faces from a CSV file, a square each. n names -> (n, 3) px.

    The file has the header name,x,y,w,h; x and y are the box's top-left corner in 0-based picture
    px (the frame of the points: (0, 0) is the centre of the first pixel), w and h its size. A box
    that is not square becomes the square on its longer side, around its centre. has_face(name) says
    of a name that is not asked for whether the dataset holds it, so that one file serves all
    subsets. points: (n, K, 2) ground truth of the named faces, to compare the boxes with: a few
    that miss their face are warned of (detectors fail), more than MOST_BOXES_OFF are refused, with
    a guess at what the file holds instead.

    Raises DataError for a file that cannot be read, a malformed row, a face with no box or with
    two, and a box of a picture that is not in the dataset.
    """
    wanted = {name: row for row, name in enumerate(names)}
    corners = np.full((len(names), 4), np.nan)
    for line, name, box in _box_rows(path):
        where = f"{path}, line {line}"
        if name not in wanted:
            if not has_face(name):
                raise DataError(f"{where}: a box for {name!r}, but the dataset has no such picture")
            continue
        if not np.isnan(corners[wanted[name], 2]):
            raise DataError(f"{where}: a second box for {name!r}; keep one box per face")
        corners[wanted[name]] = box
    without = [name for name, row in wanted.items() if np.isnan(corners[row, 2])]
    if without:
        raise DataError(
            f"{path} has no box for {len(without)} of {len(names)} faces, first {without[0]!r}: "
            f"add a row {','.join(BOX_FILE_HEADER)} for each"
        )
    if points is not None:
        _compare(corners, points, names, path)
    return squares(corners)


def boxes_by_name(path: Path) -> dict[str, np.ndarray]:
    """Return the boxes of a CSV file in the format of `read_box_file`, any number for a name: name
    -> (n, 4) x, y, w, h in the order of the file. Raises DataError as `read_box_file`."""
    found: dict[str, list[tuple[float, float, float, float]]] = {}
    for _, name, box in _box_rows(path):
        found.setdefault(name, []).append(box)
    return {name: np.array(boxes) for name, boxes in found.items()}


def squares(boxes: np.ndarray) -> np.ndarray:
    """Return the squares on the longer side of boxes, around their centres.

    (n, 4) x, y, w, h in picture px -> (n, 3) cx, cy, side.
    """
    x, y, width, height = boxes.T
    return np.column_stack([x + width / 2, y + height / 2, np.maximum(width, height)])


def misses_face(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return which boxes do not show their face: the centre of its landmarks lies further than
    MOST_OFF_CENTRE from theirs, or their side is out of SIDE_RANGE.

    (n, 3), (n, K, 2) picture px -> (n,) bool.
    """
    low, high = np.nanmin(points, axis=1), np.nanmax(points, axis=1)
    off = np.abs((low + high) / 2 - boxes[:, :2]).max(axis=1) / boxes[:, 2]
    ratio = boxes[:, 2] / (high - low).max(axis=1)
    shows = (off <= MOST_OFF_CENTRE) & (ratio >= SIDE_RANGE[0]) & (ratio <= SIDE_RANGE[1])
    return ~shows  # also where a number is none


def _compare(corners: np.ndarray, points: np.ndarray, names: Sequence[str], path: Path) -> None:
    """Warn of boxes that miss their face. Raises DataError where too many do, with a guess, and
    where all fit their faces far more evenly if they are read otherwise."""
    missed = np.flatnonzero(misses_face(squares(corners), points) | _misread(corners, points))
    if len(missed) <= MOST_BOXES_OFF * len(names) and (other := _more_even(corners, points)):
        raise DataError(
            f"the boxes in {path} fit their faces more evenly if they are read otherwise: {other}"
            " Boxes are x,y,w,h in px of the picture as stored"
        )
    if not len(missed):
        return
    what = (
        f"{len(missed)} of {len(names)} boxes in {path} miss their face, first {names[missed[0]]!r}"
    )
    if len(missed) <= max(1, MOST_BOXES_OFF * len(names)) and len(missed) < len(names):
        _log.warning("%s; their errors will be large", what)
        return
    raise DataError(
        f"{what} (at most {100 * MOST_BOXES_OFF:.0f} % may): boxes are x,y,w,h in px of the picture"
        f" as stored{_guess(corners[missed], points[missed])}"
    )


def _readings(boxes: np.ndarray) -> dict[str, np.ndarray]:
    """Return what four numbers in a row may mean otherwise: question -> (n, 4) x, y, w, h."""
    a, b, c, d = boxes.T
    return {
        "are the columns x1,y1,x2,y2?": _between(a, b, c, d),
        "are x,y the centre of the box?": np.column_stack([a - c / 2, b - d / 2, c, d]),
        "are the columns y,x,h,w?": np.column_stack([b, a, d, c]),
        "are the columns y1,x1,y2,x2?": _between(b, a, d, c),
    }


def _misread(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return which boxes (n, 4) fit their face far better if they are read otherwise -> (n,) bool.

    A face in the middle of its picture lies in its box even where corners are taken for sizes.
    """
    own = _misfit(boxes, points)
    others = np.min([_misfit(read, points) for read in _readings(boxes).values()], axis=0)
    return (own > LEAST_MISFIT) & (others < MISREAD * own)


def _misfit(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return how far boxes are from the gt boxes of faces, as one length: (n, 4) -> (n,)."""
    return np.sqrt((_off_truth(boxes, points) ** 2).sum(axis=1))


def _more_even(boxes: np.ndarray, points: np.ndarray) -> str | None:
    """Return the reading of boxes (n, 4) under which they lie far more alike around their faces, a
    question; None where the own one is even enough, or faces are few.

    Detectors draw boxes of many sizes, but of one kind; numbers that are misread vary with the
    place of the face in its picture.
    """

    def spread(of: np.ndarray) -> float:
        off = _off_truth(of, points)
        return float(np.linalg.norm(np.median(np.abs(off - np.median(off, axis=0)), axis=0)))

    if len(boxes) < LEAST_BOXES:
        return None
    spreads = {said: spread(of) for said, of in _readings(boxes).items()}
    best = min(spreads, key=spreads.__getitem__)
    return best if spreads[best] < MORE_EVEN * spread(boxes) - 1e-6 else None


def _off_truth(boxes: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return how boxes differ from the gt boxes of faces: offset of the centre as a share of the
    side, and logarithm of the side; (n, 4) -> (n, 3), a large number where it is none."""
    with np.errstate(divide="ignore", invalid="ignore"):
        found, truth = squares(boxes), gt_boxes(points)
        off = (found[:, :2] - truth[:, :2]) / truth[:, 2:]
        larger = np.log(found[:, 2:] / truth[:, 2:])
    return np.nan_to_num(np.hstack([off, larger]), nan=1e6, posinf=1e6, neginf=-1e6)


def _guess(boxes: np.ndarray, points: np.ndarray) -> str:
    """Return what else boxes that miss their faces seem to hold, "; are ...?", where it explains
    most of them. (n, 4) as x, y, w, h; (n, K, 2)."""
    if np.abs(boxes).max() <= 2:
        return "; are these in 0..1?"
    found, truth = squares(boxes), gt_boxes(points)
    apart = np.linalg.norm(truth[:, :2], axis=1) / np.linalg.norm(found[:, :2], axis=1)
    scale = float(np.median(apart))
    right, down = np.median(found[:, :2] - truth[:, :2], axis=0).round() + 0.0
    readings = _readings(boxes) | {
        f"are they of pictures {1 / scale:.2g} times as large?": boxes * scale,
        f"are they shifted by ({right:.0f}, {down:.0f}) px?": boxes - [right, down, 0, 0],
    }
    own = _misfit(boxes, points)
    with np.errstate(divide="ignore", invalid="ignore"):
        fits = {
            said: ((_misfit(of, points) < own / 2) & ~misses_face(squares(of), points)).mean()
            for said, of in readings.items()
        }
    best = max(fits, key=fits.__getitem__)
    if fits[best] > 0.5:
        return f"; {best}"
    ratio = float(np.median(found[:, 2] / truth[:, 2])) * GT_MARGIN
    inside = SIDE_RANGE[0] <= ratio <= SIDE_RANGE[1]
    return "" if inside else f"; these are {ratio:.2g} times as wide as the faces"


def _between(x1: np.ndarray, y1: np.ndarray, x2: np.ndarray, y2: np.ndarray) -> np.ndarray:
    """Return boxes (n, 4) as x, y, w, h from two opposite corners, in whichever order."""
    low = np.column_stack([np.minimum(x1, x2), np.minimum(y1, y2)])
    return np.hstack([low, np.column_stack([np.abs(x2 - x1), np.abs(y2 - y1)])])


def box_file_sha256(path: Path) -> str:
    """Return the digest of a box file. Raises DataError if it cannot be read."""
    return hashlib.sha256(read_bytes(path, MOST_TEXT_BYTES)).hexdigest()


def _box_rows(path: Path) -> Iterator[tuple[int, str, tuple[float, float, float, float]]]:
    """Yield (line number, face name, x, y, w, h) of a box file."""
    try:
        rows = csv.reader(io.StringIO(read_text(path), newline=""))
        header = tuple(cell.strip().lower() for cell in next(rows, []))
        if header != BOX_FILE_HEADER:
            raise DataError(
                f"{path} starts with {','.join(header)[:80] or 'nothing'}: "
                f"its first line must be {','.join(BOX_FILE_HEADER)}"
            )
        for row in rows:
            if row:
                yield rows.line_num, row[0], _box(row, f"{path}, line {rows.line_num}")
    except csv.Error:
        raise DataError(f"box file {path} is not a CSV text file") from None


def _box(row: list[str], where: str) -> tuple[float, float, float, float]:
    try:
        x, y, width, height = map(float, row[1:])
    except ValueError:
        raise DataError(f"{where}: {','.join(row)[:80]!r} is not name,x,y,w,h") from None
    if not all(map(math.isfinite, (x, y, width, height))) or min(width, height) <= 0:
        raise DataError(
            f"{where}: the box of {row[0]!r} has no extent or is not a number; w and h are its size"
            " in px, above 0"
        )
    return x, y, width, height


def _normal_draws(key: str, n: int) -> list[float]:
    """Return n <= 4 standard normal numbers that depend on the key alone.

    From a hash rather than from numpy's generator: its streams may change with its version, and a
    box protocol must not.
    """
    digest = hashlib.sha256(key.encode()).digest()
    integers = (int.from_bytes(digest[8 * i : 8 * i + 6], "big") for i in range(n))
    return [NormalDist().inv_cdf((integer + 0.5) / 2**48) for integer in integers]
