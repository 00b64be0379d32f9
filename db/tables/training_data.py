"""What the weights of a run learned from: its dataset, and those of the runs that it started from.

`runs.trained_on` names all of them, the run's own first, as it was known when the run started: the
other run (key training.init_from) may be deleted, or stay behind when this one is sent elsewhere.
Runs from before the column have what their store tells.
"""

from __future__ import annotations

import sqlite3

from db.status import EXTERNAL

UNKNOWN = "unknown data"
"""Stands for what a run learned from that is not in the store."""

_BETWEEN = ", "
_INIT_FROM = """(
    SELECT json_extract(value, '$') FROM run_config WHERE run = id AND key = 'training.init_from'
)"""


def datasets(trained_on: str) -> list[str]:
    """Return the datasets that a value of the column names, without UNKNOWN."""
    return [name for name in trained_on.split(_BETWEEN) if name != UNKNOWN]


def is_complete(trained_on: str | None) -> bool:
    """Return whether a value of the column names all data."""
    return trained_on is not None and UNKNOWN not in trained_on.split(_BETWEEN)


def fuller(here: str | None, there: str | None) -> str | None:
    """Return the more complete one of what two stores say of one run."""
    return there if is_complete(there) and not is_complete(here) else here or there


def note(con: sqlite3.Connection, run: str) -> None:
    """Write down what a run (full id) learned from. Predictions that were imported have no such
    value. Call in a transaction."""
    _note(con, "id = :run", run)


def complete(con: sqlite3.Connection) -> None:
    """Write down what is known by now of runs whose value is not complete. Call in a transaction.

    Step m018 calls this too: no column that came later may be used here.
    """
    _note(con, f"ifnull(trained_on, :unknown) LIKE '%{UNKNOWN}'")


def _note(con: sqlite3.Connection, where: str, run: str | None = None) -> None:
    rows = con.execute(
        f"SELECT id, dataset, {_INIT_FROM}, trained_on FROM runs"
        f" WHERE family != :external AND {where} ORDER BY started_at",
        {"external": EXTERNAL, "unknown": UNKNOWN, "run": run},
    )
    for one, dataset, init_from, told in rows.fetchall():
        found = _followed(con, dataset, init_from)
        if found != told:
            con.execute("UPDATE runs SET trained_on = ? WHERE id = ?", [found, one])


def _followed(con: sqlite3.Connection, dataset: str, init_from: str | None) -> str:
    """Return what a run of a dataset learned from, following the runs that it started from."""
    found, seen = [dataset], set()
    while init_from:
        row = con.execute(
            f"SELECT dataset, {_INIT_FROM}, trained_on FROM runs WHERE id = ?", [init_from]
        ).fetchone()
        if row is None or init_from in seen:
            found.append(UNKNOWN)
            break
        seen.add(init_from)
        theirs, init_from, told = row
        if is_complete(told):
            found += datasets(told)
            break
        found.append(theirs)
    return _BETWEEN.join(dict.fromkeys(found))
