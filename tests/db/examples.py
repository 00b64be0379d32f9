"""Small but complete runs and evaluations to put into a store."""

from __future__ import annotations

import contextlib
import copy
import dataclasses
import functools
import sqlite3
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import cv2
import numpy as np
from sqlite_utils import Database

from db import reads
from db.connection import open_reader, open_store
from db.file import run_folder
from db.recording import evaluations, runs
from db.tables.migrations import migrations
from drf.landmarks.markup import IBUG68
from drf.pictures import FaceCrop, LeafGallery, LeafPicture
from drf.scoring.results import Evaluation


def new_run(**changes: Any) -> runs.NewRun:
    """A run of an hourglass; any field can be changed."""
    run = runs.NewRun(
        name="hourglass",
        family="hourglass",
        preset="hourglass",
        dataset="synthetic",
        track="ten-minutes",
        landmarks="all",
        markup=IBUG68,
        seed=0,
        epochs=30,
        config={"training.lr": 1e-3, "model.width": 96, "augment.flip": True, "data.root": None},
        sources={
            "training.lr": "--set",
            "model.width": "preset hourglass",
            "augment.flip": "default",
            "data.root": "default",
        },
        provenance={"git_commit": "0" * 40, "precision": "fp32", "device": "cpu"},
        manifest={"faces": 2000, "digest": "abc"},
        params=1_234_567,
        macs=89_000_000,
    )
    return dataclasses.replace(run, **changes)


def ground_truth(n: int, seed: int = 0) -> np.ndarray:
    """n shapes with eyes apart, (n, 68, 2) float32, picture px; so different that one shape for all
    of them errs by more than the predictions of `evaluation`."""
    rng = np.random.default_rng(seed)
    angles = np.linspace(0, 2 * np.pi, 68, endpoint=False)
    shape = np.stack([100 + 60 * np.cos(angles), 120 + 70 * np.sin(angles)], axis=1)
    shape[36:42] = [70, 100] + 8 * rng.standard_normal((6, 2))
    shape[42:48] = [130, 100] + 8 * rng.standard_normal((6, 2))
    shape[36], shape[45] = [58, 100], [142, 100]
    return (shape + rng.normal(0, 10, (n, 68, 2))).astype(np.float32)


def evaluation(n: int = 6, error_px: float = 2.0, seed: int = 0, **changes: Any) -> Evaluation:
    """Predictions that miss the same n ground-truth faces by about `error_px`."""
    truth = ground_truth(n)
    noise = np.random.default_rng(seed).normal(0, error_px, truth.shape)
    result = Evaluation(
        dataset="synthetic",
        subset="common",
        names=tuple(f"common/{i:05d}" for i in range(n)),
        ground_truth=truth,
        predictions=(truth + noise).astype(np.float32),
        markup=IBUG68,
        landmarks="all",
        box="gt",
        flip_test=True,
        manifest={"faces": n, "skipped": {}, "digest": f"digest-{n}"},
        ms_per_face=1.5,
    )
    return dataclasses.replace(result, **changes)


def crops(of: Evaluation, side: int = 32) -> list[FaceCrop]:
    """A grey JPEG for every face of an evaluation, with a map that scales and shifts."""
    _, jpeg = cv2.imencode(".jpg", np.full((side, side, 3), 128, np.uint8))
    to_picture = np.array([[6.0, 0.0, 4.0], [0.0, 6.0, 24.0]])
    return [
        FaceCrop(name, points, jpeg.tobytes(), to_picture)
        for name, points in zip(of.names, of.ground_truth, strict=True)
    ]


def leaf(**changes: Any) -> LeafPicture:
    """A leaf that holds a map for one landmark and attracts two faces; any field can be changed."""
    cells = np.random.default_rng(3).random((5, 7), dtype=np.float32)
    return dataclasses.replace(
        LeafPicture(
            tree=1,
            leaf=3,
            title="landmark 36",
            share=0.25,
            points=np.array([[0.25, 0.5]], dtype=np.float32),
            std=np.array([[0.01, 0.125]], dtype=np.float32),
            landmarks=(36,),
            faces=(4, 2),
            weights=(0.75, 0.5),
            distribution=cells,
            extent=(0.0, 0.25, 1.0, 0.75),
        ),
        **changes,
    )


def whole_face(**changes: Any) -> LeafPicture:
    """A leaf that holds a whole shape, and no distribution."""
    shape = ground_truth(1, seed=9)[0] / 256
    held = {"points": shape, "std": shape / 20, "landmarks": tuple(range(68))}
    none = {"distribution": None, "extent": None, "faces": (), "weights": ()}
    return leaf(**{"title": "whole face", **held, **none, **changes})


def gallery(*leaves: LeafPicture, n: int = 6) -> LeafGallery:
    """These leaves, with the crops of n validation faces, which no evaluation shows."""
    faces = crops(evaluation(n, names=tuple(f"val/{i}" for i in range(n))))
    mean = ground_truth(1, seed=9)[0] / 256
    return LeafGallery(leaves, dict(enumerate(faces)), mean)


def add_finished_run(db: Database, *, error_px: float = 2.0, **changes: Any) -> str:
    """A run that trained for two epochs, ended, and was evaluated; returns its id."""
    run = runs.start_run(db, new_run(**changes))
    for epoch in (1, 2):
        runs.record_heartbeat(db, run, epoch=epoch, progress=epoch / 2, faces_per_s=200.0)
        runs.record_epoch(db, run, epoch, {"train_loss": 1 / epoch, "val_nme": 0.05 / epoch})
    runs.end_run(
        db, run, "finished", wall_s=60.0, faces_per_s=200.0, kept_epoch=2, kept_val_nme=0.025
    )
    result = evaluation(error_px=error_px, seed=changes.get("seed", 0))
    evaluations.record_evaluation(db, run, result, crops(result), checkpoint="best.safetensors")
    return run


def write_checkpoint_of_another_run(db: Path, run: str) -> None:
    """Write into the folder of a run of a store what says that it is of the run "another"."""
    from drf import checkpoint  # here: no other example needs torch

    with contextlib.closing(open_reader(db)) as con:
        stored = reads.run(con, run)
    config = {key: value for key, value, _ in stored["config"]}
    header = {"run": "another", "family": stored["family"], "config": config}
    checkpoint.save(run_folder(db, run) / checkpoint.BEST, {}, header)


def filled_store(path: Path) -> list[str]:
    """A store with a floor, two seeds of one hourglass and a better one; returns the run ids."""
    db = open_store(path)
    ids = [
        add_finished_run(db, name="mean-shape", family="mean-shape", preset=None, error_px=9.0),
        add_finished_run(db, seed=0, error_px=2.0),
        add_finished_run(db, seed=1, error_px=2.2),
        add_finished_run(db, name="hourglass-wide", error_px=1.0, params=5_000_000),
    ]
    db.close()
    return ids


Returned = TypeVar("Returned")


def copied(fill: Callable[[Path], Returned], path: Path) -> Returned:
    """A new store of what `fill` makes, for each of many tests: it is made once in a process, which
    takes longer than most tests that look at it."""
    contents, returned = _made(fill)
    path.write_bytes(contents)
    return copy.deepcopy(returned)


@functools.cache
def _made(fill: Callable[[Path], Returned]) -> tuple[bytes, Returned]:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "drf.db"
        returned = fill(path)
        return path.read_bytes(), returned


def older_store(path: Path) -> str:
    """A store as drf made it before it knew evaluations, with one run; its id."""
    db = Database(sqlite3.connect(path, isolation_level=None))
    migrations.apply(db, stop_before="m002_evaluations")
    identity = "0123456789abcdef" * 2
    db.table("runs").insert(
        {
            **{"id": identity, "name": "old", "family": "hourglass", "preset": "hourglass"},
            **{"dataset": "synthetic", "points": "all", "seed": 0, "params": 1, "macs": 1},
            **{"provenance": '{"precision": "fp32"}', "manifest": '{"digest": "abc"}'},
            **{"host": "elsewhere", "pid": 1, "process_started": 0.0},
            **{"started_at": "2026-01-01T00:00:00Z", "heartbeat_at": "2026-01-01T00:00:00Z"},
        }
    )
    db.close()
    return identity
