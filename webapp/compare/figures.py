"""Charts of runs beside each other: differences, CED, curves, and the errors face by face.

A run has one colour, one dash and one marker in all of them. What it is called was written by
anybody, and goes through `text.in_chart`.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from db.recording import latencies
from drf.data import floor
from drf.scoring import ranking, scores
from webapp.compare.methods import MethodVerdict
from webapp.compare.tables import Comparison
from webapp.faces.landmark_errors import LandmarkErrors, region_means
from webapp.ui import charts, theme
from webapp.ui.charts import Chart
from webapp.ui.text import count, in_chart, percent, signed, signed_ends

MARKERS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_HEIGHT_PX = 380


def ceds(errors: np.ndarray, labels: Sequence[str], norm: str) -> Chart:
    """Return the CEDs of runs, exact steps. errors: (r, n) fractions on the same faces."""
    limit = charts.axis_end(list(errors))
    figure = go.Figure(
        layout=theme.layout(
            x=f"error of a face, % of the {norm} distance", y="faces, %", height=_HEIGHT_PX
        )
    )
    said = []
    for number, (label, row) in enumerate(zip(labels, errors, strict=True)):
        shown = np.sort(row[row <= limit])
        faces = np.concatenate([[0.0], np.arange(1, len(shown) + 1), [len(shown)]])
        figure.add_scatter(
            x=100 * np.concatenate([[0.0], shown, [limit]]),
            y=100 * faces / len(row),
            name=in_chart(label),
            mode="lines",
            line={"shape": "hv", **_pen(number)},
            hovertemplate="%{y:.1f} % of faces",
        )
        area = scores.auc(row, scores.THRESHOLDS[0])
        said.append(f"{label}: AUC at {scores.THRESHOLDS[0]:.0%} {percent(100 * area)}")
    charts.ced_axes(figure, limit)
    figure.update_layout(legend_y=1.07)
    alt = f"Cumulative error distributions of {errors.shape[1]} faces; {'; '.join(said)}."
    return Chart("Cumulative error distributions", figure, alt)


def curves(frames: Sequence[pd.DataFrame], labels: Sequence[str], metric: str, title: str) -> Chart:
    """Return one metric of runs against the epoch. frames: (epoch, metric, value) of each run."""
    in_percent = "nme" in metric
    axis = f"{title}, %" if in_percent else title
    figure = go.Figure(layout=theme.layout(x="epoch", y=in_chart(axis), height=_HEIGHT_PX))
    said, everything = [], []
    for number, (label, frame) in enumerate(zip(labels, frames, strict=True)):
        rows = frame[frame["metric"] == metric].sort_values("epoch")
        values = rows["value"] * (100 if in_percent else 1)
        everything.append(values)
        if rows.empty:
            said.append(f"{label} has none")
            continue
        figure.add_scatter(
            x=rows["epoch"],
            y=values,
            name=in_chart(label),
            mode="lines" if len(rows) > 1 else "markers",
            line=_pen(number),
            marker={"symbol": _marker(number), "size": 9},
            hovertemplate="%{y:.4g}",
        )
        if values.notna().any():
            said.append(f"{label} ends at {values.dropna().iloc[-1]:.4g}")
    if charts.spans_decades(shown := pd.concat(everything)):
        charts.log_axis(figure, shown)
    return Chart("Training curves", figure, f"{title} against the epoch: {'; '.join(said)}.")


def differences(
    found: Sequence[Comparison],
    labels: Sequence[str],
    norm: str,
    methods: Sequence[MethodVerdict] = (),
) -> Chart:
    """Return what each run's NME is above or below the first one's, with its interval; and of the
    methods of the runs over their seeds, hollow."""
    figure = go.Figure(layout=theme.layout(x="difference in NME, %", y=""))
    said = []
    for number, (label, one) in enumerate(zip(labels, found, strict=True)):
        if one.differences is None:
            continue
        gap = one.differences["nme"]
        low, middle, high = (100 * value for value in (gap.low, gap.estimate, gap.high))
        figure.add_trace(_gap(label, (low, middle, high), _colour(number), _marker(number)))
        said.append(f"{label} {signed(middle)} {signed_ends(low, high)}")
    for method in methods:
        ends = (method.low, method.difference, method.high)
        figure.add_trace(_gap(method.name, ends, theme.GREY, "diamond-open"))
        said.append(f"{method.name} {signed(ends[1])} {signed_ends(ends[0], ends[2])}")
    charts.rule(figure, 0, theme.QUIET)
    figure.update_layout(hovermode="closest", height=110 + 46 * len(said))
    figure.update_xaxes(ticksuffix=" %")
    figure.update_yaxes(autorange="reversed", showgrid=False)
    alt = f"Difference in NME to {labels[0]} with 95 % intervals: {'; '.join(said)}."
    help_text = (
        f"Left of 0 is better, % of the {norm} distance. 95 % intervals over faces, one seed each"
    )
    help_text += "; hollow: methods, over faces and their seeds." if methods else "."
    return Chart(f"Difference in NME to {labels[0]}", figure, alt, help_text)


def _gap(name: str, ends: tuple[float, float, float], colour: str, marker: str) -> go.Scatter:
    """Return a difference with its interval. ends: low, estimate, high."""
    low, middle, high = ends
    return go.Scatter(
        x=[middle],
        y=[in_chart(name)],
        mode="markers",
        showlegend=False,
        marker={"color": colour, "symbol": marker, "size": 11},
        error_x={
            "type": "data",
            "symmetric": False,
            "array": [high - middle],
            "arrayminus": [middle - low],
            "thickness": 2,
            "width": 6,
        },
        hovertemplate=f"{signed(middle)} {signed_ends(low, high)}<extra>%{{y}}</extra>",
    )


_LATENCY = "latency_ms"
COSTS = {"MACs": "macs", "Parameters": "params", "Milliseconds": _LATENCY}
"""Title in links -> column of the board's rows; milliseconds are of one kind of hardware."""


def known_costs(rows: pd.DataFrame) -> list[str]:
    """Return the titles of the costs that are known of some rows of a board; all where none is."""
    known = [title for title, column in COSTS.items() if len(_with_cost(rows, column))]
    return known or list(COSTS)


def _with_cost(rows: pd.DataFrame, column: str) -> pd.DataFrame:
    return rows[(rows[column].fillna(0) > 0) & (rows["family"] != floor.FAMILY)]


def pareto(
    rows: pd.DataFrame, chosen: Sequence[str], labels: Sequence[str], title: str, norm: str
) -> Chart:
    """Return NME against a cost of the runs of a board, with the front of those that no other run
    beats in both.

    rows: ranked runs by their id, with columns of `reads.leaderboard`; chosen: ids of the runs of
    the page, called by labels; title: of COSTS. The mean shape, and runs without a cost (external
    ones), are left out.
    """
    column = COSTS[title]
    known = _with_cost(rows, column)
    known = known[known[f"{norm}_nme"].notna()]
    costs = known[column].to_numpy(dtype=float)
    errors = known[f"{norm}_nme"].to_numpy(dtype=float)
    front = ranking.pareto_front(costs, errors)
    figure = go.Figure(
        layout=theme.layout(x=f"{title} (log)", y=f"NME, % of the {norm} distance", height=380)
    )
    order = np.flatnonzero(front)[np.argsort(costs[front], kind="stable")]
    figure.add_scatter(
        x=costs[order],
        y=errors[order],
        mode="lines",
        name="Pareto front",
        line={"color": theme.QUIET, "width": 1.5, "shape": "hv"},
        hoverinfo="skip",
    )
    names = known["name"].map(in_chart).to_numpy()
    others = ~known.index.isin(chosen)
    figure.add_scatter(
        x=costs[others],
        y=errors[others],
        mode="markers",
        name="other runs of the board",
        text=names[others],
        marker={"color": theme.GREY, "size": 6, "opacity": 0.6},
        hovertemplate="<b>%{text}</b><br>%{x:.3s}, %{y:.2f} %<extra></extra>",
    )
    for number, (run, label) in enumerate(zip(chosen, labels, strict=True)):
        at = known.index == run
        figure.add_scatter(
            x=costs[at],
            y=errors[at],
            mode="markers",
            name=in_chart(label),
            marker={"color": _colour(number), "symbol": _marker(number), "size": 12},
            hovertemplate="%{x:.3s}, %{y:.2f} %",
        )
    figure.update_layout(hovermode="closest")
    if len(costs):
        written = "{:g}".format if column == _LATENCY else count
        figure.update_xaxes(charts.decades(pd.Series(costs), written))
    figure.update_yaxes(ticksuffix=" %")
    best = ", ".join(known["name"].iloc[order])
    said = f"On the Pareto front: {best or 'none'}"
    help_text = (
        f"{said}: no other ranked run of the board has a lower error at the same or a lower cost."
        " Runs without a known cost are left out."
    )
    if column == _LATENCY:
        help_text = f"{help_text} {latencies.explanation(rows)}"
    return Chart(f"NME against {title}", figure, f"NME against {title}. {said}.", help_text)


def regions(parts: Sequence[LandmarkErrors], labels: Sequence[str], norm: str) -> Chart:
    """Return the mean errors of runs by region of the face, a row per region, the worst of the
    first run on top. A run without an error in a region, because its faces lack it, has no mark
    there."""
    figure = go.Figure(layout=theme.layout(x=f"mean error, % of the {norm} distance", y=""))
    means = [region_means(part) for part in parts]
    known = dict.fromkeys(region for of_run in means for region in of_run)
    order = sorted(known, key=lambda region: means[0].get(region, -1.0))
    said = []
    for number, (label, by_region) in enumerate(zip(labels, means, strict=True)):
        here = [region for region in order if region in by_region]
        figure.add_scatter(
            x=[100 * by_region[region] for region in here],
            y=list(map(in_chart, here)),
            mode="markers",
            name=in_chart(label),
            marker={"color": _colour(number), "symbol": _marker(number), "size": 11},
            hovertemplate="%{y}: %{x:.2f} %",
        )
        worst = by_region.get(order[-1])
        said.append(f"{label} {'–' if worst is None else percent(100 * worst)}")
    figure.update_layout(hovermode="closest", height=300)
    figure.update_xaxes(ticksuffix=" %", rangemode="tozero")
    figure.update_yaxes(categoryorder="array", categoryarray=list(map(in_chart, order)))
    alt = (
        f"Mean error by region of the face. Worst for {labels[0]}: {order[-1]}; {'; '.join(said)}."
    )
    return Chart("Error by region", figure, alt)


def scatter(
    names: Sequence[str], x: np.ndarray, y: np.ndarray, labels: tuple[str, str], norm: str
) -> Chart:
    """Return the errors of two runs, a point per face: (n,) fractions each.

    Below the diagonal the run of the y axis is better. A point's customdata is the face's name.
    """
    x_percent, y_percent = 100 * x, 100 * y
    axis = f"error of {{}}, % of the {norm} distance"
    figure = go.Figure(
        layout=theme.layout(
            x=in_chart(axis.format(labels[0]), 70),
            y=in_chart(axis.format(labels[1]), 70),
            height=520,
        )
    )
    faces = np.array(names, dtype=object)
    sides = (
        (labels[0], y >= x, int((y > x).sum()), theme.BLUE, "circle"),
        (labels[1], y < x, int((y < x).sum()), theme.VERMILLION, "diamond"),
    )
    for label, where, better, colour, marker in sides:
        figure.add_scatter(
            x=x_percent[where],
            y=y_percent[where],
            mode="markers",
            name=f"{in_chart(label)} better: {better} faces",
            marker={"color": colour, "symbol": marker, "size": 7, "opacity": 0.75},
            customdata=faces[where],
            text=[in_chart(name, 80) for name in faces[where]],
            hovertemplate="<b>%{text}</b><br>%{x:.2f} % → %{y:.2f} %<extra></extra>",
        )
    both = np.concatenate([x_percent, y_percent])
    low, high = float(both.min()) * 0.92, float(both.max()) * 1.08
    figure.add_shape(
        type="line",
        x0=low,
        y0=low,
        x1=high,
        y1=high,
        line={"color": theme.QUIET, "width": 1.5, "dash": "dot"},
    )
    figure.update_layout(hovermode="closest", dragmode="zoom", clickmode="event+select")
    if charts.spans_decades(pd.Series(both)):
        charts.log_axis(figure, pd.Series(both), x_too=True)
        low, high = np.log10(low), np.log10(high)
    figure.update_xaxes(range=[low, high])
    figure.update_yaxes(range=[low, high])
    alt = (
        f"Errors of {len(x)} faces under {labels[0]} (x axis) and {labels[1]} (y axis);"
        f" {labels[1]} is better on {np.mean(y < x):.0%} of them."
    )
    return Chart("Face by face", figure, alt, "A click on a face opens it on the page Images.")


def _colour(number: int) -> str:
    return theme.LINES[number % len(theme.LINES)]


def _marker(number: int) -> str:
    return MARKERS[number % len(MARKERS)]


def _pen(number: int) -> dict[str, object]:
    return {
        "color": _colour(number),
        "dash": theme.DASHES[number % len(theme.DASHES)],
        "width": 2.2,
    }
