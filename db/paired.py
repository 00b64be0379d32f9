"""Errors of several evaluations on the faces that all of them have: what paired statistics need."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from db.error_vectors import read_error_vectors
from db.evaluations import StoredNorm
from drf.errors import NotFoundError

_NAMES = "SELECT id, name FROM faces WHERE id IN (SELECT value FROM json_each(?)) ORDER BY name, id"


@dataclass(frozen=True)
class Paired:
    """Image errors of e evaluations on the n faces that they share, ordered by name.

    faces   (n,) int64 ids
    names   n names; the same one twice where a dataset is there in two scales
    ocular  (e, n) float64 fractions
    pupil   (e, n) float64 fractions
    """

    faces: np.ndarray
    names: tuple[str, ...]
    ocular: np.ndarray
    pupil: np.ndarray

    def __getitem__(self, norm: StoredNorm) -> np.ndarray:
        """Return the (e, n) errors under a normalisation."""
        return {"ocular": self.ocular, "pupil": self.pupil}[norm]


def errors(con: sqlite3.Connection, evaluations: Sequence[int]) -> Paired:
    """Return the errors of evaluations, one row each in the order asked for.

    A face counts as shared where its dataset, name and ground truth agree, that is its id; there
    may be none. Raises NotFoundError for an evaluation that is not there, ValueError for none.
    """
    if not len(evaluations):
        raise ValueError("need an evaluation")
    found = read_error_vectors(con, evaluations)
    if missing := sorted({int(number) for number in evaluations} - found.keys()):
        raise NotFoundError(f"there is no evaluation {missing[0]} in the store")
    sets = {vectors.faces.tobytes(): vectors.faces for vectors in found.values()}  # mostly one
    shared = functools.reduce(np.intersect1d, sets.values())
    named = con.execute(_NAMES, [json.dumps(shared.tolist())]).fetchall()
    faces = np.array([face for face, _ in named], dtype=np.int64)
    names = tuple(name for _, name in named)
    place = {key: np.searchsorted(of_set, faces) for key, of_set in sets.items()}
    rows = [found[int(number)] for number in evaluations]
    places = [place[row.faces.tobytes()] for row in rows]
    ocular, pupil = (
        np.stack([errors[at] for errors, at in zip(of_norm, places, strict=True)])
        for of_norm in ([row.ocular for row in rows], [row.pupil for row in rows])
    )
    for array in (faces, ocular, pupil):  # caches give the same ones to many readers
        array.flags.writeable = False
    return Paired(faces, names, ocular, pupil)
