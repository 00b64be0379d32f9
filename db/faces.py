"""Faces and their pictures: stored once, shared by everything that shows them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from sqlite_utils import Database

from db.arrays import affine_to_blob, points_to_blob
from drf.pictures import FaceCrop

_SHOWN_IN = ("image_errors", "epoch_predictions", "leaf_faces")


def store_faces(
    db: Database,
    dataset: str,
    names: Sequence[str],
    points: Iterable[np.ndarray],
    crops: Sequence[FaceCrop | None],
) -> list[int]:
    """Insert the faces that are new and the crops that were missing; return the ids of all.

    points: ground truth of each, (68, 2) picture px. Call inside `connection.writing`.
    """
    keys = [(dataset, name, points_to_blob(p)) for name, p in zip(names, points, strict=True)]
    db.conn.executemany(
        "INSERT INTO faces (dataset, name, points, crop, to_picture) VALUES (?, ?, ?, ?, ?)"
        " ON CONFLICT DO UPDATE SET crop = excluded.crop, to_picture = excluded.to_picture"
        " WHERE crop IS NULL",
        [(*key, *_picture(crop)) for key, crop in zip(keys, crops, strict=True)],
    )
    found = "SELECT id FROM faces WHERE dataset = ? AND name = ? AND points = ?"
    return [int(db.execute(found, key).fetchone()[0]) for key in keys]


def drop_unshown(db: Database) -> None:
    """Delete the faces that nothing shows any more. Call inside `connection.writing`."""
    unshown = " AND ".join(
        f"NOT EXISTS (SELECT 1 FROM {table} WHERE face = faces.id)" for table in _SHOWN_IN
    )
    db.execute(f"DELETE FROM faces WHERE {unshown}")


def _picture(crop: FaceCrop | None) -> tuple[bytes | None, bytes | None]:
    return (crop.jpeg, affine_to_blob(crop.to_picture)) if crop else (None, None)
