"""How long models take for one face: what `drf bench` measured of runs, and on which hardware.

A run has one measurement for each kind of hardware, the newest. Milliseconds of different hardware
do not compare, so a board shows those of one kind alone, see `on_boards`.
"""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, fields

import numpy as np
import pandas as pd
from sqlite_utils import Database

from db import reads
from db.recording.runs import require_run
from db.transactions import writing

COLUMNS = ("latency_ms", "latency_p90_ms", "latency_on")
"""Columns of a board, see `on_boards`."""


@dataclass(frozen=True)
class Latency:
    """Milliseconds of single passes for one face, see `experiments.latency`.

    hardware     name of the processor
    threads      on how many it was measured
    torch        its version
    measured_at  UTC, as `db.file.now`
    """

    p50_ms: float
    p90_ms: float
    hardware: str
    threads: int
    torch: str
    measured_at: str


WHAT = "p50 of single passes for one face on one thread, by drf bench"
"""What `latency_ms` is."""

HEADING = "p50 ms, 1 face,\n1 thread"
"""Heading of `latency_ms` in a table, which may break it at the end of the first line."""

_LISTED = 5

Measured = Mapping[str, Sequence[Latency]]
"""Run (full id) -> its measurements, the newest first."""


def record_latency(db: Database, run: str, measured: Latency) -> None:
    """Record a measurement of a run, in place of an earlier one on the same hardware. Raises
    NotFoundError if the run was deleted."""
    with writing(db):
        require_run(db, run)
        db.table("latencies").insert({"run": run, **asdict(measured)}, replace=True)


def of_runs(con: sqlite3.Connection, run: str | None = None) -> Measured:
    """Return the measurements of all runs that have some, or of one (full id)."""
    names = ", ".join(field.name for field in fields(Latency))
    rows = con.execute(
        f"SELECT run, {names} FROM latencies WHERE ?1 IS NULL OR run = ?1"
        " ORDER BY run, measured_at DESC, hardware",
        [run],
    )
    found: dict[str, list[Latency]] = {}
    for of, *values in rows:
        found.setdefault(of, []).append(Latency(*values))
    return found


def hardware_of(measured: Measured, runs: Sequence[str]) -> str | None:
    """Return the hardware on which most of some runs were measured, of several the one used last;
    None where none was measured."""
    mine = [one for run in set(runs) for one in measured.get(run, ())]
    counts = Counter(one.hardware for one in mine)
    last = {one.hardware: one.measured_at for one in sorted(mine, key=lambda one: one.measured_at)}
    return max(counts, key=lambda name: (counts[name], last[name], name), default=None)


def on_boards(con: sqlite3.Connection, entries: pd.DataFrame) -> pd.DataFrame:
    """Return entries of any number of boards (`db.reads.leaderboard`) with COLUMNS: p50 and p90 on
    the hardware of their board (`hardware_of`), NaN where a run has none there, and the hardware
    that the run was measured on: another one where the milliseconds are NaN, None where there is
    none at all."""
    p50, p90 = (np.full(len(entries), np.nan) for _ in range(2))
    on = np.full(len(entries), None)
    if measured := of_runs(con):
        runs = entries["run"].to_numpy()
        for places in entries.groupby(list(reads.BOARD)).indices.values():
            hardware = hardware_of(measured, runs[places])
            for place in places:
                for one in measured.get(runs[place], ()):
                    on[place] = on[place] or one.hardware
                    if one.hardware == hardware:
                        p50[place], p90[place], on[place] = one.p50_ms, one.p90_ms, hardware
    return entries.assign(**dict(zip(COLUMNS, (p50, p90, on), strict=True)))


def explanation(rows: pd.DataFrame) -> str:
    """Return what must be said beside the milliseconds of some rows of a board (COLUMNS and name):
    what they are of, the hardware, and which rows were measured on another one alone. Empty where
    none has any."""
    known = rows["latency_ms"].notna()
    if not known.any():
        return ""
    hardware = rows.loc[known, "latency_on"].iloc[0]
    said = f"Milliseconds: {WHAT}, on {hardware}."
    others = rows.loc[~known & rows["latency_on"].notna(), ["name", "latency_on"]]
    if others.empty:
        return said
    named = [f"{name} ({on})" for name, on in others.drop_duplicates().to_numpy()]
    more = len(named) - _LISTED
    listed = ", ".join(named[:_LISTED]) + (f" and {more} more" if more > 0 else "")
    return f"{said} Not compared, because measured on other hardware alone: {listed}."
