"""SVG card of a leaf: its distribution over the mean shape, and the faces with the largest weights.

SVG is sharp on any screen and transparent on light and dark pages. The card contains no text, so
nothing from the store needs escaping.
"""

from __future__ import annotations

import base64
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import cv2
import numpy as np

from drf.landmarks.markup import Markup
from drf.pictures import LeafPicture
from webapp.faces.outlines import svg_path
from webapp.ui import theme

SIDE = 300
"""Width of the card, and height of its upper part, px of the SVG."""

MAGNIFIED = 3.0
"""How many times as far from the mean shape a leaf of several landmarks is drawn as it lies: leaves
of whole faces look alike otherwise."""

_GAP, _COLUMNS = 4, 3
_BAR = 7  # height of the bar of the share, px
_FACE = (SIDE - (_COLUMNS - 1) * _GAP) / _COLUMNS
_ZOOM_OUT = 1.3  # a window is shown with some of its surroundings
_AROUND = 0.3  # side of what is shown around a lone landmark, as a share of the box


@dataclass(frozen=True)
class Portrait:
    """jpeg: a square picture · points: (K, 2) ground truth, 0..1 over the picture"""

    jpeg: bytes
    points: np.ndarray


def card(
    leaf: LeafPicture,
    mean_shape: np.ndarray,
    markup: Markup,
    faces: Sequence[Portrait | None],
    largest_share: float = 1.0,
) -> str:
    """Return the SVG of a leaf.

    mean_shape: (K, 2) unit box · markup: of its landmarks
    faces: None for one without a picture in the store
    largest_share: of the routing, for which the bar is as wide as the card
    """
    rows = -(-len(faces) // _COLUMNS)
    height = SIDE + rows * (_FACE + _GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {SIDE} {height:.1f}">',
        f'<svg width="{SIDE}" height="{SIDE}">',
        *_content(leaf, mean_shape, markup),
        _share(leaf.share / max(largest_share, 1e-9)),
        "</svg>",
        *(_portrait(i, face, leaf.landmarks, markup) for i, face in enumerate(faces)),
        "</svg>",
    ]
    return "".join(parts)


def view(leaf: LeafPicture, mean_shape: np.ndarray) -> tuple[float, float, float]:
    """Return left, top and side of the square of the unit box that shows a leaf: the box, or the
    window of its distribution where that is much smaller, or what lies around its one landmark."""
    if leaf.extent is not None:
        left, top, right, bottom = leaf.extent
        side = _ZOOM_OUT * max(right - left, bottom - top)
    elif len(leaf.landmarks) == 1:
        left, top = right, bottom = mean_shape[leaf.landmarks[0]]
        reach = np.abs(leaf.points[0] - (left, top)) + leaf.std[0]
        side = max(_AROUND, 2 * _ZOOM_OUT * float(reach.max()))
    else:
        return 0.0, 0.0, 1.0
    if side >= 1:
        return 0.0, 0.0, 1.0
    return (left + right - side) / 2, (top + bottom - side) / 2, side


def _content(leaf: LeafPicture, mean_shape: np.ndarray, markup: Markup) -> Iterable[str]:
    left, top, side = view(leaf, mean_shape)
    scale = SIDE / side

    def px(unit: np.ndarray) -> np.ndarray:
        return (unit - [left, top]) * scale

    if leaf.distribution is not None and leaf.extent is not None:
        corners = px(np.reshape(leaf.extent, (2, 2)))
        yield _map(leaf.distribution, corners)
    yield from _outlines(px(mean_shape), markup, theme.QUIET, 1.5)
    known = [*leaf.landmarks]
    points = magnified(leaf, mean_shape)
    if len(known) < markup.n_points:
        yield from _circles(px(mean_shape[known]), 4, fill="none", stroke=theme.QUIET)
    yield from _ellipses(px(points), leaf.std * scale)
    if known:
        yield from _outlines(_full(px(points), known, markup), markup, theme.VERMILLION, 1.5)
    radius = 5 if len(points) == 1 else 2
    yield from _circles(px(points), radius, fill=theme.VERMILLION, stroke="none")


def offset(leaf: LeafPicture, mean_shape: np.ndarray) -> float:
    """Return how far a leaf lies from the mean shape: the root mean square over its landmarks, as a
    share of the box's side; 0 of a leaf that serves any landmark."""
    if not leaf.landmarks:
        return 0.0
    away = leaf.points - mean_shape[[*leaf.landmarks]]
    return float(np.sqrt((away.astype(np.float64) ** 2).sum(axis=1).mean()))


def magnified(leaf: LeafPicture, mean_shape: np.ndarray) -> np.ndarray:
    """Return the points of a leaf as they are drawn: as they are where it has one landmark, whose
    surroundings are shown enlarged, else MAGNIFIED times as far from the mean shape."""
    if len(leaf.landmarks) < 2:
        return leaf.points
    mean = mean_shape[[*leaf.landmarks]]
    return mean + MAGNIFIED * (leaf.points - mean)


def _share(share: float) -> str:
    """Draw a share as a bar along the foot of the drawing."""
    place = f'x="0" y="{SIDE - _BAR}" height="{_BAR}"'
    return (
        f'<rect {place} width="{SIDE}" fill="{theme.QUIET}" fill-opacity="0.25"/>'
        f'<rect {place} width="{SIDE * min(share, 1.0):.1f}" fill="{theme.GREEN}"/>'
    )


def _full(points: np.ndarray, known: Sequence[int], markup: Markup) -> np.ndarray:
    """Return a (K, 2) shape that is NaN but at the known landmarks."""
    shape = np.full((markup.n_points, 2), np.nan)
    shape[[*known]] = points
    return shape


def _map(distribution: np.ndarray, corners: np.ndarray) -> str:
    """Draw cells in one hue, as opaque as they are probable; by the root, or tails vanish."""
    opacity = np.sqrt(distribution / max(float(distribution.max()), 1e-30))
    bgra = np.empty((*distribution.shape, 4), np.uint8)
    bgra[..., :3] = [int(theme.BLUE[i : i + 2], 16) for i in (5, 3, 1)]
    bgra[..., 3] = np.rint(255 * opacity)
    _, png = cv2.imencode(".png", bgra)
    (x, y), (width, height) = corners[0], corners[1] - corners[0]
    frame = f'x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
    data = base64.b64encode(png.tobytes()).decode()
    return (
        f'<image {frame} preserveAspectRatio="none" style="image-rendering:pixelated"'
        f' href="data:image/png;base64,{data}"/>'
        f'<rect {frame} fill="none" stroke="{theme.QUIET}" stroke-dasharray="4 4"/>'
    )


def _outlines(points: np.ndarray, markup: Markup, colour: str, width: float) -> Iterable[str]:
    """Draw the outlines of a (K, 2) shape whose points are all known."""
    if path := svg_path(points, markup):
        yield f'<path d="{path}" fill="none" stroke="{colour}" stroke-width="{width}"/>'


def _circles(points: np.ndarray, radius: float, *, fill: str, stroke: str) -> Iterable[str]:
    look = f'r="{radius}" fill="{fill}" stroke="{stroke}" stroke-width="1.5"'
    for x, y in points:
        yield f'<circle cx="{x:.1f}" cy="{y:.1f}" {look}/>'


def _ellipses(points: np.ndarray, std: np.ndarray) -> Iterable[str]:
    """Draw one standard deviation about each point."""
    for (x, y), (rx, ry) in zip(points, std, strict=True):
        yield (
            f'<ellipse cx="{x:.1f}" cy="{y:.1f}" rx="{rx:.1f}" ry="{ry:.1f}"'
            f' fill="{theme.VERMILLION}" fill-opacity="0.18" stroke="{theme.VERMILLION}"'
            ' stroke-opacity="0.6"/>'
        )


def _portrait(position: int, face: Portrait | None, known: Sequence[int], markup: Markup) -> str:
    """Draw a face with the ground truth of the landmarks of its leaf."""
    row, column = divmod(position, _COLUMNS)
    x, y = column * (_FACE + _GAP), SIDE + _GAP + row * (_FACE + _GAP)
    frame = f'x="{x:.1f}" y="{y:.1f}" width="{_FACE:.1f}" height="{_FACE:.1f}"'
    if face is None:
        return f'<rect {frame} fill="none" stroke="{theme.QUIET}" stroke-dasharray="4 4"/>'
    data = base64.b64encode(face.jpeg).decode()
    points = face.points[[*known]] * _FACE
    lone = points if len(points) == 1 else points[:0]
    marks = [
        *_outlines(_full(points, known, markup), markup, theme.SKY, 1),
        *_circles(lone, 3.5, fill="none", stroke=theme.SKY),
    ]
    size = f'width="{_FACE:.1f}" height="{_FACE:.1f}"'
    picture = f'<image {size} href="data:image/jpeg;base64,{data}"/>'
    return f"<svg {frame}>{picture}{''.join(marks)}</svg>"
