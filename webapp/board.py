"""The leaderboard as a table: which rows, in which order, how it looks, and the same as CSV."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd
import streamlit as st
from pandas.io.formats.style import Styler

from drf.metrics import Norm
from webapp import badges, theme

NORMS: dict[str, Norm] = {"Ocular": "ocular", "Pupil": "pupil"}
"""Name in the app -> prefix of the score columns."""


@dataclass(frozen=True)
class Score:
    """A column of scores. better: which end of it is good."""

    key: str
    title: str
    better: Literal["lower", "higher"]
    meaning: str


SCORES = (
    Score("nme", "NME ↓", "lower", "Normalised mean error, %. Lower is better."),
    Score("fr8", "FR@8 ↓", "lower", "Faces with an error above 8 %, %. Lower is better."),
    Score("auc8", "AUC@8 ↑", "higher", "Area under the CED up to 8 %, %. Higher is better."),
    Score("fr10", "FR@10 ↓", "lower", "Faces with an error above 10 %, %. Lower is better."),
    Score("auc10", "AUC@10 ↑", "higher", "Area under the CED up to 10 %, %. Higher is better."),
)

SORTS: dict[str, tuple[str, bool]] = {
    "NME": ("nme", True),
    "FR8": ("fr8", True),
    "AUC8": ("auc8", False),
    "FR10": ("fr10", True),
    "AUC10": ("auc10", False),
    "Parameters": ("params", True),
    "MACs": ("macs", True),
    "Latency": ("ms_per_face", True),
    "Training time": ("wall_s", True),
    "Name": ("name", True),
    "Newest": ("created_at", False),
}
"""Name in the URL -> column, and whether its best end comes first in ascending order."""

ORDERS = ("Best first", "Worst first")

_USUAL_ORDER = ("300w", "synthetic", "full", "common", "helen", "lfpw", "challenging", "all", "gt")
_COLLAPSED = "collapsed"
_TRACE = ("evaluation", "run", "checkpoint", "manifest_digest", "created_at")
_SEARCHED = ("name", "family", "preset", "track", "run")


def usual_order(name: str) -> tuple[int, str]:
    """Return a sorting key for datasets, subsets and boxes: as papers list them, then by name."""
    known = _USUAL_ORDER.index(name) if name in _USUAL_ORDER else len(_USUAL_ORDER)
    return known, name


def evaluation_label(row: pd.Series) -> str:
    """Return what an evaluation is, as links spell it: dataset/subset/box, then what is unusual."""
    parts = [row["dataset"], row["subset"], row["box"]]
    if row["points"] != "all":
        parts.append(row["points"])
    if not row["flip_test"]:
        parts.append("no-flip")
    return "/".join(parts)


def arrange(
    entries: pd.DataFrame, *, norm: str, sort: str, order: str, text: str = ""
) -> pd.DataFrame:
    """Return the rows of the view with the scores of one norm as nme, fr8, auc8, fr10, auc10.

    entries: one board, columns of `reads.leaderboard`. rank is by NME on the whole board, whatever
    is shown of it; equal NMEs share a rank. text: rows whose name, family, preset, track or id
    contains it, whatever its case. Unknown values come last in either order.
    """
    prefix = NORMS[norm]
    rows = entries.rename(columns={f"{prefix}_{score.key}": score.key for score in SCORES})
    rows = rows.assign(rank=rows["nme"].rank(method="min").astype("Int64"))
    if wanted := text.strip().casefold():
        words = rows[[*_SEARCHED]].fillna("").agg("\n".join, axis=1).str.casefold()
        rows = rows[words.str.contains(wanted, regex=False)]
    column, best_is_low = SORTS[sort]
    return rows.sort_values(
        [column, "rank", "evaluation"],
        ascending=[best_is_low == (order == ORDERS[0]), True, True],
        key=lambda values: values.str.casefold() if values.name == "name" else values,
        na_position="last",
    ).reset_index(drop=True)


def table(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the columns that the table shows, in its order; flip test only where it differs.

    A collapsed run has the sign of its state before its name: the column that says so stands far to
    the right, and its scores must not be taken for a method's.
    """
    shown = rows[["rank", "name", *(score.key for score in SCORES), "family"]].copy()
    sign = badges.LOOKS[_COLLAPSED].sign
    shown["name"] = rows["name"].mask(rows["status"] == _COLLAPSED, sign + " " + rows["name"])
    shown["params_m"], shown["macs_g"] = rows["params"] / 1e6, rows["macs"] / 1e9
    shown["ms_per_face"], shown["wall_min"] = rows["ms_per_face"], rows["wall_s"] / 60
    shown["seed"] = rows["seed"]
    if len(set(rows["flip_test"])) > 1:
        shown["flip_test"] = rows["flip_test"]
    shown["status"] = rows["status"].map(badges.label)
    shown["id"] = rows["run"].str[:8]
    return shown


def styled(shown: pd.DataFrame) -> Styler:
    """Return the table with two decimals, the best of every score bold, the second underlined, and
    collapsed runs in the colour of a fault."""
    styler = shown.style.format(_decimals, subset=[score.key for score in SCORES])
    for score in SCORES:
        best, second = best_and_second(shown[score.key], score.better)
        styler = styler.map(lambda _: "font-weight: 700", subset=_cells(best, score.key))
        styler = styler.format(_underlined, subset=_cells(second, score.key))
    collapsed = shown.index[shown["status"] == badges.label(_COLLAPSED)]
    marked = pd.IndexSlice[collapsed, ["name", "status"]]
    return styler.map(lambda _: f"color: {theme.VERMILLION}", subset=marked)


def best_and_second(values: pd.Series, better: Literal["lower", "higher"]) -> tuple[Any, Any]:
    """Return the labels of the rows with the best value, and of those with the next one."""
    distinct = values.dropna().drop_duplicates().sort_values(ascending=better == "lower")
    first, second = (values.index[values == value] for value in (*distinct[:2], None, None)[:2])
    return first, second


def _cells(labels: Any, column: str) -> Any:
    return pd.IndexSlice[labels, [column]]


def _decimals(value: float) -> str:
    return "–" if pd.isna(value) else f"{value:.2f}"


def _underlined(value: float) -> str:
    # The table is a canvas that knows no underline. U+035F is a line below two characters, so
    # between every two it is one line below all; the app's font has it.
    return "\u035f".join(_decimals(value))


def column_config(norm: str) -> dict[str, Any]:
    """Return the titles, tooltips and widths of the columns of `table`."""
    number: Callable[..., Any] = st.column_config.NumberColumn
    text: Callable[..., Any] = st.column_config.TextColumn
    scores = {
        score.key: number(score.title, help=f"{score.meaning} By {norm.lower()} distance.")
        for score in SCORES
    }
    return scores | {
        "rank": number("#", help="Rank by NME on this board.", width=44),
        "name": text("Run", width=170),
        "family": text("Family"),
        "params_m": number("Params, M", format="%.2f", help="Trainable parameters, millions."),
        "macs_g": number("GMACs", format="%.2f", help="10⁹ multiply-accumulates for one face."),
        "ms_per_face": number("ms/face", format="%.1f", help="Time of the model alone, batched."),
        "wall_min": number("Train, min", format="%.1f", help="Wall time of the training, minutes."),
        "seed": number("Seed", format="%d"),
        "flip_test": st.column_config.CheckboxColumn("Flip", help="Averaged with its mirror."),
        "status": text("Status", help="Whether the training ran to its end."),
        "id": text("Id", help="First 8 characters of the run's id."),
    }


def csv(rows: pd.DataFrame, norm: str) -> bytes:
    """Return exactly these rows as CSV (UTF-8), scores in percent, each traceable to its run."""
    columns = ["rank", "name", "family", *(score.key for score in SCORES)]
    columns += ["params", "macs", "ms_per_face", "wall_s", "seed", "preset", "track", "precision"]
    columns += ["status", "dataset", "subset", "points", "box", "flip_test", "n", *_TRACE]
    titles = {score.key: f"{NORMS[norm]}_{score.key}_percent" for score in SCORES}
    safe = rows[columns].map(_no_formula).rename(columns=titles)
    return safe.to_csv(index=False, lineterminator="\n").encode()


def _no_formula(value: Any) -> Any:
    """Stop a spreadsheet from running a name such as =HYPERLINK(...): a quote makes it text."""
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if risky else value
