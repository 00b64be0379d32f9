"""Checks a whole store: SQLite's own checks, and that every score follows from the arrays."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from db.arrays import COVARIANCES_BYTES, POINTS_BYTES, points_from_blobs
from db.error_vectors import ErrorVectors, read_error_vectors
from db.evaluations import STORED_NORMS, StoredNorm
from drf import landmarks, metrics

_BLOBS = (  # table, what names a row, column, its size in bytes
    ("faces", "id", "points", POINTS_BYTES),
    ("image_errors", "evaluation || '/' || face", "prediction", POINTS_BYTES),
    ("image_errors", "evaluation || '/' || face", "covariance", COVARIANCES_BYTES),
    ("epoch_predictions", "run || '/' || epoch", "prediction", POINTS_BYTES),
    ("leaf_galleries", "run", "mean_shape", POINTS_BYTES),
    ("leaves", "run || '/' || number", "points", "8 * max(json_array_length(landmarks), 1)"),
    ("leaves", "run || '/' || number", "spread", "length(points)"),
    ("leaves", "run || '/' || number", "distribution", "2 * height * width"),
)
_TOLERANCE = 1e-9  # a fraction; sums in another order differ by far less, real damage by far more


@dataclass(frozen=True)
class Fault:
    """check: which one found it; subject: the row or file; problem: one sentence."""

    check: str
    subject: str
    problem: str


def faults(con: sqlite3.Connection) -> list[Fault]:
    """Return everything that is wrong with an open store; none if it is sound."""
    broken = list(_pages(con))
    if broken:
        return broken  # what rows of a damaged file say means nothing
    found = [*_references(con), *_blob_sizes(con)]
    for evaluation, points, n in con.execute("SELECT id, points, n FROM evaluations ORDER BY id"):
        found += _evaluation(con, evaluation, points, n)
    return found


def _pages(con: sqlite3.Connection) -> Iterator[Fault]:
    try:
        for (message,) in con.execute("PRAGMA integrity_check"):
            if message != "ok":
                yield Fault("integrity", "file", message)
    except sqlite3.DatabaseError as error:
        yield Fault("integrity", "file", str(error))


def _references(con: sqlite3.Connection) -> Iterator[Fault]:
    for table, row, parent, _ in con.execute("PRAGMA foreign_key_check"):
        yield Fault("references", f"{table} row {row}", f"refers to a row of {parent} not there")


def _blob_sizes(con: sqlite3.Connection) -> Iterator[Fault]:
    for table, key, column, size in _BLOBS:
        rows = con.execute(
            f"SELECT {key}, length({column}), {size} FROM {table} WHERE length({column}) != {size}"
        )
        for row, found, expected in rows:
            yield Fault(
                "blobs", f"{table} {row}", f"{column} has {found} bytes instead of {expected}"
            )


def _evaluation(con: sqlite3.Connection, identity: int, points: str, n: int) -> Iterator[Fault]:
    subject = f"evaluation {identity}"
    rows = con.execute(
        "SELECT points, prediction, ocular, pupil, face FROM image_errors JOIN faces ON id = face"
        " WHERE evaluation = ? AND length(points) = ? AND length(prediction) = ?"
        " ORDER BY face",
        [identity, POINTS_BYTES, POINTS_BYTES],
    ).fetchall()
    vectors = read_error_vectors(con, [identity]).get(identity)
    if len(rows) != n:
        yield Fault("count", subject, f"says {n} faces but has {len(rows)}")
    if not rows:
        return
    truth, predicted = (points_from_blobs(row[i] for row in rows) for i in (0, 1))
    for column, norm in enumerate(STORED_NORMS, start=2):
        errors = np.array([row[column] for row in rows])
        expected = metrics.image_errors(predicted, truth, norm, landmarks.indices(points))
        if off := int(np.sum(np.abs(errors - expected) > _TOLERANCE)):
            yield Fault(
                "image errors", subject, f"{off} {norm} errors do not follow from the points"
            )
        if not _repeats(vectors, norm, [row[4] for row in rows], expected):
            yield Fault("error vectors", subject, f"the array of {norm} errors says otherwise")
        if wrong := _wrong_scores(con, identity, norm, errors):
            yield Fault(
                "scores", subject, f"{', '.join(wrong)} do not follow from the image errors"
            )


def _repeats(
    vectors: ErrorVectors | None, norm: StoredNorm, faces: list[int], expected: np.ndarray
) -> bool:
    if vectors is None or vectors.faces.tolist() != faces:
        return False
    errors = vectors.ocular if norm == "ocular" else vectors.pupil
    return bool(np.all(np.abs(errors - expected) <= _TOLERANCE))


def _wrong_scores(
    con: sqlite3.Connection, evaluation: int, norm: str, errors: np.ndarray
) -> list[str]:
    """Return the names of scores that are missing, too many or other than recomputed."""
    stored = {
        (metric, threshold): value
        for metric, threshold, value in con.execute(
            "SELECT metric, threshold, value FROM scores WHERE evaluation = ? AND norm = ?",
            [evaluation, norm],
        )
    }
    expected = metrics.summary(errors)

    def is_wrong(key: tuple[str, float | None]) -> bool:
        both = key in stored and key in expected
        return not both or abs(stored[key] - expected[key]) > _TOLERANCE

    return [
        f"{norm} {metric}" + (f" at {100 * threshold:g} %" if threshold else "")
        for metric, threshold in sorted(stored.keys() | expected.keys(), key=str)
        if is_wrong((metric, threshold))
    ]
