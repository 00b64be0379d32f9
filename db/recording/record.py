"""The record of a run: a store that holds this run alone, beside its checkpoints.

A training writes into the record what it writes into the store, and before it. So the results lie
where the weights do: a store that was locked, lost or put back to an earlier state gets from there
what it lacks.
"""

from __future__ import annotations

import contextlib
import re
import sqlite3
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
from sqlite_utils import Database

from db import reads, status
from db.connection import open_store
from db.faces import box_label_here, delete_orphan_faces, insert_faces, store_markup
from db.predictions import face_ids, store_face_set
from db.recording import words
from db.recording.runs import LostRun, require_run
from db.tables.derived import complete_trained_on, fuller_trained_on, note_what_writes
from db.transactions import Store, as_drf_error, writing
from drf.errors import DrfError, NotFoundError, UsageError

RECORD = "record.db"
"""Name of the file in a run's folder."""

BESIDE = (*words.TABLES, "latencies")
"""Tables of what may be added to a run at any time without changing its results."""


def open_record(folder: Path, store: Database, run: str) -> Store:
    """Open the record of a run that the store has. Where there is none, as for runs of earlier
    versions, it is made from what the store has. Raises DrfError if it is another run's."""
    record = open_store(folder / RECORD)
    try:
        if not (there := _runs(record)):
            bring_run(store.conn, record, run)
        elif there != [run]:
            raise DrfError(f"{folder / RECORD} is the record of another run; remove it")
    except BaseException:
        record.close()
        raise
    return record


def claim_of(record: Database, run: str) -> int:
    """Return the number of the claim that a record knows."""
    return int(record.execute("SELECT claim FROM runs WHERE id = ?", [run]).fetchone()[0])


def pass_on(store: Database, record: Database, run: str, claim: int) -> None:
    """Let the record know a claim that was made in the store. From then on no process with an
    older one writes there. Raises LostRun if this claim is not the newest."""
    with writing(record):
        if claim_of(record, run) >= claim:
            raise LostRun(f"run {run[:8]} was resumed by another process at the same time")
        _bring_row(store.conn, record, run)
        _bring_beside(store.conn, record, run)


def forget_after(record: Database, run: str, epoch: int) -> None:
    """Delete what is recorded of epochs after one: a run goes on from the checkpoint of this one,
    and makes them once more."""
    with writing(record):
        for table in ("epochs", "epoch_predictions"):
            record.execute(f"DELETE FROM {table} WHERE run = ? AND epoch > ?", [run, epoch])


def find_record(folder: Path) -> tuple[Store, str]:
    """Open the record in the folder of any run; return it with the id of the run.

    Raises NotFoundError without one, DrfError if it does not hold one run.
    """
    path = folder / RECORD
    if not path.is_file():
        raise NotFoundError(f"there is no {RECORD} in {folder}; name the folder of a run")
    record = open_store(path)  # which brings an older one up to date
    there = _runs(record)
    if len(there) != 1 or not re.fullmatch("[0-9a-f]{32}", there[0]):
        record.close()
        raise DrfError(f"{path} is not the record of one run; name the folder of a run")
    return record, there[0]


def recover(record: Database, store: Database, run: str) -> bool:
    """Bring a run from its record into a store; return whether the store has the state of the
    record now. May be repeated.

    What the store has of the run stays where it is further than the record. Raises UsageError while
    the process of the run may still write, and if the store has another run under its id.
    """
    theirs, ours = _row(record.conn, run), _row(store.conn, run)
    assert theirs is not None
    if why := status.why_not_free(theirs):
        raise UsageError(f"{why}; recover it when that has ended")
    if ours is not None and any(ours[name] != theirs[name] for name in _SAME):
        raise UsageError(f"the store has another run under the id {run}; name another with --db")
    if ours is not None and _how_far(store, ours) > _how_far(record, theirs):
        bring_evaluations(record.conn, store, run)
        return False
    bring_run(record.conn, store, run)
    return True


def bring_run(source: sqlite3.Connection, target: Database, run: str) -> None:
    """Copy a run from one store into another, which has the same of it afterwards: evaluations that
    only the target has stay, everything else of the run is replaced, but for what stands beside it
    (BESIDE): that of the target is the newer one."""
    with _snapshot(source), writing(target):
        known = _row(target.conn, run)
        _bring_row(source, target, run)
        if known is None:
            _bring_beside(source, target, run)
        else:
            target.table("runs").update(run, {"name": known["name"]})
        for table in ("epochs", "old_method_ids"):
            _replace(source, target, table, run)
        ids = _bring_faces(source, target, _SEEN_BY_RUN, [run, run], pictures=True)
        _replace(source, target, "epoch_predictions", run, ids)
        for table in ("leaf_galleries", "leaves", "leaf_faces"):  # the first one takes the others
            _replace(source, target, table, run, ids)
        _bring_evaluations(source, target, run, pictures=True)
        delete_orphan_faces(target)


def bring_beside(folder: Path, store: Database, run: str) -> None:
    """Let the record in a run's folder, where it has one, know the run's name and what stands
    beside it now (BESIDE)."""
    if (folder / RECORD).is_file():
        with contextlib.closing(open_record(folder, store, run)) as record, writing(record):
            record.table("runs").update(run, {"name": require_run(store, run)["name"]})
            _bring_beside(store.conn, record, run)


@contextmanager
def where_possible(folder: Path, say: Callable[[str], None]) -> Iterator[None]:
    """Say, and do not raise, what keeps a block from writing into the record of a run's folder (a
    lock, a full disk) what the store has by now."""
    try:
        yield
    except (DrfError, sqlite3.Error) as error:
        where = str(folder / RECORD)
        known = error if isinstance(error, DrfError) else as_drf_error(error, where)
        if known is None:
            raise
        say(f"The store is changed; the record beside the checkpoints is not: {known}.")


def bring_evaluations(
    source: sqlite3.Connection, target: Database, run: str, *, pictures: bool = True
) -> None:
    """Copy the evaluations of a run that the target lacks. pictures: whether with the crops of
    their faces."""
    with _snapshot(source), writing(target):
        _bring_evaluations(source, target, run, pictures=pictures)


_SAME = ("family", "dataset", "landmarks", "markup", "seed", "started_at")
"""Columns that two states of one run have in common."""
_SEEN_BY_RUN = (
    "SELECT face FROM epoch_predictions WHERE run = ?"
    " UNION SELECT face FROM leaf_faces WHERE run = ?"
)
_EVALUATED = "SELECT face FROM predictions WHERE evaluation = ?"
_FACE_KEY = "dataset, name, markup, points, visibility"
_EVALUATION_KEY = ("subset", "landmarks", "box", "flip_test", "created_at")


def _runs(db: Database) -> list[str]:
    return [run for (run,) in db.execute("SELECT id FROM runs ORDER BY id")]


def _row(con: sqlite3.Connection, run: str) -> dict[str, Any] | None:
    return next(iter(_rows(con, "runs", "id = ?", [run])), None)


def _how_far(db: Database, row: dict[str, Any]) -> tuple[int, int, str]:
    """Return what grows while a run goes on: number of the claim, epochs recorded, end."""
    (epochs,) = db.execute("SELECT max(epoch) FROM epochs WHERE run = ?", [row["id"]]).fetchone()
    return row["claim"], -1 if epochs is None else epochs, row["ended_at"] or ""


@contextmanager
def _snapshot(source: sqlite3.Connection) -> Iterator[None]:
    """Read all tables as of one moment, while others write."""
    source.execute("BEGIN")
    try:
        yield
    finally:
        source.execute("ROLLBACK")


def _rows(
    con: sqlite3.Connection, table: str, where: str, values: Sequence[object]
) -> list[dict[str, Any]]:
    cursor = con.execute(f"SELECT * FROM {table} WHERE {where}", values)
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor]


def _bring_row(source: sqlite3.Connection, target: Database, run: str) -> None:
    """Copy the row of a run and its configuration. The row is updated in place: what refers to it
    would be deleted with it."""
    row, known = _row(source, run), _row(target.conn, run)
    if row is None:
        raise NotFoundError(f"run {run[:8]} is not in the store any more")
    if known is not None:
        row["trained_on"] = fuller_trained_on(known["trained_on"], row["trained_on"])
    store_markup(target, reads.markup(source, row["markup"]))
    target.table("runs").upsert(row, pk="id")
    _replace(source, target, "run_config", run)
    complete_trained_on(target.conn)


def _bring_beside(source: sqlite3.Connection, target: Database, run: str) -> None:
    for table in BESIDE:
        _replace(source, target, table, run)


def _replace(
    source: sqlite3.Connection,
    target: Database,
    table: str,
    run: str,
    faces: dict[int, int] | None = None,
) -> None:
    """Give the target the rows of a run that the source has, in place of its own.

    faces: ids of the source -> of the target
    """
    rows = _rows(source, table, "run = ?", [run])
    if faces is not None:
        rows = [row | {"face": faces[row["face"]]} if "face" in row else row for row in rows]
    target.execute(f"DELETE FROM {table} WHERE run = ?", [run])
    target.table(table).insert_all(rows)


def _bring_faces(
    source: sqlite3.Connection,
    target: Database,
    which: str,
    values: Sequence[object],
    *,
    pictures: bool,
) -> dict[int, int]:
    """Insert those of some faces that the target lacks; return {id in source: id in target}."""
    rows = source.execute(
        f"SELECT id, crop, to_picture, {_FACE_KEY} FROM faces WHERE id IN ({which})", values
    ).fetchall()
    for name in {row[5] for row in rows}:
        store_markup(target, reads.markup(source, name))
    shown = [row[1:3] if pictures else (None, None) for row in rows]
    ids = insert_faces(target, [row[3:] for row in rows], shown)
    return dict(zip((row[0] for row in rows), ids, strict=True))


def _bring_evaluations(
    source: sqlite3.Connection, target: Database, run: str, *, pictures: bool
) -> None:
    def of_run(con: sqlite3.Connection) -> list[dict[str, Any]]:
        rows = _rows(con, "evaluations", "run = ? ORDER BY id", [run])
        # Each store has names of its own for box files.
        return [row | {"box": box_label_here(target.conn, row["box"])} for row in rows]

    def key(row: dict[str, Any]) -> tuple[Any, ...]:
        return tuple(row[name] for name in _EVALUATION_KEY)

    there = set(map(key, of_run(target.conn)))
    for row in of_run(source):
        if key(row) not in there:
            _bring_evaluation(source, target, row, pictures=pictures)
    note_what_writes(target)


def _bring_evaluation(
    source: sqlite3.Connection, target: Database, row: dict[str, Any], *, pictures: bool
) -> None:
    """Copy an evaluation. Its errors are in the order of the faces' ids, which is another there."""
    old = row.pop("id")
    store_markup(target, reads.markup(source, row["markup"]))
    ids = _bring_faces(source, target, _EVALUATED, [old], pictures=pictures)
    faces = [ids[face] for face in face_ids(source, [old])[old].tolist()]
    order = np.argsort(faces)
    row |= {
        "face_set": store_face_set(target.conn, faces),
        "revision": reads.revision(target.conn) + 1,
    }
    new = {"evaluation": int(str(target.table("evaluations").insert(row).last_pk))}
    for table in ("predictions", "error_vectors", "scores"):
        rows = [one | new for one in _rows(source, table, "evaluation = ?", [old])]
        for one in rows:
            if "face" in one:
                one["face"] = ids[one["face"]]
            if "errors" in one:
                one["errors"] = np.frombuffer(one["errors"], "<f8")[order].tobytes()
        target.table(table).insert_all(rows)
