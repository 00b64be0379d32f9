"""Errors of several evaluations on the faces that all of them have: what paired statistics need."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from db.evaluations import StoredNorm
from drf.errors import NotFoundError

_ERRORS = """
    SELECT evaluation, face, ocular, pupil FROM image_errors
    WHERE evaluation IN (SELECT value FROM json_each(?)) ORDER BY evaluation, face
"""
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
    wanted = np.array(evaluations, dtype=np.int64)
    table = np.array(con.execute(_ERRORS, [json.dumps(wanted.tolist())]).fetchall(), dtype=float)
    table = table.reshape(-1, 4)
    found, row_of = np.unique(wanted, return_inverse=True)
    if missing := sorted(set(found.tolist()) - set(table[:, 0].astype(np.int64).tolist())):
        raise NotFoundError(f"there is no evaluation {missing[0]} in the store")
    ids, times = np.unique(table[:, 1].astype(np.int64), return_counts=True)
    shared = ids[times == len(found)]  # an evaluation has a face once at most
    values = table[np.isin(table[:, 1], shared), 2:].reshape(len(found), len(shared), 2)
    named = con.execute(_NAMES, [json.dumps(shared.tolist())]).fetchall()
    faces = np.array([face for face, _ in named], dtype=np.int64)
    values = values[row_of][:, np.searchsorted(shared, faces)]
    return Paired(faces, tuple(name for _, name in named), values[..., 0], values[..., 1])
