"""The .pts format of 300-W: one landmark per line, 1-based, with or without a header.

    version: 1
    n_points: 68
    {
    91.2390 123.0887
    ...
    }

In the files the centre of the top-left pixel is (1, 1); in this code it is (0, 0). Some programs
write 0 0 or -1 -1 for a landmark that they could not place, in other formats too: these are no
places in a picture, and the landmark is missing.
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from drf.data.user_files import read_text
from drf.errors import DataError
from drf.landmarks.markup import IBUG68, MISSING, VISIBLE, Markup
from drf.scoring import scores

_DECLARED = re.compile(r"n_points\s*:\s*(\S+)")
_HEADER_KEYS = ("version", "n_points")

MOST_BYTES = 2**20
"""Of a .pts file; one of 68 landmarks has 1.5 kB."""

PLACEHOLDERS = ((0.0, 0.0), (-1.0, -1.0))
"""What stands in files of landmarks, of this and other formats, for one that is missing."""

LEAST_NORMALISER = 1e-3
"""Least distance of a normaliser, as a share of the longer side of the landmark box. On 300-W it is
0.27 or more; a face with less has an NME that means nothing."""


def read_pts(path: Path, markup: Markup = IBUG68) -> np.ndarray:
    """Return the landmarks of a .pts file: (K, 2) float32, 0-based picture px; NaN where
    missing.

    Raises DataError that names the file if it cannot be read or does not hold K usable points.
    """
    text = read_text(path, MOST_BYTES)
    try:
        return parse_pts(text, markup)
    except DataError as error:
        raise DataError(f"{path.name} {error}") from None


def parse_pts(text: str, markup: Markup = IBUG68) -> np.ndarray:
    """Return the landmarks in the text of a .pts file: (K, 2) float32, 0-based picture px, NaN
    where missing.

    Raises DataError, its sentence without a subject ("holds 67 points instead of 68"): the caller
    knows the name of the file.
    """
    lines = _point_lines(text, markup.n_points)
    if len(lines) != markup.n_points:
        raise DataError(f"holds {len(lines)} points instead of {markup.n_points}")
    points = _points(lines)
    check_points(points, markup)
    return (points - 1.0).astype(np.float32)


def parse_any_points(text: str) -> np.ndarray:
    """Return the points in the text of a .pts file, whatever their number and place: (k, 2)
    float64, 0-based picture px, NaN where missing.

    Raises DataError as `parse_pts`, but for points that only ground truth may not have.
    """
    return _points(_point_lines(text)) - 1.0


def format_pts(points: np.ndarray) -> str:
    """Return the text of a .pts file, the inverse of `parse_pts`: (K, 2) 0-based picture px."""
    lines = [
        "-1 -1" if np.isnan([x, y]).any() else f"{x + 1:.4f} {y + 1:.4f}"
        for x, y in points.tolist()
    ]
    return "\n".join(["version: 1", f"n_points: {len(lines)}", "{", *lines, "}", ""])


def visibility_of(points: np.ndarray) -> np.ndarray | None:
    """Return the (K,) visibility of landmarks as a .pts file tells it: NaN is missing; None where
    all are there. Whether one is hidden the format does not say."""
    there = np.isfinite(points).all(axis=1)
    return None if there.all() else np.where(there, VISIBLE, MISSING).astype(np.uint8)


def without_placeholders(points: np.ndarray) -> np.ndarray:
    """Return the (k, 2) points of a file, whatever its first pixel is called, with NaN where one of
    PLACEHOLDERS stands."""
    placed = [tuple(point) not in PLACEHOLDERS for point in points]
    return np.where(np.reshape(placed, (-1, 1)), points, np.nan)


def check_points(points: np.ndarray, markup: Markup) -> None:
    """Raise DataError for landmarks that no error can be measured on, its sentence without a
    subject. (K, 2) px, NaN where missing."""
    there = np.isfinite(points).all(axis=1)
    if not there.any():
        raise DataError(f"has none of its {markup.n_points} points in the picture")
    sides = np.ptp(points[there], axis=0)
    side = sides.max()
    if side <= 0:
        raise DataError(f"has all {there.sum()} points in one place")
    if sides.min() < LEAST_NORMALISER * side:
        raise DataError(f"has all {there.sum()} points on one line, so that no box NME exists")
    for norm, (one, other) in markup.normalisers.items():
        if scores.normaliser(norm).distance(points[None], markup)[0] < LEAST_NORMALISER * side:
            ends = " and ".join(_named(end, markup) for end in (one, other))
            raise DataError(f"has {ends} in one place, so that no {norm} NME exists")


def _named(end: tuple[int, ...], markup: Markup) -> str:
    """Return what to call one end of a normaliser: its landmark, or the group that it is."""
    if len(end) == 1:
        return f"landmark {markup.title(end[0])}"
    groups = [name.replace("_", " ") for name, group in markup.groups.items() if group == end]
    return f"its {groups[0]}" if groups else f"the centre of landmarks {list(end)}"


def _points(lines: list[str]) -> np.ndarray:
    """Return (k, 2) 1-based px, NaN where a placeholder stands."""
    return without_placeholders(np.array([_point(line) for line in lines]).reshape(-1, 2))


def _point_lines(text: str, n_points: int | None = None) -> list[str]:
    """Return the lines between the braces, or all but the header's where there are no braces."""
    declared = _DECLARED.search(text)
    if n_points is not None and declared and declared[1] != str(n_points):
        raise DataError(f"declares n_points {declared[1]} instead of {n_points}")
    if "{" in text:
        body, closing, _ = text.partition("{")[2].partition("}")
        if not closing:
            raise DataError("ends before its closing brace")
    else:
        body = text
    lines = (line.strip() for line in body.splitlines())
    return [line for line in lines if line and not line.startswith(_HEADER_KEYS)]


def _point(line: str) -> tuple[float, float]:
    try:
        x, y = map(float, line.split())
    except ValueError:
        raise DataError(f"holds the line {line[:40]!r} where two numbers belong") from None
    # 1e6 px bounds what float32 keeps to better than a tenth of a pixel.
    if not (abs(x) < 1e6 and abs(y) < 1e6):
        raise DataError(f"holds the point {line[:40]!r}, which is no place in a picture")
    return x, y
