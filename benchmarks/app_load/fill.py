"""Fills a store with thousands of runs, fast. Scores follow from the points: `drf db check` agrees.

A few dozen distinct evaluations are made and repeated over the runs: what a page costs depends on
the number of rows, not on whether two of them agree.
"""

from __future__ import annotations

import itertools
import json
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from sqlite_utils import Database

from db import file
from db.arrays import affine_to_blob, points_to_blob
from db.connection import open_store
from db.faces import store_markup
from db.predictions import store_errors, store_face_set, store_scores
from db.transactions import writing
from drf.data import boxes
from drf.data.crops import encode_jpeg
from drf.data.floor import floor_nme
from drf.data.synthetic import render_face
from drf.landmarks import geometry
from drf.landmarks.markup import ALL, IBUG68
from drf.scoring import scores

CROP_PX = 128
PICTURES = 24  # distinct ones: rendering 689 would take longer than all the rest
FAMILIES = ("hourglass", "heatmap-forest", "gaussian-forest", "cascade", "cnn-heatmap")
BOARDS = tuple(
    (subset, landmarks, box)
    for landmarks, box, subset in itertools.product(
        (ALL, "eyes"), ("gt", "gt_jitter"), ("full", "common", "challenging", "helen", "lfpw")
    )
)
"""(subset, landmarks, box); as many as an evaluation each of a run needs."""
EPOCHS = 20
_KEYS = 50
_RUNS_A_TRANSACTION = 50


@dataclass(frozen=True)
class Size:
    """How many rows: runs, evaluations of each (at most 20), faces of each evaluation."""

    runs: int = 2000
    evaluations: int = 20
    faces: int = 689


@dataclass(frozen=True)
class Outcome:
    """A finished evaluation: ids of its faces and their predictions as BLOBs, in the same order;
    errors as `predictions.store_errors` takes them; the floor of its faces."""

    faces: list[int]
    predictions: list[bytes]
    errors: Mapping[str, np.ndarray]
    floor: float | None


def fill(path: Path, size: Size, *, distinct: int = 40) -> None:
    """Make the store. Writes without waiting for the disk: an interrupted one is thrown away."""
    db = open_store(path)
    db.execute("PRAGMA synchronous = OFF")
    db.execute("PRAGMA cache_size = -262144")
    faces, truth = _faces(db, size.faces)
    boards = BOARDS[: size.evaluations]
    outcomes = {
        landmarks: [_outcome(faces, truth, landmarks, seed) for seed in range(distinct)]
        for landmarks in sorted({landmarks for _, landmarks, _ in boards})
    }
    with writing(db):
        face_set = store_face_set(db.conn, faces)
    rng = np.random.default_rng(0)
    for first in range(0, size.runs, _RUNS_A_TRANSACTION):
        with writing(db):
            for number in range(first, min(first + _RUNS_A_TRANSACTION, size.runs)):
                run = _run(db, number)
                for board in boards:
                    chosen = outcomes[board[1]][int(rng.integers(distinct))]
                    _evaluation(db, run, board, face_set, chosen)
    db.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    db.close()


def _faces(db: Database, n: int) -> tuple[list[int], np.ndarray]:
    """Insert n faces, each slightly another shape, with a picture; return ids and points."""
    made = [render_face("common", index) for index in range(PICTURES)]
    rng = np.random.default_rng(1)
    truth = np.stack([made[i % PICTURES].points for i in range(n)])
    truth = (truth + 0.3 * rng.standard_normal(truth.shape)).astype(np.float32)
    to_picture = geometry.crop_to_picture(boxes.gt_boxes(truth), CROP_PX)
    noise = [rng.integers(60, 190, (CROP_PX, CROP_PX, 3), np.uint8) for _ in range(PICTURES)]
    pictures = [encode_jpeg(picture, quality=70) for picture in noise]
    with writing(db):
        store_markup(db, IBUG68)
        db.conn.executemany(
            "INSERT INTO faces (dataset, name, markup, points, crop, to_picture)"
            " VALUES ('synthetic', ?, ?, ?, ?, ?)",
            [
                (
                    f"full/{i:05d}",
                    IBUG68.name,
                    points_to_blob(truth[i], IBUG68.n_points),
                    pictures[i % PICTURES],
                    affine_to_blob(to_picture[i]),
                )
                for i in range(n)
            ],
        )
    return [number for (number,) in db.execute("SELECT id FROM faces ORDER BY id")], truth


def _outcome(faces: list[int], truth: np.ndarray, landmarks: str, seed: int) -> Outcome:
    rng = np.random.default_rng([2, seed])
    std = rng.uniform(0.02, 0.09) * scores.distances(truth, "ocular", IBUG68)
    std = std * rng.lognormal(0, 0.5, len(truth))
    predicted = truth + std[:, None, None] * rng.standard_normal(truth.shape)
    predicted = predicted.astype(np.float32)
    errors = {
        norm: scores.image_errors(predicted, truth, norm, IBUG68, landmarks)
        for norm in scores.NORMALISER_KEYS
    }
    blobs = [points_to_blob(p, IBUG68.n_points) for p in predicted]
    return Outcome(faces, blobs, errors, floor_nme(truth, IBUG68, landmarks))


def _run(db: Database, number: int) -> str:
    """Insert a finished run: three seeds each of configurations that differ in a few keys."""
    run, now, method = uuid.uuid4().hex, file.now(), number // 3
    family = FAMILIES[method % len(FAMILIES)]
    db.table("runs").insert(
        {
            **{"id": run, "name": f"{family}-{method:04d}", "family": family, "preset": family},
            **{"dataset": "synthetic", "landmarks": ALL, "markup": IBUG68.name, "track": None},
            **{"seed": number % 3, "epochs": EPOCHS},
            **{"params": 1_000_000 + 997 * method, "macs": 10**8 + 10**4 * method},
            "provenance": json.dumps({"precision": "fp32", "device": "cpu", "command": ["drf"]}),
            "manifest": json.dumps({"faces": 2000, "digest": "0f3c"}),
            **{"state": "finished", "host": "elsewhere", "pid": 1, "process_started": 0.0},
            **{"started_at": now, "heartbeat_at": now, "ended_at": now, "epoch": EPOCHS},
            **{"progress": 1.0, "faces_per_s": 200.0, "wall_s": 600.0 + method},
            **{"kept_epoch": EPOCHS - 1, "kept_val_nme": 0.04},
        }
    )
    config = {f"model.key{k:02d}": (method >> k) & 1 for k in range(_KEYS)}
    config |= {"training.seed": number % 3, "training.lr": 1e-3}
    db.conn.executemany(
        "INSERT INTO run_config VALUES (?, ?, ?, 'preset')",
        [(run, key, json.dumps(value)) for key, value in config.items()],
    )
    db.conn.executemany(
        "INSERT INTO epochs VALUES (?, ?, ?, ?)",
        [
            (run, epoch, metric, scale * (0.1 + float(np.exp(-epoch / 6))))
            for epoch in range(1, EPOCHS + 1)
            for metric, scale in (("loss", 1.0), ("val_nme_ocular", 0.4), ("lr", 1e-3))
        ],
    )
    return run


def _evaluation(
    db: Database, run: str, board: tuple[str, str, str], face_set: int, outcome: Outcome
) -> None:
    subset, landmarks, box = board
    n = len(outcome.faces)
    inserted = db.table("evaluations").insert(
        {
            **{"run": run, "dataset": "synthetic", "subset": subset, "n": n},
            **{"landmarks": landmarks, "markup": IBUG68.name, "face_set": face_set},
            **{"box": box, "flip_test": 1, "manifest_digest": subset, "ms_per_face": 2.5},
            "manifest": json.dumps({"faces": n, "digest": subset}),
            **{"checkpoint": "best.safetensors", "created_at": file.now(), "revision": 0},
            "floor_nme": outcome.floor,
        }
    )
    number = int(str(inserted.last_pk))
    db.conn.executemany(
        f"INSERT INTO predictions (evaluation, face, prediction) VALUES ({number}, ?, ?)",
        zip(outcome.faces, outcome.predictions, strict=True),
    )
    store_errors(db.conn, number, outcome.errors)
    store_scores(db.conn, number, outcome.errors)
