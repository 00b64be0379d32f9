"""Do models err as much as they expect? The expected error of landmarks against the real one."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from drf.scoring import scores, uncertainty
from drf.scoring.uncertainty import Calibration
from webapp import store
from webapp.faces.figure import MARKERS
from webapp.ui import theme
from webapp.ui.charts import Chart
from webapp.ui.text import in_chart


@st.cache_data(max_entries=64, show_spinner=False)
def of_evaluation(
    path: str, run_id: str, evaluation: int, markup: str, landmarks: str, norm: str
) -> Calibration | None:
    """Return the calibration over all landmarks of all faces of a stored evaluation, fractions;
    None where its model predicts no covariances. markup: its name; landmarks: subset of it."""
    # An evaluation never changes; run_id guards against a file that was replaced (see store.py).
    covariances = store.covariances(path, evaluation)
    if covariances is None:
        return None
    of = store.markup(path, markup)
    _, truth, predicted = store.predictions(path, evaluation)
    errors = scores.point_errors(predicted, truth, norm, of, landmarks)
    expected = uncertainty.expected_errors(covariances[:, of.indices(landmarks)].astype(np.float64))
    expected /= scores.distances(truth, norm, of)[:, None]
    known = np.isfinite(errors) & np.isfinite(expected)
    return uncertainty.calibration(errors[known], expected[known]) if known.any() else None


def chart(found: Sequence[tuple[str, Calibration]], norm: str, colours: Sequence[int]) -> Chart:
    """Return expected against real errors in bins, of runs by their labels.

    colours: the place of each run among all that the page shows
    """
    figure = go.Figure(
        layout=theme.layout(
            x=f"expected error, % of the {norm} distance",
            y=f"real error, % of the {norm} distance",
            height=380,
        )
    )
    end = 1.05 * max(100 * float(max(c.expected.max(), c.real.max())) for _, c in found)
    said = []
    for (label, one), number in zip(found, colours, strict=True):
        colour = theme.LINES[number % len(theme.LINES)]
        figure.add_scatter(
            x=100 * one.expected,
            y=100 * one.real,
            name=in_chart(label),
            mode="lines+markers",
            line={"color": colour, "width": 1.5},
            marker={"symbol": MARKERS[number % len(MARKERS)], "size": 9},
            customdata=one.counts,
            hovertemplate="expected %{x:.2f} %, real %{y:.2f} %, %{customdata} landmarks",
        )
        said.append(f"{label} {100 * one.gap:.2f} %")
    figure.add_shape(
        **{"type": "line", "x0": 0, "y0": 0, "x1": end, "y1": end},
        line={"color": theme.QUIET, "width": 1.5, "dash": "dot"},
    )
    figure.update_layout(hovermode="closest", showlegend=len(found) > 1)
    figure.update_xaxes(range=[0, end], ticksuffix=" %")
    figure.update_yaxes(range=[0, end], ticksuffix=" %")
    counts = sorted({int(n) for _, one in found for n in (one.counts.min(), one.counts.max())})
    each = " to ".join(f"{n}" for n in dict.fromkeys((counts[0], counts[-1])))
    gaps = f"Mean distance to the diagonal: {', '.join(said)}."
    help_text = (
        f"Landmarks by the error that their model expects, in bins of {each}. Above the dotted line"
        f" the real error is larger than the model expects. {gaps}"
    )
    alt = f"Expected against real errors of landmarks. {gaps}"
    return Chart("Calibration of the expected error", figure, alt, help_text)
