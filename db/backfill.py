"""Computes what older evaluations lack: a new score, a new normaliser.

Every prediction is stored, so an evaluation of an older drf can have whatever `drf.scores` has come
to list since. What is there is never changed. `meta.scores` names the columns that every evaluation
of the store has: where they are those of `drf.scores` nothing has to be looked for.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence

import numpy as np
from sqlite_utils import Database

from db import markups, predictions
from db.transactions import locked, writing
from drf import scores
from drf.errors import NotFoundError

AT_ONCE = 200
"""At most so many evaluations are completed where a store is opened to write: some seconds."""

TIMED = 5
"""So many are completed to find out how long the others take."""

_A_TRANSACTION = 10
_LACKING = """
    SELECT id FROM evaluations WHERE (
        SELECT count(*) FROM error_vectors
        WHERE evaluation = id AND norm IN (SELECT value FROM json_each(:norms))
    ) < json_array_length(:norms) OR (
        SELECT count(*) FROM scores
        WHERE evaluation = id AND norm IN (SELECT value FROM json_each(:norms))
        AND score IN (SELECT value FROM json_each(:scores))
    ) < json_array_length(:norms) * json_array_length(:scores)
    ORDER BY id
"""


def lacking(con: sqlite3.Connection) -> list[int]:
    """Return the ids of evaluations without some score, or errors under some normaliser."""
    if _completed(con) == _columns():
        return []
    tables = {"norms": scores.NORMALISER_KEYS, "scores": scores.SCORE_KEYS}
    values = {name: json.dumps(keys) for name, keys in tables.items()}
    return [number for (number,) in con.execute(_LACKING, values)]


def complete(
    db: Database,
    evaluations: Sequence[int],
    progress: Callable[[int, int], None] | None = None,
) -> list[int]:
    """Compute what evaluations lack from their predictions; return those where that failed.

    Ten evaluations are one transaction, so what is done stays done if it is interrupted. An
    evaluation fails where its arrays are damaged: `integrity.faults` tells how.
    progress(done, total) is called after each transaction.
    """
    failed = []
    for first in range(0, len(evaluations), _A_TRANSACTION):
        batch = evaluations[first : first + _A_TRANSACTION]
        with writing(db):
            for evaluation in batch:
                try:
                    _complete(db.conn, evaluation)
                except ValueError:
                    failed.append(evaluation)
        if progress is not None:
            progress(first + len(batch), len(evaluations))
    return failed


def seconds_for(db: Database, evaluations: Sequence[int]) -> float:
    """Return about how long `complete` takes: what the first few take, which are completed here."""
    if not evaluations:
        return 0.0
    few = evaluations[:TIMED]
    began = time.perf_counter()
    complete(db, few)
    return (time.perf_counter() - began) / len(few) * (len(evaluations) - len(few))


def note_completed(db: Database) -> None:
    """Write down that no evaluation lacks anything, if so."""
    if _completed(db.conn) == _columns() or lacking(db.conn):
        return
    with locked(db):
        if not lacking(db.conn):
            db.execute("INSERT OR REPLACE INTO meta VALUES ('scores', ?)", [_columns()])


def note_what_writes(db: Database) -> None:
    """Forget that nothing is lacking where an evaluation is written by a drf with other scores than
    the one that wrote it down. Call in the transaction."""
    db.execute("DELETE FROM meta WHERE key = 'scores' AND value != ?", [_columns()])


def _complete(con: sqlite3.Connection, evaluation: int) -> None:
    row = con.execute("SELECT markup, landmarks FROM evaluations WHERE id = ?", [evaluation])
    found = row.fetchone()
    if found is None:  # deleted meanwhile
        return
    markup, landmarks = markups.markup(con, found[0]), found[1]
    errors = {
        norm: of[evaluation]
        for norm in scores.NORMALISER_KEYS
        if evaluation in (of := predictions.error_vectors(con, [evaluation], norm))
    }
    new: dict[str, np.ndarray] = {}
    if missing := [norm for norm in scores.NORMALISER_KEYS if norm not in errors]:
        try:
            _, truth, predicted = predictions.predictions(con, evaluation)
        except NotFoundError:
            raise ValueError(f"evaluation {evaluation} has no predictions") from None
        for norm in missing:
            new[norm] = scores.image_errors(predicted, truth, norm, markup, landmarks)
    predictions.store_errors(con, evaluation, new)
    predictions.store_scores(con, evaluation, errors | new)


def _completed(con: sqlite3.Connection) -> str | None:
    row = con.execute("SELECT value FROM meta WHERE key = 'scores'").fetchone()
    return row and str(row[0])


def _columns() -> str:
    return " ".join(scores.COLUMNS)
