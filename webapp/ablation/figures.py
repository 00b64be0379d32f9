"""Charts of an ablation: NME and difference against the factor, and a heat map of two factors.

Values of a factor are ordered and evenly spaced, because ablations double, halve or name them. Text
from the store is escaped, since Plotly interprets some HTML.
"""

from __future__ import annotations

import html
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from db.analysis import factors
from db.analysis.ablation import BASELINE, OPEN
from drf.text import json_as_written
from webapp.ui import theme
from webapp.ui.charts import Chart
from webapp.ui.text import signed, signed_ends

_DASHES = ("solid", "dash", "dot", "dashdot")
_SYMBOLS = ("circle", "square", "diamond", "triangle-up", "cross", "x")
_DODGE = 0.5  # share of the room between two values that the marks of a second factor spread over
_HEIGHT = 380


def nme(frame: pd.DataFrame, keys: Sequence[str], norm: str) -> Chart:
    """Return NME against the first factor: means over seeds as a line for each value of the second,
    every seed as a small mark, the baseline as a level.

    frame: of `db.analysis.ablation.results`.
    """
    figure = _figure(frame, keys, f"{norm} NME, %")
    numeric = frame["value_0"].map(factors.is_number).all()
    for line in _lines(frame, keys, dodge=0):
        held = line.rows["each"]
        figure.add_scatter(
            x=np.repeat(line.x, held.map(len)),
            y=np.concatenate(held.to_numpy()),
            mode="markers",
            marker={"color": line.colour, "size": 5, "opacity": 0.6},
            showlegend=False,
            hoverinfo="skip",
        )
        figure.add_scatter(
            x=line.x,
            y=line.rows["nme"],
            name=line.name,
            mode="lines+markers" if numeric else "markers",  # nothing lies between two names
            line={"color": line.colour, "width": 2, "dash": line.dash},
            marker={"color": line.colour, "size": 10, "symbol": line.symbol},
            customdata=_said(line.rows, keys),
            hovertemplate="%{customdata}<extra></extra>",
        )
        _ring(figure, line, line.rows["nme"])
    sound = frame[frame["unsound"] == ""]
    base, best = _baseline(frame), frame.loc[(frame if sound.empty else sound)["nme"].idxmin()]
    _level(figure, base["nme"], f"baseline {base['nme']:.2f} %", _left(frame, base))
    alt = (
        f"{norm} NME against {' and '.join(keys)}: best {best['nme']:.2f} % at"
        f" {named(best, keys)}, baseline {base['nme']:.2f} % at {named(base, keys)}."
    )
    return Chart("NME", figure, alt, "Large marks: mean over seeds. Small ones: every seed.")


def difference(frame: pd.DataFrame, keys: Sequence[str], norm: str) -> Chart:
    """Return the difference to the baseline with its interval, against the first factor."""
    figure = _figure(frame, keys, f"Δ {norm} NME, percentage points")
    for line in _lines(frame, keys, dodge=_DODGE):
        kept = (line.rows["verdict"] != BASELINE).to_numpy()
        rows = line.rows[kept]
        figure.add_scatter(
            x=line.x[kept],
            y=rows["difference"],
            name=line.name,
            mode="markers",
            marker={
                "color": line.colour,
                "size": 10,
                "symbol": [line.symbol + ("-open" if v == OPEN else "") for v in rows["verdict"]],
                "line": {"width": 2, "color": line.colour},
            },
            error_y={
                "array": rows["high"] - rows["difference"],
                "arrayminus": rows["difference"] - rows["low"],
                "color": line.colour,
                "thickness": 2,
                "width": 5,
            },
            customdata=_said(rows, keys),
            hovertemplate="%{customdata}<extra></extra>",
        )
        _ring(figure, line, 0 * line.rows["nme"])
    row = _baseline(frame)
    base = named(row, keys)
    _level(figure, 0.0, "baseline", _left(frame, row))
    counts = frame.loc[frame["verdict"] != BASELINE, "verdict"].value_counts()
    verdicts = ", ".join(f"{n} {verdict[2:]}" for verdict, n in counts.items())
    alt = f"Difference of the {norm} NME to {base} with 95 % intervals: {verdicts}."
    help_text = f"To {base}. Below zero is better. Hollow marks: the interval includes zero."
    return Chart("Difference to the baseline", figure, alt, help_text)


def heat(frame: pd.DataFrame, keys: Sequence[str], norm: str, *, differences: bool) -> Chart:
    """Return the table of two factors, rows by columns, in colour: the NME or its difference to the
    baseline, whose cell is framed. A combination that no run has is empty."""
    rows, columns = (factors.in_order(set(frame[f"value_{place}"])) for place in (0, 1))
    values = np.full((len(rows), len(columns)), np.nan)
    texts = np.full(values.shape, "", dtype=object)
    for row in frame.to_dict("records"):
        cell = rows.index(row["value_0"]), columns.index(row["value_1"])
        values[cell] = np.nan_to_num(row["difference"]) if differences else row["nme"]
        texts[cell] = _cell(row, differences=differences)
    colours = _colours(values, differences=differences)
    figure = go.Figure(
        go.Heatmap(
            z=values,
            xgap=4,
            ygap=4,
            hoverinfo="skip",
            colorbar={"title": {"text": "Δ, points" if differences else "NME, %"}, "thickness": 12},
            **colours,
        ),
        theme.layout(x=html.escape(keys[1]), y=html.escape(keys[0]), height=110 + 70 * len(rows)),
    )
    _ticks(figure.update_xaxes, columns)
    _ticks(figure.update_yaxes, rows)
    figure.update_xaxes(showgrid=False)
    figure.update_yaxes(showgrid=False, autorange="reversed")
    # Not the heatmap's own texts: Plotly writes them in grey or white, at worst 3 : 1.
    for (y, x), text in np.ndenumerate(texts):
        if not text:
            continue
        ink = _ink(float(values[y, x]), colours)
        figure.add_annotation(x=x, y=y, text=text, showarrow=False, font={"size": 13, "color": ink})
    base = _baseline(frame)
    x, y = columns.index(base["value_1"]), rows.index(base["value_0"])
    corners = {"x0": x - 0.5, "x1": x + 0.5, "y0": y - 0.5, "y1": y + 0.5}
    figure.add_shape(**corners, line={"color": theme.ORANGE, "width": 3})
    said = "; ".join(
        f"{named(row, keys)}: {row['difference' if differences else 'nme']:.2f}"
        for row in frame.to_dict("records")
        if not (differences and row["verdict"] == BASELINE)
    )
    what = "Difference to the baseline" if differences else f"{norm} NME"
    help_text = f"{keys[0]} by {keys[1]}; the baseline is framed."
    return Chart("Pivot", figure, f"{what}, %: {said}.", help_text)


def named(row: pd.Series | dict[Any, Any], keys: Sequence[str]) -> str:
    """Return the factors of a row: model.trees 4, model.label_sigma 0.5."""
    parts = [f"{key} {json_as_written(row[f'value_{place}'])}" for place, key in enumerate(keys)]
    return ", ".join(parts)


@dataclass(frozen=True)
class _Line:
    """The rows of one value of the second factor, all rows where there is none."""

    name: str
    rows: pd.DataFrame
    x: np.ndarray
    colour: str
    dash: str
    symbol: str


def _lines(frame: pd.DataFrame, keys: Sequence[str], dodge: float) -> Iterator[_Line]:
    order = factors.in_order(set(frame["value_0"]))
    others = factors.in_order(set(frame["value_1"])) if len(keys) > 1 else [None]
    for number, other in enumerate(others):
        mine = frame
        if len(keys) > 1:
            same = frame["value_1"].isna() if other is None else frame["value_1"] == other
            mine = frame[same]
        shift = dodge * (number - (len(others) - 1) / 2) / len(others)
        yield _Line(
            name=html.escape(json_as_written(other)),
            rows=mine,
            x=np.array([order.index(value) for value in mine["value_0"]], dtype=float) + shift,
            colour=theme.LINES[number % len(theme.LINES)],
            dash=_DASHES[number % len(_DASHES)],
            symbol=_SYMBOLS[number % len(_SYMBOLS)],
        )


def _figure(frame: pd.DataFrame, keys: Sequence[str], y: str) -> go.Figure:
    figure = go.Figure(layout=theme.layout(x=html.escape(keys[0]), y=y, height=_HEIGHT))
    values = factors.in_order(set(frame["value_0"]))
    _ticks(figure.update_xaxes, values)
    figure.update_xaxes(range=[-0.5, len(values) - 0.5], showgrid=False)
    figure.update_layout(hovermode="closest", showlegend=len(keys) > 1)
    if len(keys) > 1:
        figure.update_layout(legend={"title": {"text": html.escape(keys[1]) + "  "}})
    return figure


def _ticks(update: Callable[..., Any], values: Sequence[str | None]) -> None:
    texts = [html.escape(json_as_written(value)) for value in values]
    short = [text if len(text) <= 18 else f"{text[:17]}…" for text in texts]
    update(tickmode="array", tickvals=list(range(len(values))), ticktext=short)


def _left(frame: pd.DataFrame, base: pd.Series) -> bool:
    """Return whether the label of the baseline's level is on the left, away from its mark."""
    values = factors.in_order(set(frame["value_0"]))
    return values.index(base["value_0"]) > (len(values) - 1) / 2


def _level(figure: go.Figure, y: float, text: str, left: bool) -> None:
    figure.add_hline(y=y, line={"color": theme.QUIET, "width": 1.5, "dash": "dot"})
    figure.add_annotation(
        x=0 if left else 1,
        xref="paper",
        xanchor="left" if left else "right",
        y=y,
        yanchor="bottom",
        text=text,
        showarrow=False,
        font={"size": 12},
    )


def _ring(figure: go.Figure, line: _Line, y: pd.Series) -> None:
    """Mark the baseline, if it is on this line. y: where each row stands."""
    here = (line.rows["verdict"] == BASELINE).to_numpy()
    figure.add_scatter(
        x=line.x[here],
        y=y[here],
        mode="markers",
        marker={
            "size": 18,
            "symbol": "circle-open",
            "color": theme.QUIET,
            "line": {"width": 2, "color": theme.QUIET},
        },
        showlegend=False,
        hoverinfo="skip",
    )


def _said(rows: pd.DataFrame, keys: Sequence[str]) -> list[str]:
    """Return the hover text of each row."""
    said = []
    for row in rows.to_dict("records"):
        spread = "" if np.isnan(row["sd"]) else f" ± {row['sd']:.2f} over {row['seeds']} seeds"
        lines = [f"<b>{html.escape(named(row, keys))}</b>", f"NME {row['nme']:.2f} %{spread}"]
        if row["verdict"] != BASELINE:
            ends = f" {_ends(row)}" if _ends(row) else ""
            lines.append(f"Δ {signed(row['difference'])}{ends} {row['verdict']}")
            lines.append(f"{100 * row['improved']:.0f} % of faces improved")
        lines.append(f"{row['params_m']:.2f} M parameters, {row['macs_g']:.3f} GMACs")
        lines.append(f"{row['wall_min']:.1f} min")
        said.append("<br>".join(lines))
    return said


def _cell(row: dict[Any, Any], *, differences: bool) -> str:
    if differences:
        if row["verdict"] == BASELINE:
            return "baseline"
        return f"<b>{signed(row['difference'])}</b><br>{_ends(row) or row['verdict']}"
    spread = f"{row['seeds']} seed" if np.isnan(row["sd"]) else f"± {row['sd']:.2f}"
    return f"<b>{row['nme']:.2f}</b><br>{row['unsound'] or spread}"


def _ends(row: dict[Any, Any]) -> str:
    """Return the interval of a difference, nothing where there is none."""
    return "" if np.isnan(row["low"]) else signed_ends(row["low"], row["high"])


def _colours(values: np.ndarray, *, differences: bool) -> dict[str, Any]:
    if not differences:
        low, high = float(np.nanmin(values)), float(np.nanmax(values))
        return {"colorscale": theme.SEQUENTIAL, "zmin": low, "zmax": max(high, low + 0.01)}
    reach = max(float(np.nanmax(np.abs(values))), 0.01)
    return {"colorscale": theme.DIVERGING, "zmid": 0, "zmin": -reach, "zmax": reach}


def _ink(value: float, colours: dict[str, Any]) -> str:
    """Return the colour of a text on the cell of a value."""
    place = (value - colours["zmin"]) / (colours["zmax"] - colours["zmin"])
    scale = [colour for _, colour in colours["colorscale"]]  # evenly spaced
    (surface,) = sample_colorscale(scale, [np.clip(np.nan_to_num(place), 0, 1)], colortype="tuple")
    return theme.ink(surface)


def _baseline(frame: pd.DataFrame) -> pd.Series:
    return frame[frame["verdict"] == BASELINE].iloc[0]
