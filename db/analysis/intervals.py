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
_PAIRED = ("difference_low", "difference_high")
_DIFFERENCE, _PAIRED_FACES = "difference", "faces"
_UNKNOWN = Interval(float("nan"), float("nan"), float("nan"))


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
    unknown = [_UNKNOWN] * len(rows)
    if base is None:
        return _percent(norm, _ends(statistics.intervals(own) if _faces(own) else unknown, _OWN))
    if base in rows:  # its faces are those of the rows, and already read
        baseline = own[rows.index(base)]
        alone, paired = statistics.both(own, baseline) if _faces(own) else (unknown, unknown)
    else:
        *shared, baseline = _methods(errors([*rows, base], norm), [*rows, base])
        alone = statistics.intervals(own) if _faces(own) else unknown
        paired = statistics.differences(shared, baseline) if _faces(shared) else unknown
    paired = [_UNKNOWN if row == base else of for row, of in zip(rows, paired, strict=True)]
    columns = _ends(alone, _OWN) | _ends(paired, _PAIRED)
    columns[_DIFFERENCE] = [of.estimate for of in paired]
    faces = {f"{norm}_{_PAIRED_FACES}": baseline.errors.shape[1]}
    return _percent(norm, columns).assign(**faces)


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
    names = [*_OWN, *((*_PAIRED, _DIFFERENCE, _PAIRED_FACES) if base else ())]
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


def _ends(found: Sequence[Interval], names: tuple[str, str]) -> dict[str, list[float]]:
    low, high = names
    return {low: [i.low for i in found], high: [i.high for i in found]}


def _percent(norm: str, columns: dict[str, list[float]]) -> pd.DataFrame:
    return 100 * pd.DataFrame(columns).add_prefix(f"{norm}_")
