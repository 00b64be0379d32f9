"""Outlines of the landmarks of a face as one path: for Plotly and for SVG."""

from __future__ import annotations

import functools

import numpy as np

from drf.landmarks.markup import Markup


@functools.lru_cache(maxsize=16)
def _pens(markup: Markup) -> np.ndarray:
    """Return the landmarks in the order of the pen, -1 where it is lifted."""
    return np.array([pen for outline in markup.outlines() for pen in (*outline, -1)])


def nan_separated(points: np.ndarray, markup: Markup) -> np.ndarray:
    """Return the path over all outlines of (K, 2) points, shape (m, 2), with NaN between them."""
    return np.concatenate([points, np.full((1, 2), np.nan)])[_pens(markup)]


def svg_path(points: np.ndarray, markup: Markup) -> str:
    """Return the outlines of (K, 2) points as attribute `d` of an SVG path, in the points' unit
    with one decimal. Outlines with an unknown (NaN) landmark are left out."""
    known = [points[line] for line in markup.outlines() if np.isfinite(points[line]).all()]
    return "".join("M" + "L".join(map(coordinates, line)) for line in known)


def coordinates(point: np.ndarray) -> str:
    """Return a point, (2,), as a path of SVG spells it: "12.5 80"."""
    x, y = np.round(np.asarray(point, dtype=float), 1)
    return f"{x:g} {y:g}"
