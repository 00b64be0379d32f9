"""What a store holds that follows from the rest of it, and from `drf.scoring.scores`: views with a
column for each score, the scores and errors that evaluations of an older drf lack, and what the
weights of a run learned from.

`evaluation_scores` is one row an evaluation, in percent; `leaderboard` the newest of each (run,
dataset, subset, landmarks, box, flip_test), ranked within a board by the NME under the first
normaliser that exists there; `condition` says why a row has no rank, see `db.status`. A run that
claims to be running but has not been heard of for a minute is shown as stale there too, so that
plain sqlite3 never sees a killed run as running for longer than that. Both are for people with
sqlite3: drf reads the tables.

What an evaluation lacks is computed from its stored predictions and ground truth, in transactions
of a few evaluations each, so that it can be stopped and goes on where it was. `meta.scores` names
the columns that every evaluation of the store has: where they are those of `drf.scoring.scores`,
nothing has to be looked for.

`runs.trained_on` names the dataset of a run and those of the runs that it started from (key
training.init_from), its own first; behind the dataset of each run, what the published weights
learned from that its backbone started from (key training.pretrained). It is written when the run
starts, for the other run may be deleted, or stay behind when this one is sent elsewhere; runs from
before the column have what their store tells. That of an ensemble names what its members learned
from, and is given when its run starts.
"""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Callable, Sequence

import numpy as np
from sqlite_utils import Database

from db import faces, predictions, status
from db.transactions import locked, writing
from drf.errors import NotFoundError
from drf.scoring import scores

_STATE = """CASE WHEN r.state = 'running'
          AND abs(strftime('%s', 'now') - strftime('%s', r.heartbeat_at)) > 60
         THEN 'stale' ELSE r.state END"""
_BOARD = "e.dataset, e.subset, e.landmarks, e.box"


def score_columns() -> str:
    """Return SQL that makes `scores.COLUMNS`, percent, of an evaluation `e`.

    Each is looked up by the key of `scores`: with more columns than a few that is faster than to
    pivot rows, and a view looks up no more than the columns that are asked for.
    """
    return ",\n".join(
        "(SELECT 100 * s.value FROM scores AS s WHERE s.evaluation = e.id"
        f" AND s.norm = '{norm}' AND s.score = '{score}') AS {scores.column(norm, score)}"
        for norm in scores.NORMALISER_KEYS
        for score in scores.SCORE_KEYS
    )


def views() -> dict[str, str]:
    """Return the statements that create the views, by name, in the order in which they can run."""
    columns = ", ".join(f"e.{column}" for column in scores.COLUMNS)
    headlines = [f"e.{scores.column(norm, 'nme')}" for norm in scores.NORMALISER_KEYS]
    condition = f"""CASE WHEN r.state = '{status.FINISHED}' AND e.evaluation IN (
            SELECT evaluation FROM ({status.floors_sql()}) WHERE nme >= floor
        ) THEN '{status.WORSE_THAN_FLOOR}' ELSE {_STATE} END"""
    ranked = " ".join(f"WHEN max({nme}) OVER board IS NOT NULL THEN {nme}" for nme in headlines)
    return {
        "evaluation_scores": f"""CREATE VIEW evaluation_scores AS
    SELECT e.id AS evaluation, e.run, e.dataset, e.subset, e.landmarks, e.markup, e.box,
    e.flip_test, e.n,
    {score_columns()},
    {status.MS_PER_FACE}, e.checkpoint, e.manifest_digest, e.created_at,
    e.precision AS eval_precision, e.crop_version
    FROM evaluations AS e""",
        "leaderboard": f"""CREATE VIEW leaderboard AS
    SELECT CASE WHEN e.condition = '{status.FINISHED}' THEN rank() OVER (
        PARTITION BY {_BOARD} ORDER BY e.condition != '{status.FINISHED}', e.ranked NULLS LAST
    ) END AS rank,
    r.name, r.family, {columns},
    {_BOARD}, e.markup, e.flip_test, e.n,
    r.preset, r.track, r.trained_on, r.seed, {status.known_as("params", "r.")},
    {status.known_as("macs", "r.")},
    json_extract(r.provenance, '$.precision') AS precision, {status.SPENT}, r.wall_s, e.ms_per_face,
    {_STATE} AS state, e.condition,
    e.evaluation, e.run, e.checkpoint, e.manifest_digest, e.created_at,
    e.eval_precision, e.crop_version
    FROM (
        SELECT e.*, CASE {ranked} END AS ranked, {condition} AS condition
        FROM evaluation_scores AS e JOIN runs AS r ON r.id = e.run
        WHERE e.evaluation IN (
            SELECT max(id) FROM evaluations GROUP BY run, dataset, subset, landmarks, box, flip_test
        )
        WINDOW board AS (PARTITION BY {_BOARD})
    ) AS e JOIN runs AS r ON r.id = e.run
    ORDER BY {_BOARD}, e.condition != '{status.FINISHED}', e.ranked NULLS LAST, e.evaluation""",
    }


def refresh_views(db: Database) -> None:
    """Make the views anew where they are not what `drf.scoring.scores` asks for. Call in a
    transaction."""
    wanted = views()
    found = dict(
        db.execute(
            "SELECT name, sql FROM sqlite_master WHERE type = 'view' AND name IN (?, ?)", [*wanted]
        ).fetchall()
    )
    if found == wanted:
        return
    for name in reversed(wanted):
        db.execute(f"DROP VIEW IF EXISTS {name}")
    for statement in wanted.values():
        db.execute(statement)


UNKNOWN_DATA = "unknown data"
"""Stands for what a run learned from that is not in the store."""

_BETWEEN = ", "
_ORIGIN = ", ".join(
    f"(SELECT json_extract(value, '$') FROM run_config WHERE run = id AND key = '{key}')"
    for key in ("training.pretrained", "training.init_from")
)
"""Both are empty or None where a run started from random weights."""


def datasets_of(trained_on: str) -> list[str]:
    """Return the datasets that a value of the column names, without UNKNOWN_DATA."""
    return [name for name in trained_on.split(_BETWEEN) if name != UNKNOWN_DATA]


def _is_complete(trained_on: str | None) -> bool:
    """Return whether a value of the column names all data."""
    return trained_on is not None and UNKNOWN_DATA not in trained_on.split(_BETWEEN)


def joined_trained_on(values: Sequence[str | None]) -> str:
    """Return what several runs learned from together: all that the values of the column name, each
    once, and UNKNOWN_DATA last where one of them is not complete."""
    named = [name for value in values if value for name in datasets_of(value)]
    unknown = [] if all(map(_is_complete, values)) else [UNKNOWN_DATA]
    return _BETWEEN.join(dict.fromkeys([*named, *unknown]))


def fuller_trained_on(here: str | None, there: str | None) -> str | None:
    """Return the more complete one of what two stores say of one run."""
    return there if _is_complete(there) and not _is_complete(here) else here or there


def note_trained_on(con: sqlite3.Connection, run: str) -> None:
    """Write down what a run (full id) learned from. Predictions that were imported have no such
    value, and that of an ensemble is given: see `joined_trained_on`. Call in a transaction."""
    _note_where(con, "id = :run", run)


def complete_trained_on(con: sqlite3.Connection) -> None:
    """Write down what is known by now of runs whose value is not complete. Call in a transaction.

    Step m018 calls this too: no column that came later may be used here.
    """
    _note_where(con, f"ifnull(trained_on, :unknown) LIKE '%{UNKNOWN_DATA}'")


def _note_where(con: sqlite3.Connection, where: str, run: str | None = None) -> None:
    rows = con.execute(
        f"SELECT id, dataset, {_ORIGIN}, trained_on FROM runs"
        " WHERE family NOT IN (SELECT value FROM json_each(:without_model))"
        f" AND {where} ORDER BY started_at",
        {
            "without_model": json.dumps(status.WITHOUT_MODEL),
            "unknown": UNKNOWN_DATA,
            "run": run,
        },
    )
    for one, dataset, pretrained, init_from, told in rows.fetchall():
        found = _followed(con, dataset, pretrained, init_from)
        if found != told:
            con.execute("UPDATE runs SET trained_on = ? WHERE id = ?", [found, one])


def _followed(
    con: sqlite3.Connection, dataset: str, pretrained: str | None, init_from: str | None
) -> str:
    """Return what a run of a dataset learned from, following the runs that it started from."""
    found, seen = [dataset, *_named(pretrained)], set()
    while init_from:
        row = con.execute(
            f"SELECT dataset, {_ORIGIN}, trained_on FROM runs WHERE id = ?", [init_from]
        ).fetchone()
        if row is None or init_from in seen:
            found.append(UNKNOWN_DATA)
            break
        seen.add(init_from)
        theirs, pretrained, init_from, told = row
        if _is_complete(told):
            found += datasets_of(told)
            break
        found += [theirs, *_named(pretrained)]
    return _BETWEEN.join(dict.fromkeys(found))


def _named(pretrained: str | None) -> list[str]:
    return [pretrained] if pretrained else []


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
    markup, landmarks = faces.markup(con, found[0]), found[1]
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
