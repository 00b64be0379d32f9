"""What a board shows of every evaluation and its run, as one row that is ready to be read.

`board_entries` repeats what other tables say: to look up 18 scores, the end of a curve and keys of
a provenance takes several times as long as all the rest of a board of 10,000 rows. So does every
value that SQLite hands over by itself. Numbers are therefore one array, and facts of which there
are few different ones, as family and device, one JSON text, which a reader parses once for all rows
with the same. `board_methods` has the method of every run.

`board_stale` lists the runs whose rows are not true any more. Triggers of the store write the list,
whoever changes something, and every transaction of drf ends with `settle`, which makes the rows of
these runs anew. So a reader finds the list empty but for what was changed by other means, as
sqlite3 in a shell; of such a run it gets the rows from the other tables. `meta.board_rows` says
what the rows contain: where that is not what this drf reads, all runs are stale.
"""

from __future__ import annotations

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from db import status
from drf.config import NEW_KEYS
from drf.scoring import scores

TABLES = ("board_methods", "board_entries", "board_stale")
SEED = "training.seed"

PLAIN = ("evaluation", "run", "created_at", "name", "seed")
FACTS = (
    *("dataset", "subset", "landmarks", "box", "flip_test", "markup", "n", "eval_precision"),
    *("crop_version", "checkpoint", "manifest_digest", "face_set", "floor_nme"),
    *("family", "preset", "track", "trained_on", "started_from"),
    *("precision", "device", "hardware", "threads", "state"),
)
"""What `facts` is a list of. floor_nme: a fraction; started_from, threads, …: see
`status.SPENT`; state: what the run last wrote of itself."""

OTHERS = ("ms_per_face", "params", "macs", "wall_s", "epochs_trained", "steps", "faces_seen")
"""What `numbers` are, float64, after `scores.COLUMNS` as fractions. NaN stands for NULL."""

_VERSION = 3  # to be counted up where rows come to contain something else
_KEY = ("dataset", "subset", "landmarks", "box", "run", "flip_test")
_ROW = (*_KEY, "evaluation", "revision", "created_at", "name", "seed", "facts", "numbers")
_READ = (*PLAIN, "facts", "numbers")
_DIGITS = 12  # of the id of a method
_TOGETHER = 500  # runs whose rows are made at once

_CHOSEN = "IN (SELECT value FROM json_each(:runs))"
# The key is (run, key), so a configuration comes in the order of its keys. What is hashed is JSON:
# no value can be written so that it looks like another key.
_NEW = ", ".join(f"('{key}', '{json.dumps(value)}')" for key, value in NEW_KEYS.items())
_METHODS = f"""
    SELECT r.id, json_array(
        r.family,
        json_extract(r.manifest, '$.digest'),
        (SELECT json_group_object(c.key, json(c.value)) FROM (
            SELECT key, value FROM run_config
            WHERE run = r.id AND key != '{SEED}' AND (key, value) NOT IN (VALUES {_NEW})
            ORDER BY key
        ) AS c)
    ) || ifnull(json_extract(r.manifest, '$.box_file'), '')
    FROM runs AS r WHERE r.id {_CHOSEN}
"""
_RUNS = f"""
    SELECT r.id, r.name, r.seed, {status.known_as("params", "r.")},
        {status.known_as("macs", "r.")}, r.wall_s, {status.SPENT}, r.family, r.preset, r.track,
        r.trained_on, json_extract(r.provenance, '$.precision') AS precision, r.state
    FROM runs AS r WHERE r.id {_CHOSEN}
"""
_EVALUATIONS = f"""
    SELECT e.id AS evaluation, e.run, e.revision, e.created_at, {status.MS_PER_FACE}, e.dataset,
        e.subset, e.landmarks, e.box, e.flip_test, e.markup, e.n, e.precision AS eval_precision,
        e.crop_version, e.checkpoint, e.manifest_digest, e.face_set, e.floor_nme
    FROM evaluations AS e JOIN runs AS r ON r.id = e.run WHERE r.id {_CHOSEN} ORDER BY e.id
"""
_SCORES = f"""
    SELECT evaluation, norm, score, value FROM scores
    WHERE evaluation IN (SELECT id FROM evaluations WHERE run {_CHOSEN})
"""
# Of the rows of a group, SQLite takes all columns from the one with the maximum.
_NEWEST = f"""
    SELECT max(evaluation), {", ".join(_READ[1:])} FROM board_entries
    WHERE {{where}} AND NOT run {_CHOSEN}
    GROUP BY {", ".join(_KEY)}
"""


def newest(
    con: sqlite3.Connection, board: Mapping[str, str], at_revision: int | None = None
) -> list[tuple[Any, ...]]:
    """Return the newest evaluation of each run on each board, with and without flip test: PLAIN,
    facts, numbers.

    board: dataset, subset, landmarks, box, as far as they are given; at_revision: of the
    evaluations that the store had then
    """
    stale = _stale(con)
    then = 2**62 if at_revision is None else at_revision
    found: list[tuple[Any, ...]] = []
    if stale is not None:
        where = " AND ".join([*(f"{column} = :{column}" for column in board), "revision <= :then"])
        values = {**board, "then": then, **_chosen(stale)}
        found = con.execute(_NEWEST.format(where=where), values).fetchall()
    for some in _batches(_all_runs(con) if stale is None else stale):
        last = {}
        for row in _entries(con, some):  # ascending
            if row["revision"] <= then and board.items() <= row.items():
                last[tuple(row[name] for name in _KEY)] = tuple(row[name] for name in _READ)
        found += last.values()
    return found


def numbers_of(blobs: Sequence[bytes]) -> np.ndarray:
    """Return the numbers of rows: (rows, scores.COLUMNS and OTHERS)."""
    return np.frombuffer(b"".join(blobs), "<f8").reshape(
        len(blobs), len(scores.COLUMNS) + len(OTHERS)
    )


def methods(con: sqlite3.Connection) -> dict[str, str]:
    """Return {run: its method} of all runs, see `db.method_ids`."""
    stale = _stale(con)
    found: dict[str, str] = {}
    if stale is not None:
        known = f"SELECT run, method FROM board_methods WHERE NOT run {_CHOSEN}"
        found = dict(con.execute(known, _chosen(stale)).fetchall())
    for some in _batches(_all_runs(con) if stale is None else stale):
        found |= _methods(con, some)
    return dict(sorted(found.items()))


def settle(con: sqlite3.Connection) -> None:
    """Make the rows of stale runs anew. Call in a transaction.

    A run of which the store contains what nobody can read stays stale: it can still be deleted.
    """
    stale = _stale(con)
    if stale is None:
        for table in TABLES:
            con.execute(f"DELETE FROM {table}")
        con.execute("INSERT INTO board_stale SELECT id FROM runs")
        con.execute("INSERT OR REPLACE INTO meta VALUES ('board_rows', ?)", [_contents()])
        stale = _all_runs(con)
    for some in _batches(stale):
        if not _settle(con, some):
            for run in some:
                _settle(con, [run])


def wrong(con: sqlite3.Connection) -> list[tuple[str, str]]:
    """Return (table, run) where rows of a run that is not stale do not follow from the others."""
    stale = _stale(con)
    if stale is None:
        return []
    there = con.execute("SELECT run FROM board_methods UNION SELECT run FROM board_entries")
    found = []
    for some in _batches(sorted({*_all_runs(con), *(run for (run,) in there)} - {*stale})):
        for table, made in _made(con, some).items():
            stored = con.execute(f"SELECT * FROM {table} WHERE run {_CHOSEN}", _chosen(some))
            place = 0 if table == "board_methods" else _ROW.index("run")
            found += sorted({(table, str(row[place])) for row in {*stored} ^ {*made}})
    return found


def _stale(con: sqlite3.Connection) -> list[str] | None:
    """Return the runs whose rows are not true; None where no row is what this drf reads."""
    if con.execute("SELECT value FROM meta WHERE key = 'board_rows'").fetchone() != (_contents(),):
        return None
    return [run for (run,) in con.execute("SELECT run FROM board_stale")]


def _contents() -> str:
    return f"{_VERSION} {' '.join(scores.COLUMNS)}"


def _all_runs(con: sqlite3.Connection) -> list[str]:
    return [run for (run,) in con.execute("SELECT id FROM runs")]


def _batches(runs: Sequence[str]) -> Iterator[Sequence[str]]:
    for first in range(0, len(runs), _TOGETHER):
        yield runs[first : first + _TOGETHER]


def _chosen(runs: Sequence[str]) -> dict[str, str]:
    return {"runs": json.dumps(list(runs))}


def _settle(con: sqlite3.Connection, runs: Sequence[str]) -> bool:
    try:
        made = _made(con, runs)
    except (sqlite3.Error, ValueError, TypeError):
        return False
    for table, rows in made.items():
        con.execute(f"DELETE FROM {table} WHERE run {_CHOSEN}", _chosen(runs))
        for row in rows:
            con.execute(f"INSERT INTO {table} VALUES ({', '.join('?' * len(row))})", row)
    con.execute(f"DELETE FROM board_stale WHERE run {_CHOSEN}", _chosen(runs))
    return True


def _made(con: sqlite3.Connection, runs: Sequence[str]) -> dict[str, list[tuple[Any, ...]]]:
    """Return the rows of runs, as they follow from the other tables, by table."""
    return {
        "board_methods": list(_methods(con, runs).items()),
        "board_entries": [tuple(row[name] for name in _ROW) for row in _entries(con, runs)],
    }


def _methods(con: sqlite3.Connection, runs: Sequence[str]) -> dict[str, str]:
    return {
        run: hashlib.sha256(text.encode()).hexdigest()[:_DIGITS]
        for run, text in con.execute(_METHODS, _chosen(runs))
    }


def _entries(con: sqlite3.Connection, runs: Sequence[str]) -> Iterator[dict[str, Any]]:
    """Yield the rows of `board_entries`, in the order of the evaluations."""
    of_run = {row["id"]: row for row in _dicts(con.execute(_RUNS, _chosen(runs)))}
    names = (*scores.COLUMNS, *OTHERS)
    of_evaluation: dict[int, dict[str, float | None]] = {}
    for evaluation, norm, score, value in con.execute(_SCORES, _chosen(runs)):
        of_evaluation.setdefault(evaluation, {})[scores.column(norm, score)] = value
    for row in _dicts(con.execute(_EVALUATIONS, _chosen(runs))):
        row |= of_run[row["run"]] | of_evaluation.get(row["evaluation"], {})
        numbers = [np.nan if row.get(name) is None else row[name] for name in names]
        yield row | {
            "facts": json.dumps([row[name] for name in FACTS], ensure_ascii=False),
            "numbers": np.array(numbers, "<f8").tobytes(),
        }


def _dicts(rows: sqlite3.Cursor) -> Iterator[dict[str, Any]]:
    names = [name for name, *_ in rows.description]
    return (dict(zip(names, row, strict=True)) for row in rows)
