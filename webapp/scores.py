"""Names of normalisers, scores, sort orders and evaluations in the app.

Normalisers and scores are those of `drf.scoring.scores`, read at every call: what is added there is
in every list of the app.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import pandas as pd

from db.reads import BOARD
from drf.landmarks.markup import Markup
from drf.scoring import ranking, scores
from drf.text import FLOOR

_FACTS: dict[str, tuple[str, bool]] = {
    "Parameters": ("params", True),
    "MACs": ("macs", True),
    "Milliseconds": ("latency_ms", True),
    "Training time": ("wall_s", True),
    "Family": ("family", True),
    "Name": ("name", True),
    "Newest": ("created_at", False),
}

ORDERS = ("Best first", "Worst first")
RANK = f"Place by NME on this board; {FLOOR}: one shape for every face, which takes no place."

ALL = "All"
"""Option of a filter that keeps every row."""

_USUAL_ORDER = ("300w", "synthetic", "full", "common", "helen", "lfpw", "challenging", "all", "gt")
_SEEN_IN_TRAINING = ("train", "val")


def norms() -> dict[str, str]:
    """Return the normalisers: title in the app and in links -> key, the prefix of columns."""
    return {normaliser.title: normaliser.key for normaliser in scores.NORMALISERS}


def known_norms(rows: pd.DataFrame) -> dict[str, str]:
    """Return those of `norms` under which some row has an NME: its markup has the normaliser.

    rows: evaluations with scores.COLUMNS. All normalisers where no row has an NME.
    """
    headlines = {title: scores.column(key, "nme") for title, key in norms().items()}
    known = {title for title, column in headlines.items() if rows[column].notna().any()}
    return {title: key for title, key in norms().items() if title in known or not known}


def norms_of(markups: Iterable[Markup]) -> dict[str, str]:
    """Return those of `norms` that exist for one of some markups; all where there is no markup."""
    known = {key for markup in markups for key in scores.defined_for(markup)}
    return {title: key for title, key in norms().items() if key in known or not known}


def sorts() -> dict[str, tuple[str, bool]]:
    """Return the sort orders: name in the URL -> score or column, and whether its best end comes
    first in ascending order."""
    of_scores = {score.title: (score.key, score.better == "lower") for score in scores.SCORES}
    return of_scores | _FACTS


def usual_order(name: str) -> tuple[int, str]:
    """Return a sorting key for datasets, subsets and boxes: as papers list them, then by name."""
    known = _USUAL_ORDER.index(name) if name in _USUAL_ORDER else len(_USUAL_ORDER)
    return known, name


def filter_order(name: str, rows: int) -> tuple[bool, int, tuple[int, str]]:
    """Return a sorting key for the options of a filter: most rows first, ties in the usual order;
    but train and val last, because runs were selected on them."""
    return name in _SEEN_IN_TRAINING, -rows, usual_order(name)


def boards_in_order(boards: pd.DataFrame) -> pd.DataFrame:
    """Return boards, rows of `db.reads.board_filters`, in `offered_order`, in which all pages offer
    them, with `label`: see `evaluation_label`."""
    keys = [tuple(row) for row in boards[list(BOARD)].itertuples(index=False)]
    place = {key: number for number, key in enumerate(keys)}
    ordered = offered_order(dict(zip(keys, boards["entries"], strict=True)))
    labels = [board_label(dict(zip(BOARD, key, strict=True))) for key in ordered]
    return boards.iloc[[place[key] for key in ordered]].assign(label=labels)


def offered_order(boards: Mapping[tuple[str, ...], int]) -> list[tuple[str, ...]]:
    """Return boards (dataset, subset, landmarks, box -> number of rows) in the order in which the
    filters of the leaderboard offer them, each among what the ones before it leave: the first is
    the board that opens."""

    def order(board: tuple[str, ...]) -> list[tuple[bool, int, tuple[int, str]]]:
        beginnings = [board[: level + 1] for level in range(len(board))]
        return [
            filter_order(some[-1], sum(n for b, n in boards.items() if b[: len(some)] == some))
            for some in beginnings
        ]

    return sorted(boards, key=order)


def board_label(board: Mapping[Any, Any] | pd.Series) -> str:
    """Return the label of a board in links: dataset/subset/box, then landmarks other than all."""
    parts = [board["dataset"], board["subset"], board["box"]]
    return "/".join(parts if board["landmarks"] == "all" else [*parts, board["landmarks"]])


def evaluation_label(row: Mapping[Any, Any] | pd.Series) -> str:
    """Return the label of an evaluation in links: that of its board, and whether it is without the
    flip test."""
    return board_label(row) if row["flip_test"] else f"{board_label(row)}/no-flip"


def best_and_second(values: pd.Series, better: scores.Better) -> tuple[Any, Any]:
    """Return the labels of the rows in the first place, and of those in the second: nobody's where
    several share the first, see `drf.scoring.ranking.places`."""
    places = ranking.places(values, better)
    return values.index[places == 1], values.index[places == 2]
