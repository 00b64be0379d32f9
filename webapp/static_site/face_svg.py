"""Landmarks of a face as SVG paths over its crop: sharp at any size, and each crop stored once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from drf.landmarks import N_POINTS

from drf import geometry, landmarks

VIEW = 256
"""Side of the drawing: crops of any size are shown as large, with lines as wide."""

_OUTLINES = landmarks.outlines()


@dataclass(frozen=True)
class Shape:
    """Two shapes of one face as attributes `d` of SVG paths, in the drawing's units.

    *_line    outlines
    *_points  one stroke without length a landmark: drawn with round caps it is a disc
    errors    a segment from every true place to the predicted one
    """

    truth_line: str
    truth_points: str
    predicted_line: str
    predicted_points: str
    errors: str


def shape(
    ground_truth: np.ndarray, prediction: np.ndarray, to_picture: np.ndarray, side_px: int
) -> Shape:
    """Return the paths of a face. Points (68, 2) picture px, NaN where the model knows none;
    to_picture: (2, 3), crop px to picture px; side_px: of the square crop. Of the truth only what
    is predicted is drawn."""
    both = geometry.apply(geometry.invert(to_picture), np.stack([ground_truth, prediction]))
    # SVG has pixel edges at integers, we have pixel centres there.
    truth, predicted = np.round((both + 0.5) * (VIEW / side_px), 1)
    truth[np.isnan(predicted)] = np.nan
    known = [k for k in range(N_POINTS) if np.isfinite(predicted[k]).all()]
    pairs = [np.stack([truth[k], predicted[k]]) for k in known]
    return Shape(
        _lines(truth),
        "".join(f"M{_at(truth[k])}h0" for k in known),
        _lines(predicted),
        "".join(f"M{_at(predicted[k])}h0" for k in known),
        "".join(f"M{_at(start)}L{_at(end)}" for start, end in pairs),
    )


def _lines(points: np.ndarray) -> str:
    known = [points[line] for line in _OUTLINES if np.isfinite(points[line]).all()]
    return "".join("M" + "L".join(map(_at, line)) for line in known)


def _at(point: np.ndarray) -> str:
    return f"{point[0]:g} {point[1]:g}"
