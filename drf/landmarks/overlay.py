"""Draws landmarks on a face crop: ground truth, prediction and the error between them.

The two shapes differ in colour and in form, so that neither print nor colour blindness hides which
is which: the ground truth is a line with rings, the prediction a line with discs. At a landmark
that is hidden the truth is a square, and the prediction hollow. Both lie on a soft dark halo, which
keeps them legible on any skin and background.
"""

from __future__ import annotations

import cv2
import numpy as np

from drf.landmarks.markup import HIDDEN, Markup

GROUND_TRUTH = (86, 180, 233)
"""Okabe and Ito's sky blue, RGB."""
PREDICTION = (240, 228, 66)
"""Okabe and Ito's yellow, RGB: the pair that stays apart in every kind of colour blindness."""
ERROR = (213, 94, 0)
"""Okabe and Ito's vermillion, RGB."""

_HALO_OPACITY = 0.45
_SUBPIXEL_BITS = 4


def draw(
    crop: np.ndarray,
    ground_truth: np.ndarray | None,
    prediction: np.ndarray | None = None,
    *,
    markup: Markup,
    scale: float = 2.0,
    error_segments: bool = False,
    pen: float | None = None,
    visibility: np.ndarray | None = None,
) -> np.ndarray:
    """Return the enlarged crop with the landmarks on it, (H * scale, W * scale, 3) uint8 RGB.

    crop            (H, W, 3) uint8 RGB
    ground_truth    (K, 2) crop px, pixel centres at integers; or None
    prediction      (K, 2) crop px; or None
    markup          of the landmarks; its outlines are drawn
    scale           output px per crop px; lines are antialiased at the output's resolution
    error_segments  whether a line joins every predicted point to its true place
    pen             width of a line, output px; None: in proportion to the crop
    visibility      (K,) see `drf.landmarks.markup`; None where all landmarks are visible

    Landmarks that are NaN are left out, and so are the outlines that they belong to: a model need
    not know all. Points outside the crop are drawn as far as they are visible. Raises ValueError
    for other shapes, for points of which none is a number, and for error segments without both.
    """
    if crop.ndim != 3 or crop.shape[2] != 3 or crop.dtype != np.uint8:
        raise ValueError(f"need a crop (H, W, 3) of uint8, got {crop.shape} of {crop.dtype}")
    if error_segments and (ground_truth is None or prediction is None):
        raise ValueError("error segments need both the ground truth and the prediction")
    canvas = cv2.resize(crop, None, fx=scale, fy=scale, interpolation=cv2.INTER_CUBIC)
    pen = max(canvas.shape[:2]) / 320 if pen is None else pen
    truth = None if ground_truth is None else _enlarged(ground_truth, markup, scale, canvas)
    guess = None if prediction is None else _enlarged(prediction, markup, scale, canvas)

    halo = canvas.copy()
    for points in (truth, guess):
        if points is not None:
            _outline(halo, points, markup, (0, 0, 0), 3.2 * pen)
            _discs(halo, points, (0, 0, 0), 2.6 * pen)
    canvas = cv2.addWeighted(halo, _HALO_OPACITY, canvas, 1 - _HALO_OPACITY, 0, dst=canvas)
    del halo  # of a large photo it is the largest part

    hidden = np.zeros(markup.n_points, bool) if visibility is None else visibility == HIDDEN
    if truth is not None:
        _outline(canvas, truth, markup, GROUND_TRUTH, pen)
        _rings(canvas, truth[~hidden], GROUND_TRUTH, 1.7 * pen, pen)
        _squares(canvas, truth[hidden], GROUND_TRUTH, 1.9 * pen, pen)
    if guess is not None:
        _outline(canvas, guess, markup, PREDICTION, pen)
        _discs(canvas, guess[~hidden], PREDICTION, 1.7 * pen)
        _rings(canvas, guess[hidden], PREDICTION, 1.7 * pen, 0.8 * pen)
    if error_segments and truth is not None and guess is not None:
        pairs = np.stack([truth, guess], axis=1)
        for pair in pairs[np.isfinite(pairs).all(axis=(1, 2))]:
            cv2.polylines(canvas, [_fixed(pair)], False, ERROR, *_line(1.2 * pen))
    return canvas


def _enlarged(points: np.ndarray, markup: Markup, scale: float, canvas: np.ndarray) -> np.ndarray:
    points = np.asarray(points, dtype=np.float64)
    if points.shape != (markup.n_points, 2) or np.isnan(points).all():
        raise ValueError(f"need ({markup.n_points}, 2) points, got {points.shape} or only NaN")
    # Pixel centres at integers: the centre of pixel 0 moves to (scale - 1) / 2.
    enlarged = (points + 0.5) * scale - 0.5
    reach = 8 * max(canvas.shape[:2])  # cv2 takes 32-bit fixed point, a wild prediction may not fit
    return np.clip(enlarged, -reach, reach)


def _fixed(points: np.ndarray) -> np.ndarray:
    return np.rint(points * (1 << _SUBPIXEL_BITS)).astype(np.int32)


def _line(width_px: float) -> tuple[int, int, int]:
    """Return cv2's thickness, line type and shift."""
    return max(1, round(width_px)), cv2.LINE_AA, _SUBPIXEL_BITS


def _outline(
    canvas: np.ndarray,
    points: np.ndarray,
    markup: Markup,
    colour: tuple[int, int, int],
    width_px: float,
) -> None:
    known = [outline for outline in markup.outlines() if np.isfinite(points[outline]).all()]
    for outline in known:
        cv2.polylines(canvas, [_fixed(points[outline])], False, colour, *_line(width_px))


def _discs(
    canvas: np.ndarray, points: np.ndarray, colour: tuple[int, int, int], radius_px: float
) -> None:
    radius = round(radius_px * (1 << _SUBPIXEL_BITS))
    for x, y in _fixed(points[np.isfinite(points).all(axis=1)]).tolist():
        cv2.circle(canvas, (x, y), radius, colour, cv2.FILLED, cv2.LINE_AA, _SUBPIXEL_BITS)


def _rings(
    canvas: np.ndarray,
    points: np.ndarray,
    colour: tuple[int, int, int],
    radius_px: float,
    width_px: float,
) -> None:
    radius = round(radius_px * (1 << _SUBPIXEL_BITS))
    for x, y in _fixed(points[np.isfinite(points).all(axis=1)]).tolist():
        cv2.circle(canvas, (x, y), radius, colour, *_line(width_px))


def _squares(
    canvas: np.ndarray,
    points: np.ndarray,
    colour: tuple[int, int, int],
    half_px: float,
    width_px: float,
) -> None:
    corners = half_px * np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]])
    for point in points[np.isfinite(points).all(axis=1)]:
        cv2.polylines(canvas, [_fixed(point + corners)], True, colour, *_line(width_px))
