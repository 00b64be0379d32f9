"""Figure of one large face: the picture with ground truth and the predictions of the models.

Ground truth and models differ in colour and in the form of their markers. Colours are Okabe and
Ito's; on a picture the sky blue is the ground truth's and the yellow the first model's, as on the
small tiles. At a landmark that is hidden the truth is a square and every prediction hollow.
"""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import plotly.graph_objects as go

from drf.data.crops import decode_jpeg
from drf.landmarks import geometry, overlay
from drf.landmarks.markup import HIDDEN, Markup
from drf.scoring import scores
from webapp.faces.outlines import nan_separated
from webapp.ui import theme
from webapp.ui.charts import Chart
from webapp.ui.text import in_chart, percent

YELLOW = "#F0E442"
COLOURS = (YELLOW, theme.VERMILLION, theme.GREEN, theme.PURPLE, theme.ORANGE, theme.BLUE)
MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x", "star")
"""As many as there are must not divide the number of colours: 42 models differ in one of both."""

SIGMAS = 2.0
_TRUTH = f"rgb{overlay.GROUND_TRUTH}"
_EDGE = "rgba(0, 0, 0, 0.7)"
_HEIGHT_PX = 620
_ROOM = 0.1  # around the outermost points, as a share of the longer side


@dataclass(frozen=True)
class PredictedShape:
    """The prediction of one model for a face.

    name         as it was given by anybody
    prediction   (K, 2) picture px; NaN where the model does not know a landmark
    covariances  (K, 2, 2) squared picture px: how sure it is of each, symmetric; NaN where it does
                 not say; or None
    """

    name: str
    prediction: np.ndarray
    covariances: np.ndarray | None = None


def look(number: int) -> tuple[str, str]:
    """Return the colour and the marker of the model at a place in the list."""
    return COLOURS[number % len(COLOURS)], MARKERS[number % len(MARKERS)]


def shares(prediction: np.ndarray, ground_truth: np.ndarray) -> np.ndarray:
    """Return what each landmark adds to the image's error, ||P_j - G_j|| / sum_k ||P_k - G_k||.

    Two (K, 2) -> (K,) fractions that add up to 1; NaN where the prediction is. The norm does not
    matter to them. 0 for a prediction without any error.
    """
    distances = np.linalg.norm(prediction - ground_truth, axis=-1)
    total = np.nansum(distances)
    return distances / total if total > 0 else np.where(np.isnan(distances), np.nan, 0.0)


def draw(
    name: str,
    ground_truth: np.ndarray,
    crop: tuple[bytes, np.ndarray] | None,
    shapes: Sequence[PredictedShape],
    norm: str,
    markup: Markup,
    *,
    error_segments: bool = True,
    numbers: bool = False,
    visibility: np.ndarray | None = None,
    colours_from: Sequence[int] | None = None,
) -> Chart:
    """Return the figure of a face with the shapes of any number of models.

    ground_truth    (K, 2) picture px
    crop            JPEG bytes and the (2, 3) map from crop px to picture px; None draws the shapes
                    on an empty canvas
    shapes          in the order of their colours and markers; covariances become ellipses of
                    SIGMAS standard deviations
    norm            of the errors in the hovers
    markup          of the landmarks
    error_segments  whether a line joins every predicted landmark to its true place
    numbers         whether each landmark of the ground truth has its number beside it
    visibility      (K,) see `drf.landmarks.markup`; None where all landmarks are visible
    colours_from    the number of each shape in the list that colours go by; None: its own place

    Of the ground truth, what no model predicts is drawn too: it is there.
    """
    to_frame = np.eye(2, 3) if crop is None else geometry.invert(crop[1])
    truth = geometry.apply(to_frame, ground_truth.astype(np.float64))
    traces, seen = [], [truth]
    (distance,) = scores.distances(ground_truth[None], norm, markup)
    hidden = np.zeros(markup.n_points, bool) if visibility is None else visibility == HIDDEN
    for number, shape in zip(colours_from or range(len(shapes)), shapes, strict=True):
        guess = geometry.apply(to_frame, shape.prediction.astype(np.float64))
        seen.append(guess)
        segments = _joined(truth, guess) if error_segments else guess[:0]
        traces += _model(
            number, shape, segments, guess, ground_truth, norm, float(distance), markup, hidden
        )
        if shape.covariances is not None:
            pen = {"color": look(number)[0], "width": 1}
            traces.append(_lines(_ellipses(shape, to_frame), pen, str(number)) | {"opacity": 0.7})
    layout = _layout(*_frame(np.concatenate(seen), crop))
    traces += _ground_truth(truth, markup, hidden)
    if numbers:
        traces.insert(0, _numbers(truth))
    figure = go.Figure(traces, layout)
    return Chart(name, figure, _alt(name, ground_truth, shapes, float(distance), markup))


def _layout(x: list[float], y: list[float], pictures: list[dict[str, Any]]) -> dict[str, Any]:
    axis = {"visible": False, "constrain": "domain"}
    return {
        "height": _HEIGHT_PX,
        "margin": {"l": 0, "r": 0, "t": 0, "b": 0},
        "hovermode": "closest",
        "dragmode": "pan",
        "plot_bgcolor": "rgba(0, 0, 0, 0)",
        "hoverlabel": {"namelength": -1, "align": "left"},
        "legend": {
            **{"orientation": "h", "x": 0, "y": 1.01, "yanchor": "bottom"},
            # Dark in both themes: yellow and sky blue cannot be seen on white.
            **{"bgcolor": "#2B2F36", "font": {"color": "#FFFFFF"}},
        },
        "xaxis": {**axis, "range": x},
        "yaxis": {**axis, "range": y, "scaleanchor": "x", "constraintoward": "top"},
        "images": pictures,
    }


def _model(
    number: int,
    shape: PredictedShape,
    segments: np.ndarray,
    guess: np.ndarray,
    ground_truth: np.ndarray,
    norm: str,
    distance: float,
    markup: Markup,
    hidden: np.ndarray,
) -> list[dict[str, Any]]:
    """Return the traces of a model: its outlines, its lines, its landmarks with what they say."""
    colour, marker = look(number)
    error = np.linalg.norm(shape.prediction - ground_truth, axis=-1)
    error = 100 * error / distance
    share = 100 * shares(shape.prediction, ground_truth)
    markers = _markers(guess, in_chart(shape.name), str(number), markup) | {
        "marker": {
            "color": colour,
            "symbol": _hollow_where(hidden, marker),
            "size": 8,
            "line": {"color": _EDGE, "width": 1},
        },
        "customdata": np.stack([error, share], axis=1).astype(np.float32),
        "hovertemplate": "<b>%{text}</b><br>error %{customdata[0]:.2f} % of the "
        f"{norm} distance<br>%{{customdata[1]:.1f}} % of the error of this face"
        "<extra>%{fullData.name}</extra>",
    }
    faint = _lines(nan_separated(guess, markup), {"color": colour, "width": 1}, str(number)) | {
        "opacity": 0.6
    }
    drawn = [faint, _lines(segments, {"color": colour, "width": 1.8}, str(number))]
    return [*drawn, *_with_own_entry(markers, marker, hidden)]


def _ground_truth(truth: np.ndarray, markup: Markup, hidden: np.ndarray) -> list[dict[str, Any]]:
    name, group = "ground truth", "truth"
    look = {"color": _TRUTH, "size": 9, "line": {"width": 2}}
    symbols = np.where(hidden, "square-open", "circle-open").tolist()
    rings = look | {"symbol": symbols if hidden.any() else "circle-open"}
    hover = {"marker": rings, "hovertemplate": f"<b>%{{text}}</b><extra>{name}</extra>"}
    lines = _lines(nan_separated(truth, markup), {"color": _TRUTH, "width": 1.5}, group)
    markers = _markers(truth, name, group, markup) | hover
    if not hidden.any():
        return [lines, markers]
    titles = markers["text"]
    markers["text"] = [f"{t}, hidden" if h else t for t, h in zip(titles, hidden, strict=True)]
    square = look | {"symbol": "square-open"}
    explained = {"name": "hidden: square, prediction hollow", "marker": square}
    return [lines, *_with_own_entry(markers, "circle-open", hidden), _ENTRY | explained]


_ENTRY = {"type": "scatter", "mode": "markers", "x": [None], "y": [None], "hoverinfo": "skip"}
"""A trace of which only the entry in the legend is seen."""


def _with_own_entry(
    markers: dict[str, Any], symbol: str, hidden: np.ndarray
) -> list[dict[str, Any]]:
    """Return markers, with an entry of their own in the legend where landmarks are hidden: Plotly
    would show the form of the first landmark there."""
    if not hidden.any():
        return [markers]
    look = {"name": markers["name"], "legendgroup": markers["legendgroup"]}
    return [
        markers | {"showlegend": False},
        _ENTRY | look | {"marker": markers["marker"] | {"symbol": symbol}},
    ]


def _hollow_where(hidden: np.ndarray, marker: str) -> str | list[str]:
    """Return the marker of each landmark, as one where none is hidden."""
    return np.where(hidden, f"{marker}-open", marker).tolist() if hidden.any() else marker


def _numbers(truth: np.ndarray) -> dict[str, Any]:
    x, y = truth.T.astype(np.float32)
    font = {"size": 11, "color": "#FFFFFF", "shadow": "0 0 3px #000, 0 0 3px #000"}
    text = {"text": [str(k) for k in range(len(truth))], "textposition": "top right"}
    look = {"textfont": font, "hoverinfo": "skip", "legendgroup": "truth", "showlegend": False}
    return {"type": "scatter", "mode": "text", "x": x, "y": y} | text | look


def _markers(points: np.ndarray, name: str, group: str, markup: Markup) -> dict[str, Any]:
    x, y = points.T.astype(np.float32)
    titles = [markup.title(index) for index in range(markup.n_points)]
    trace = {"type": "scatter", "mode": "markers", "x": x, "y": y, "text": titles}
    return trace | {"name": name, "legendgroup": group}


def _lines(path: np.ndarray, pen: dict[str, Any], group: str) -> dict[str, Any]:
    """Return lines that come and go with the entry of their group in the legend."""
    x, y = path.T.astype(np.float32)
    trace = {"type": "scatter", "mode": "lines", "x": x, "y": y, "line": pen}
    return trace | {"legendgroup": group, "showlegend": False, "hoverinfo": "skip"}


def _joined(truth: np.ndarray, guess: np.ndarray) -> np.ndarray:
    """Return (3 K, 2) a path from every true place to the predicted one, NaN between them."""
    return np.stack([truth, guess, np.full_like(truth, np.nan)], axis=1).reshape(-1, 2)


def _ellipses(shape: PredictedShape, to_frame: np.ndarray) -> np.ndarray:
    """Return (m, 2) a path over the ellipses of the landmarks that have one, NaN between them."""
    assert shape.covariances is not None
    known = np.isfinite(shape.covariances).all(axis=(1, 2)) & np.isfinite(shape.prediction).all(1)
    outlines = geometry.ellipses(
        shape.prediction[known].astype(np.float64), shape.covariances[known], sigmas=SIGMAS
    )
    paths = geometry.apply(to_frame, outlines)
    return np.pad(paths, ((0, 0), (0, 1), (0, 0)), constant_values=np.nan).reshape(-1, 2)


def _frame(
    points: np.ndarray, crop: tuple[bytes, np.ndarray] | None
) -> tuple[list[float], list[float], list[dict[str, Any]]]:
    """Return what is seen across and down, and the picture behind the shapes, if there is one: the
    square around all points, of the picture at most, for a wild prediction must not shrink the
    face."""
    low, high = np.nanmin(points, axis=0), np.nanmax(points, axis=0)
    pictures = []
    if crop is not None:
        height, width = decode_jpeg(crop[0]).shape[:2]
        corner = np.array([width, height]) - 0.5
        low, high = np.clip([low, high], -0.5, corner)
        source = f"data:image/jpeg;base64,{base64.b64encode(crop[0]).decode()}"
        place = {"x": -0.5, "y": -0.5, "xref": "x", "yref": "y", "layer": "below"}
        size = {"sizex": width, "sizey": height, "sizing": "stretch"}
        pictures.append({"source": source} | place | size)
    half = (0.5 + _ROOM) * float((high - low).max())
    x, y = (low + high) / 2
    if crop is not None:
        half = min(half, *(corner + 0.5) / 2)
        x, y = np.clip([x, y], half - 0.5, corner - half)
    return [x - half, x + half], [y + half, y - half], pictures


def _alt(
    name: str,
    ground_truth: np.ndarray,
    shapes: Sequence[PredictedShape],
    distance: float,
    markup: Markup,
) -> str:
    said = [f"Face {name} with its ground truth"]
    for shape in shapes:
        error = np.nanmean(np.linalg.norm(shape.prediction - ground_truth, axis=-1)) / distance
        share = shares(shape.prediction, ground_truth)
        worst = int(np.nanargmax(share))
        said.append(
            f"{shape.name}: error {percent(100 * error)}, most of it ({share[worst]:.0%}) at"
            f" {markup.title(worst)}"
        )
    return "; ".join(said) + "."
