"""Charts of a board's rows: cumulative error distributions over seeds, and differences.

Without Streamlit, so that the exported pages draw the same. Names were written by anybody, and go
through `text.in_chart`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from db.boards.board import stand_ins
from drf.data import floor
from drf.scoring import scores
from drf.text import percent, signed, signed_ends
from webapp.ui import charts, theme
from webapp.ui.charts import Chart
from webapp.ui.text import in_chart

_HEIGHT_PX = 380
_MOST_STEPS = 400
_LEADING = 5


@dataclass(frozen=True)
class RowErrors:
    """The errors of the faces of a row: (seeds, faces) fractions."""

    name: str
    errors: np.ndarray


@dataclass(frozen=True)
class Difference:
    """NME of a row minus that of the baseline, percentage points, with its interval."""

    name: str
    estimate: float
    low: float
    high: float


def leading(rows: pd.DataFrame, ticked: Sequence[str] = ()) -> pd.DataFrame:
    """Return the rows whose curves are shown: those that are ticked (beginnings of ids of runs), or
    the first that are ranked. The floor is among them only if it is ticked, or all that there is:
    beside it all others look alike."""
    asked = [run.startswith(tuple(ticked)) for run in stand_ins(rows)]
    if any(asked):
        return rows[asked]
    ranked = rows[rows["ranked"].astype(bool)]
    models = ranked[ranked["family"] != floor.FAMILY]
    return (models if len(models) else ranked).head(_LEADING)


def differences(rows: pd.DataFrame, norm: str) -> list[Difference]:
    """Return the differences of rows of `db.analysis.intervals.with_intervals` that have one."""
    ends = [f"{norm}_difference{end}" for end in ("", "_low", "_high")]
    if ends[0] not in rows:
        return []
    known = rows[rows[ends[0]].notna()]
    return [Difference(*of) for of in known[["name", *ends]].itertuples(index=False)]


def ced(rows: Sequence[RowErrors], norm: str) -> Chart:
    """Return the CED of each row: the mean over its seeds, with the range over them as a band.

    The axis ends where the curves have come to their end, see `charts.axis_end`.
    """
    limit = charts.axis_end([row.errors for row in rows])
    said = []
    traces: list[dict[str, Any]] = []  # checked once as a whole: one by one takes twice as long
    for number, row in enumerate(rows):
        x, shares = steps(row.errors, limit)
        colour = theme.LINES[number % len(theme.LINES)]
        if len(shares) > 1:
            traces += _band(x, shares, colour)
        dash = theme.DASHES[number % len(theme.DASHES)]
        traces.append(
            {
                "x": x,
                "y": shares.mean(axis=0),
                "name": in_chart(row.name),
                "mode": "lines",
                "line": {"shape": "hv", "color": colour, "dash": dash, "width": 2.2},
                "hovertemplate": "%{y:.1f} % of faces",
            }
        )
        threshold = scores.THRESHOLDS[0]
        area = float(np.mean([scores.auc(of_seed, threshold) for of_seed in row.errors]))
        said.append(f"{row.name}: AUC at {threshold:.0%} {percent(100 * area)}")
    layout = theme.layout(
        x=f"error of a face, % of the {norm} distance", y="faces, %", height=_HEIGHT_PX
    )
    figure = go.Figure(traces, layout)
    charts.ced_axes(figure, limit)
    figure.update_layout(legend={"y": 1.07, "traceorder": "normal"})
    seeds = any(len(row.errors) > 1 for row in rows)
    return Chart(
        "Cumulative error distributions",
        figure,
        f"Cumulative error distributions; {'; '.join(said)}.",
        "Higher and further left is better."
        + (" Bands are the range over seeds." if seeds else " One seed each, so no band."),
    )


def steps(errors: np.ndarray, limit: float) -> tuple[np.ndarray, np.ndarray]:
    """Return errors in percent and, for each seed, the share of faces in percent that have at most
    this error: exact at every error, of very many at some. (s, n) -> (m,), (s, m)."""
    places = np.unique(errors[errors <= limit])
    if len(places) > _MOST_STEPS:
        places = places[np.linspace(0, len(places) - 1, _MOST_STEPS).astype(int)]
    places = np.concatenate([[0.0], places, [limit]])
    ordered = np.sort(errors, axis=1)
    below = [np.searchsorted(of_seed, places, side="right") for of_seed in ordered]
    return 100 * places, 100 * np.array(below) / errors.shape[1]


def forest_plot(found: Sequence[Difference], baseline: str, norm: str, over: str) -> Chart:
    """Return the differences of rows to a baseline as points with their intervals."""
    figure = go.Figure(layout=theme.layout(x=f"difference in NME, % of the {norm} distance", y=""))
    figure.add_scatter(
        x=[one.estimate for one in found],
        y=list(range(len(found))),
        mode="markers",
        showlegend=False,
        marker={"color": theme.BLUE, "size": 10},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [one.high - one.estimate for one in found],
            "arrayminus": [one.estimate - one.low for one in found],
            "thickness": 2,
            "width": 6,
        },
        customdata=[_said(one) for one in found],
        hovertemplate="%{customdata}<extra></extra>",
    )
    charts.rule(figure, 0, theme.QUIET)
    figure.update_layout(hovermode="closest", height=120 + 34 * len(found))
    figure.update_xaxes(ticksuffix=" %")
    figure.update_yaxes(
        autorange="reversed",
        showgrid=False,
        tickvals=list(range(len(found))),
        ticktext=[in_chart(one.name, 24) for one in found],
    )
    each = "; ".join(f"{one.name} {_said(one)}" for one in found)
    return Chart(
        f"Difference in NME to {baseline}",
        figure,
        f"Difference in NME to {baseline} with 95 % intervals: {each}.",
        f"Left of 0 is better. 95 % intervals over {over}, paired.",
    )


def _band(x: np.ndarray, shares: np.ndarray, colour: str) -> list[dict[str, Any]]:
    red, green, blue = (int(colour[i : i + 2], 16) for i in (1, 3, 5))
    return [
        {
            "x": x,
            "y": ends,
            "mode": "lines",
            "line": {"shape": "hv", "width": 0, "color": colour},
            "fill": fill,
            "fillcolor": f"rgba({red}, {green}, {blue}, 0.2)",
            "showlegend": False,
            "hoverinfo": "skip",
        }
        for ends, fill in ((shares.min(axis=0), None), (shares.max(axis=0), "tonexty"))
    ]


def _said(one: Difference) -> str:
    return f"{signed(one.estimate)} {signed_ends(one.low, one.high)}"
