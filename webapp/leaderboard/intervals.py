"""Bootstrap intervals of a board's rows, and of their differences to a baseline; in percent.

A row is a method: its error on a face is the mean over its runs. All rows of the same faces share
the draws and one matrix product (`drf.statistics.mean_intervals`), so a page of them costs some
25 ms, and what was worked out is kept.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pandas as pd
import streamlit as st

from db.evaluations import StoredNorm
from drf import statistics
from webapp import store
from webapp.store import StoreVersion

CHUNK = 25
"""Rows worked out at once: a page of the board."""

Evaluations = tuple[tuple[str, int], ...]
"""The evaluations of a row: (run id, evaluation) of each of its runs."""


def with_intervals(
    current: StoreVersion,
    rows: pd.DataFrame,
    norms: Sequence[StoredNorm],
    baseline: pd.Series | None,
) -> pd.DataFrame:
    """Return rows of `db.board` with NORM_low and NORM_high of every norm, percent.

    With a baseline (such a row) also NORM_difference, NORM_difference_low and _high: the paired
    interval of NME(row) - NME(baseline) over the faces that both have; NaN where they share none,
    and for the baseline itself.
    """
    base = () if baseline is None else _evaluations(baseline["runs"], baseline["evaluations"])
    parts = []
    # Faces of a manifest that has no digest may be any: such a row stands alone.
    for _, same_faces in rows.groupby(rows["manifest_digest"].fillna(rows["id"]), sort=False):
        for first in range(0, len(same_faces), CHUNK):
            chunk = same_faces.iloc[first : first + CHUNK]
            keys = [*map(_evaluations, chunk["runs"], chunk["evaluations"])]
            named = repr((keys, base))  # one text: see `store.paired_errors`
            found = [_intervals(current, current.path, named, keys, base, norm) for norm in norms]
            parts.append(pd.concat(found, axis=1).set_index(chunk.index))
    return rows.join(pd.concat(parts)) if parts else rows


def _evaluations(runs: Sequence[str], evaluations: Sequence[int]) -> Evaluations:
    return tuple(zip(runs, map(int, evaluations), strict=True))


@st.cache_data(max_entries=256, show_spinner=False)
def _intervals(
    _current: StoreVersion,
    path: str,
    named: str,
    _rows: Sequence[Evaluations],
    _base: Evaluations,
    norm: StoredNorm,
) -> pd.DataFrame:
    # The store's revision is not part of the key: evaluations never change (see store.py).
    own = _errors(_current, _rows, norm)
    columns = _ends(statistics.mean_intervals(own), "low", "high")
    if _base:
        shared = _errors(_current, (*_rows, _base), norm)
        columns |= _differences(shared[:-1], shared[-1], [row == _base for row in _rows])
    return 100 * pd.DataFrame(columns).add_prefix(f"{norm}_")


def _errors(current: StoreVersion, rows: Sequence[Evaluations], norm: StoredNorm) -> np.ndarray:
    """Return (rows, faces) errors on the faces that all have, means over the runs of each row."""
    flat = [pair for row in rows for pair in row]
    errors = store.paired_errors(current, flat)[norm]
    ends = np.cumsum([len(row) for row in rows])[:-1]
    return np.stack([part.mean(axis=0) for part in np.split(errors, ends)])


def _differences(
    errors: np.ndarray, baseline: np.ndarray, is_baseline: list[bool]
) -> dict[str, list[float]]:
    names = ("difference_low", "difference_high", "difference")
    if not baseline.size:
        return {name: [float("nan")] * len(errors) for name in names}
    found = statistics.mean_intervals(errors - baseline)
    ends = _ends(found, *names[:2]) | {names[2]: [interval.estimate for interval in found]}
    return {
        name: [
            float("nan") if same else value for same, value in zip(is_baseline, values, strict=True)
        ]
        for name, values in ends.items()
    }


def _ends(found: list[statistics.Interval], low: str, high: str) -> dict[str, list[float]]:
    return {low: [i.low for i in found], high: [i.high for i in found]}
