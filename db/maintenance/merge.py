"""Runs of another store, of a bundle for example, brought into this one by their ids.

A run comes with all that was recorded of it. What this store has already stays as it is, so that
the same file changes nothing the second time. Ids of faces and evaluations are a store's own: faces
are recognised by their name and ground truth, evaluations by their run, time and manifest.
"""

from __future__ import annotations

import json
import sqlite3
import tempfile
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from sqlite_utils import Database

from db import reads
from db.connection import open_as_it_is, open_store
from db.faces import box_label_here, insert_faces, markup, store_markup
from db.maintenance import integrity
from db.maintenance.bundle import CHOSEN
from db.predictions import store_face_set
from db.tables import schema
from db.tables.derived import complete_trained_on, fuller_trained_on, note_what_writes
from db.transactions import Store, as_drf_error, locked, writing
from drf.errors import NotFoundError, StoreError

_MADE_WITH = (
    *("family", "preset", "dataset", "track", "landmarks", "markup", "seed", "params", "macs"),
    *("provenance", "manifest", "started_at"),
)
"""Columns of `runs` that never change once a run has started."""

OF_TRAINING = (
    *("run_config", "epochs", "epoch_predictions", "leaf_galleries", "leaves", "leaf_faces"),
)
"""Tables whose rows grow while a run is trained, parents first."""

OF_EVALUATION = ("predictions", "scores", "error_vectors")

RECOGNISED = ("markups", "runs", "faces", "face_sets", "evaluations")
"""Tables whose rows are compared in a way of their own. Those of any table that stands in none of
these four are added where there is none of their key."""

NOT_BROUGHT = ("deletions",)
"""What a board lost there, in revisions of that store, is no fact about this one."""

_SAME = ("run", "created_at", "dataset", "subset", "landmarks", "flip_test", "manifest")
"""What tells two evaluations apart. What a box file is called is a store's own; its digest is in
the manifest."""


@dataclass(frozen=True)
class Merged:
    """What came.

    runs         full ids of runs that are new here, in the order of their start
    continued    full ids of known runs that had been trained further there
    evaluations  ids here of the evaluations that came, with new runs or to known ones
    superseded   evaluations that did not come: the run was evaluated again here later
    kept_views   names under which this store keeps a link of its own
    sweeps       names of sweeps that are new here
    kept_sweeps  names under which this store keeps a sweep of its own
    """

    runs: tuple[str, ...]
    continued: tuple[str, ...]
    evaluations: tuple[int, ...]
    superseded: int
    kept_views: tuple[str, ...]
    sweeps: tuple[str, ...]
    kept_sweeps: tuple[str, ...]

    @property
    def is_empty(self) -> bool:
        """Whether no result came."""
        return not (self.runs or self.continued or self.evaluations)


def merge(path: Path, other: Path) -> Merged:
    """Bring all runs of the store in a file into the one at a path, in one transaction.

    The file stays as it is; a store of an earlier drf is brought up to date in a copy. The store is
    made where there is none, for a sound file alone. Raises NotFoundError without the file,
    StoreError for a file that is no sound store (its schema, its contents, scores that do not
    follow from the predictions) and where a run has other contents than that of its id here,
    UsageError where the two define a markup otherwise. Then nothing comes.
    """
    if not other.exists():
        raise NotFoundError(f"there is no file {other}: name a bundle that `drf export` wrote")
    with _sound_copy(other) as source, _opened(path) as db:
        try:
            with locked(db):
                before = db.conn.total_changes
                merged = _bring(source, db)
                if db.conn.total_changes != before:
                    with writing(db):  # counts the revision up
                        note_what_writes(db)
                return merged
        except sqlite3.Error as error:
            raise as_drf_error(error) or error from error


@contextmanager
def _opened(path: Path) -> Iterator[Store]:
    """Open a store. One that is made for the block goes with it where it fails, unless somebody
    else has written to it."""
    is_new, unused = not path.exists(), False
    try:
        with closing(open_store(path)) as db:
            try:
                yield db
            except BaseException:
                unused = is_new and reads.revision(db.conn) == 0
                raise
    finally:
        if unused:
            for suffix in ("", "-wal", "-shm"):
                path.with_name(path.name + suffix).unlink(missing_ok=True)


@contextmanager
def _sound_copy(path: Path) -> Iterator[sqlite3.Connection]:
    """Open a copy of a store: as of one moment, brought up to date, and without a fault."""
    with tempfile.TemporaryDirectory(prefix="drf-import-") as folder:
        copy = Path(folder) / "copy.db"
        theirs, pending = open_as_it_is(path)
        with closing(theirs), closing(sqlite3.connect(copy)) as target:
            if len(pending) == len(schema.steps()):
                raise StoreError(f"{path} is empty: no store was ever written to it")
            try:
                theirs.backup(target)
            except sqlite3.Error as error:
                full = getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_FULL
                where = copy if full else path  # which is only read
                raise as_drf_error(error, str(where)) or error from error
        store = open_store(copy, at_once=2**31)
        with closing(store.conn):
            if found := integrity.faults(store.conn):
                raise StoreError(
                    f"{path} is not sound: {found[0].subject}: {found[0].problem}; nothing was"
                    " imported, and `drf db check` lists all of it"
                )
            yield store.conn


def _bring(source: sqlite3.Connection, db: Database) -> Merged:
    for (name,) in source.execute("SELECT name FROM markups ORDER BY name").fetchall():
        store_markup(db, markup(source, name))
    new, continued = _bring_runs(source, db.conn)
    coming, superseded = _evaluations_to_come(source, db.conn)
    runs = {run: run for run in (*new, *continued)}
    faces = _bring_faces(source, db, runs, [row["id"] for row in coming])
    for table in OF_TRAINING:
        _copy(source, db.conn, table, {"run": runs, "face": faces})
    complete_trained_on(db.conn)
    evaluations = _bring_evaluations(source, db, coming, faces)
    for table in OF_EVALUATION:
        _copy(source, db.conn, table, {"evaluation": evaluations, "face": faces})
    _sort_errors(db.conn, source, evaluations, faces)
    _fill_pictures(source, db.conn)
    kept_views = _views_of_its_own(source, db.conn)
    sweeps, kept_sweeps = _sweeps(source, db.conn)
    whole = {"sweep": {name: name for name in sweeps}}  # jobs of two sweeps would be neither's
    for table in CHOSEN:  # parents first
        if table not in (*RECOGNISED, *OF_TRAINING, *OF_EVALUATION, *NOT_BROUGHT):
            _copy(source, db.conn, table, whole)
    came = (tuple(new), tuple(continued), tuple(evaluations.values()), superseded)
    return Merged(*came, kept_views, sweeps, kept_sweeps)


def _bring_runs(source: sqlite3.Connection, con: sqlite3.Connection) -> tuple[list[str], list[str]]:
    """Insert the runs that are new, and put those further that were trained further there; return
    both. Raises StoreError for a run that is another one here."""
    new, continued = [], []
    for row in _dicts(source, "SELECT * FROM runs ORDER BY started_at, id"):
        run = row["id"]
        here = next(_dicts(con, "SELECT * FROM runs WHERE id = ?", [run]), None)
        if here is None:
            _insert(con, "runs", row)
            new.append(run)
            continue
        for column in _MADE_WITH:
            if row[column] != here[column]:
                raise _conflict(run, f"another {column}")
        row["trained_on"] = fuller_trained_on(here["trained_on"], row["trained_on"])
        if row["trained_on"] != here["trained_on"]:
            con.execute("UPDATE runs SET trained_on = :trained_on WHERE id = :id", row)
        if _stage(row) > _stage(here):
            for table in reversed(OF_TRAINING):
                con.execute(f"DELETE FROM {table} WHERE run = ?", [run])
            # A name that a person gave it here stays, as the words on it do.
            values = ", ".join(f"{column} = :{column}" for column in row if column != "name")
            con.execute(f"UPDATE runs SET {values} WHERE id = :id", row)
            continued.append(run)
        elif _stage(row) == _stage(here):
            for table in ("run_config", "epochs"):
                rows = f"SELECT * FROM {table} WHERE run = ? ORDER BY 1, 2, 3"
                if source.execute(rows, [run]).fetchall() != con.execute(rows, [run]).fetchall():
                    raise _conflict(run, f"other rows of {table}")
    return new, continued


def _stage(run: Mapping[str, Any]) -> tuple[int, str, str]:
    """Return what grows while a run is trained."""
    return run["claim"], run["heartbeat_at"], run["ended_at"] or ""


def _conflict(run: str, difference: str) -> StoreError:
    return StoreError(
        f"the run {run[:8]} has {difference} there than the run of the same id here, so that one of"
        " them was changed by hand: nothing was imported; if the other one is right, delete this"
        f" one first (`drf runs delete {run[:8]}`)"
    )


def _evaluations_to_come(
    source: sqlite3.Connection, con: sqlite3.Connection
) -> tuple[list[dict[str, Any]], int]:
    """Return the rows of the evaluations that are not here, in order, and how many of these were
    superseded. Raises StoreError for one that is here with other predictions."""
    same = " AND ".join(f"{column} = :{column}" for column in _SAME)
    later = (
        "SELECT 1 FROM evaluations WHERE run = :run AND dataset = :dataset AND subset = :subset"
        " AND landmarks = :landmarks AND box = :box AND flip_test = :flip_test"
        " AND created_at > :created_at"
    )
    coming, superseded = [], 0
    for row in _dicts(source, "SELECT * FROM evaluations ORDER BY id"):
        row["box"] = box_label_here(con, row["box"])
        if found := con.execute(f"SELECT id FROM evaluations WHERE {same}", row).fetchone():
            if _predictions(source, row["id"]) != _predictions(con, found[0]):
                raise _conflict(row["run"], f"other predictions for {row['subset']}")
        elif con.execute(later, row).fetchone():
            superseded += 1
        else:
            coming.append(row)
    return coming, superseded


def _predictions(con: sqlite3.Connection, evaluation: int) -> list[tuple[Any, ...]]:
    return con.execute(
        "SELECT name, points, prediction FROM predictions JOIN faces ON id = face"
        " WHERE evaluation = ? ORDER BY 1, 2",
        [evaluation],
    ).fetchall()


def _bring_faces(
    source: sqlite3.Connection, db: Database, runs: Iterable[str], evaluations: Sequence[int]
) -> dict[int, int]:
    """Insert the faces that are shown where they are new; return id there -> id here."""
    shown = """
        SELECT id, dataset, name, markup, points, visibility, crop, to_picture FROM faces
        WHERE id IN (
            SELECT face FROM predictions WHERE evaluation IN (SELECT value FROM json_each(:of))
            UNION SELECT face FROM epoch_predictions
            WHERE run IN (SELECT value FROM json_each(:runs))
            UNION SELECT face FROM leaf_faces WHERE run IN (SELECT value FROM json_each(:runs))
        ) ORDER BY id
    """
    wanted = {"of": json.dumps(evaluations), "runs": json.dumps([*runs])}
    mapped = {}
    for number, *face in source.execute(shown, wanted):
        key, picture = tuple(face[:5]), tuple(face[5:])
        mapped[number] = insert_faces(db, [key], [picture])[0]
    return mapped


def _fill_pictures(source: sqlite3.Connection, con: sqlite3.Connection) -> None:
    """Give faces their pictures that had none here: the first bundle may have come without."""
    con.executemany(
        "UPDATE faces SET crop = ?, to_picture = ? WHERE dataset = ? AND name = ? AND markup = ?"
        " AND points = ? AND ifnull(visibility, x'') = ifnull(?, x'') AND crop IS NULL",
        source.execute(
            "SELECT crop, to_picture, dataset, name, markup, points, visibility FROM faces"
            " WHERE crop IS NOT NULL"
        ),
    )


def _bring_evaluations(
    source: sqlite3.Connection,
    db: Database,
    rows: Iterable[dict[str, Any]],
    faces: Mapping[int, int],
) -> dict[int, int]:
    """Insert evaluations; return id there -> id here. They come with the revision that this
    transaction makes."""
    revision = reads.revision(db.conn) + 1
    mapped = {}
    for row in rows:
        shown = source.execute("SELECT face FROM predictions WHERE evaluation = ?", [row["id"]])
        own = {"face_set": store_face_set(db.conn, [faces[face] for (face,) in shown])}
        columns = {name: value for name, value in row.items() if name != "id"}
        mapped[row["id"]] = _insert(db.conn, "evaluations", columns | own | {"revision": revision})
    return mapped


def _sort_errors(
    con: sqlite3.Connection,
    source: sqlite3.Connection,
    evaluations: Mapping[int, int],
    faces: Mapping[int, int],
) -> None:
    """Put the errors of evaluations into the order of the ids that their faces have here."""
    for there, here in evaluations.items():
        shown = source.execute(
            "SELECT face FROM predictions WHERE evaluation = ? ORDER BY face", [there]
        )
        order = np.argsort([faces[face] for (face,) in shown])
        rows = con.execute(
            "SELECT errors, norm FROM error_vectors WHERE evaluation = ?", [here]
        ).fetchall()
        con.executemany(
            "UPDATE error_vectors SET errors = ? WHERE norm = ? AND evaluation = ?",
            [(np.frombuffer(errors, "<f8")[order].tobytes(), norm, here) for errors, norm in rows],
        )


def _views_of_its_own(source: sqlite3.Connection, con: sqlite3.Connection) -> tuple[str, ...]:
    """Return the names of views that mean other links here."""
    here = dict(con.execute("SELECT name, link FROM views"))
    there = source.execute("SELECT name, link FROM views ORDER BY name")
    return tuple(name for name, link in there if here.get(name, link) != link)


def _sweeps(
    source: sqlite3.Connection, con: sqlite3.Connection
) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Return the names of the sweeps that are new here, and of those that are others here."""
    here, there = ({name: _sweep(of, name) for name in _names(of)} for of in (con, source))
    new = tuple(name for name in there if name not in here)
    return new, tuple(name for name in there if here.get(name, there[name]) != there[name])


def _names(con: sqlite3.Connection) -> list[str]:
    return [name for (name,) in con.execute("SELECT name FROM sweeps ORDER BY name")]


def _sweep(con: sqlite3.Connection, name: str) -> list[tuple[Any, ...]]:
    """Return what a sweep consists of, a row a job."""
    return con.execute(
        "SELECT subset, place, job, seed, factors FROM sweep_jobs"
        " JOIN sweeps ON sweeps.name = sweep WHERE sweep = ? ORDER BY place",
        [name],
    ).fetchall()


def _copy(
    source: sqlite3.Connection,
    con: sqlite3.Connection,
    table: str,
    here: Mapping[str, Mapping[Any, Any]],
) -> None:
    """Copy the rows of a table where there is none of their key.

    here: column -> its values there, and what they are here; rows with another value of the first
    of these columns do not come
    """
    columns = [name for _, name, *_ in source.execute(f"PRAGMA table_info({table})")]
    mapped = {columns.index(name): ids for name, ids in here.items() if name in columns}
    which, wanted = "", []
    if mapped:
        owner = columns[next(iter(mapped))]
        which = f" WHERE {owner} IN (SELECT value FROM json_each(?))"
        wanted = [json.dumps([*here[owner]])]
    names, marks = ", ".join(columns), ", ".join("?" * len(columns))
    rows = source.execute(f"SELECT {names} FROM {table}{which}", wanted)
    con.executemany(
        f"INSERT OR IGNORE INTO {table} ({names}) VALUES ({marks})",
        (
            [mapped[i][value] if i in mapped else value for i, value in enumerate(row)]
            for row in rows
        ),
    )


def _insert(con: sqlite3.Connection, table: str, row: Mapping[str, Any]) -> int:
    marks = ", ".join(f":{column}" for column in row)
    made = con.execute(f"INSERT INTO {table} ({', '.join(row)}) VALUES ({marks})", row)
    return int(made.lastrowid or 0)


def _dicts(
    con: sqlite3.Connection, query: str, values: Sequence[Any] = ()
) -> Iterator[dict[str, Any]]:
    found = con.execute(query, values)
    names = [column for column, *_ in found.description]
    for row in found.fetchall():
        yield dict(zip(names, row, strict=True))
