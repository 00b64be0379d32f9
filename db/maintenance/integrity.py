"""Checks a whole store: its schema, SQLite's own checks, what stands in its columns, and that every
score follows from the arrays."""

from __future__ import annotations

import contextlib
import json
import re
import sqlite3
from collections.abc import Iterator
from itertools import chain
from pathlib import Path

import numpy as np

from db import connection
from db.arrays import COVARIANCE_BYTES, POINT_BYTES, points_from_blobs
from db.faces import markup
from db.maintenance import contents
from db.predictions import error_vectors, face_ids
from db.tables import board_rows, schema
from db.tables.schema import Fault
from drf.errors import StoreError, UsageError
from drf.scoring import scores

_POINTS = f"{POINT_BYTES} * json_array_length(definition, '$.flip')"
_BLOBS = (  # table, how its rows come by their markup, what names a row, column, its size in bytes
    ("faces", "", "id", "points", _POINTS),
    ("faces", "", "id", "visibility", "json_array_length(definition, '$.flip')"),
    ("predictions", "evaluations ON id = evaluation", "evaluation || '/' || face", "prediction",
     _POINTS),
    ("predictions", "evaluations ON id = evaluation", "evaluation || '/' || face", "covariance",
     f"{COVARIANCE_BYTES} * json_array_length(definition, '$.flip')"),
    ("epoch_predictions", "runs ON id = run", "run || '/' || epoch_predictions.epoch", "prediction",
     _POINTS),
    ("leaf_galleries", "runs ON id = run", "run", "mean_shape", _POINTS),
    ("leaves", "runs ON id = run", "run || '/' || number", "points",
     f"{POINT_BYTES} * max(json_array_length(leaves.landmarks), 1)"),
    ("leaves", "runs ON id = run", "run || '/' || number", "std", "length(points)"),
    ("leaves", "runs ON id = run", "run || '/' || number", "distribution", "2 * height * width"),
)  # fmt: skip
_OF_A_RULE = re.compile(r"CHECK constraint failed in|.+ value in \w+\.\w+$")
"""What SQLite says of rows without naming them; the other checks do."""

TOLERANCE = 1e-9
"""Of a fraction; sums in another order differ by far less, real damage by far more."""


EXPLAINED_IN_S = 5.0
"""At most so long is looked for the reason why something failed."""


def faults(con: sqlite3.Connection) -> list[Fault]:
    """Return everything that is wrong with an open store; none if it is sound.

    Scores and normalisers that this drf does not know are left alone.
    """
    for found in _checks(con):
        if broken := list(found):
            return broken  # what the later checks would read means nothing
    return schema.outdated_views(schema.declared(con))


def recomputed(con: sqlite3.Connection) -> tuple[int, int]:
    """Return how many evaluations and scores of a sound store `faults` has recomputed."""
    keys = [json.dumps(one) for one in (scores.NORMALISER_KEYS, scores.SCORE_KEYS)]
    found = con.execute(
        "SELECT (SELECT count(*) FROM evaluations), (SELECT count(*) FROM scores"
        " WHERE norm IN (SELECT value FROM json_each(?))"
        " AND score IN (SELECT value FROM json_each(?)))",
        keys,
    ).fetchone()
    return int(found[0]), int(found[1])


def explain(path: Path) -> StoreError | None:
    """Return the sentence for something that failed while a store was read, if the reason is what
    the store contains, and None if that is sound: then it is a fault of drf.
    """
    try:
        with contextlib.closing(connection.open_reader(path, limit_s=EXPLAINED_IN_S)) as con:
            fault = next(chain.from_iterable(_checks(con)), None)
    except StoreError as error:
        return error
    except Exception:  # there is no store, it takes too long: what failed must not be hidden by it
        return None
    if fault is None:
        return None
    return StoreError(
        f"{path} contains what drf cannot read: {fault.subject}: {fault.problem}; `drf db check`"
        " lists all of it: restore a backup, or delete the faulty runs"
    )


def _checks(con: sqlite3.Connection) -> Iterator[Iterator[Fault]]:
    """Yield the checks, each of which trusts in those before it."""
    pages = list(_pages(con))
    yield (fault for fault in pages if not _OF_A_RULE.match(fault.problem))
    yield contents.faults(con)
    yield chain(_references(con), _blob_sizes(con), _evaluations(con), _board_rows(con))
    yield iter(pages)


def _evaluations(con: sqlite3.Connection) -> Iterator[Fault]:
    evaluations = con.execute("SELECT id, markup, landmarks, n FROM evaluations ORDER BY id")
    for evaluation in evaluations.fetchall():
        yield from _evaluation(con, *evaluation)


def _board_rows(con: sqlite3.Connection) -> Iterator[Fault]:
    for table, run in board_rows.wrong(con):
        yield Fault("board rows", f"{table} {run}", "do not follow from what they repeat")


def _pages(con: sqlite3.Connection) -> Iterator[Fault]:
    try:
        for (message,) in con.execute("PRAGMA integrity_check"):
            if message != "ok":
                yield Fault("integrity", "file", message)
    except sqlite3.DatabaseError as error:
        yield Fault("integrity", "file", str(error))


def _references(con: sqlite3.Connection) -> Iterator[Fault]:
    for table, row, parent, _ in con.execute("PRAGMA foreign_key_check"):
        yield Fault("references", f"{table} row {row}", f"refers to a row of {parent} not there")


def _blob_sizes(con: sqlite3.Connection) -> Iterator[Fault]:
    for table, through, key, column, size in _BLOBS:
        joined = f"{table} JOIN {through}" if through else table
        owner = through.partition(" ")[0] or table
        rows = con.execute(
            f"SELECT {key}, length({column}), {size} FROM {joined}"
            f" JOIN markups ON markups.name = {owner}.markup WHERE length({column}) != {size}"
        )
        for row, found, expected in rows:
            yield Fault(
                "blobs", f"{table} {row}", f"{column} has {found} bytes instead of {expected}"
            )


def _evaluation(
    con: sqlite3.Connection, identity: int, of: str, landmarks: str, n: int
) -> Iterator[Fault]:
    subject = f"evaluation {identity}"
    known = con.execute("SELECT 1 FROM markups WHERE name = ?", [of]).fetchone()
    if not known:
        return  # a broken reference, which is told already
    scheme = markup(con, of)
    size = POINT_BYTES * scheme.n_points
    rows = con.execute(
        "SELECT points, prediction, face FROM predictions JOIN faces ON id = face"
        " WHERE evaluation = ? AND length(points) = ? AND length(prediction) = ?"
        " ORDER BY face",
        [identity, size, size],
    ).fetchall()
    if len(rows) != n:
        yield Fault("count", subject, f"says {n} faces but has {len(rows)}")
    if not rows:
        return
    truth, predicted = (points_from_blobs([row[i] for row in rows]) for i in (0, 1))
    faces = face_ids(con, [identity]).get(identity)
    if faces is None or faces.tolist() != [row[2] for row in rows]:
        yield Fault("face set", subject, "its set of faces is not that of its predictions")
        return
    for norm in scores.NORMALISER_KEYS:
        errors = error_vectors(con, [identity], norm).get(identity)
        if errors is None:
            yield Fault(
                "error vectors", subject, f"has no {norm} errors yet: `drf db migrate` adds them"
            )
            continue
        try:
            expected = scores.image_errors(predicted, truth, norm, scheme, landmarks)
        except (ValueError, UsageError) as error:
            yield Fault("predictions", subject, f"has no errors: {error}")
            return
        if off := _differing(errors, expected):
            yield Fault(
                "error vectors", subject, f"{off} {norm} errors do not follow from the points"
            )
        if wrong := _wrong_scores(con, identity, norm, errors):
            values = ", ".join(said for said in wrong.values() if said)
            both = f" (stored: {values})" if values else ""
            yield Fault(
                "scores", subject, f"{', '.join(wrong)} do not follow from the errors{both}"
            )


def _differing(errors: np.ndarray, expected: np.ndarray) -> int:
    """Return how many errors are not the expected ones; both NaN is the same."""
    if errors.shape != expected.shape:
        return max(len(errors), len(expected))
    close = np.abs(errors - expected) <= TOLERANCE
    return int(np.sum(~(close | (np.isnan(errors) & np.isnan(expected)))))


def _wrong_scores(
    con: sqlite3.Connection, evaluation: int, norm: str, errors: np.ndarray
) -> dict[str, str]:
    """Return the names of scores that are missing or other than recomputed, each with both values
    as text, "" where one of them is not there."""
    stored = dict(
        con.execute(
            "SELECT score, value FROM scores WHERE evaluation = ? AND norm = ?", [evaluation, norm]
        ).fetchall()
    )
    expected = scores.summary(errors)

    def is_wrong(key: str) -> bool:
        if key not in stored or (stored[key] is None) != (key not in expected):
            return True
        return key in expected and abs(stored[key] - expected[key]) > TOLERANCE

    def both(key: str) -> str:
        if stored.get(key) is None or key not in expected:
            return ""
        return f"{stored[key]:.12g} for {expected[key]:.12g}"

    return {f"{norm} {key}": both(key) for key in scores.SCORE_KEYS if is_wrong(key)}
