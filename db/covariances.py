"""Reads: the errors that models expect of their landmarks, where they were stored."""

from __future__ import annotations

import sqlite3

import numpy as np

from db.arrays import covariances_from_blobs


def of_face(con: sqlite3.Connection, evaluation: int, face: int) -> np.ndarray | None:
    """Return what an evaluation's model expects of a face, (68, 2, 2) float32 squared picture px;
    NaN at landmarks it does not know. None where nothing is stored."""
    row = con.execute(
        "SELECT covariance FROM image_errors WHERE evaluation = ? AND face = ?"
        " AND covariance IS NOT NULL",
        [evaluation, face],
    ).fetchone()
    return None if row is None else covariances_from_blobs(row)[0]


def of_evaluation(con: sqlite3.Connection, evaluation: int) -> np.ndarray | None:
    """Return those of all its faces, (n, 68, 2, 2), in the order of `reads.predictions`; None
    where nothing is stored."""
    blobs = [
        blob
        for (blob,) in con.execute(
            "SELECT covariance FROM image_errors WHERE evaluation = ? ORDER BY face", [evaluation]
        )
    ]
    return covariances_from_blobs(blobs) if blobs and None not in blobs else None
