"""Signs, icons and colours of the conditions of a run (`db.status`). The word is always shown with
them."""

from __future__ import annotations

from typing import Literal, NamedTuple

import pandas as pd

from db import status
from db.analysis import comparability


class StatusStyle(NamedTuple):
    """sign: one character for tables; icon: Material symbol; meaning: one sentence."""

    sign: str
    icon: str
    colour: Literal["green", "orange", "red", "blue"]
    meaning: str


STATUS_STYLES: dict[str, StatusStyle] = {
    "finished": StatusStyle(
        "✓", ":material/check_circle:", "green", "The training ran to its end."
    ),
    "running": StatusStyle(
        "▶",
        ":material/play_circle:",
        "blue",
        "Training; the last heartbeat is less than a minute old.",
    ),
    "interrupted": StatusStyle(
        "■", ":material/pause_circle:", "orange", "Stopped by the user before its budget was used."
    ),
    "stale": StatusStyle("?", ":material/help:", "orange", "No heartbeat for a minute or longer."),
    "collapsed": StatusStyle(
        "↯", ":material/trending_flat:", "red", "The model predicts one shape for every face."
    ),
    "diverged": StatusStyle(
        "↯",
        ":material/trending_up:",
        "red",
        "A number is no longer finite, or the model is no better than one shape for every face.",
    ),
    "worse than floor": StatusStyle(
        "↯",
        ":material/trending_up:",
        "red",
        "The training ran to its end, but the model is no better than one shape for every face.",
    ),
    "failed": StatusStyle("✗", ":material/error:", "red", "The training ended with an error."),
    "crashed": StatusStyle(
        "✗", ":material/dangerous:", "red", "The process is gone: killed or out of memory."
    ),
}


def label(word: str) -> str:
    """Return the text of a table cell: ✓ finished."""
    return f"{STATUS_STYLES[word].sign} {word}"


MARKS = ("name", "condition", "family", "dataset", "trained_on", "started_from")
"""Columns of an entry of a board that `marked` is called with."""


def marked(
    name: str,
    condition: str,
    family: str,
    dataset: object = None,
    trained_on: object = None,
    started_from: object = None,
) -> str:
    """Return a name as it stands in tables and choices: as it is where it is ranked, else with what
    stands against that, "✗ hourglass (crashed)". condition: several are joined by commas.
    Runs without a model are marked too, "SPIGA (external)", and so is a model of another
    dataset than that of the board, "hourglass (trained on wflw)", and one that started from the
    weights of another run."""
    sound = condition == status.FINISHED
    sign = "" if sound else f"{STATUS_STYLES[condition.split(', ')[0]].sign} "
    untrained = [family] if family in status.WITHOUT_MODEL else []
    origin = comparability.origin(dataset, trained_on, started_from)
    said = ", ".join([*untrained, *origin, *([] if sound else [condition])])
    return f"{sign}{name} ({said})" if said else name


def marked_names(rows: pd.DataFrame) -> pd.Series:
    """Return `marked` of every row of `reads.leaderboard` or `db.boards.board`."""
    names = map(marked, *(rows[column] for column in MARKS))
    return pd.Series(list(names), rows.index, dtype=object)
