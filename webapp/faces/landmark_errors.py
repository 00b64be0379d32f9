"""Errors of a model by landmark, drawn on the mean shape, and by region of the face."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from drf import scores
from drf.data import boxes
from drf.markup import Markup
from webapp import store
from webapp.faces.outlines import nan_separated
from webapp.ui import charts, theme
from webapp.ui.charts import Chart
from webapp.ui.text import percent

_HEIGHT_PX = 420
_SMALLEST_PX, _LARGEST_PX = 5, 21


@dataclass(frozen=True)
class LandmarkErrors:
    """Mean errors of the landmarks of an evaluation over its faces.

    markup      of the landmarks
    points      (k,) int: which of the markup's landmarks, ascending
    errors      (k,) fractions of the norm's distance; their mean is the NME where none is missing
    mean_shape  (K, 2): mean of the ground truths in their `gt` boxes, 0..1 over the box
    """

    markup: Markup
    points: np.ndarray
    errors: np.ndarray
    mean_shape: np.ndarray


def mean_shape(ground_truth: np.ndarray) -> np.ndarray:
    """Return the mean of faces in their `gt` boxes. (n, K, 2) picture px -> (K, 2) unit box.

    Missing landmarks count in no mean."""
    centre_x, centre_y, side = boxes.gt_boxes(ground_truth).T
    corner = np.stack([centre_x - side / 2, centre_y - side / 2], axis=1)
    return _mean_of_known((ground_truth - corner[:, None]) / side[:, None, None])


@st.cache_data(max_entries=64, show_spinner=False)
def of_evaluation(
    path: str, run_id: str, evaluation: int, markup: str, landmarks: str, norm: str
) -> LandmarkErrors:
    """Return the errors of a stored evaluation. markup: its name; landmarks: subset of it."""
    # An evaluation never changes; run_id guards against a file that was replaced (see store.py).
    _, truth, predicted = store.predictions(path, evaluation)
    of = store.markup(path, markup)
    errors = scores.point_errors(predicted, truth, norm, of, landmarks)
    means = _mean_of_known(errors)
    return LandmarkErrors(of, of.indices(landmarks), means, mean_shape(truth.astype(np.float64)))


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    if known.all():
        return values.mean(axis=0)
    total, counts = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)


def by_landmark(found: LandmarkErrors, norm: str) -> Chart:
    """Return the mean shape with a disc per landmark: the larger and the lighter, the worse."""
    percents = 100 * found.errors
    x, y = found.mean_shape[found.points].T
    figure = go.Figure(layout=theme.layout(x="", y="", height=_HEIGHT_PX))
    drawn = nan_separated(found.mean_shape, found.markup)
    figure.add_scatter(
        x=drawn[:, 0],
        y=drawn[:, 1],
        mode="lines",
        line={"color": theme.QUIET, "width": 1.5},
        hoverinfo="skip",
        showlegend=False,
    )
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        showlegend=False,
        text=[found.markup.title(index) for index in found.points],
        customdata=percents,
        hovertemplate="<b>%{text}</b><br>error %{customdata:.2f} %<extra></extra>",
        marker={
            "color": percents,
            "size": _sizes(percents),
            "colorscale": "Cividis",
            "line": {"color": theme.QUIET, "width": 1},
            "colorbar": {  # below: a phone has no width to spare
                "title": {"text": "error, %"},
                "orientation": "h",
                "thickness": 12,
                "outlinewidth": 0,
                "y": 0,
                "yanchor": "top",
            },
        },
    )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x")
    order = np.argsort(percents)
    worst = ", ".join(_said(found, index) for index in order[::-1][:3])
    alt = (
        f"Mean error of {len(percents)} landmarks by the {norm} distance, on the mean shape."
        f" Largest: {worst}. Smallest: {_said(found, order[0])}."
    )
    return Chart(
        "Error by landmark",
        figure,
        alt,
        f"Mean over all faces, % of the {norm} distance, on the mean shape. Larger and lighter is"
        " worse.",
    )


def region_means(found: LandmarkErrors) -> dict[str, float]:
    """Return the mean error, a fraction, of the landmarks of every region that has any."""
    error_of = dict(zip(found.points.tolist(), found.errors, strict=True))
    return {
        region: float(np.mean([error_of[j] for j in known]))
        for region in found.markup.subsets
        if (known := [j for j in found.markup.indices(region).tolist() if j in error_of])
    }


def by_region(found: LandmarkErrors, norm: str) -> Chart:
    """Return a bar per region of the face that has landmarks: the mean error of these."""
    means = {region: 100 * mean for region, mean in region_means(found).items()}
    ordered = dict(sorted(means.items(), key=lambda item: item[1]))  # Plotly begins below
    nme = float(100 * found.errors.mean())
    figure = go.Figure(
        go.Bar(
            x=list(ordered.values()),
            y=list(ordered),
            orientation="h",
            marker={"color": theme.BLUE},
            width=0.62,
            hovertemplate="%{y}: %{x:.2f} %<extra></extra>",
        ),
        theme.layout(x=f"mean error of its landmarks, % of the {norm} distance", y=""),
    )
    figure.update_layout(hovermode="closest", height=_HEIGHT_PX)
    figure.update_xaxes(ticksuffix=" %", range=[0, 1.02 * max(*ordered.values(), nme) + 1e-9])
    # Values stand with the names: the line of the NME would go through them beside the bars.
    names = [f"{region}  <b>{value:.2f}</b>" for region, value in ordered.items()]
    figure.update_yaxes(showgrid=False, tickvals=list(ordered), ticktext=names)
    charts.rule(figure, nme, theme.VERMILLION)
    figure.add_annotation(
        x=nme, y=1.01, yref="paper", yanchor="bottom", text=f"NME {nme:.2f}", showarrow=False
    )
    said = "; ".join(f"{region} {percent(value)}" for region, value in reversed(ordered.items()))
    return Chart("Error by region", figure, f"Mean error by region of the face: {said}.")


def _sizes(percents: np.ndarray) -> np.ndarray:
    """Return diameters in px whose areas grow with the error: an eye compares areas."""
    area = percents / max(float(percents.max()), 1e-9)
    return np.sqrt(_SMALLEST_PX**2 + (_LARGEST_PX**2 - _SMALLEST_PX**2) * area)


def _said(found: LandmarkErrors, position: int) -> str:
    name = found.markup.title(int(found.points[position]))
    return f"{name} ({percent(100 * found.errors[position])})"
