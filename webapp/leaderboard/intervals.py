"""`db.analysis.intervals` of a board's rows, from cached errors; what was worked out is kept."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from db.analysis import intervals
from db.analysis.intervals import Row
from webapp import store
from webapp.store import StoreVersion


def with_intervals(
    current: StoreVersion,
    rows: pd.DataFrame,
    norms: Sequence[str],
    baseline: pd.Series | None = None,
) -> pd.DataFrame:
    """Return `db.analysis.intervals.with_intervals` of rows of `db.boards.board`."""

    def chunk(some: Sequence[Row], base: Row | None, norm: str, has_nme: bool) -> pd.DataFrame:
        # One text: see `store.paired_errors`. Older stores can get the baseline's NME later.
        return _chunk(current, current.path, repr((some, base, has_nme)), some, base, norm)

    return intervals.with_intervals(rows, norms, baseline, chunk)


def of_some(
    current: StoreVersion,
    rows: pd.DataFrame,
    wanted: pd.Index,
    norms: Sequence[str],
    baseline: pd.Series | None,
) -> pd.DataFrame:
    """Return `with_intervals` of the rows with these labels. Where they are on the first page of
    the board they are worked out with it, as for the table, so that a page works them out once."""
    page = rows.iloc[: intervals.CHUNK]
    together = page if wanted.isin(page.index).all() else rows.loc[wanted]
    return with_intervals(current, together, norms, baseline).loc[wanted]


@st.cache_data(max_entries=256, show_spinner=False)
def _chunk(
    _current: StoreVersion,
    path: str,
    named: str,
    _rows: Sequence[Row],
    _base: Row | None,
    norm: str,
) -> pd.DataFrame:
    # The store's revision is not part of the key: evaluations never change (see store.py).
    def errors(rows: Sequence[Row], norm: str) -> np.ndarray:
        pairs = [pair for row in rows for pair in zip(row.runs, row.evaluations, strict=True)]
        return store.paired_errors(_current, pairs, norm)[norm]

    return intervals.of_chunk(errors, _rows, _base, norm)
