"""Step m016 of the schema: what a board shows of every evaluation, ready to be read.

Part of `db.tables.migrations`, which says what a step may do.
"""

from __future__ import annotations

from collections.abc import Iterator

from sqlite_utils import Database

_TABLES = (
    """
    CREATE TABLE board_entries (
        dataset    TEXT NOT NULL,
        subset     TEXT NOT NULL,
        landmarks  TEXT NOT NULL,
        box        TEXT NOT NULL,
        run        TEXT NOT NULL,
        flip_test  INTEGER NOT NULL,
        evaluation INTEGER NOT NULL,
        revision   INTEGER NOT NULL,
        created_at TEXT NOT NULL,
        name       TEXT NOT NULL,
        seed       INTEGER NOT NULL,
        facts      TEXT NOT NULL CHECK (json_valid(facts)),
        numbers    BLOB NOT NULL CHECK (length(numbers) % 8 = 0),
        PRIMARY KEY (dataset, subset, landmarks, box, run, flip_test, evaluation)
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE INDEX board_entries_run ON board_entries (run)",
    """
    CREATE TABLE board_methods (
        run    TEXT PRIMARY KEY,
        method TEXT NOT NULL
    ) STRICT, WITHOUT ROWID
    """,
    "CREATE TABLE board_stale (run TEXT PRIMARY KEY) STRICT, WITHOUT ROWID",
)

_SHOWN = (
    "id, name, family, preset, dataset, track, seed, params, macs, wall_s, state, provenance,"
    " manifest"
)
"""Columns of `runs` that a board shows; a heartbeat writes none of them."""

_RUN_OF = {
    "runs": "SELECT {row}.id",
    "run_config": "SELECT {row}.run",
    "epochs": "SELECT {row}.run",
    "evaluations": "SELECT {row}.run",
    "scores": "SELECT run FROM evaluations WHERE id = {row}.evaluation",
}
"""Tables from which the rows follow -> the run of one of their rows."""

_ROWS_OF = {"INSERT": ("new",), "DELETE": ("old",), "UPDATE": ("old", "new")}


def rows_of_boards(db: Database) -> None:
    """Apply the step. The rows are made at the end of its transaction."""
    for statement in (*_TABLES, *_triggers()):
        db.execute(statement)
    db.execute("INSERT INTO board_stale SELECT id FROM runs")


def _triggers() -> Iterator[str]:
    """Yield what marks a run as stale with every change from which its rows follow."""
    for table, run in _RUN_OF.items():
        for event, rows in _ROWS_OF.items():
            changed = f"UPDATE OF {_SHOWN}" if (table, event) == ("runs", "UPDATE") else event
            marks = " ".join(
                f"INSERT OR IGNORE INTO board_stale {run.format(row=row)};" for row in rows
            )
            yield (
                f"CREATE TRIGGER stale_{table}_{event.lower()} AFTER {changed} ON {table}"
                f" BEGIN {marks} END"
            )
