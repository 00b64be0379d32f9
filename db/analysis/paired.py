"""Errors of several evaluations on the faces that all of them have: what paired statistics need."""

from __future__ import annotations

import functools
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from db.predictions import error_vectors, face_ids
from drf.errors import NotFoundError
from drf.scoring import scores

_NAMES = "SELECT id, name FROM faces WHERE id IN (SELECT value FROM json_each(?)) ORDER BY name, id"


@dataclass(frozen=True)
class Paired:
    """Image errors of e evaluations on the n faces that they share, ordered by name.

    faces   (n,) int64 ids
    names   n names; the same one twice where a dataset is there in two scales
    errors  normaliser key -> (e, n) float64 fractions; NaN where the normaliser does not exist for
            a face (its ground truth lacks a landmark), or the store has not got the errors yet

    Statistics pair errors under one normaliser. A face without an error under it, in any of the
    evaluations, is no part of that pairing: `under` leaves it out, and so does `paired[norm]`.
    """

    faces: np.ndarray
    names: tuple[str, ...]
    errors: Mapping[str, np.ndarray]

    def __getitem__(self, norm: str) -> np.ndarray:
        """Return the (e, m) errors under a normaliser, none NaN: of the faces of `under(norm)`."""
        errors = self.errors[norm]
        known = ~np.isnan(errors).any(axis=0)
        return errors if known.all() else errors[:, known]

    def under(self, norm: str) -> Paired:
        """Return the same of the m <= n faces that have an error under a normaliser everywhere."""
        known = ~np.isnan(self.errors[norm]).any(axis=0)
        if known.all():
            return self
        names = tuple(name for name, there in zip(self.names, known, strict=True) if there)
        errors = {key: of[:, known] for key, of in self.errors.items()}
        return Paired(self.faces[known], names, errors)


def errors(
    con: sqlite3.Connection, evaluations: Sequence[int], norms: Sequence[str] | None = None
) -> Paired:
    """Return the errors of evaluations, one row each in the order asked for.

    norms: the normalisers to read; None reads those of all, which takes as many times as long.

    A face counts as shared where its dataset, name and ground truth agree, that is its id; there
    may be none. Raises NotFoundError for an evaluation that is not there, ValueError for none.
    """
    if not len(evaluations):
        raise ValueError("need an evaluation")
    asked = [int(number) for number in evaluations]
    found = face_ids(con, asked)
    if missing := sorted(set(asked) - found.keys()):
        raise NotFoundError(f"there is no evaluation {missing[0]} in the store")
    sets = {id(faces): faces for faces in found.values()}  # evaluations of one set share the array
    shared = functools.reduce(np.intersect1d, sets.values())
    named = con.execute(_NAMES, [json.dumps(shared.tolist())]).fetchall()
    faces = np.array([face for face, _ in named], dtype=np.int64)
    names = tuple(name for _, name in named)
    place = {key: np.searchsorted(of_set, faces) for key, of_set in sets.items()}
    places = {number: place[id(of)] for number, of in found.items()}
    by_norm = {}
    for norm in scores.NORMALISER_KEYS if norms is None else norms:
        vectors = error_vectors(con, asked, norm)
        rows = np.full((len(asked), len(faces)), np.nan)
        for row, number in enumerate(asked):
            if number in vectors:
                rows[row] = vectors[number][places[number]]
        by_norm[norm] = rows
    for array in (faces, *by_norm.values()):  # caches give the same ones to many readers
        array.flags.writeable = False
    return Paired(faces, names, by_norm)
