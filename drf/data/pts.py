"""The .pts format of 300-W: one landmark per line, 1-based, with or without a header.

    version: 1
    n_points: 68
    {
    91.2390 123.0887
    ...
    }

In the files the centre of the top-left pixel is (1, 1); in this code it is (0, 0).
"""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np

from drf import scores
from drf.errors import DataError
from drf.markup import IBUG68, Markup

_DECLARED = re.compile(r"n_points\s*:\s*(\S+)")
_HEADER_KEYS = ("version", "n_points")


def read_pts(path: Path, markup: Markup = IBUG68) -> np.ndarray:
    """Return the landmarks of a .pts file: (K, 2) float32, 0-based picture px.

    Raises DataError that names the file if it cannot be read or does not hold K usable points.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise DataError(f"{path.name} is not a text file") from None
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror})") from None
    try:
        return parse_pts(text, markup)
    except DataError as error:
        raise DataError(f"{path.name} {error}") from None


def parse_pts(text: str, markup: Markup = IBUG68) -> np.ndarray:
    """Return the landmarks in the text of a .pts file: (K, 2) float32, 0-based picture px.

    Raises DataError, its sentence without a subject ("holds 67 points instead of 68"): the caller
    knows the name of the file.
    """
    lines = _point_lines(text, markup.n_points)
    if len(lines) != markup.n_points:
        raise DataError(f"holds {len(lines)} points instead of {markup.n_points}")
    points = np.array([_point(line) for line in lines]) - 1.0
    if np.ptp(points, axis=0).max() <= 0:
        raise DataError(f"has all {markup.n_points} points in one place")
    for norm, (one, other) in markup.normalisers.items():
        if scores.normaliser(norm).distance(points[None], markup)[0] <= 0:
            ends = " and ".join(", ".join(map(markup.title, end)) for end in (one, other))
            raise DataError(f"has ({ends}) in one place, so that no {norm} NME exists")
    return points.astype(np.float32)


def _point_lines(text: str, n_points: int) -> list[str]:
    """Return the lines between the braces, or all but the header's where there are no braces."""
    declared = _DECLARED.search(text)
    if declared and declared[1] != str(n_points):
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
