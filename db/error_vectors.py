"""Errors of whole evaluations as arrays, beside the rows of `image_errors` that they repeat.

A board of 2,000 runs compares 1.4 million errors. As rows they take seconds to read, each beside a
prediction of half a kilobyte; as one BLOB an evaluation they take a tenth of a second.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class ErrorVectors:
    """Errors of one evaluation. faces: (n,) int64 ids, ascending; others (n,) float64 fractions."""

    faces: np.ndarray
    ocular: np.ndarray
    pupil: np.ndarray


def store_error_vectors(
    con: sqlite3.Connection,
    evaluation: int,
    faces: Sequence[int],
    ocular: np.ndarray,
    pupil: np.ndarray,
) -> None:
    """Insert the errors of an evaluation, in any order of its faces. Call in a transaction."""
    order = np.argsort(faces)
    con.execute(
        "INSERT INTO error_vectors (evaluation, faces, ocular, pupil) VALUES (?, ?, ?, ?)",
        (
            evaluation,
            np.asarray(faces)[order].astype("<i8").tobytes(),
            ocular[order].astype("<f8").tobytes(),
            pupil[order].astype("<f8").tobytes(),
        ),
    )


def read_error_vectors(
    con: sqlite3.Connection, evaluations: Sequence[int]
) -> dict[int, ErrorVectors]:
    """Return the errors of those of some evaluations that are there. The arrays are read-only."""
    rows = con.execute(
        "SELECT evaluation, faces, ocular, pupil FROM error_vectors"
        " WHERE evaluation IN (SELECT value FROM json_each(?))",
        [json.dumps([int(number) for number in evaluations])],
    )
    return {
        number: ErrorVectors(
            np.frombuffer(faces, "<i8"), np.frombuffer(ocular, "<f8"), np.frombuffer(pupil, "<f8")
        )
        for number, faces, ocular, pupil in rows
    }
