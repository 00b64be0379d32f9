"""Charts of the diagnostics that forests record, each with a sentence on how to read it.

Models name their diagnostics freely. The known ones have a chart here; `other_curves` returns the
rest, for `charts.curves`.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from db.analysis.comparability import COUNTED
from drf.scoring.results import COLLAPSED_STD_RATIO
from webapp.ui import theme
from webapp.ui.charts import Chart, log_axis, mark, spans_decades

STD_RATIO = "prediction_std_ratio"
_HEIGHT = 320


@dataclass(frozen=True)
class Line:
    """metric: its name in the store · name: in the legend and the alt text · of: what is drawn"""

    metric: str
    name: str
    of: Callable[[pd.Series], pd.Series] = lambda values: values


@dataclass(frozen=True)
class Panel:
    """Lines over one axis. log: where the values span decades · level: a line to compare with
    reach: the axis goes at least so far, or what is small looks large
    """

    axis: str
    lines: tuple[Line, ...]
    log: bool = False
    level: tuple[float, str] | None = None
    reach: float = 0.0


@dataclass(frozen=True)
class Diagnostic:
    """A chart of one panel or two, one above the other over the same epochs."""

    title: str
    help: str
    panels: tuple[Panel, ...]


_ERROR = Panel("error, px", (Line("l1_px", "coordinate error"),))
_STD_RATIO = Diagnostic(
    "Standard deviation of predictions over labels",
    f"1: they vary as much as the labels. Below {COLLAPSED_STD_RATIO} every face gets nearly the"
    " same shape:"
    " the model has collapsed.",
    (
        Panel(
            "ratio",
            (Line(STD_RATIO, "ratio"),),
            level=(COLLAPSED_STD_RATIO, f"collapse: {COLLAPSED_STD_RATIO}"),
            reach=1.0,
        ),
    ),
)
_DIAGNOSTICS = (
    Diagnostic(
        "KL beside coordinate error",
        "Both should fall. Where KL falls while the error rises, the leaves fit the labels by"
        " peaks that lie far apart.",
        (Panel("KL, nats", (Line("excess_ce", "KL"),), log=True), _ERROR),
    ),
    Diagnostic(
        "Likelihood beside coordinate error",
        "Both should fall. Where the likelihood improves and the error rises, leaves only become"
        " narrower.",
        (Panel("−log likelihood", (Line("nll", "negative log-likelihood"),)), _ERROR),
    ),
    _STD_RATIO,
    Diagnostic(
        "Stage by stage",
        "Error of the coarse maps and after each correction; where a line does not fall below the"
        " one before, its stage does not help.",
        (
            Panel(
                "error, px",
                (
                    Line("coarse_px", "coarse maps"),
                    *(Line(f"stage{stage}_px", f"stage {stage}") for stage in range(1, 5)),
                ),
                log=True,
            ),
        ),
    ),
    Diagnostic(
        "Equivalent standard deviation",
        "Width of the Gaussian with the same cost: it starts at the standard deviation of the faces"
        " and should fall to that of the labels.",
        (Panel("σ, px", (Line("std_px", "equivalent standard deviation"),), log=True),),
    ),
    Diagnostic(
        "Leaves in use",
        "Leaves of a tree that all faces together use, and leaves that the picture chooses between;"
        " where the latter stay at 1, the routing ignores the picture.",
        (
            Panel(
                "effective leaves, e^H",
                (
                    Line("usage_entropy", "leaves used", np.exp),
                    Line("information", "leaves chosen by the picture", np.exp),
                ),
            ),
        ),
    ),
    Diagnostic(
        "Largest leaf",
        "Share of the faces that end in the most used leaf of a tree; near 100 % all faces end in"
        " one leaf.",
        (Panel("share, %", (Line("largest_share", "largest leaf", lambda share: 100 * share),)),),
    ),
    Diagnostic(
        "Soft-hard gap",
        "Increase of the error when every split is a hard decision instead of a soft weight;"
        " annealing should reduce it to 0.",
        (Panel("gap, px", (Line("soft_hard_gap_px", "soft-hard gap"),)),),
    ),
    Diagnostic(
        "Distance between leaves",
        "Mean distance between the leaves of a tree; at 0 they are identical and no split"
        " can learn.",
        (Panel("distance, px", (Line("leaf_distance_px", "distance"),)),),
    ),
    Diagnostic(
        "Difference between leaves",
        "Total variation between the distributions of two leaves of a tree; at 0 they are identical"
        " and no split can learn.",
        (Panel("total variation", (Line("leaf_distance", "difference"),)),),
    ),
    Diagnostic(
        "Peaks of a map",
        "Number of peaks of a heatmap that should have one peak per landmark.",
        (Panel("peaks", (Line("peaks", "peaks"),)),),
    ),
    Diagnostic(
        "Steepness of the splits",
        "Factor inside the sigmoid of the splits: the annealing schedule.",
        (Panel("γ", (Line("steepness", "steepness"),), log=True),),
    ),
)


def of_forest(frame: pd.DataFrame) -> bool:
    """Whether curves, (epoch, metric, value), contain diagnostics that only forests record."""
    return any(diagnostic is not _STD_RATIO for diagnostic in _shown(frame))


def charts(frame: pd.DataFrame, kept_epoch: int | None) -> list[Chart]:
    """Return the charts of the diagnostics that a run recorded.

    A chart whose first panel has none is left out: coordinate errors alone explain nothing.
    """
    return [_chart(diagnostic, frame, kept_epoch) for diagnostic in _shown(frame)]


def std_ratio(frame: pd.DataFrame, kept_epoch: int | None) -> list[Chart]:
    """Return the chart of the spread of predictions, which every family records; [] without it."""
    known = STD_RATIO in set(frame["metric"])
    return [_chart(_STD_RATIO, frame, kept_epoch)] if known else []


def other_curves(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the curves that neither `charts` nor `std_ratio` draws."""
    shown = (*(_shown(frame) if of_forest(frame) else ()), _STD_RATIO)
    drawn = {line.metric for i in shown for panel in i.panels for line in panel.lines}
    return frame[~frame["metric"].isin({*drawn, *COUNTED})]


def _shown(frame: pd.DataFrame) -> list[Diagnostic]:
    there = set(frame["metric"])
    return [i for i in _DIAGNOSTICS if any(line.metric in there for line in i.panels[0].lines)]


def _chart(diagnostic: Diagnostic, frame: pd.DataFrame, kept_epoch: int | None) -> Chart:
    there = set(frame["metric"])
    panels = [p for p in diagnostic.panels if any(line.metric in there for line in p.lines)]
    figure = make_subplots(rows=len(panels), shared_xaxes=True, vertical_spacing=0.09)
    layout = theme.layout(x="", y="", height=_HEIGHT)
    figure.update_xaxes(layout.pop("xaxis"))
    figure.update_yaxes(layout.pop("yaxis"))
    figure.update_layout(layout, hoversubplots="axis")
    figure.update_xaxes(title_text="epoch", row=len(panels))
    said = [
        part for row, panel in enumerate(panels, 1) for part in _draw(figure, panel, row, frame)
    ]
    figure.update_layout(showlegend=any(len(panel.lines) > 1 for panel in panels))
    if frame["epoch"].max() <= 10:
        figure.update_xaxes(dtick=1)
    if kept_epoch is not None:
        mark(figure, kept_epoch, frame["epoch"].max(), f"kept: epoch {kept_epoch}")
    summary = "; ".join(said) or "no finite value"
    return Chart(
        diagnostic.title,
        figure,
        f"{diagnostic.title} against the epoch: {summary}.",
        diagnostic.help,
    )


def _draw(figure: go.Figure, panel: Panel, row: int, frame: pd.DataFrame) -> list[str]:
    """Draw a panel into a row of the figure; return what its lines do, in words."""
    said, drawn = [], []
    colours = theme.LINES if row == 1 else theme.LINES[1:]
    there = set(frame["metric"])
    lines = [line for line in panel.lines if line.metric in there]
    for line, colour in zip(lines, colours, strict=False):
        rows = frame[frame["metric"] == line.metric].sort_values("epoch")
        values = line.of(rows["value"])
        drawn.append(values)
        figure.add_scatter(
            x=rows["epoch"],
            y=values,
            name=line.name,
            mode="lines" if len(rows) > 1 else "markers",
            line={"color": colour, "width": 2},
            hovertemplate="%{y:.4g}",
            row=row,
            col=1,
        )
        if (known := values.dropna()).size:
            said.append(f"{line.name} from {known.iloc[0]:.3g} to {known.iloc[-1]:.3g}")
    figure.update_yaxes(title_text=panel.axis, row=row)
    shown = pd.concat(drawn)
    decades = panel.log and spans_decades(shown)
    if decades:
        log_axis(figure, shown, row)
    else:
        figure.update_yaxes(rangemode="tozero", autorangeoptions_include=panel.reach, row=row)
    if panel.level:
        _compare(figure, row, *panel.level)
    return said


def _compare(figure: go.Figure, row: int, value: float, text: str) -> None:
    """Draw a level to compare with, and write on it what it is, in the middle: lines begin and end
    at its ends."""
    look = {"color": theme.VERMILLION, "width": 1.5, "dash": "dash"}
    figure.add_hline(y=value, row=row, col=1, line=look)
    figure.add_annotation(
        {"x": 0.5, "xref": "x domain", "y": value, "yanchor": "bottom", "text": text},
        showarrow=False,
        font={"size": 12},
        row=row,
        col=1,
    )
