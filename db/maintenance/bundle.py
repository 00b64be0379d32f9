"""Chosen runs of a store as a store of their own: one file to send."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from sqlite_utils import Database

from db import reads
from db.connection import open_store
from db.maintenance import contents
from db.transactions import as_drf_error, locked
from drf.data.dataset import FREE
from drf.errors import NotFoundError, StoreError
from drf.files import replacing_file

_RUNS = "(SELECT value FROM json_each(:runs))"
_EVALUATIONS = f"""(
    SELECT id FROM evaluations WHERE run IN {_RUNS} AND (:subset IS NULL OR subset = :subset)
)"""
_OF_RUNS = f"WHERE run IN {_RUNS}"
_OF_EVALUATIONS = f"WHERE evaluation IN {_EVALUATIONS}"
_SHOWN = " UNION ".join(
    (
        f"SELECT face FROM predictions {_OF_EVALUATIONS}",
        f"SELECT face FROM epoch_predictions {_OF_RUNS}",
        f"SELECT face FROM leaf_faces {_OF_RUNS}",
    )
)
CHOSEN = {
    "markups": "",
    "runs": f"WHERE id IN {_RUNS}",
    "run_config": _OF_RUNS,
    "epochs": _OF_RUNS,
    "faces": f"WHERE id IN ({_SHOWN})",
    "old_method_ids": _OF_RUNS,
    "face_sets": f"WHERE id IN (SELECT face_set FROM evaluations WHERE id IN {_EVALUATIONS})",
    "evaluations": f"WHERE id IN {_EVALUATIONS}",
    "scores": _OF_EVALUATIONS,
    "predictions": _OF_EVALUATIONS,
    "error_vectors": _OF_EVALUATIONS,
    "epoch_predictions": _OF_RUNS,
    "leaf_galleries": _OF_RUNS,
    "leaves": _OF_RUNS,
    "leaf_faces": _OF_RUNS,
    "notes": _OF_RUNS,
    "tags": _OF_RUNS,
    "stars": _OF_RUNS,
    "latencies": _OF_RUNS,
    "views": "",
    # A bundle is about the runs in it, not about those that are gone or still to be made.
    **dict.fromkeys(("deletions", "sweeps", "sweep_jobs"), "WHERE 0"),
}
"""Which rows of every table go along, parents first. `meta` does as a whole; what a board shows of
the runs is made anew (`db.tables.board_rows`)."""

_PICTURES = ("crop", "to_picture")


@dataclass(frozen=True)
class Selection:
    """What of a store is exported.

    runs    full ids
    subset  only evaluations on this subset; None: all
    """

    runs: tuple[str, ...]
    subset: str | None = None


def select(
    con: sqlite3.Connection, *, runs: Sequence[str] = (), subset: str | None = None
) -> Selection:
    """Return the runs named (by id or name, see `reads.find_run`), else all finished ones.

    subset: only of those that were evaluated on it. Raises NotFoundError where nothing is left.
    """
    named = [reads.find_run(con, run) for run in runs]
    known = reads.runs(con)
    chosen = named or known.loc[known["status"] == "finished", "id"].tolist()
    if subset is not None:
        evaluated = con.execute("SELECT DISTINCT run FROM evaluations WHERE subset = ?", [subset])
        there = {run for (run,) in evaluated}
        chosen = [run for run in chosen if run in there]
    if not chosen:
        on = "" if subset is None else f" that was evaluated on {subset!r}"
        raise NotFoundError(f"there is no finished run{on} to export; `drf leaderboard` shows all")
    return Selection(tuple(dict.fromkeys(chosen)), subset)


def pictures(con: sqlite3.Connection) -> dict[str, int]:
    """Return the number of pictures in a store, by dataset."""
    return dict(con.execute("SELECT dataset, count(crop) FROM faces GROUP BY dataset"))


def restricted(pictures: Mapping[str, int]) -> dict[str, int]:
    """Return the pictures, by dataset, that have terms of somebody else, see
    `drf.data.dataset.terms_of`."""
    return {name: n for name, n in pictures.items() if n and name not in FREE}


def write_bundle(
    con: sqlite3.Connection, target: Path, selection: Selection, *, images: bool
) -> None:
    """Write a store with the chosen runs, as the source is at this moment.

    images  whether the crops of faces go along; points and predictions always do
    Ids and the revision stay, so links to the source fit the bundle too. It takes its name when it
    is complete, and has no write-ahead log, so it can be read from any disk. Raises UsageError if
    there is a file of that name or no folder, StoreError or DrfError where it cannot be written,
    and StoreError where the chosen rows contain what drf cannot read (`db.maintenance.contents`).
    """
    try:
        with replacing_file(target, overwrite=False) as unfinished:
            _fill(con, unfinished, selection, images)
    except sqlite3.Error as error:
        raise as_drf_error(error, str(target)) or error from error


def _fill(con: sqlite3.Connection, path: Path, selection: Selection, images: bool) -> None:
    db = open_store(path)
    chosen = {"runs": json.dumps(selection.runs), "subset": selection.subset}
    con.execute("BEGIN")  # all tables as of one moment, while others write
    try:
        with locked(db):
            for table in ("meta", "markups"):  # what a new store has
                db.execute(f"DELETE FROM {table}")
            _copy(con, db, "meta", "", {}, ())
            for table, which in CHOSEN.items():
                without = _PICTURES if table == "faces" and not images else ()
                _copy(con, db, table, which, chosen, without)
            _refuse_faulty(db.conn)
    finally:
        con.execute("ROLLBACK")
    db.execute("PRAGMA journal_mode = DELETE")
    db.close()


def _refuse_faulty(con: sqlite3.Connection) -> None:
    """Raise StoreError for what nobody could read who is sent the bundle."""
    if fault := next(contents.faults(con), None):
        raise StoreError(
            f"{fault.subject}: {fault.problem}, so this cannot be exported; `drf db check` lists"
            " all of it, and --run exports runs without a fault"
        )


def _copy(
    con: sqlite3.Connection,
    db: Database,
    table: str,
    which: str,
    chosen: dict[str, str | None],
    without: Sequence[str],
) -> None:
    """Copy the chosen rows of a table; columns `without` stay NULL."""
    columns = [name for _, name, *_ in con.execute(f"PRAGMA table_info({table})")]
    columns = [name for name in columns if name not in without]
    marks = ", ".join("?" * len(columns))
    names = ", ".join(columns)
    db.conn.executemany(
        f"INSERT INTO {table} ({names}) VALUES ({marks})",
        con.execute(f"SELECT {names} FROM {table} {which}", chosen),
    )
