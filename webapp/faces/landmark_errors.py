"""Errors of a model by landmark, drawn on the mean shape, and by region of the face."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from drf.data import boxes
from drf.landmarks.markup import Markup
from drf.scoring import scores, statistics
from webapp import store
from webapp.faces.outlines import nan_separated
from webapp.ui import charts, theme
from webapp.ui.charts import Chart
from webapp.ui.text import in_chart, percent, readable

_HEIGHT_PX = 420
_SMALLEST_PX, _LARGEST_PX = 5, 21
_SCALE_ENDS_AT = 6.0
"""Percent at which colour and size of a landmark end: the same for every run, so that pages of two
runs can be held beside each other. Mean errors of the landmarks of today's methods lie below it."""


@dataclass(frozen=True)
class LandmarkErrors:
    """Mean errors of the landmarks of an evaluation over its faces.

    markup      of the landmarks
    points      (k,) int: which of the markup's landmarks, ascending; those that every face lacks
                are left out
    errors      (k,) finite fractions of the norm's distance, each a mean over the faces that have
                the landmark
    mean_shape  (K, 2): mean of the ground truths in their `gt` boxes, 0..1 over the box; NaN for
                landmarks that every face lacks
    nme         the mean over faces, a fraction. Where faces lack landmarks it is not the mean of
                `errors`, in which each landmark counts alike
    """

    markup: Markup
    points: np.ndarray
    errors: np.ndarray
    mean_shape: np.ndarray
    nme: float


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
    """Return the errors of a stored evaluation of which a face has an error. markup: its name;
    landmarks: subset of it."""
    # An evaluation never changes; run_id guards against a file that was replaced (see store.py).
    _, truth, predicted = store.predictions(path, evaluation)
    of = store.markup(path, markup)
    judged = predicted, truth, norm, of, landmarks
    means = _mean_of_known(scores.point_errors(*judged))
    known = np.isfinite(means)
    nme = scores.summary(scores.image_errors(*judged)).get("nme", np.nan)
    shape = mean_shape(truth.astype(np.float64))
    return LandmarkErrors(of, of.indices(landmarks)[known], means[known], shape, nme)


def of_face(face: store.StoredFace, norm: str) -> LandmarkErrors:
    """Return the errors of the landmarks of one face that are there and that its model knows."""
    (distance,) = scores.distances(face.ground_truth[None], norm, face.markup)
    errors = np.linalg.norm(face.prediction - face.ground_truth, axis=-1) / distance
    known = np.flatnonzero(np.isfinite(errors))
    nme = float(errors[known].mean()) if len(known) else np.nan
    return LandmarkErrors(face.markup, known, errors[known], face.ground_truth, nme)


def _mean_of_known(values: np.ndarray) -> np.ndarray:
    """Return the mean over the first axis of what is not NaN; NaN where nothing is."""
    known = np.isfinite(values)
    if known.all():
        return values.mean(axis=0)
    total, counts = np.where(known, values, 0.0).sum(axis=0), known.sum(axis=0)
    return np.divide(total, counts, out=np.full(total.shape, np.nan), where=counts > 0)


@dataclass(frozen=True)
class LandmarkDifferences:
    """What a run errs more (or less) than another one at each landmark, on the faces of both.

    of       the errors of the run itself at the landmarks that a face of both has
    mean     (k,) finite fractions of the norm's distance; above 0 it is worse
    p_value  (k,) of a paired t-test over faces, corrected by Holm for the number of landmarks; NaN
             for a landmark that a single face of both has
    """

    of: LandmarkErrors
    mean: np.ndarray
    p_value: np.ndarray

    @property
    def significant(self) -> np.ndarray:
        """Which differences are significant at 5 % over all landmarks together, (k,) bool."""
        return self.p_value < ALPHA


ALPHA = 0.05


@st.cache_data(max_entries=64, show_spinner=False)
def difference(
    path: str,
    run: tuple[str, int],
    other: tuple[str, int],
    markup: str,
    landmarks: str,
    norm: str,
) -> LandmarkDifferences:
    """Return the differences of a run to another one: (run, evaluation) each."""
    of = store.markup(path, markup)
    errors, faces = [], []
    for _, number in (run, other):
        ids, truth, predicted = store.predictions(path, number)
        faces.append(ids)
        errors.append(scores.point_errors(predicted, truth, norm, of, landmarks))
    shared = np.intersect1d(faces[0], faces[1])
    one, two = (e[np.searchsorted(ids, shared)] for e, ids in zip(errors, faces, strict=True))
    means = _mean_of_known(one - two)
    known = np.isfinite(means)
    p_values = statistics.holm(statistics.paired_p_values((one - two)[:, known]))
    own = of_evaluation(path, *run, markup, landmarks, norm)
    kept = np.isin(own.points, of.indices(landmarks)[known])
    own = replace(own, points=own.points[kept], errors=own.errors[kept])
    return LandmarkDifferences(own, means[known], p_values)


def limit(found: Sequence[LandmarkDifferences]) -> float:
    """Return where the colours of differences end, percent: the same for all of a page."""
    return max(float(np.abs(100 * one.mean).max()) for one in found) or 1.0


def by_difference(
    found: LandmarkDifferences, names: tuple[str, str], norm: str, end: float
) -> Chart:
    """Return the mean shape with a disc per landmark: the colour says which run errs less there,
    hollow ones are not significant. names: of the run and the other one; end: see `limit`.

    No word of better or worse: one of the two may not be ranked (`db.status`)."""
    percents, sure = 100 * found.mean, found.significant
    own = found.of
    figure = _on_mean_shape(own)
    x, y = own.mean_shape[own.points].T
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        showlegend=False,
        text=_titles(own),
        customdata=[
            f"{value:+.2f} %" + ("" if np.isnan(p) else f", p = {p:.2g}")
            for value, p in zip(percents, found.p_value, strict=True)
        ],
        hovertemplate="<b>%{text}</b><br>%{customdata}<extra></extra>",
        marker={
            "color": percents,
            "symbol": np.where(sure, "circle", "circle-open").tolist(),
            "size": np.where(sure, 13, 9).tolist(),
            "colorscale": [list(stop) for stop in theme.DIVERGING],
            "cmin": -end,
            "cmax": end,
            "line": {"color": np.where(sure, theme.GREY, theme.QUIET).tolist(), "width": 1},
            "colorbar": _colourbar("difference, %"),
        },
    )
    better, worse = (int((sure & (sign * found.mean < 0)).sum()) for sign in (1, -1))
    said = (
        f"{names[0]} has a smaller error at {better} and a larger one at {worse} of"
        f" {len(percents)} landmarks"
    )
    help_text = (
        f"{said}; hollow: not significant (paired t-test over faces, Holm's correction, 5 %)."
        f" Blue: a smaller error, % of the {norm} distance; one colour scale for all runs."
    )
    return Chart(f"{names[0]} − {names[1]}", figure, f"{said}, significantly.", help_text)


def _colourbar(title: str) -> dict[str, object]:
    """Return a colour bar below the chart: a phone has no width to spare."""
    return {
        "title": {"text": title},
        "orientation": "h",
        "thickness": 12,
        "outlinewidth": 0,
        "y": 0,
        "yanchor": "top",
    }


def _on_mean_shape(found: LandmarkErrors) -> go.Figure:
    """Return a figure with the outlines of the mean shape."""
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
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(visible=False, constrain="domain")
    figure.update_yaxes(visible=False, autorange="reversed", scaleanchor="x")
    return figure


def by_landmark(found: LandmarkErrors, norm: str) -> Chart:
    """Return the mean shape with a disc per landmark: the larger and the lighter, the worse."""
    percents = 100 * found.errors
    x, y = found.mean_shape[found.points].T
    figure = _on_mean_shape(found)
    figure.add_scatter(
        x=x,
        y=y,
        mode="markers",
        showlegend=False,
        text=_titles(found),
        customdata=percents,
        hovertemplate="<b>%{text}</b><br>error %{customdata:.2f} %<extra></extra>",
        marker={
            "color": percents,
            "size": _sizes(percents),
            "colorscale": "Cividis",
            "cmin": 0,
            "cmax": _SCALE_ENDS_AT,
            "line": {"color": theme.QUIET, "width": 1},
            "colorbar": _colourbar("error, %"),
        },
    )
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
        f"Mean over the faces that have the landmark, % of the {norm} distance, on the mean shape."
        f" Larger and lighter is worse, up to {_SCALE_ENDS_AT:g} %; colours and sizes mean the same"
        " for every run.",
    )


def region_means(found: LandmarkErrors) -> dict[str, float]:
    """Return the mean error, a fraction, of the landmarks of every region that has any, by the
    region's name as people read it."""
    error_of = dict(zip(found.points.tolist(), found.errors, strict=True))
    return {
        readable(region): float(np.mean([error_of[j] for j in known]))
        for region, members in found.markup.regions.items()
        if (known := [j for j in members.tolist() if j in error_of])
    }


def by_region(found: LandmarkErrors, norm: str) -> Chart:
    """Return a bar per region of the face that has landmarks: the mean error of these."""
    means = {region: 100 * mean for region, mean in region_means(found).items()}
    ordered = dict(sorted(means.items(), key=lambda item: item[1]))  # Plotly begins below
    nme = 100 * found.nme
    figure = go.Figure(
        go.Bar(
            x=list(ordered.values()),
            y=list(map(in_chart, ordered)),
            orientation="h",
            marker={"color": theme.BLUE},
            width=0.62,
            hovertemplate="%{y}: %{x:.2f} %<extra></extra>",
        ),
        theme.layout(x=f"mean error, % of the {norm} distance", y=""),
    )
    figure.update_layout(hovermode="closest", height=_HEIGHT_PX)
    figure.update_xaxes(ticksuffix=" %", range=[0, 1.02 * max(*ordered.values(), nme) + 1e-9])
    # Values stand with the names: the line of the NME would go through them beside the bars.
    names = [f"{in_chart(region)}  <b>{value:.2f}</b>" for region, value in ordered.items()]
    figure.update_yaxes(showgrid=False, tickvals=list(map(in_chart, ordered)), ticktext=names)
    charts.rule(figure, nme, theme.VERMILLION)
    figure.add_annotation(
        x=nme, y=1.01, yref="paper", yanchor="bottom", text=f"NME {nme:.2f}", showarrow=False
    )
    said = "; ".join(f"{region} {percent(value)}" for region, value in reversed(ordered.items()))
    return Chart("Error by region", figure, f"Mean error by region of the face: {said}.")


def _sizes(percents: np.ndarray) -> np.ndarray:
    """Return diameters in px whose areas grow with the error: an eye compares areas."""
    area = np.minimum(percents / _SCALE_ENDS_AT, 1.0)
    return np.sqrt(_SMALLEST_PX**2 + (_LARGEST_PX**2 - _SMALLEST_PX**2) * area)


def _titles(found: LandmarkErrors) -> list[str]:
    """Return what the landmarks are called, for Plotly."""
    return [in_chart(found.markup.title(index), 80) for index in found.points]


def _said(found: LandmarkErrors, position: int) -> str:
    name = found.markup.title(int(found.points[position]))
    return f"{name} ({percent(100 * found.errors[position])})"
