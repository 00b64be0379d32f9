"""The figure of the contest, an SVG: error against latency."""

from __future__ import annotations

import io
from collections.abc import Sequence
from typing import Any

import matplotlib as mpl
from matplotlib.figure import Figure
from matplotlib.ticker import Locator, LogLocator, MaxNLocator, NullFormatter, StrMethodFormatter

SIZE_IN = (8.6, 4.8)
LABEL_GAP = 0.045
"""Least distance of two labels, as a share of the axis."""

COLOURS = {"forest": "#0072B2", "other": "#D55E00"}  # Okabe-Ito
MARKERS = {"forest": "o", "other": "s"}  # never colour alone
GREY = "#59636e"
LEADER = {"arrowstyle": "-", "color": "#9198a1", "linewidth": 0.8, "relpos": (0, 0.5), "shrinkB": 5}
STYLE: Any = {
    "svg.fonttype": "none",  # text stays text: small, and a reader can search it
    "svg.hashsalt": "contest",  # the same numbers give the same file
    "font.family": "sans-serif",
    "font.size": 9,
    "text.color": "#1f2328",
    "axes.edgecolor": GREY,
    "axes.labelcolor": GREY,
    "xtick.color": GREY,
    "ytick.color": GREY,
}


def figure(document: dict[str, Any]) -> str:
    """Return the SVG: NME (ocular, percent) of a single pass against its milliseconds from picture
    to landmarks, both logarithmic; bars are standard deviations over seeds.

    document: what `benchmarks.contest --json` prints. The mean shape, which learns nothing and
    sees no picture, is left out.
    """
    rows = [row for row in document["rows"] if row["params"]]
    with mpl.rc_context(STYLE):
        drawn = Figure(figsize=SIZE_IN)
        axes = drawn.add_axes((0.075, 0.12, 0.55, 0.79))
        for row in rows:
            kind = _kind(row)
            mark, *_ = axes.errorbar(
                row["latency"]["whole_ms_p50"],
                row["single_pass_nme"]["mean"],
                yerr=row["single_pass_nme"]["sd"] or 0.0,
                fmt=MARKERS[kind],
                color=COLOURS[kind],
                markersize=7,
            )
            mark.set_gid(f"{kind}-{row['name']}")  # the id of its element in the SVG
        _scale(axes, rows)
        _label(axes, rows)
        subset = f"{document['dataset']} {document['subset']}"
        axes.set_title(f"{subset}, box gt, {document['minutes']:g} minutes", loc="left")
        axes.set_xlabel("ms per face, one thread, crop included")
        axes.set_ylabel("NME of a single pass, % of the ocular distance")
        file = io.StringIO()
        metadata = {"Date": None, "Creator": None, "Title": _description(rows)}
        # tight: as wide as the longest name needs
        drawn.savefig(file, format="svg", metadata=metadata, bbox_inches="tight")
    return file.getvalue()


def _scale(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Make both axes logarithmic, with ticks at round numbers also where a range is short."""
    ms, nme = _positions(rows)
    axes.set(xscale="log", xlim=(min(ms) / 1.4, max(ms) * 1.4))
    axes.set(yscale="log", ylim=(min(nme) / 1.06, max(nme) * 1.06))
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_major_locator(tick_locator(*axis.get_view_interval()))
        axis.set_major_formatter(StrMethodFormatter("{x:g}"))
        axis.set_minor_formatter(NullFormatter())
    axes.tick_params(which="both", length=0)
    axes.grid(color="#d1d9e0", linewidth=0.8)
    axes.set_axisbelow(True)
    axes.spines[["top", "right"]].set_visible(False)


def tick_locator(low: float, high: float) -> Locator:
    """Return what places ticks on a logarithmic axis: at few multiples of the powers of ten; where
    the range is too short for three of these, at equal steps."""
    if high < 1.6 * low:
        return MaxNLocator(8)
    return LogLocator(subs=(1, 1.5, 2, 2.5, 3, 4, 5, 7))


def _label(axes: Any, rows: Sequence[dict[str, Any]]) -> None:
    """Write the names in a column at the right, in the order of the marks, with lines to them."""
    ordered = sorted(rows, key=lambda row: row["single_pass_nme"]["mean"])
    marks = list(zip(*_positions(ordered), strict=True))
    heights = axes.transAxes.inverted().transform(axes.transData.transform(marks))[:, 1]
    for row, mark, height in zip(ordered, marks, spread(heights, LABEL_GAP), strict=True):
        axes.annotate(
            f"{row['label']} {row['single_pass_nme']['mean']:.2f}",
            mark,
            (1.03, height),
            textcoords="axes fraction",
            verticalalignment="center",
            arrowprops=LEADER,
        )


def spread(wanted: Sequence[float], gap: float) -> list[float]:
    """Return heights at least `gap` apart, as near to the ascending wanted ones as a push up and a
    push back down bring them, the last no higher than the axis (1)."""
    heights: list[float] = []
    for at in wanted:
        heights.append(max(at, heights[-1] + gap) if heights else at)
    limit = 1.0
    for i in reversed(range(len(heights))):
        heights[i] = min(heights[i], limit)
        limit = heights[i] - gap
    return heights


def _positions(rows: Sequence[dict[str, Any]]) -> tuple[list[float], list[float]]:
    """Return the milliseconds and the errors of the rows."""
    return (
        [row["latency"]["whole_ms_p50"] for row in rows],
        [row["single_pass_nme"]["mean"] for row in rows],
    )


def _kind(row: dict[str, Any]) -> str:
    """The control is of the cascade's family, without its forests."""
    control = "mlp" in (row["preset"] or "")
    forest = "forest" in row["family"] or "forest" in (row["preset"] or "")
    return "forest" if forest and not control else "other"


def _description(rows: Sequence[dict[str, Any]]) -> str:
    each = (
        f"{row['label']}: {row['single_pass_nme']['mean']:.2f} % at"
        f" {row['latency']['whole_ms_p50']:.1f} ms"
        for row in rows
    )
    return "Error against latency. " + "; ".join(each)
