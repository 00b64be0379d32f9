"""Star and tags of the runs on a board: a column, and a choice of rows by tag."""

from __future__ import annotations

from collections.abc import Mapping

import pandas as pd

from db.recording.words import NOTHING, Words, together
from webapp import store
from webapp.links import url_keys, widgets
from webapp.scores import ALL
from webapp.store import StoreVersion

TAGS = "tags"
"""Column of the rows: star and tags as text, empty where nobody gave any."""


def with_tags(rows: pd.DataFrame, said: Mapping[str, Words]) -> pd.DataFrame:
    """Return rows of `db.boards.board` with the column TAGS, that of a method for all of its
    runs."""
    of_rows = [
        together(said.get(run, NOTHING) for run in runs) if said else NOTHING
        for runs in rows["runs"]
    ]
    return rows.assign(**{TAGS: pd.Series([one.short() for one in of_rows], rows.index, dtype=str)})


def choose_tag(current: StoreVersion) -> str:
    """Return the tag of the rows to show, or ALL; there is no choice where no run has a tag."""
    known = together(store.words(current).values()).tags
    if not known:
        return ALL
    return widgets.select(url_keys.BOARD_TAG, "Tag", [ALL, *known], width=150)


def having(current: StoreVersion, rows: pd.DataFrame, tag: str) -> pd.DataFrame:
    """Return the rows of which a run has the tag."""
    if tag == ALL:
        return rows
    tagged = {run for run, said in store.words(current).items() if said.match([tag])}
    mine = [not tagged.isdisjoint(runs) for runs in rows["runs"]]
    return rows[mine].reset_index(drop=True)
