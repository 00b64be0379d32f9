"""Names of normalisations, scores, sort orders and evaluations in the app."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

import pandas as pd

from db.evaluations import StoredNorm

NORMS: dict[str, StoredNorm] = {"Ocular": "ocular", "Pupil": "pupil"}
"""Name in the app -> prefix of the score columns."""


@dataclass(frozen=True)
class Score:
    """A score. better: whether lower or higher values are better."""

    key: str
    title: str
    better: Literal["lower", "higher"]
    meaning: str


SCORES = (
    Score("nme", "NME ↓", "lower", "Normalised mean error, in %. Lower is better."),
    Score(
        "fr8",
        "FR@8 ↓",
        "lower",
        "Failure rate: faces with an error above 8 %, in %. Lower is better.",
    ),
    Score(
        "auc8",
        "AUC@8 ↑",
        "higher",
        "Area under the cumulative error distribution up to 8 %, in %. Higher is better.",
    ),
    Score(
        "fr10",
        "FR@10 ↓",
        "lower",
        "Failure rate: faces with an error above 10 %, in %. Lower is better.",
    ),
    Score(
        "auc10",
        "AUC@10 ↑",
        "higher",
        "Area under the cumulative error distribution up to 10 %, in %. Higher is better.",
    ),
)

SORTS: dict[str, tuple[str, bool]] = {
    "NME": ("nme", True),
    "FR@8": ("fr8", True),
    "AUC@8": ("auc8", False),
    "FR@10": ("fr10", True),
    "AUC@10": ("auc10", False),
    "Parameters": ("params", True),
    "MACs": ("macs", True),
    "Latency": ("ms_per_face", True),
    "Training time": ("wall_s", True),
    "Name": ("name", True),
    "Newest": ("created_at", False),
}
"""Name in the URL -> column, and whether its best end comes first in ascending order."""

ORDERS = ("Best first", "Worst first")
ALL = "All"
"""Option of a filter that keeps every row."""

_USUAL_ORDER = ("300w", "synthetic", "full", "common", "helen", "lfpw", "challenging", "all", "gt")
_SEEN_IN_TRAINING = ("train", "val")


def usual_order(name: str) -> tuple[int, str]:
    """Return a sorting key for datasets, subsets and boxes: as papers list them, then by name."""
    known = _USUAL_ORDER.index(name) if name in _USUAL_ORDER else len(_USUAL_ORDER)
    return known, name


def filter_order(name: str, rows: int) -> tuple[bool, int, tuple[int, str]]:
    """Return a sorting key for the options of a filter: most rows first, ties in the usual order;
    but train and val last, because runs were selected on them."""
    return name in _SEEN_IN_TRAINING, -rows, usual_order(name)


def evaluation_label(row: pd.Series) -> str:
    """Return the label of an evaluation in links: dataset/subset/box, then what is unusual."""
    parts = [row["dataset"], row["subset"], row["box"]]
    if row["points"] != "all":
        parts.append(row["points"])
    if not row["flip_test"]:
        parts.append("no-flip")
    return "/".join(parts)


def best_and_second(values: pd.Series, better: Literal["lower", "higher"]) -> tuple[Any, Any]:
    """Return the labels of the rows with the best value, and of those with the next one."""
    distinct = values.dropna().drop_duplicates().sort_values(ascending=better == "lower")
    first, second = (values.index[values == value] for value in (*distinct[:2], None, None)[:2])
    return first, second
