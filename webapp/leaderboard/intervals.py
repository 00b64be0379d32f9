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

from drf import scores, statistics
from webapp import store
from webapp.store import StoreVersion

CHUNK = 25
"""Rows worked out at once: a page of the board."""

_OWN = ("low", "high")
_PAIRED = ("difference_low", "difference_high", "difference")

Evaluations = tuple[tuple[str, int], ...]
"""The evaluations of a row: (run id, evaluation) of each of its runs."""


def with_intervals(
    current: StoreVersion,
    rows: pd.DataFrame,
    norms: Sequence[str],
    baseline: pd.Series | None,
) -> pd.DataFrame:
    """Return rows of `db.board` with NORM_low and NORM_high of every normaliser, percent;
    NaN where a row has no NME under it.

    With a baseline (such a row) also NORM_difference, NORM_difference_low and _high: the paired
    interval of NME(row) - NME(baseline) over the faces that both have; NaN where they share none,
    and for the baseline itself.
    """
    found = [_under(current, rows, norm, baseline) for norm in norms]
    return rows.join(pd.concat(found, axis=1))


def _under(
    current: StoreVersion, rows: pd.DataFrame, norm: str, baseline: pd.Series | None
) -> pd.DataFrame:
    """Return the columns of one normaliser, with the index of the rows that have an NME."""
    nme = scores.column(norm, "nme")
    base = () if baseline is None else _evaluations(baseline["runs"], baseline["evaluations"])
    known = rows[rows[nme].notna()]
    parts = []
    # Faces of a manifest that has no digest may be any: such a row stands alone.
    for _, same_faces in known.groupby(known["manifest_digest"].fillna(known["id"]), sort=False):
        for first in range(0, len(same_faces), CHUNK):
            chunk = same_faces.iloc[first : first + CHUNK]
            keys = [*map(_evaluations, chunk["runs"], chunk["evaluations"])]
            # One text: see `store.paired_errors`. Older stores can get the baseline's NME later.
            named = repr((keys, base, baseline is not None and pd.notna(baseline[nme])))
            part = _intervals(current, current.path, named, keys, base, norm)
            parts.append(part.set_index(chunk.index))
    names = [*_OWN, *(_PAIRED if base else ())]
    empty = pd.DataFrame(columns=[f"{norm}_{name}" for name in names], dtype="float64")
    return pd.concat(parts) if parts else empty


def _evaluations(runs: Sequence[str], evaluations: Sequence[int]) -> Evaluations:
    return tuple(zip(runs, map(int, evaluations), strict=True))


@st.cache_data(max_entries=256, show_spinner=False)
def _intervals(
    _current: StoreVersion,
    path: str,
    named: str,
    _rows: Sequence[Evaluations],
    _base: Evaluations,
    norm: str,
) -> pd.DataFrame:
    # The store's revision is not part of the key: evaluations never change (see store.py).
    own = _errors(_current, _rows, norm)
    found = statistics.mean_intervals(own) if own.size else []
    columns = _ends(found, *_OWN) if found else _unknown(_OWN, len(own))
    if _base:
        shared = _errors(_current, (*_rows, _base), norm)
        columns |= _differences(shared[:-1], shared[-1], [row == _base for row in _rows])
    return 100 * pd.DataFrame(columns).add_prefix(f"{norm}_")


def _errors(current: StoreVersion, rows: Sequence[Evaluations], norm: str) -> np.ndarray:
    """Return (rows, faces) errors on the faces that all have, means over the runs of each row."""
    flat = [pair for row in rows for pair in row]
    errors = store.paired_errors(current, flat, norm)[norm]
    ends = np.cumsum([len(row) for row in rows])[:-1]
    return np.stack([part.mean(axis=0) for part in np.split(errors, ends)])


def _differences(
    errors: np.ndarray, baseline: np.ndarray, is_baseline: list[bool]
) -> dict[str, list[float]]:
    if not baseline.size:
        return _unknown(_PAIRED, len(errors))
    found = statistics.mean_intervals(errors - baseline)
    ends = _ends(found, *_PAIRED[:2]) | {_PAIRED[2]: [interval.estimate for interval in found]}
    return {
        name: [
            float("nan") if same else value for same, value in zip(is_baseline, values, strict=True)
        ]
        for name, values in ends.items()
    }


def _ends(found: list[statistics.Interval], low: str, high: str) -> dict[str, list[float]]:
    return {low: [i.low for i in found], high: [i.high for i in found]}


def _unknown(names: Sequence[str], n: int) -> dict[str, list[float]]:
    return {name: [float("nan")] * n for name in names}
