"""Which rows a leaderboard has, in which order, and which of them are best."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from db.evaluations import StoredNorm

NORMS: dict[str, StoredNorm] = {"Ocular": "ocular", "Pupil": "pupil"}
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
ROWS = ("Methods", "Runs")
EVERY = "All"
"""Choice of a filter that filters nothing."""

_USUAL_ORDER = ("300w", "synthetic", "full", "common", "helen", "lfpw", "challenging", "all", "gt")
_SEEN_IN_TRAINING = ("train", "val")
_SCORED = tuple(score.key for score in SCORES)


def usual_order(name: str) -> tuple[int, str]:
    """Return a sorting key for datasets, subsets and boxes: as papers list them, then by name."""
    known = _USUAL_ORDER.index(name) if name in _USUAL_ORDER else len(_USUAL_ORDER)
    return known, name


def offer_order(name: str, rows: int) -> tuple[bool, int, tuple[int, str]]:
    """Return a sorting key for what a filter offers: most rows first, on a tie in the usual order;
    but train and val after all others, however many runs were chosen by them."""
    return name in _SEEN_IN_TRAINING, -rows, usual_order(name)


def evaluation_label(row: pd.Series) -> str:
    """Return what an evaluation is, as links spell it: dataset/subset/box, then what is unusual."""
    parts = [row["dataset"], row["subset"], row["box"]]
    if row["points"] != "all":
        parts.append(row["points"])
    if not row["flip_test"]:
        parts.append("no-flip")
    return "/".join(parts)


def arrange(
    rows: pd.DataFrame, *, norm: str, sort: str, order: str, text: str = "", family: str = EVERY
) -> pd.DataFrame:
    """Return the rows of the view in its order, with their `rank`.

    rows: those of `db.board`, one board. rank is by NME under the norm on the whole board, whatever
    is shown of it; equal NMEs share a rank. text: rows of which a run's name or id, the family,
    preset or track contains it, whatever its case. Unknown values come last in either order.
    """
    nme = f"{NORMS[norm]}_nme"
    rows = rows.assign(rank=rows[nme].rank(method="min").astype("Int64"))
    if family != EVERY:
        rows = rows[rows["family"] == family]
    if wanted := text.strip().casefold():
        rows = rows[[wanted in words for words in _words(rows)]]
    key, best_is_low = SORTS[sort]
    column = f"{NORMS[norm]}_{key}" if key in _SCORED else key
    return rows.sort_values(
        [column, "rank", "id"],
        ascending=[best_is_low == (order == ORDERS[0]), True, True],
        key=lambda values: values.str.casefold() if values.name == "name" else values,
        na_position="last",
    ).reset_index(drop=True)


def _words(rows: pd.DataFrame) -> Iterator[str]:
    """Yield what a text is looked for in, a row each."""
    facts = rows[["name", "id", "family", "preset", "track"]].fillna("").to_numpy()
    for fact, names, runs in zip(facts, rows["names"], rows["runs"], strict=True):
        yield "\n".join((*fact, *names, *runs)).casefold()


def best_and_second(values: pd.Series, better: Literal["lower", "higher"]) -> tuple[Any, Any]:
    """Return the labels of the rows with the best value, and of those with the next one."""
    distinct = values.dropna().drop_duplicates().sort_values(ascending=better == "lower")
    first, second = (values.index[values == value] for value in (*distinct[:2], None, None)[:2])
    return first, second
