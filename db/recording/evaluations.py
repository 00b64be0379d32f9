"""Writes evaluations: every score under every normaliser, every image, in one transaction."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import repeat

import numpy as np
from sqlite_utils import Database

from db import file, reads
from db.arrays import covariances_to_blob, points_to_blob
from db.faces import Face, store_faces, store_markup
from db.predictions import store_errors, store_face_set, store_scores
from db.recording import box_labels
from db.tables.derived import note_what_writes
from db.transactions import writing
from drf.data.floor import floor_nme
from drf.pictures import FaceCrop
from drf.scoring import scores
from drf.scoring.results import Evaluation


def record_evaluation(
    db: Database,
    run: str,
    evaluation: Evaluation,
    crops: Sequence[FaceCrop],
    *,
    checkpoint: str | None = None,
    floor_nme: float | None = None,
) -> int:
    """Record an evaluation of a run and return its id.

    crops       pictures of some or all of its faces; one that the store has is not stored again
    checkpoint  what was evaluated: the file's name in the run's folder, None if there is none
    floor_nme   the NME of one shape for every face, a fraction (`drf.data.floor`), where the boxes
                are not at hand; None computes it from the boxes
    Errors are computed from the coordinates as stored (float32), so that `drf db check` can
    recompute every number from the file alone.

    Raises ValueError for arrays that do not fit together, and for a crop of a face that is not
    among the evaluated ones; UsageError as `db.faces.store_markup`.
    """
    stored = _as_stored(evaluation)
    errors = {norm: stored.errors(norm) for norm in scores.NORMALISER_KEYS}
    crop_of = {crop.name: crop for crop in crops}
    if unknown := crop_of.keys() - set(stored.names):
        raise ValueError(f"crops of faces that were not evaluated: {', '.join(sorted(unknown))}")
    with writing(db):
        store_markup(db, stored.markup)
        faces = _store_faces(db, stored, crop_of)
        identity = _insert_evaluation(db, run, stored, checkpoint, faces, floor_nme)
        _insert_predictions(db, identity, faces, stored)
        order = np.argsort(faces)
        ordered = {norm: of[order] for norm, of in errors.items()}
        store_errors(db.conn, identity, ordered)
        store_scores(db.conn, identity, errors)
        note_what_writes(db)
    return identity


def _as_stored(evaluation: Evaluation) -> Evaluation:
    n = len(evaluation.names)
    if len(set(evaluation.names)) != n:
        raise ValueError("a face was evaluated twice")
    for array in (evaluation.ground_truth, evaluation.visibility, evaluation.covariances):
        if array is not None and len(array) != n:
            raise ValueError(f"{n} names but {len(array)} faces")
    return replace(
        evaluation,
        ground_truth=np.asarray(evaluation.ground_truth, dtype=np.float32),
        predictions=np.asarray(evaluation.predictions, dtype=np.float32),
    )


def _store_faces(
    db: Database, evaluation: Evaluation, crop_of: Mapping[str, FaceCrop]
) -> list[int]:
    """Insert what is new of the faces; return the ids of all."""
    hidden = evaluation.visibility
    faces = [
        Face(name, evaluation.markup, points, visibility)
        for name, points, visibility in zip(
            evaluation.names,
            evaluation.ground_truth,
            repeat(None, len(evaluation.names)) if hidden is None else hidden,
            strict=True,
        )
    ]
    crops = [crop_of.get(name) for name in evaluation.names]
    return store_faces(db, evaluation.dataset, faces, crops)


def _insert_evaluation(
    db: Database,
    run: str,
    evaluation: Evaluation,
    checkpoint: str | None,
    faces: Sequence[int],
    floor_nme: float | None,
) -> int:
    manifest = evaluation.manifest
    row = {
        "run": run,
        "dataset": evaluation.dataset,
        "subset": evaluation.subset,
        "landmarks": evaluation.landmarks,
        "markup": evaluation.markup.name,
        "n": len(faces),
        "box": box_labels.label(db.conn, evaluation.box, manifest),
        "flip_test": int(evaluation.flip_test),
        "manifest": json.dumps(manifest, allow_nan=False, ensure_ascii=False),
        "manifest_digest": manifest.get("digest"),
        "precision": evaluation.precision,
        "crop_version": manifest.get("crop_version"),
        "ms_per_face": evaluation.ms_per_face,
        "checkpoint": checkpoint,
        "created_at": file.now(),
        "revision": reads.revision(db.conn) + 1,  # the one that this transaction makes
        "face_set": store_face_set(db.conn, faces),
        "floor_nme": _floor(evaluation) if floor_nme is None else floor_nme,
    }
    return int(str(db.table("evaluations").insert(row).last_pk))


def _floor(evaluation: Evaluation) -> float | None:
    """Return the NME of one shape for every face, None where the boxes are not known."""
    if evaluation.boxes is None and evaluation.box != "gt":
        return None
    return floor_nme(
        evaluation.ground_truth, evaluation.markup, evaluation.landmarks, evaluation.boxes
    )


def _insert_predictions(
    db: Database, identity: int, faces: Sequence[int], evaluation: Evaluation
) -> None:
    k, covariances = evaluation.markup.n_points, evaluation.covariances
    rows = [
        (
            identity,
            face,
            points_to_blob(evaluation.predictions[i], k),
            None if covariances is None else covariances_to_blob(covariances[i], k),
        )
        for i, face in enumerate(faces)
    ]
    db.conn.executemany(
        "INSERT INTO predictions (evaluation, face, prediction, covariance) VALUES (?, ?, ?, ?)",
        rows,
    )
