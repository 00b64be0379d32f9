"""What a run looks like from inside: the same faces epoch by epoch, and leaves of its forest."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from sqlite_utils import Database

from db.arrays import (
    map_from_blob,
    map_to_blob,
    points_from_blob,
    points_to_blob,
    visibility_from_blob,
)
from db.faces import Face, delete_orphan_faces, markup, store_faces
from db.recording.runs import require_run
from db.transactions import writing
from drf.landmarks.markup import Markup
from drf.pictures import FaceCrop, LeafGallery, LeafPicture

KEPT_EPOCHS = 40
"""At most so many epochs of predictions are kept of a run."""


def record_predictions(
    db: Database, run: str, epoch: int, faces: Sequence[FaceCrop], predictions: np.ndarray
) -> None:
    """Record what a run predicted for a few validation faces, (m, K, 2) picture px, NaN where it
    does not know a landmark; replaces the same epoch's.

    Of a long run every 2nd, 4th, 8th ... epoch is kept, and always the last. Raises NotFoundError
    if the run was deleted.
    """
    with writing(db):
        of, ids = _store(db, run, faces)
        db.conn.executemany(
            "INSERT OR REPLACE INTO epoch_predictions VALUES (?, ?, ?, ?)",
            [
                (run, epoch, face, points_to_blob(p, of.n_points))
                for face, p in zip(ids, predictions, strict=True)
            ],
        )
        db.execute(
            "DELETE FROM epoch_predictions WHERE run = ? AND epoch % ? != 0 AND epoch != ?",
            [run, _stride(epoch), epoch],
        )


def _stride(epoch: int) -> int:
    """Return the least power of two by which KEPT_EPOCHS epochs up to this one remain."""
    stride = 1
    while epoch // stride + 1 + (epoch % stride > 0) > KEPT_EPOCHS:
        stride *= 2
    return stride


def record_leaves(db: Database, run: str, gallery: LeafGallery) -> None:
    """Record leaves of a run and the faces that they attract, in place of those it had.

    Raises NotFoundError if the run was deleted, KeyError for a leaf's face without a crop.
    """
    with writing(db):
        order = sorted(gallery.faces)
        of, stored = _store(db, run, [gallery.faces[i] for i in order])
        ids = dict(zip(order, stored, strict=True))
        db.execute("DELETE FROM leaf_galleries WHERE run = ?", [run])
        row = {"run": run, "mean_shape": points_to_blob(gallery.mean_shape, of.n_points)}
        db.table("leaf_galleries").insert(row)
        for number, leaf in enumerate(gallery.leaves):
            db.table("leaves").insert({"run": run, "number": number} | _leaf_row(leaf))
            db.conn.executemany(
                "INSERT INTO leaf_faces VALUES (?, ?, ?, ?)",
                [
                    (run, number, ids[face], min(float(weight), 1.0))
                    for face, weight in zip(leaf.faces, leaf.weights, strict=True)
                ],
            )
        delete_orphan_faces(db)


def epochs(con: sqlite3.Connection, run: str) -> list[int]:
    """Return the epochs whose predictions are kept, ascending."""
    query = "SELECT DISTINCT epoch FROM epoch_predictions WHERE run = ? ORDER BY epoch"
    return [epoch for (epoch,) in con.execute(query, [run])]


@dataclass(frozen=True)
class Watched:
    """A face as a run saw it in one epoch.

    face          its id
    ground_truth  (K, 2) float32 picture px; NaN where a landmark is missing
    prediction    (K, 2) float32 picture px; NaN at landmarks that the model does not know
    visibility    (K,) uint8, see `drf.landmarks.markup`; None where all landmarks are visible
    """

    face: int
    name: str
    markup: Markup
    ground_truth: np.ndarray
    prediction: np.ndarray
    visibility: np.ndarray | None


def predictions(con: sqlite3.Connection, run: str, epoch: int) -> list[Watched]:
    """Return the faces that are watched, in the order of their ids, as predicted in an epoch."""
    rows = con.execute(
        "SELECT face, name, markup, points, prediction, visibility"
        " FROM epoch_predictions JOIN faces ON id = face"
        " WHERE run = ? AND epoch = ? ORDER BY face",
        [run, epoch],
    )
    return [
        Watched(
            face,
            name,
            markup(con, of),
            points_from_blob(truth),
            points_from_blob(predicted),
            visibility_from_blob(visibility),
        )
        for face, name, of, truth, predicted, visibility in rows.fetchall()
    ]


def leaves(con: sqlite3.Connection, run: str) -> tuple[list[LeafPicture], np.ndarray | None]:
    """Return the leaves of a run and the mean shape, (K, 2) float32 unit box; [] and None if it
    has none. Their `faces` are ids of faces in the store, their distributions have 1 as maximum.
    """
    attracted: dict[int, list[tuple[int, float]]] = {}
    for number, face, weight in con.execute(
        "SELECT number, face, weight FROM leaf_faces WHERE run = ? ORDER BY weight DESC, face",
        [run],
    ):
        attracted.setdefault(number, []).append((face, weight))
    rows = con.execute(
        "SELECT number, tree, leaf, title, share, landmarks, points, std, height, width,"
        " distribution, extent FROM leaves WHERE run = ? ORDER BY number",
        [run],
    )
    pictures = [_leaf(row[1:], attracted.get(row[0], [])) for row in rows]
    mean = con.execute("SELECT mean_shape FROM leaf_galleries WHERE run = ?", [run]).fetchone()
    return pictures, points_from_blob(mean[0]) if mean else None


def _store(db: Database, run: str, crops: Sequence[FaceCrop]) -> tuple[Markup, list[int]]:
    """Insert what is new of the faces; return the run's markup, and the ids of all."""
    row = require_run(db, run)
    of = markup(db.conn, row["markup"])
    faces = [Face(crop.name, of, crop.points, crop.visibility) for crop in crops]
    return of, store_faces(db, row["dataset"], faces, crops)


def _leaf_row(leaf: LeafPicture) -> dict[str, Any]:
    held = leaf.distribution
    return {
        "tree": int(leaf.tree),  # numbers of arrays are no numbers to SQLite and JSON
        "leaf": int(leaf.leaf),
        "title": leaf.title,
        "share": min(float(leaf.share), 1.0),  # a sum of float32 may end a digit above
        "landmarks": json.dumps([int(k) for k in leaf.landmarks]),
        "points": points_to_blob(leaf.points, len(leaf.points)),
        "std": points_to_blob(leaf.std, len(leaf.points)),
        "height": None if held is None else held.shape[0],
        "width": None if held is None else held.shape[1],
        "distribution": None if held is None else map_to_blob(held),
        "extent": None if leaf.extent is None else json.dumps([float(e) for e in leaf.extent]),
    }


def _leaf(row: tuple[Any, ...], attracted: Sequence[tuple[int, float]]) -> LeafPicture:
    tree, leaf, title, share, landmarks, points, std, height, width, cells, extent = row
    return LeafPicture(
        tree=tree,
        leaf=leaf,
        title=title,
        share=share,
        landmarks=tuple(json.loads(landmarks)),
        points=points_from_blob(points),
        std=points_from_blob(std),
        faces=tuple(face for face, _ in attracted),
        weights=tuple(weight for _, weight in attracted),
        distribution=None if cells is None else map_from_blob(cells, height, width),
        extent=None if extent is None else tuple(json.loads(extent)),
    )
