"""Runs that drf did not train: a method's predictions, imported from a file.

Such a run has the family EXTERNAL and nothing that only a training or a model has. Columns of
`runs` that may not be NULL contain 0 where nothing is known; whoever reads them reads NULL.
"""

from __future__ import annotations

import sqlite3

FAMILY = "external"

NOT_MEASURED = 0.0
"""Milliseconds a face of predictions that were made elsewhere; what was measured is more."""

_UNKNOWN = ("params", "macs")


def known(column: str, table: str = "") -> str:
    """Return SQL that reads a column of `runs`, NULL where an external run has no such fact.

    table: alias of `runs` with its dot, e.g. "r."
    """
    if column not in _UNKNOWN:
        return f"{table}{column}"
    return f"CASE WHEN {table}family = '{FAMILY}' THEN NULL ELSE {table}{column} END"


def known_as(column: str, table: str = "") -> str:
    """Return `known` under the name of the column."""
    return f"{known(column, table)} AS {column}"


TRAINED_ON = f"CASE WHEN r.family = '{FAMILY}' THEN NULL ELSE r.dataset END AS trained_on"
"""Column of a run `r`: the dataset of its training faces, NULL where it is not known."""


def is_external(con: sqlite3.Connection, run: str) -> bool:
    """Return whether a run (full id) was imported."""
    row = con.execute("SELECT family FROM runs WHERE id = ?", [run]).fetchone()
    return row is not None and row[0] == FAMILY


MS_PER_FACE = f"nullif(e.ms_per_face, {NOT_MEASURED}) AS ms_per_face"
"""Column of an evaluation `e`, NULL where nothing was measured."""
