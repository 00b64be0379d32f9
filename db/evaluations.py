"""Writes evaluations: both normalisations, every threshold, every image, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import repeat
from typing import Literal, get_args

import numpy as np
from sqlite_utils import Database

from db import clock, reads
from db.arrays import covariances_to_blob, points_to_blob
from db.connection import writing
from db.error_vectors import store_error_vectors
from db.faces import store_faces
from drf import metrics
from drf.pictures import FaceCrop
from drf.results import Evaluation

StoredNorm = Literal["ocular", "pupil"]
STORED_NORMS: tuple[StoredNorm, ...] = get_args(StoredNorm)


def record_evaluation(
    db: Database,
    run: str,
    evaluation: Evaluation,
    crops: Sequence[FaceCrop],
    *,
    checkpoint: str | None = None,
) -> int:
    """Record an evaluation of a run and return its id.

    crops       pictures of some or all of its faces; one that the store has is not stored again
    checkpoint  what was evaluated: the file's name in the run's folder, None if there is none
    Errors are computed from the coordinates as stored (float32), so that `drf db check` can
    recompute every number from the file alone.

    Raises ValueError for arrays that do not fit together, and for a crop of a face that is not
    among the evaluated ones.
    """
    stored = _as_stored(evaluation)
    errors = {norm: stored.errors(norm) for norm in STORED_NORMS}
    crop_of = {crop.name: crop for crop in crops}
    if unknown := crop_of.keys() - set(stored.names):
        raise ValueError(f"crops of faces that were not evaluated: {', '.join(sorted(unknown))}")
    with writing(db):
        identity = _insert_evaluation(db, run, stored, checkpoint)
        db.conn.executemany(
            "INSERT INTO scores (evaluation, norm, metric, threshold, value)"
            " VALUES (?, ?, ?, ?, ?)",
            [
                (identity, norm, metric, threshold, value)
                for norm in STORED_NORMS
                for (metric, threshold), value in metrics.summary(errors[norm]).items()
            ],
        )
        _insert_images(db, identity, stored, errors, crop_of)
    return identity


def _as_stored(evaluation: Evaluation) -> Evaluation:
    n = len(evaluation.names)
    if len(set(evaluation.names)) != n:
        raise ValueError("a face was evaluated twice")
    if len(evaluation.ground_truth) != n:
        raise ValueError(f"{n} names but {len(evaluation.ground_truth)} faces")
    return replace(
        evaluation,
        ground_truth=np.asarray(evaluation.ground_truth, dtype=np.float32),
        predictions=np.asarray(evaluation.predictions, dtype=np.float32),
    )


def _insert_evaluation(
    db: Database, run: str, evaluation: Evaluation, checkpoint: str | None
) -> int:
    manifest = evaluation.manifest
    row = {
        "run": run,
        "dataset": evaluation.dataset,
        "subset": evaluation.subset,
        "points": evaluation.points,
        "n": len(evaluation.names),
        "box": evaluation.box,
        "flip_test": int(evaluation.flip_test),
        "manifest": json.dumps(manifest, allow_nan=False, ensure_ascii=False),
        "manifest_digest": manifest.get("digest"),
        "ms_per_face": evaluation.ms_per_face,
        "checkpoint": checkpoint,
        "created_at": clock.now(),
        "revision": reads.revision(db.conn) + 1,  # the one that this transaction makes
    }
    return int(str(db.table("evaluations").insert(row).last_pk))


def _insert_images(
    db: Database,
    identity: int,
    evaluation: Evaluation,
    errors: Mapping[StoredNorm, np.ndarray],
    crop_of: Mapping[str, FaceCrop],
) -> None:
    """Insert one row per face, and what is new of the faces themselves."""
    faces = store_faces(
        db,
        evaluation.dataset,
        evaluation.names,
        evaluation.ground_truth,
        [crop_of.get(name) for name in evaluation.names],
    )
    spreads = evaluation.covariances
    results = zip(
        faces,
        errors["ocular"].tolist(),
        errors["pupil"].tolist(),
        map(points_to_blob, evaluation.predictions),
        repeat(None, len(faces)) if spreads is None else map(covariances_to_blob, spreads),
        strict=True,
    )
    db.conn.executemany(
        "INSERT INTO image_errors (evaluation, face, ocular, pupil, prediction, covariance)"
        " VALUES (?, ?, ?, ?, ?, ?)",
        [(identity, *result) for result in results],
    )
    store_error_vectors(db.conn, identity, faces, errors["ocular"], errors["pupil"])
