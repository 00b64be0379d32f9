"""What evaluations predicted, face by face: landmarks, their covariances, errors.

Errors are kept as one array a normaliser and evaluation beside the predictions that they follow
from: a board of 2,000 runs compares 1.4 million errors. As rows they take seconds to read, as
arrays a tenth of a second. The ids of the faces stand once for all evaluations of the same faces.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence

import numpy as np
import pandas as pd

from db.arrays import covariances_from_blobs, points_from_blob, points_from_blobs
from drf.errors import NotFoundError
from drf.landmarks.markup import VISIBLE
from drf.scoring import scores


def store_face_set(con: sqlite3.Connection, faces: Sequence[int]) -> int:
    """Return the id of a set of faces, inserted if it is new. Call in a transaction."""
    key = [np.sort(np.asarray(faces, "<i8")).tobytes()]
    con.execute("INSERT OR IGNORE INTO face_sets (faces) VALUES (?)", key)
    return int(con.execute("SELECT id FROM face_sets WHERE faces = ?", key).fetchone()[0])


def store_errors(
    con: sqlite3.Connection, evaluation: int, errors: Mapping[str, np.ndarray]
) -> None:
    """Insert errors of an evaluation by the key of their normaliser, where there are none yet.

    errors: each (n,) fractions, in the order of the ids of its faces. Call in a transaction.
    """
    con.executemany(
        "INSERT OR IGNORE INTO error_vectors (evaluation, norm, errors) VALUES (?, ?, ?)",
        [(evaluation, norm, of.astype("<f8").tobytes()) for norm, of in errors.items()],
    )


def store_scores(
    con: sqlite3.Connection, evaluation: int, errors: Mapping[str, np.ndarray]
) -> None:
    """Insert every score of errors (see `store_errors`), where there is none yet. NULL: the
    normaliser exists on none of the faces. Call in a transaction."""
    con.executemany(
        "INSERT OR IGNORE INTO scores (evaluation, norm, score, value) VALUES (?, ?, ?, ?)",
        [
            (evaluation, norm, key, values.get(key))
            for norm, of in errors.items()
            for values in [scores.summary(of)]
            for key in scores.SCORE_KEYS
        ],
    )


def face_ids(con: sqlite3.Connection, evaluations: Iterable[int]) -> dict[int, np.ndarray]:
    """Return the (n,) int64 ids, ascending, of the faces of those evaluations that are there.

    Evaluations of the same faces share one read-only array.
    """
    chosen = [json.dumps([int(number) for number in evaluations])]
    of_evaluation = con.execute(
        "SELECT id, face_set FROM evaluations WHERE id IN (SELECT value FROM json_each(?))", chosen
    ).fetchall()
    sets = con.execute(
        "SELECT id, faces FROM face_sets WHERE id IN (SELECT value FROM json_each(?))",
        [json.dumps(sorted({face_set for _, face_set in of_evaluation}))],
    )
    arrays = {number: np.frombuffer(faces, "<i8") for number, faces in sets}
    return {number: arrays[face_set] for number, face_set in of_evaluation}


def error_vectors(
    con: sqlite3.Connection, evaluations: Iterable[int], norm: str
) -> dict[int, np.ndarray]:
    """Return the errors under a normaliser of those of some evaluations that have them.

    Each (n,) float64 fractions, read-only, in the order of `face_ids`; NaN where the normaliser
    does not exist for a face.
    """
    rows = con.execute(
        "SELECT evaluation, errors FROM error_vectors"
        " WHERE evaluation IN (SELECT value FROM json_each(?)) AND norm = ?",
        [json.dumps([int(number) for number in evaluations]), norm],
    )
    return {number: np.frombuffer(errors, "<f8") for number, errors in rows}


def image_errors(con: sqlite3.Connection, evaluation: int) -> pd.DataFrame:
    """Return face id, name and the errors of every face of an evaluation, by face id.

    Columns: face, name, and one of fractions for each of `scores.NORMALISER_KEYS`; NaN where the
    normaliser does not exist for the face, or the store has not got these errors yet.
    """
    faces = face_ids(con, [evaluation]).get(evaluation, np.empty(0, np.int64))
    rows = con.execute(
        "SELECT id, name FROM faces WHERE id IN (SELECT value FROM json_each(?)) ORDER BY id",
        [json.dumps(faces.tolist())],
    )
    frame = pd.DataFrame(rows.fetchall(), columns=["face", "name"]).astype(
        {"face": "int64", "name": "str"}
    )
    for norm in scores.NORMALISER_KEYS:
        errors = error_vectors(con, [evaluation], norm).get(evaluation)
        frame[norm] = np.full(len(frame), np.nan) if errors is None else errors
    return frame


def prediction(
    con: sqlite3.Connection, evaluation: int, face: int
) -> tuple[np.ndarray, np.ndarray]:
    """Return ground truth and prediction of one face, two (K, 2) float32, picture px.

    NaN where a landmark is missing, or where the model does not know it. Raises NotFoundError.
    """
    row = con.execute(
        "SELECT points, prediction FROM predictions JOIN faces ON id = face"
        " WHERE evaluation = ? AND face = ?",
        [evaluation, face],
    ).fetchone()
    if row is None:
        raise NotFoundError(f"evaluation {evaluation} has no face {face}")
    return points_from_blob(row[0]), points_from_blob(row[1])


def predictions(
    con: sqlite3.Connection, evaluation: int
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Return face ids (n,) int64, ground truth and predictions (n, K, 2) float32, picture px.

    In the order of `image_errors`. Raises NotFoundError for an evaluation that is not there.
    """
    rows = con.execute(
        "SELECT face, points, prediction FROM predictions JOIN faces ON id = face"
        " WHERE evaluation = ? ORDER BY face",
        [evaluation],
    ).fetchall()
    if not rows:
        raise NotFoundError(f"there is no evaluation {evaluation} in the store")
    faces, truth, predicted = zip(*rows, strict=True)
    return np.array(faces), points_from_blobs(truth), points_from_blobs(predicted)


def visibilities(con: sqlite3.Connection, faces: Sequence[int]) -> np.ndarray | None:
    """Return the visibility of the landmarks of faces of one markup, (n, K) uint8 in their order;
    None where all landmarks of all of them are visible."""
    rows = con.execute(
        "SELECT id, visibility FROM faces WHERE visibility IS NOT NULL"
        " AND id IN (SELECT value FROM json_each(?))",
        [json.dumps([int(face) for face in faces])],
    )
    known = {face: np.frombuffer(blob, np.uint8) for face, blob in rows}
    if not known:
        return None
    visible = np.full_like(next(iter(known.values())), VISIBLE)
    return np.stack([known.get(int(face), visible) for face in faces])


def covariances_of_face(con: sqlite3.Connection, evaluation: int, face: int) -> np.ndarray | None:
    """Return the covariances of the errors that an evaluation's model predicts for a face.

    (K, 2, 2) float32 squared picture px; NaN at landmarks that it does not know. None where nothing
    is stored.
    """
    row = con.execute(
        "SELECT covariance FROM predictions WHERE evaluation = ? AND face = ?"
        " AND covariance IS NOT NULL",
        [evaluation, face],
    ).fetchone()
    return None if row is None else covariances_from_blobs(row)[0]


def covariances_of_evaluation(con: sqlite3.Connection, evaluation: int) -> np.ndarray | None:
    """Return those of all its faces, (n, K, 2, 2), in the order of `predictions`; None where
    nothing is stored."""
    blobs = [
        blob
        for (blob,) in con.execute(
            "SELECT covariance FROM predictions WHERE evaluation = ? ORDER BY face", [evaluation]
        )
    ]
    return covariances_from_blobs(blobs) if blobs and None not in blobs else None
