"""SVG paths of the landmarks of a face over its crop: sharp at any size, each crop stored once."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drf.landmarks import geometry
from drf.landmarks.markup import Markup
from webapp.faces.outlines import coordinates, svg_path

VIEW = 256
"""Side of the drawing: crops of any size are shown as large, with lines as wide."""


@dataclass(frozen=True)
class FacePaths:
    """Ground truth and prediction of a face as attributes `d` of SVG paths, in the drawing's unit.

    *_line    outlines
    *_points  per landmark one stroke without length, which round caps draw as a disc
    errors    per landmark a segment from the ground truth to the prediction
    """

    truth_line: str
    truth_points: str
    predicted_line: str
    predicted_points: str
    errors: str


def face_paths(
    ground_truth: np.ndarray,
    prediction: np.ndarray,
    markup: Markup,
    to_picture: np.ndarray,
    side_px: int,
) -> FacePaths:
    """Return the paths of a face. Points (K, 2) picture px, NaN where a landmark is missing or the
    model does not know it; to_picture: (2, 3), crop px to picture px; side_px: of the square crop.
    Of the truth only what is predicted is drawn."""
    both = geometry.apply(geometry.invert(to_picture), np.stack([ground_truth, prediction]))
    # SVG has pixel edges at integers, we have pixel centres there.
    truth, predicted = (both + 0.5) * (VIEW / side_px)
    truth[np.isnan(predicted)] = np.nan
    known = np.isfinite(truth).all(axis=1)
    pairs = np.stack([truth, predicted], axis=1)[known]
    return FacePaths(
        svg_path(truth, markup),
        _dots(truth),
        svg_path(predicted, markup),
        _dots(predicted),
        "".join(f"M{coordinates(start)}L{coordinates(end)}" for start, end in pairs),
    )


def _dots(points: np.ndarray) -> str:
    return "".join(f"M{coordinates(point)}h0" for point in points if np.isfinite(point).all())
