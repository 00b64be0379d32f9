"""What runs were made with, beside each other: configurations, and what else decides or differs."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence

import pandas as pd

from db import reads, status
from drf.config import NEW_KEYS
from drf.scoring import scores

COMPARED = {
    "family": "family",
    "precision": "json_extract(provenance, '$.precision')",
    "device": "json_extract(provenance, '$.device')",
    "training faces": "substr(json_extract(manifest, '$.digest'), 1, 8)",
    "training box file": "substr(json_extract(manifest, '$.box_file'), 1, 8)",
}
"""What decides a run beside its configuration -> where it stands. A configuration may leave
precision and device to the machine ("auto"), and the same words may mean other files."""

PROVENANCE_COLUMNS = {
    "code": "substr(json_extract(provenance, '$.git_commit'), 1, 8)",
    "hardware": "json_extract(provenance, '$.hardware')",
}
"""What may matter and usually does not: shown, not compared."""

_DESCRIBED = {
    column: status.known(column)
    for column in (
        *("preset", "dataset", "trained_on", "track", "landmarks", "markup", "seed"),
        *("params", "macs"),
    )
}


def settings(
    con: sqlite3.Connection, runs: Sequence[str], facts: Mapping[str, str] = COMPARED
) -> pd.DataFrame:
    """Return facts and every configuration key (columns) of runs (index: full ids, in that order).

    facts: columns -> SQL over a row of `runs`. Cells are JSON text, as stored: '4', '"joint"'. None
    where the run has no such key, because its family or its drf did not know it; but the value of
    `drf.config.NEW_KEYS` where its family has the key in another of these runs. Runs that are not
    in the store are left out.
    """
    wanted = json.dumps(list(runs))
    found: dict[str, dict[str, str]] = {
        run: {name: json.dumps(value) for name, value in row.items() if value is not None}
        for run, row in _facts(con, facts, wanted).items()
    }
    for run, key, value in con.execute(
        "SELECT run, key, value FROM run_config WHERE run IN (SELECT value FROM json_each(?))",
        [wanted],
    ):
        found[run][key] = value
    for key, value in NEW_KEYS.items():
        families = {row.get("family") for row in found.values() if key in row}
        for row in found.values():
            if row.get("family") in families:
                row.setdefault(key, json.dumps(value))
    keys = sorted({key for row in found.values() for key in row} - facts.keys())
    rows = {
        run: [found[run].get(key) for key in (*facts, *keys)]
        for run in dict.fromkeys(runs)
        if run in found
    }
    return pd.DataFrame.from_dict(rows, orient="index", columns=[*facts, *keys], dtype=object)


def provenance(con: sqlite3.Connection, runs: Sequence[str]) -> pd.DataFrame:
    """Return PROVENANCE_COLUMNS of runs (index: full ids); None where it is not known."""
    rows = _facts(con, PROVENANCE_COLUMNS, json.dumps(list(runs)))
    columns = [*PROVENANCE_COLUMNS]
    return pd.DataFrame.from_dict(rows, orient="index", columns=columns, dtype=object)


def differences(con: sqlite3.Connection, a: str, b: str, *, same: bool = False) -> pd.DataFrame:
    """Return (key, a, b, same) of the settings of two runs (full ids) that differ.

    Keys are COMPARED, columns of `runs` that describe a run, and configuration keys; values are
    Python's. A key that one of them lacks is None there, and differs.
    same: those that agree as well
    """
    facts = {"family": COMPARED["family"], **_DESCRIBED, **COMPARED}
    of = settings(con, [a, b], facts)
    rows = []
    for key in of.columns:
        one, other = of.loc[a, key], of.loc[b, key]
        rows.append((key, _value(one), _value(other), one == other))
    frame = pd.DataFrame(rows, columns=["key", "a", "b", "same"], dtype=object)
    return frame if same else frame[~frame["same"].astype(bool)].reset_index(drop=True)


def results(con: sqlite3.Connection, a: str, b: str) -> pd.DataFrame:
    """Return reads.BOARD, flip_test and every score (percent) as columns SCORE_a and SCORE_b.

    One row per board that both were evaluated on, by the newest evaluation of each. The flip test
    is no matter of an external run: it stands beside either of the other's.
    """
    shared = [*reads.BOARD, "flip_test"]
    left, right = (
        reads.evaluations(con, run).drop_duplicates(shared)[[*shared, "n", *scores.COLUMNS]]
        for run in (a, b)
    )
    of_a, of_b = (status.is_external(con, run) for run in (a, b))
    if of_a != of_b:
        shared = [*reads.BOARD]
        left, right = (
            frame.drop(columns="flip_test") if imported else frame
            for frame, imported in ((left, of_a), (right, of_b))
        )
    return left.merge(right, on=shared, suffixes=("_a", "_b"))


def _value(text: str | None) -> object:
    return None if text is None else json.loads(text)


def _facts(
    con: sqlite3.Connection, where: Mapping[str, str], wanted: str
) -> dict[str, dict[str, object]]:
    columns = ", ".join(where.values())
    rows = con.execute(
        f"SELECT id, {columns} FROM runs WHERE id IN (SELECT value FROM json_each(?))", [wanted]
    )
    return {run: dict(zip(where, values, strict=True)) for run, *values in rows}
