"""Plotly figures from arrays, independent of Streamlit and of the store."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go

from drf.scoring import scores
from webapp.ui import theme
from webapp.ui.text import in_chart, percent


@dataclass(frozen=True)
class Chart:
    """A figure with its title and its alt text for screen readers.

    help: a sentence on how to read it, where that is not obvious. Title, alt text and help are text
    that may contain names from a store: pages escape what they show as Markdown.
    """

    title: str
    figure: go.Figure
    alt: str
    help: str = ""


_SHOWN, _SPREAD = 99, 3


def ced(errors: np.ndarray, norm: str) -> Chart:
    """Return the cumulative error distribution, exact: one step per face, no grid.

    errors: (n,) of the faces, as fractions. FR and AUC of the thresholds on the axis stand above
    the chart, where no curve is.
    """
    limit = axis_end([errors])
    shown = np.sort(errors[errors <= limit])
    x = 100 * np.concatenate([[0.0], shown, [limit]])
    faces = np.concatenate([[0.0], np.arange(1, len(shown) + 1), [len(shown)]])
    y = 100 * faces / len(errors)
    figure = go.Figure(
        go.Scatter(
            x=x,
            y=y,
            line={"shape": "hv", "color": theme.BLUE, "width": 2.5},
            fill="tozeroy",
            fillcolor="rgba(0, 114, 178, 0.08)",
            hovertemplate="%{y:.1f} % of faces<extra></extra>",
        ),
        theme.layout(x=f"error of a face, % of the {norm} distance", y="faces, %"),
    )
    said, texts = [], {}
    for at in scores.THRESHOLDS:
        failed = 100 * scores.failure_rate(errors, at)
        area = 100 * scores.auc(errors, at)
        texts[at] = f"<b>{100 * at:.0f} %</b><br>FR {failed:.1f}<br>AUC {area:.1f}"
        said.append(f"at {at:.0%} FR {percent(failed)} and AUC {percent(area)}")
    ced_axes(figure, limit, texts)
    alt = f"Cumulative error distribution of {len(errors)} faces; {'; '.join(said)}."
    return Chart("Cumulative error distribution", figure, alt)


def axis_end(errors: Sequence[np.ndarray]) -> float:
    """Return where the axis of CEDs ends, a fraction: where all but one in a hundred faces are
    below it for every curve, but at most three times as far as the best curve needs."""
    needed = [float(np.percentile(of_row, _SHOWN)) for of_row in errors]
    return max(1.08 * min(max(needed), _SPREAD * min(needed)), 1e-4)


_PHONE_PX = 290  # width of what is between the axes on a phone


def ced_axes(
    figure: go.Figure, limit: float, texts: Mapping[float, str] = MappingProxyType({})
) -> None:
    """Set the axes of a CED that ends at an error, a fraction, and mark the thresholds on them.
    texts: what to write at a threshold instead of its name."""
    figure.update_xaxes(range=[0, 100 * limit], ticksuffix=" %")
    figure.update_yaxes(range=[0, 102])
    for at in scores.THRESHOLDS:
        if at < limit:
            _threshold(figure, at, texts.get(at, f"{100 * at:.0f} %"), at / limit)


def _threshold(figure: go.Figure, at: float, text: str, place: float) -> None:
    """Draw a dotted line at an error and write above the chart what it is. The line of the larger
    threshold has its text on the right, where a margin makes the room that it needs; that of the
    smaller on the left. place: on the axis, 0..1."""
    margin = figure.layout.margin  # to set one of its sides is a fifth of an update of the layout
    larger, lines = at == max(scores.THRESHOLDS), text.count("<br>") + 1
    if larger:
        room, needed = _PHONE_PX * (1 - place), 34 if lines == 1 else 64
        margin.r = max(margin.r, needed - room)
    rule(figure, 100 * at, theme.QUIET, 1)
    figure.add_annotation(
        x=100 * at,
        y=1,
        yref="paper",
        text=text,
        align="left" if larger else "right",
        showarrow=False,
        xanchor="left" if larger else "right",
        yanchor="bottom",
        xshift=-3 if larger else 3,
        font={"size": 12},
    )
    margin.t = max(margin.t, 20 + 16 * lines)


def rule(figure: go.Figure, x: float, colour: str, width: float = 1.5) -> None:
    """Draw a dotted line through all panels of a figure. Plotly's own `add_vline` goes through
    every subplot that there could be and takes ten times as long."""
    line = {"color": colour, "width": width, "dash": "dot"}
    figure.add_shape(type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line=line)


def histogram(errors: np.ndarray, norm: str) -> Chart:
    """Return how the errors of the faces are spread, (n,) fractions, with NME and median marked.

    The last bar holds everything beyond the 99th percentile, so that one lost face does not squeeze
    all others into the first.
    """
    values = 100 * errors
    counts, edges = _bins(values)
    figure = go.Figure(
        _bars(counts, edges, theme.BLUE),
        theme.layout(x=f"error of a face, % of the {norm} distance", y="faces"),
    )
    figure.update_layout(hovermode="closest")
    figure.update_xaxes(ticksuffix=" %")
    mean, median = float(values.mean()), float(np.median(values))
    _mark(figure, mean, f"NME {mean:.2f}", "left" if mean > median else "right")
    _mark(figure, median, f"median {median:.2f}", "right" if mean > median else "left")
    alt = f"Histogram of {len(errors)} errors: mean {percent(mean)}, median {percent(median)}."
    said = "The last bar also counts all larger errors."
    return Chart("Distribution of errors", figure, alt, said)


def strip(errors: np.ndarray, chosen: np.ndarray) -> Chart:
    """Return how the errors of a page's faces are spread, in a strip for above them; colour
    is on bars that hold a chosen face. (n,) fractions, (n,) bool."""
    counts, edges = _bins(100 * errors)
    place = np.digitize(100 * errors[chosen], edges[1:-1])
    taken = np.isin(np.arange(len(counts)), place)
    figure = go.Figure(
        _bars(counts, edges, [theme.BLUE if here else theme.QUIET for here in taken]),
        theme.layout(x="", y="", height=96),
    )
    figure.update_layout(margin={"l": 0, "r": 0, "t": 4, "b": 4}, hovermode="closest")
    figure.update_xaxes(ticksuffix=" %", showgrid=False, title_standoff=0)
    figure.update_yaxes(visible=False)
    alt = f"Histogram of {len(errors)} errors, {percent(100 * float(errors.mean()))} on average;"
    return Chart("", figure, f"{alt} {int(chosen.sum())} of them are chosen.")


def _bins(values: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return counts and edges of bars; the last one holds all beyond the 99th percentile."""
    limit = max(float(np.percentile(values, 99)), 1e-6) * 1.02
    bins = int(np.clip(2 * np.sqrt(len(values)), 8, 40))
    return np.histogram(np.minimum(values, limit), bins=bins, range=(0, limit))


def _bars(counts: np.ndarray, edges: np.ndarray, colour: str | list[str]) -> go.Bar:
    spans = [f"{low:.2f}–{high:.2f} %" for low, high in itertools.pairwise(edges)]
    spans[-1] = f"{edges[-2]:.2f} % or more"
    return go.Bar(
        x=(edges[:-1] + edges[1:]) / 2,
        y=counts,
        width=np.diff(edges) * 0.92,
        marker={"color": colour, "line": {"width": 0}},
        customdata=spans,
        hovertemplate="%{customdata}: %{y} faces<extra></extra>",
    )


def _mark(figure: go.Figure, x: float, text: str, side: str) -> None:
    """Draw a thin line through the whole chart and write above it what it is."""
    rule(figure, x, theme.VERMILLION)
    figure.add_annotation(
        x=x,
        y=1.01,
        yref="paper",
        yanchor="bottom",
        xanchor=side,
        text=text,
        showarrow=False,
        font={"size": 12},
    )


_WORD_PX, _AXES_PX = 20, 100  # a line of text; what margins and axis take of a chart's height


def mark(figure: go.Figure, x: float, end: float, text: str) -> None:
    """Draw a thin line through all panels of a figure and write above it what it is, on the side
    that has room; a legend goes above the word. end: of the axis, which starts at 0."""
    figure.update_layout(legend_y=1 + _WORD_PX / (figure.layout.height - _AXES_PX))
    _mark(figure, x, text, "right" if x > end / 2 else "left")


def spans_decades(values: pd.Series) -> bool:
    """Whether values are all positive and need a logarithmic axis. NaN counts nowhere."""
    known = values.dropna()
    return bool((known > 0).all() and known.max() > 10 * known.min())


def log_axis(
    figure: go.Figure, values: pd.Series, row: int | None = None, *, x_too: bool = False
) -> None:
    """Make the y axis of a figure, or of one of its rows, logarithmic for positive values (and the
    x axis: x_too), and say so in its title.

    Every label is a whole number's: 1, 2, 5, 10, 20 (Plotly's own labels between decades are single
    digits); powers of ten alone from 1000 times on, and 3, 4 and so on where the ends are near.
    """
    axes = [*(figure.select_yaxes() if row is None else figure.select_yaxes(row=row))]
    for axis in [*axes, *(figure.select_xaxes() if x_too else ())]:
        axis.update(decades(values), title_text=theme.wrapped(f"{axis.title.text} (log scale)"))


def decades(values: pd.Series, label: Callable[[float], str] = "{:g}".format) -> dict[str, Any]:
    """Return a logarithmic axis for positive values, of which there is one, with labels as
    `log_axis` has them."""
    low, high = (math.log10(value) for value in (values.min(), values.max()))
    steps = (1,) if high - low > 3 else (1, 2, 5) if high - low > 0.5 else tuple(range(1, 10))
    powers = range(math.floor(low), math.floor(high) + 1)
    ticks = [step * 10.0**power for power in powers for step in steps]
    return {"type": "log", "tickvals": ticks, "ticktext": [*map(label, ticks)]}


def curves(frame: pd.DataFrame, kept_epoch: int | None) -> list[Chart]:
    """Return one chart per group of metrics: losses, validation, then everything else.

    frame: (epoch, metric, value). Metrics are free: whatever a trainer records has its place.
    Scores are shown in percent. kept_epoch is marked in each.
    """
    groups: dict[str, list[str]] = {}
    for metric in frame["metric"].unique():
        groups.setdefault(_group(metric), []).append(metric)
    ordered = sorted(groups, key=lambda name: (name != _LOSS, name != _VALIDATION, name))
    return [_curve(_title(name, groups[name]), groups[name], frame, kept_epoch) for name in ordered]


_LOSS, _VALIDATION = "Training loss", "Validation"
_NAMES = {
    "loss": "total loss",
    "lr": "learning rate",
    "l1_px": "landmark error on the validation faces, px",
}


def metric_name(metric: str) -> str:
    """Return what readers call a metric that a trainer recorded: loss_codes -> loss: codes."""
    if metric in _NAMES:
        return _NAMES[metric]
    kind, _, rest = metric.partition("_")
    if kind == "loss" and rest:
        return f"loss: {rest.replace('_', ' ')}"
    for score in scores.SCORES:
        if metric.startswith(f"val_{score.key}_"):
            norm = metric.removeprefix(f"val_{score.key}_")
            known = norm in scores.NORMALISER_KEYS
            title = scores.normaliser(norm).title.lower() if known else norm
            return f"{score.title}, {title}"
    return metric.replace("_", " ")


def _title(group: str, names: list[str]) -> str:
    if group in (_LOSS, _VALIDATION) or len(names) > 1:
        return group
    name = metric_name(names[0])
    return name[:1].upper() + name[1:]


def _group(metric: str) -> str:
    if metric.startswith(("loss", "train_loss")):
        return _LOSS
    if metric.startswith("val_nme"):
        return _VALIDATION
    for score in scores.SCORES:
        if metric.startswith(f"val_{score.key}_"):
            return f"{_VALIDATION} {score.title}"
    # Others differ in unit, so each family of names (gate_entropy, gate_max) has its own axes.
    return metric.split("_")[0].split(".")[0]


def _curve(title: str, names: list[str], frame: pd.DataFrame, kept_epoch: int | None) -> Chart:
    in_percent = all(name.startswith("val_") for name in names)
    shown = frame.loc[frame["metric"].isin(names), "value"] * (100 if in_percent else 1)
    axis = metric_name(names[0]) if len(names) == 1 else "loss" if title == _LOSS else "value"
    axis = f"{title.removeprefix(_VALIDATION).strip() or 'NME'}, %" if in_percent else axis
    figure = go.Figure(layout=theme.layout(x="epoch", y=in_chart(axis, 80), height=300))
    said = []
    for name, colour in zip(names, theme.LINES * len(names), strict=False):
        rows = frame[frame["metric"] == name].sort_values("epoch")
        values = rows["value"] * (100 if in_percent else 1)
        figure.add_scatter(
            x=rows["epoch"],
            y=values,
            name=in_chart(metric_name(name), 80),
            mode="lines" if len(rows) > 1 else "markers",
            line={"color": colour, "width": 2},
            hovertemplate="%{y:.4g}",
        )
        if values.notna().any():
            said.append(f"{metric_name(name)} ends at {values.dropna().iloc[-1]:.4g}")
    figure.update_layout(showlegend=len(names) > 1)
    if title in (_LOSS, _VALIDATION) and spans_decades(shown):  # epoch 0 would flatten the rest
        log_axis(figure, shown)
    if frame["epoch"].max() <= 10:
        figure.update_xaxes(dtick=1)
    if kept_epoch is not None:
        mark(figure, kept_epoch, frame["epoch"].max(), f"kept: epoch {kept_epoch}")
    summary = "; ".join(said) or "no finite value"
    return Chart(title, figure, f"{title} against the epoch: {summary}.")
