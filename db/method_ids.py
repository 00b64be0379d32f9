"""Which runs are one method: the same configuration on the same faces, whatever the seed."""

from __future__ import annotations

import sqlite3

import pandas as pd

from db.tables import board_rows

SHORTEST = 4
"""Characters of a method's id that name it where a run is asked for."""


def today(con: sqlite3.Connection, method: str) -> str | None:
    """Return the method of today for an id, or the beginning of one, that a link names: itself, or
    for an id from before configuration keys were renamed that of its runs. None where no run of it
    is in the store.
    """
    methods = method_of_runs(con)
    if same := [one for one in methods if one.startswith(method)]:
        return same[0]
    found = con.execute(
        "SELECT run FROM old_method_ids WHERE substr(method, 1, length(:id)) = :id ORDER BY run",
        {"id": method},
    )
    known = [str(methods[run]) for (run,) in found if run in methods.index]
    return known[0] if known else None


def runs_of(con: sqlite3.Connection, method: str) -> list[str]:
    """Return the runs (full ids, newest first) of the one method whose id, of today or before,
    begins so; none where several do, and for fewer characters than SHORTEST."""
    found = today(con, method.lower()) if len(method) >= SHORTEST else None
    methods = method_of_runs(con)
    if found is None or len({one for one in methods if one.startswith(method.lower())}) > 1:
        return []
    newest = con.execute("SELECT id FROM runs ORDER BY started_at DESC, id")
    return [run for (run,) in newest if methods.get(run) == found]


def method_of_runs(con: sqlite3.Connection) -> pd.Series:
    """Return the method of every run: index `run` (id), values of 12 hex digits, named `method`.

    A method is the first digits of the SHA-256 of family, digest of the training faces, stored
    configuration without `training.seed` and, where there was one, digest of the box file. Keys of
    `drf.config.NEW_KEYS` with the value there are left out. So runs share one if and only if they
    differ in nothing but their seed (and what is no configuration: name, code, machine).
    """
    made = board_rows.methods(con)
    index = pd.Index(made.keys(), name="run", dtype="str")
    return pd.Series(made.values(), index=index, name="method", dtype="str")
