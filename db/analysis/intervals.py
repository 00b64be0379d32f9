"""Intervals of the rows of a board, and of their differences to a baseline; in percent.

The one place where rows of `db.boards.board` meet `drf.scoring.statistics`: leaderboard, exported
pages, command line and ablations show what is computed here. Rows of the same faces share the draws
and one matrix product, so a page of them costs some 25 ms.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import pandas as pd

from db.analysis import paired
from drf.scoring import scores, statistics
from drf.scoring.statistics import Interval, Method

CHUNK = 25
"""Rows worked out at once: a page of the board."""

_OWN = ("low", "high")
_PAIRED = ("difference_low", "difference_high", "difference")
_PAIRED_FACES = "faces"


@dataclass(frozen=True)
class Row:
    """What the interval of a row needs: run, evaluation and seed of each of its runs."""

    runs: tuple[str, ...]
    evaluations: tuple[int, ...]
    seeds: tuple[int, ...]

    @classmethod
    def of(cls, row: pd.Series) -> Row:
        """Return that of a row of `db.boards.board`."""
        return cls(row["runs"], tuple(map(int, row["evaluations"])), row["seeds"])


def n_seeds(row: pd.Series) -> int:
    """Return over how many seeds the scores of a row of `db.boards.board` are means."""
    return len(set(row["seeds"]))


Errors = Callable[[Sequence[Row], str], np.ndarray]
"""Rows and a normaliser -> (runs of all rows in order, faces) errors on the faces that all have."""

Chunk = Callable[[Sequence[Row], Row | None, str, bool], pd.DataFrame]
"""Works out a chunk as `of_chunk`. The last argument is whether the baseline has an NME."""


def of_board(
    con: sqlite3.Connection,
    rows: pd.DataFrame,
    norms: Sequence[str],
    baseline: pd.Series | None = None,
) -> pd.DataFrame:
    """Return `with_intervals` of rows, read from a store."""

    def errors(asked: Sequence[Row], norm: str) -> np.ndarray:
        evaluations = [number for row in asked for number in row.evaluations]
        return paired.errors(con, evaluations, [norm])[norm]

    return with_intervals(
        rows, norms, baseline, lambda chunk, base, norm, _: of_chunk(errors, chunk, base, norm)
    )


def with_intervals(
    rows: pd.DataFrame, norms: Sequence[str], baseline: pd.Series | None, chunk: Chunk
) -> pd.DataFrame:
    """Return rows of `db.boards.board` with NORM_low and NORM_high of every normaliser, percent,
    NaN where a row has no NME under it; and `interval_over`: what they are over, see
    `drf.scoring.statistics.over`.

    With a baseline (such a row) also NORM_difference, NORM_difference_low and _high: the interval
    of NME(row) - NME(baseline) over the faces that both have; NaN where they share none, and for
    the baseline itself; NORM_faces, how many faces that are; and `difference_over`.
    """
    found = [_under(rows, norm, baseline, chunk) for norm in norms]
    counts = [len(set(seeds)) for seeds in rows["seeds"]]
    said = {"interval_over": [statistics.over([n]) for n in counts]}
    if baseline is not None:
        of_base = n_seeds(baseline)
        said["difference_over"] = [statistics.over([n, of_base]) for n in counts]
    columns = pd.concat(found, axis=1).reindex(rows.index)
    return rows.assign(**columns, **said)


def of_chunk(errors: Errors, rows: Sequence[Row], base: Row | None, norm: str) -> pd.DataFrame:
    """Return the columns of rows that were evaluated on the same faces, a line each."""
    own = _methods(errors(rows, norm), rows)
    columns = _ends(statistics.intervals(own), *_OWN) if _faces(own) else _unknown(_OWN, len(rows))
    counted: dict[str, int] = {}
    if base is not None:
        if base in rows:  # its faces are those of the rows, and already read
            shared, baseline = own, own[rows.index(base)]
        else:
            *shared, baseline = _methods(errors([*rows, base], norm), [*rows, base])
        columns |= _differences(shared, baseline, [row == base for row in rows])
        counted = {f"{norm}_{_PAIRED_FACES}": baseline.errors.shape[1]}
    return (100 * pd.DataFrame(columns).add_prefix(f"{norm}_")).assign(**counted)


def _under(rows: pd.DataFrame, norm: str, baseline: pd.Series | None, chunk: Chunk) -> pd.DataFrame:
    """Return the columns of one normaliser, with the index of the rows that have an NME."""
    nme = scores.column(norm, "nme")
    base = None if baseline is None else Row.of(baseline)
    has_nme = baseline is not None and bool(pd.notna(baseline[nme]))
    known = rows[rows[nme].notna()]
    parts = []
    # Faces of a manifest that has no digest may be any: such a row stands alone.
    for _, same_faces in known.groupby(known["manifest_digest"].fillna(known["id"]), sort=False):
        for first in range(0, len(same_faces), CHUNK):
            some = same_faces.iloc[first : first + CHUNK]
            wanted = [Row(*of) for of in zip(*(some[c] for c in _ROW), strict=True)]
            parts.append(chunk(wanted, base, norm, has_nme).set_index(some.index))
    names = [*_OWN, *((*_PAIRED, _PAIRED_FACES) if base else ())]
    empty = pd.DataFrame(columns=[f"{norm}_{name}" for name in names], dtype="float64")
    return pd.concat(parts) if parts else empty


_ROW = ("runs", "evaluations", "seeds")


def _methods(errors: np.ndarray, rows: Sequence[Row]) -> list[Method]:
    ends = np.cumsum([len(row.evaluations) for row in rows])[:-1]
    return [
        Method.of_runs(part, row.seeds)
        for part, row in zip(np.split(errors, ends), rows, strict=True)
    ]


def _faces(methods: Sequence[Method]) -> int:
    return methods[0].errors.shape[1]


def _differences(
    methods: Sequence[Method], baseline: Method, is_baseline: Sequence[bool]
) -> dict[str, list[float]]:
    if not _faces(methods):
        return _unknown(_PAIRED, len(methods))
    found = statistics.differences(methods, baseline)
    columns = _ends(found, *_PAIRED[:2]) | {_PAIRED[2]: [i.estimate for i in found]}
    return {
        name: [
            float("nan") if same else value for same, value in zip(is_baseline, values, strict=True)
        ]
        for name, values in columns.items()
    }


def _ends(found: Sequence[Interval], low: str, high: str) -> dict[str, list[float]]:
    return {low: [i.low for i in found], high: [i.high for i in found]}


def _unknown(names: Sequence[str], n: int) -> dict[str, list[float]]:
    return {name: [float("nan")] * n for name in names}
