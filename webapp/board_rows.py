"""The rows of a board, kept while the store says the same of it."""

from __future__ import annotations

import pandas as pd
import streamlit as st

from db import board
from webapp import store
from webapp.store import Store


def rows(
    current: Store, *, as_runs: bool, at_revision: int | None = None, **where: str
) -> pd.DataFrame:
    """Return the rows of `db.board` of one board, one a method or one a run.

    where: dataset, subset, points, box; at_revision: see `db.reads.leaderboard`.
    """
    return _rows(current, tuple(where.items()), at_revision, as_runs).copy(deep=False)


@st.cache_resource(max_entries=16, show_spinner=False)
def _rows(
    current: Store, where: tuple[tuple[str, str], ...], at_revision: int | None, as_runs: bool
) -> pd.DataFrame:
    entries = store.leaderboard(current, **dict(where), at_revision=at_revision)
    return (board.by_run if as_runs else board.by_method)(entries, store.method_of_runs(current))
