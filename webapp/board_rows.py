"""The rows of a board, kept while the store says the same of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from db import board
from webapp import store
from webapp.store import Store

_TTL_S = 10  # as in store.py: no write tells that a run died


def rows(
    current: Store, *, as_runs: bool, at_revision: int | None = None, **where: str
) -> pd.DataFrame:
    """Return the rows of `db.board` of one board, one a method or one a run.

    where: dataset, subset, points, box; at_revision: see `db.reads.leaderboard`.
    """
    found = _rows(current.path, current.revision, tuple(where.items()), at_revision, as_runs)
    return found.copy(deep=False)


@st.cache_resource(max_entries=16, ttl=_TTL_S, show_spinner=False)
def _rows(
    path: str,
    revision: int,
    where: tuple[tuple[str, str], ...],
    at_revision: int | None,
    as_runs: bool,
) -> pd.DataFrame:
    current = Store(path, revision)
    entries = store.leaderboard(current, **dict(where), at_revision=at_revision)
    return (board.by_run if as_runs else board.by_method)(entries, store.method_of_runs(current))
