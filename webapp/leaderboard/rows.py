"""The rows of a leaderboard: loaded, filtered, sorted and ranked."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
import streamlit as st

from db.boards import board
from drf.scoring import scores
from webapp import store
from webapp.leaderboard.words import with_tags
from webapp.links.names import matching
from webapp.scores import ALL, ORDERS, norms, sorts
from webapp.store import StoreVersion

ROWS = ("Methods", "Runs")


def arrange(
    rows: pd.DataFrame, *, norm: str, sort: str, order: str, text: str = "", family: str = ALL
) -> pd.DataFrame:
    """Return the rows of the view in its order, with their `rank`.

    rows: those of `db.boards.board`, one board. norm: the title of a normaliser. rank is by NME
    under it on the whole board, whatever is shown of it; NMEs that read the same share a rank. The
    mean shape has none, nor has what is not finished and sound, which comes last. text: rows of
    which a run's name or id, the family, preset or track contains it, whatever its case. Unknown
    values come last in either order.
    """
    key = norms()[norm]
    nme = scores.column(key, "nme")
    rows = rows.assign(rank=board.places(rows, nme), unranked=~rows["ranked"])
    if family != ALL:
        rows = rows[rows["family"] == family]
    if wanted := text.strip().casefold():
        rows = rows[[wanted in words for words in _words(rows)]]
    by, best_is_low = sorts()[sort]
    column = scores.column(key, by) if by in scores.SCORE_KEYS else by
    return rows.sort_values(
        ["unranked", column, "rank", "id"],
        ascending=[True, best_is_low == (order == ORDERS[0]), True, True],
        key=lambda values: values.str.casefold() if values.name == "name" else values,
        na_position="last",
    ).reset_index(drop=True)


def named(rows: pd.DataFrame, wanted: str) -> list[bool]:
    """Return which rows a link means: by name or id of their own, or of one of their runs."""
    columns = (rows[name] for name in ("id", "name", "runs", "names"))
    return [
        bool(matching(wanted, {identity: name, **dict(zip(runs, names, strict=True))}))
        for identity, name, runs, names in zip(*columns, strict=True)
    ]


def _words(rows: pd.DataFrame) -> Iterator[str]:
    """Yield what a text is looked for in, a row each."""
    facts = rows[["name", "id", "family", "preset", "track"]].fillna("").to_numpy()
    for fact, names, runs in zip(facts, rows["names"], rows["runs"], strict=True):
        yield "\n".join((*fact, *names, *runs)).casefold()


def load_rows(
    current: StoreVersion, *, as_runs: bool, at_revision: int | None = None, **where: str
) -> pd.DataFrame:
    """Return the rows of `db.boards.board` of one board, one a method or one a run.

    where: dataset, subset, landmarks, box; at_revision: see `db.reads.leaderboard`.
    """
    return _rows(current, tuple(where.items()), at_revision, as_runs).copy(deep=False)


@st.cache_resource(max_entries=16, show_spinner=False)
def _rows(
    current: StoreVersion,
    where: tuple[tuple[str, str], ...],
    at_revision: int | None,
    as_runs: bool,
) -> pd.DataFrame:
    entries = store.leaderboard(current, **dict(where), at_revision=at_revision)
    rows = (board.by_run if as_runs else board.by_method)(entries, store.method_of_runs(current))
    return with_tags(rows, store.words(current))
