"""The results of an ablation (`db.analysis.ablation`) as the table that the page shows and
exports."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from db.analysis import ablation, comparability, factors
from db.analysis.ablation import BETTER, UNSOUND, WORSE
from drf.scoring import statistics
from drf.text import json_as_written
from webapp.scores import best_and_second
from webapp.ui import theme
from webapp.ui.text import decimals, no_formula, signed, underlined

_SPENT = tuple(one.key for one in comparability.SPENT)


def table(frame: pd.DataFrame, keys: Sequence[str]) -> pd.DataFrame:
    """Return the columns that the table shows, in its order; values as a person writes them."""
    cells = pd.DataFrame(
        {key: frame[f"value_{place}"].map(json_as_written) for place, key in enumerate(keys)}
    )
    for key in keys[:1]:
        marked = UNSOUND + cells[key] + " (" + frame["unsound"] + ")"
        cells[key] = cells[key].mask(frame["unsound"] != "", marked)
    columns = ["nme", "sd", "seeds", "difference"]
    cells[columns] = frame[columns]
    cells["interval"] = ablation.intervals(frame)
    cells["verdict"] = frame["verdict"]
    cells["improved"] = 100 * frame["improved"]
    cost = ["params_m", "macs_g", *_SPENT, "wall_min", "ids"]
    cells[cost] = frame[cost]
    return cells


def styled(shown: pd.DataFrame) -> Styler:
    """Return the table with the best NME bold, the second underlined, both among what is sound,
    and the colour of each verdict beside its sign and word.

    shown: of `table`.
    """
    styler = shown.style.format(decimals, subset=["nme", "sd"])
    styler = styler.format(signed, subset=["difference"])
    first = shown.iloc[:, 0].astype(str)
    best, second = best_and_second(shown.loc[~first.str.startswith(UNSOUND), "nme"], "lower")
    styler = styler.map(lambda _: "font-weight: 700", subset=pd.IndexSlice[best, ["nme"]])
    styler = styler.format(underlined, subset=pd.IndexSlice[second, ["nme"]])
    for verdict, colour in ((BETTER, theme.GREEN), (WORSE, theme.VERMILLION)):
        rows = shown.index[shown["verdict"] == verdict]
        look = f"color: {colour}"
        styler = styler.map(
            lambda _, look=look: look, subset=pd.IndexSlice[rows, ["difference", "verdict"]]
        )
    return styler


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
        **{one.key: text(one.title, help=one.meaning) for one in comparability.SPENT},
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
    for number, key in enumerate(keys):  # -0.5 stays a number
        numbers = frame[f"value_{number}"].map(factors.is_number)
        shown[key] = shown[key].where(numbers, shown[key].map(no_formula))
    shown = shown.rename(columns=no_formula)
    return shown.to_csv(index=False, lineterminator="\n").encode()
