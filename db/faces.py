"""Markups, faces, their pictures and names of their boxes: stored once, shared by all that shows
them."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlite_utils import Database

from db.arrays import (
    affine_from_blob,
    affine_to_blob,
    points_from_blob,
    points_to_blob,
    visibility_from_blob,
    visibility_to_blob,
)
from drf.errors import NotFoundError, UsageError
from drf.landmarks.markup import Markup
from drf.pictures import FaceCrop

BOX_FILE, BOX_DIGITS = "file", 8
BOX_LABEL = re.compile(rf"{BOX_FILE}-(.+)-([0-9a-f]{{{BOX_DIGITS}}})")
"""What a store calls the boxes of a file, by name and digest, see `db.recording.box_labels`."""


def store_markup(db: Database, markup: Markup) -> str:
    """Write the definition of a markup if it is new, or if it only adds normalisers to the one that
    the store has; return its name. Call in a transaction.

    Raises UsageError where the store has another definition under the name.
    """
    row = db.execute("SELECT definition FROM markups WHERE name = ?", [markup.name]).fetchone()
    if row is None:
        db.table("markups").insert(
            {"name": markup.name, "definition": json.dumps(markup.as_dict(), ensure_ascii=False)}
        )
        return markup.name
    stored = _parsed(row[0])
    if stored != markup and _only_adds_normalisers(stored, markup):
        db.table("markups").update(
            markup.name, {"definition": json.dumps(markup.as_dict(), ensure_ascii=False)}
        )
    elif not _only_adds_normalisers(markup, stored):
        raise UsageError(
            f"the store has another definition of the markup {markup.name!r}: its results would"
            " not compare; give your markup another name, or use another store (--db)"
        )
    return markup.name


def _only_adds_normalisers(old: Markup, new: Markup) -> bool:
    """Return whether a definition is another one with the same or further normalisers."""
    kept = {key: new.normalisers.get(key) for key in old.normalisers} == dict(old.normalisers)
    return kept and dataclasses.replace(old, normalisers=new.normalisers) == new


def markup(con: sqlite3.Connection, name: str) -> Markup:
    """Return the markup of a name. Raises NotFoundError if no run, evaluation or face has it."""
    row = con.execute("SELECT definition FROM markups WHERE name = ?", [name]).fetchone()
    if row is None:
        raise NotFoundError(f"there is no markup {name!r} in the store")
    return _parsed(row[0])


@functools.lru_cache(maxsize=64)
def _parsed(definition: str) -> Markup:
    return Markup.from_dict(json.loads(definition))


_SHOWN_IN = ("predictions", "epoch_predictions", "leaf_faces")


@dataclass(frozen=True)
class Face:
    """The ground truth of a face.

    points      (K, 2) float32, 0-based picture px; NaN where a landmark is missing
    visibility  (K,) uint8, see `drf.landmarks.markup`; None where all landmarks are visible
    """

    name: str
    markup: Markup
    points: np.ndarray
    visibility: np.ndarray | None = None


def store_faces(
    db: Database, dataset: str, faces: Sequence[Face], crops: Sequence[FaceCrop | None]
) -> list[int]:
    """Insert the faces that are new and the crops that were missing; return the ids of all.

    A face is identified by dataset, name *and* ground truth: two copies of a dataset (originals and
    rescaled ones) share names but not coordinates, and a prediction only means something in the
    coordinates of its own ground truth. Call inside `transactions.writing`. Raises ValueError for
    points that are not of their markup, or do not fit their visibility.
    """
    keys = [(dataset, *_key(face)) for face in faces]
    return insert_faces(db, keys, [_picture(crop) for crop in crops])


def insert_faces(
    db: Database, keys: Sequence[tuple[Any, ...]], pictures: Sequence[tuple[Any, Any]]
) -> list[int]:
    """Insert rows of `faces` where they are new, as `store_faces`.

    keys      dataset, name, markup, points, visibility, as stored
    pictures  crop and to_picture of each, or NULLs
    """
    db.conn.executemany(
        "INSERT INTO faces (dataset, name, markup, points, visibility, crop, to_picture)"
        " VALUES (?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET crop = excluded.crop, to_picture = excluded.to_picture"
        " WHERE crop IS NULL",
        [(*key, *picture) for key, picture in zip(keys, pictures, strict=True)],
    )
    found = (
        "SELECT id FROM faces WHERE dataset = ? AND name = ? AND markup = ? AND points = ?"
        " AND ifnull(visibility, x'') = ifnull(?, x'')"
    )
    return [int(db.execute(found, key).fetchone()[0]) for key in keys]


def delete_orphan_faces(db: Database) -> None:
    """Delete the faces that nothing shows any more. Call inside `transactions.writing`."""
    unshown = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} WHERE face = faces.id)" for table in _SHOWN_IN
    )
    db.execute(f"DELETE FROM faces WHERE {unshown}")
    db.execute("DELETE FROM face_sets WHERE id NOT IN (SELECT face_set FROM evaluations)")


def read_face(con: sqlite3.Connection, identity: int) -> Face:
    """Return a face that is there by its id."""
    name, of, points, visibility = con.execute(
        "SELECT name, markup, points, visibility FROM faces WHERE id = ?", [identity]
    ).fetchone()
    return Face(name, markup(con, of), points_from_blob(points), visibility_from_blob(visibility))


def crop(con: sqlite3.Connection, face: int) -> tuple[bytes, np.ndarray] | None:
    """Return the JPEG of a face and its (2, 3) float64 map from crop px to picture px, or None."""
    row = con.execute(
        "SELECT crop, to_picture FROM faces WHERE id = ? AND crop IS NOT NULL", [face]
    ).fetchone()
    return (row[0], affine_from_blob(row[1])) if row else None


def box_label_here(con: sqlite3.Connection, label: str) -> str:
    """Return what a store calls boxes that another one, or a user, calls by this label."""
    if not (found := BOX_LABEL.fullmatch(label)):
        return label
    known = con.execute(
        "SELECT box FROM evaluations WHERE box GLOB ? ORDER BY id LIMIT 1",
        [f"{BOX_FILE}-*-{found[2]}"],
    ).fetchone()
    return str(known[0]) if known else label


def _key(face: Face) -> tuple[str, str, bytes, bytes | None]:
    points = points_to_blob(face.points, face.markup.n_points)
    return face.name, face.markup.name, points, visibility_to_blob(face.visibility, face.points)


def _picture(crop: FaceCrop | None) -> tuple[bytes | None, bytes | None]:
    return (crop.jpeg, affine_to_blob(crop.to_picture)) if crop else (None, None)
