"""What makes runs comparable: their configurations beside each other, and what else decides."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence

import pandas as pd

FACTS = {
    "family": "family",
    "precision": "json_extract(provenance, '$.precision')",
    "device": "json_extract(provenance, '$.device')",
    "training faces": "substr(json_extract(manifest, '$.digest'), 1, 8)",
}
"""What decides a run beside its configuration -> where it stands. A configuration may leave
precision and device to the machine ("auto"), and the same words may mean other files."""

CIRCUMSTANCES = {
    "code": "substr(json_extract(provenance, '$.git_commit'), 1, 8)",
    "hardware": "json_extract(provenance, '$.hardware')",
}
"""What may matter and usually does not: told, not compared."""


def settings(con: sqlite3.Connection, runs: Sequence[str]) -> pd.DataFrame:
    """Return FACTS and every configuration key (columns) of runs (index: full ids, in that order).

    Cells are JSON text, as stored: '4', '"joint"'. None where the run has no such key, because its
    family or its drf did not know it. Runs that are not in the store are left out.
    """
    wanted = json.dumps(list(runs))
    facts = _facts(con, FACTS, wanted)
    found: dict[str, dict[str, str]] = {
        run: {name: json.dumps(value) for name, value in row.items() if value is not None}
        for run, row in facts.items()
    }
    for run, key, value in con.execute(
        "SELECT run, key, value FROM run_config WHERE run IN (SELECT value FROM json_each(?))",
        [wanted],
    ):
        found[run][key] = value
    keys = sorted({key for row in found.values() for key in row} - FACTS.keys())
    rows = {
        run: [found[run].get(key) for key in (*FACTS, *keys)]
        for run in dict.fromkeys(runs)
        if run in found
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*FACTS, *keys], dtype=object)


def circumstances(con: sqlite3.Connection, runs: Sequence[str]) -> pd.DataFrame:
    """Return CIRCUMSTANCES (columns) of runs (index: full ids); None where it is not known."""
    rows = _facts(con, CIRCUMSTANCES, json.dumps(list(runs)))
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*CIRCUMSTANCES], dtype=object)


def _facts(
    con: sqlite3.Connection, where: dict[str, str], wanted: str
) -> dict[str, dict[str, object]]:
    columns = ", ".join(where.values())
    rows = con.execute(
        f"SELECT id, {columns} FROM runs WHERE id IN (SELECT value FROM json_each(?))", [wanted]
    )
    return {run: dict(zip(where, values, strict=True)) for run, *values in rows}
