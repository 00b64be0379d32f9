"""Results of an ablation: one row per setting, with its difference to the baseline and its cost.

NMEs and their differences are in percent here, as they are shown.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from drf import statistics
from drf.statistics import Method
from webapp.ablation.settings import Settings, chosen, in_order
from webapp.scores import best_and_second
from webapp.ui import badges, theme
from webapp.ui.text import decimals, json_as_written, signed, underlined

BETTER, WORSE, OPEN, BASELINE = "↓ better", "↑ worse", "≈ not significant", "baseline"


def results(
    settings: Settings,
    base: int,
    keys: Sequence[str],
    errors: np.ndarray,
) -> pd.DataFrame:
    """Return one row per setting that `keys` let vary, in the order of their values; in percent.

    errors  (e, n) image errors as fractions of the runs of `compared`, in that order
    Columns: value_0 (value_1) as stored; seeds, nme, sd (NaN for one seed), each (list of the NMEs
    by seed); difference, low, high (NaN for the baseline), over (what the interval is over, see
    `drf.statistics.over`), improved (share of faces, 0..1), verdict; params_m, macs_g, wall_min
    (means over seeds); collapsed (runs); ids (of the runs), name.
    """
    runs = compared(settings, base, keys)
    percent = 100 * errors
    rows_of = {
        number: np.flatnonzero(runs["setting"] == number) for number in runs["setting"].unique()
    }
    others = [number for number in rows_of if number != base]
    by_setting = {
        number: Method.of_runs(percent[rows], runs["seed"].iloc[rows].tolist())
        for number, rows in rows_of.items()
    }
    intervals = statistics.differences([by_setting[o] for o in others], by_setting[base])
    frame = pd.DataFrame(
        [
            _values(settings, number, keys) | _scores(by_setting[number]) | _cost(runs.iloc[rows])
            for number, rows in rows_of.items()
        ],
        index=list(rows_of),
    )
    frame["verdict"], frame["over"] = BASELINE, None
    for number, interval in zip(others, intervals, strict=True):
        ends = (interval.estimate, interval.low, interval.high)
        frame.loc[number, ["difference", "low", "high"]] = ends
        frame.loc[number, "over"] = interval.over
        frame.loc[number, "verdict"] = _verdict(interval)
        frame.loc[number, "improved"] = statistics.share_improved(
            by_setting[number].errors.mean(axis=0), by_setting[base].errors.mean(axis=0)
        )
    return _ordered(frame, len(keys))


def compared(settings: Settings, base: int, keys: Sequence[str]) -> pd.DataFrame:
    """Return the runs whose errors `results` needs, in the order in which it needs them."""
    return settings.runs_of(chosen(settings, base, keys)).sort_values(["setting", "seed"])


def _values(settings: Settings, number: int, keys: Sequence[str]) -> dict[str, Any]:
    return {f"value_{place}": settings.table.loc[number, key] for place, key in enumerate(keys)}


def _scores(method: Method) -> dict[str, Any]:
    seeds = statistics.over_seeds(method.nmes)
    unknown = dict.fromkeys(("difference", "low", "high", "improved"), float("nan"))
    each = {"each": method.nmes.tolist()}
    return {"seeds": seeds.n, "nme": seeds.mean, "sd": seeds.sd} | each | unknown


def _cost(runs: pd.DataFrame) -> dict[str, Any]:
    return {
        "params_m": runs["params"].mean() / 1e6,
        "macs_g": runs["macs"].mean() / 1e9,
        "wall_min": runs["wall_s"].mean() / 60,
        "collapsed": int((runs["status"] == "collapsed").sum()),
        "name": runs["name"].iloc[0],
        "ids": " ".join(runs["run"].str[:8]),
    }


def _verdict(interval: statistics.Interval) -> str:
    if not interval.excludes(0):
        return OPEN
    return BETTER if interval.estimate < 0 else WORSE


def _ordered(frame: pd.DataFrame, n_keys: int) -> pd.DataFrame:
    places = {}
    for place in range(n_keys):
        values = frame[f"value_{place}"]
        ranks = {value: rank for rank, value in enumerate(in_order(set(values)))}
        places[place] = [ranks[value] for value in values]
    order = np.lexsort([places[place] for place in reversed(range(n_keys))])
    return frame.iloc[order].rename_axis("setting").reset_index()


def table(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return the columns that the table shows, in its order; values as a person writes them."""
    cells = pd.DataFrame(
        {key: frame[f"value_{place}"].map(json_as_written) for place, key in enumerate(keys)}
    )
    fallen = badges.STATUS_STYLES["collapsed"].sign
    for key in keys[:1]:
        cells[key] = cells[key].mask(frame["collapsed"] > 0, fallen + " " + cells[key])
    columns = ["nme", "sd", "seeds", "difference"]
    cells[columns] = frame[columns]
    cells["interval"] = [
        "" if np.isnan(low) else f"{low:+.2f} … {high:+.2f}"
        for low, high in zip(frame["low"], frame["high"], strict=True)
    ]
    cells["verdict"] = frame["verdict"]
    cells["improved"] = 100 * frame["improved"]
    cost = ["params_m", "macs_g", "wall_min", "ids"]
    cells[cost] = frame[cost]
    return cells


def styled(shown: pd.DataFrame) -> Styler:
    """Return the table with the best NME bold, the second underlined, and the colour of each
    verdict beside its sign and word."""
    styler = shown.style.format(decimals, subset=["nme", "sd"])
    styler = styler.format(signed, subset=["difference"])
    best, second = best_and_second(shown["nme"], "lower")
    styler = styler.map(lambda _: "font-weight: 700", subset=pd.IndexSlice[best, ["nme"]])
    styler = styler.format(underlined, subset=pd.IndexSlice[second, ["nme"]])
    for verdict, colour in ((BETTER, theme.GREEN), (WORSE, theme.VERMILLION)):
        rows = shown.index[shown["verdict"] == verdict]
        look = f"color: {colour}"
        styler = styler.map(
            lambda _, look=look: look, subset=pd.IndexSlice[rows, ["difference", "verdict"]]
        )
    return styler


def over(frame: pd.DataFrame) -> str:
    """Return what the intervals of results are over, see `drf.statistics.over`."""
    return statistics.over_all(frame["over"].dropna())


def column_config(keys: Sequence[str], norm: str, over: str) -> dict[str, Any]:
    """Return the titles and tooltips of the columns of `table`. over: of its intervals."""
    number: Callable[..., Any] = st.column_config.NumberColumn
    text: Callable[..., Any] = st.column_config.TextColumn
    return {
        **{key: text(key, pinned=True) for key in keys},
        "nme": number("NME ↓", help=f"Mean over seeds, % of the {norm} distance. Lower is better."),
        "sd": number("sd", help="Standard deviation of the NME over seeds."),
        "seeds": number("Seeds", format="%d"),
        "difference": number("Δ", help="NME less that of the baseline, percentage points."),
        "interval": text(f"95 % interval of Δ over {over}", help=f"{statistics.ESTIMATE}."),
        "verdict": text("Verdict", help="Significant where the interval excludes zero."),
        "improved": number("Improved, %", format="%.0f", help="Faces with a smaller error."),
        "params_m": number("Params, M", format="%.2f", help="Trainable parameters, millions."),
        "macs_g": number("GMACs", format="%.3f", help="10⁹ multiply-accumulates for one face."),
        "wall_min": number("Train, min", format="%.1f", help="Wall time, mean over seeds."),
        "ids": text("Runs", help="First 8 characters of the ids, by seed."),
    }


def csv(frame: pd.DataFrame, keys: Sequence[str], norm: str) -> bytes:
    """Return the table as CSV (UTF-8), each row traceable to its runs."""
    titles = {"nme": f"{norm}_nme_percent", "sd": f"{norm}_nme_sd_percent"}
    shown = table(frame, keys).drop(columns=["interval"]).rename(columns=titles)
    place = shown.columns.get_loc("difference") + 1
    for column in ("high", "low"):
        shown.insert(place, f"difference_{column}", frame[column])
    shown.insert(place + 2, "difference_over", frame["over"])
    return shown.to_csv(index=False, lineterminator="\n").encode()
