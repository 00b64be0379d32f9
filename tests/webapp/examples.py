"""A small store for the app: synthetic faces, honest errors, runs in every state, hostile names."""

from __future__ import annotations

import functools
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from sqlite_utils import Database

from db.connection import open_store
from db.recording import evaluations, gallery, runs
from db.transactions import writing
from drf.data import boxes
from drf.data.crops import encode_jpeg
from drf.data.synthetic import render_face
from drf.landmarks import geometry
from drf.landmarks.markup import IBUG68
from drf.pictures import FaceCrop, LeafGallery, LeafPicture
from drf.scoring import scores
from drf.scoring.results import Evaluation

FACES = {"common": 30, "challenging": 26}
CROP_PX = 128
WITHOUT_PICTURE = "common/00003"
HOSTILE = (
    "<img src=x onerror=document.title='owned'>",
    "[x](javascript:document.title='owned')",
    '=HYPERLINK("http://example.org") https://example.org :red[red] $x^2$',
)
DIFF = "diff --git a/drf/scoring/scores.py b/drf/scoring/scores.py\n-    return 1\n+    return 2\n"


@functools.cache
def faces(subset: str) -> tuple[tuple[str, ...], np.ndarray, list[FaceCrop]]:
    """Names, ground truth (n, 68, 2) picture px, and the crops, one face without."""
    made = [render_face(subset, index) for index in range(FACES[subset])]
    names = tuple(f"{subset}/{index:05d}" for index in range(len(made)))
    truth = np.stack([face.points for face in made])
    to_picture = geometry.crop_to_picture(boxes.gt_boxes(truth), CROP_PX)
    crops = []
    for name, face, affine in zip(names, made, to_picture, strict=True):
        if name != WITHOUT_PICTURE:
            flags = cv2.INTER_AREA | cv2.WARP_INVERSE_MAP
            crop = cv2.warpAffine(face.picture, affine, (CROP_PX, CROP_PX), flags=flags)
            crops.append(FaceCrop(name, face.points, encode_jpeg(crop), affine))
    return names, truth, crops


def evaluation(subset: str, error: float, seed: int) -> Evaluation:
    """Predictions whose ocular NME is about `error`, a fraction; some faces far worse."""
    names, truth, _ = faces(subset)
    rng = np.random.default_rng([seed, len(names)])
    distance = scores.distances(truth, "ocular", IBUG68)
    scale = error * distance * rng.lognormal(-0.15, 0.55, len(truth))
    offset = 0.6 * rng.standard_normal((len(truth), 1, 2)) + rng.standard_normal(truth.shape) * 0.6
    predictions = truth + 0.95 * scale[:, None, None] * offset
    return Evaluation(
        dataset="synthetic",
        subset=subset,
        names=names,
        markup=IBUG68,
        ground_truth=truth,
        predictions=predictions.astype(np.float32),
        landmarks="all",
        box="gt",
        flip_test=True,
        manifest={"faces": len(names), "skipped": {}, "digest": f"synthetic-{subset}"},
        ms_per_face=1.8 + seed / 10,
    )


HOURGLASS = runs.NewRun(
    name="hourglass",
    family="hourglass",
    preset="hourglass",
    dataset="synthetic",
    track="ten-minutes",
    landmarks="all",
    markup=IBUG68,
    seed=0,
    epochs=40,
    config={
        "training.lr": 1e-3,
        "training.epochs": 40,
        "model.width": 96,
        "model.stacks": 1,
        "augment.flip": True,
        "data.root": None,
        "note": HOSTILE[0],
    },
    sources={
        "training.lr": "--set",
        "training.epochs": "track ten-minutes",
        "model.width": "preset hourglass",
        "model.stacks": "default",
        "augment.flip": "default",
        "data.root": "default",
        "note": "file quick.toml",
    },
    provenance={
        "command": ["drf", "train", "hourglass", "--set", "training.lr=0.001", "--seed", "0"],
        "git_commit": "3f2a9c1e" * 5,
        "git_diff": DIFF,
        "device": "cpu",
        "precision": "bf16",
        "versions": {"python": "3.11.9", "torch": "2.13.0", "numpy": "2.4.0"},
        "hardware": {"cpu": "2 cores", "memory_gib": 8},
    },
    manifest={"faces": 2000, "digest": "0f3c", "skipped": {}},
    params=1_234_567,
    macs=891_000_000,
)


LEAF_TITLES = ("landmark 36", "landmark 54")


def forest_readings(epoch: int, *, collapsed: bool = False) -> dict[str, float]:
    """What a heatmap forest says of itself: learning, or stuck at the average face."""
    decay = 1.0 if collapsed else float(np.exp(-epoch / 6))
    return {
        "excess_ce": 0.02 + 2.1 * decay,
        "std_px": 1.1 + 9.0 * decay,
        "l1_px": 1.4 + 7.0 * decay + (0.4 * max(0, epoch - 20) / 20),
        "usage_entropy": np.log(2 + 28 * (1 - decay)),
        "information": np.log(1 + 19 * (1 - decay)),
        "largest_share": 0.08 + 0.9 * decay,
        "soft_hard_gap_px": 0.1 + 1.5 * decay,
        "leaf_distance_px": 12 * (1 - decay) + 0.05,
        "steepness": 2 * 3 ** (epoch / 40),
        "prediction_std_ratio": 0.97 - 0.94 * decay,
        "gate_drift": 0.1 * decay,
    }


def leaf_gallery() -> LeafGallery:
    """30 leaves of two landmarks and two trees that hold maps, and one that holds a whole face."""
    _, truth, crops = faces("challenging")
    to_crop = geometry.invert(np.stack([crop.to_picture for crop in crops]))
    shapes = geometry.to_unit(geometry.apply(to_crop, truth), CROP_PX).astype(np.float32)
    mean = shapes.mean(axis=0)
    grid = (np.arange(24) + 0.5) / 24
    leaves = []
    for number in range(30):
        landmark = (36, 54)[number % 2]
        place = mean[landmark] + 0.06 * np.array([np.sin(number), np.cos(number)])
        left, top = mean[landmark] - 0.12
        cells = [np.exp(-(((grid * 0.24 + o - p) / 0.02) ** 2) / 2) for o, p in
                 zip((left, top), place, strict=True)]  # fmt: skip
        near = np.argsort(((shapes[:, landmark] - place) ** 2).sum(axis=1))[:6]
        leaves.append(
            LeafPicture(
                tree=number // 2 % 2, leaf=number // 4, title=LEAF_TITLES[number % 2],
                share=0.2 / (1 + number), points=place[None].astype(np.float32),
                std=np.full((1, 2), 0.02, np.float32), landmarks=(landmark,),
                faces=tuple(near.tolist()), weights=tuple(np.linspace(0.9, 0.4, 6).tolist()),
                distribution=np.outer(cells[1], cells[0]).astype(np.float32),
                extent=(left, top, left + 0.24, top + 0.24),
            )
        )  # fmt: skip
    whole = LeafPicture(
        tree=1, leaf=9, title=HOSTILE[1], share=0.01, points=shapes[3],
        std=np.full((68, 2), 0.01, np.float32), landmarks=tuple(range(68)),
    )  # fmt: skip
    return LeafGallery((*leaves, whole), dict(enumerate(crops)), mean)


def add_forest(db: Database, new: runs.NewRun, error: float, *, state: str, reason: str) -> str:
    """A forest with its readings, its faces by epoch and its leaves."""
    run = add_run(db, new, error, seed=7, state="running")
    _, truth, crops = faces("challenging")
    rng = np.random.default_rng(7)
    noise = 12 * rng.standard_normal((6, 68, 2))
    for epoch in range((new.epochs or 0) + 1):
        collapsed = state == "collapsed"
        runs.record_epoch(db, run, epoch, forest_readings(epoch, collapsed=collapsed))
        predicted = truth[:6] + noise * np.exp(-epoch / 10)
        gallery.record_predictions(db, run, epoch, crops[:6], predicted.astype(np.float32))
    gallery.record_leaves(db, run, leaf_gallery())
    runs.end_run(
        db, run, state, reason=reason or None, wall_s=300.0, faces_per_s=205.0,
        kept_epoch=36, kept_val_nme=error,
    )  # fmt: skip
    return run


COLLAPSE = (
    "the predictions spread 0.030 times as wide as the labels (less than 0.1): every face gets"
    " nearly the same shape"
)


def add_run(
    db: Database, new: runs.NewRun, error: float | None, *, seed: int = 0, state: str = "finished"
) -> str:
    """A run that trained, ended in `state`, and was evaluated if it has an error."""
    run = runs.start_run(db, new)
    rng = np.random.default_rng(seed)
    for epoch in range(1, (new.epochs or 0) + 1):
        decay = float(np.exp(-epoch / 8))
        values = {
            "loss": 0.004 + 0.3 * decay,
            "loss_stack1": 0.005 + 0.32 * decay,
            "val_nme": (error or 0.05) * (1 + 2 * decay) + 0.0004 * rng.standard_normal(),
            "lr": 1e-3 * (1 + np.cos(np.pi * epoch / 40)) / 2,
        }
        runs.record_epoch(db, run, epoch, {name: float(value) for name, value in values.items()})
    if error is not None:
        for subset, harder in (("common", 1.0), ("challenging", 1.7)):
            result = evaluation(subset, error * harder, seed)
            evaluations.record_evaluation(
                db, run, result, faces(subset)[2], checkpoint="best.safetensors"
            )
    if state != "running":
        best = new.epochs - 2 if new.epochs else None
        runs.end_run(
            db, run, state, reason=None if state == "finished" else "Stopped by the budget.",
            wall_s=597.8 if new.epochs else 0.4, faces_per_s=412.0, kept_epoch=best,
            kept_val_nme=error if best else None,
        )  # fmt: skip
    return run


def bury(db: Database, run: str) -> None:
    """Make it the run of a process that has ended, as a killed one leaves it."""
    ended = subprocess.Popen([sys.executable, "-c", ""])
    ended.wait()
    with writing(db):
        db.execute("DELETE FROM epochs WHERE run = ? AND epoch > 12", [run])
        db.table("runs").update(run, {"pid": ended.pid, "epoch": 12, "progress": 0.3})


def with_config(new: runs.NewRun, **changes: object) -> runs.NewRun:
    """The run with other values of its configuration: another method."""
    return replace(new, config=new.config | changes)


def fill(path: Path) -> dict[str, str]:
    """Make the store; returns the run ids by a short key."""
    db = open_store(path)
    floor = replace(
        HOURGLASS, name="mean-shape", family="mean-shape", preset=None, track=None, epochs=None,
        params=0, macs=0, config={}, sources={},
        provenance={"git_commit": "3f2a9c1e" * 5, "device": "cpu", "precision": "fp32"},
    )  # fmt: skip
    wide = replace(
        with_config(HOURGLASS, **{"model.width": 192}), name="hourglass-wide", seed=1,
        params=4_910_000, macs=3_400_000_000,
    )  # fmt: skip
    image, script, formula = (
        with_config(replace(HOURGLASS, name=name), **{"model.stacks": stacks})
        for stacks, name in enumerate(HOSTILE, start=2)
    )
    untested = replace(HOURGLASS, name="untested", epochs=5)
    forest = replace(HOURGLASS, name="heatmap-forest", family="heatmap-forest", preset=None)
    flat = with_config(forest, **{"augment.flip": False})
    flat = replace(flat, name="historical/eyes", preset="historical/eyes-2000")
    ids = {
        "floor": add_run(db, floor, 0.16, seed=3),
        "narrow": add_run(db, HOURGLASS, 0.041, seed=0),
        "wide": add_run(db, wide, 0.034, seed=1),
        "image": add_run(db, image, 0.06, state="interrupted", seed=2),
        "script": add_run(db, script, 0.08, state="running"),
        "formula": add_run(db, formula, 0.05, state="failed", seed=5),
        "forest": add_forest(db, forest, 0.045, state="finished", reason=""),
        "collapsed": add_forest(db, flat, 0.12, state="collapsed", reason=COLLAPSE),
        "silent": add_run(db, replace(untested, name="silent"), None, state="running"),
        "untested": add_run(db, untested, None, state="running"),
    }
    bury(db, ids["script"])
    with writing(db):  # another machine's run, last heard of long ago
        old = {"host": "elsewhere", "heartbeat_at": "2026-01-01T00:00:00.000Z"}
        db.table("runs").update(ids["silent"], old)
    db.close()
    return ids


if __name__ == "__main__":
    print(os.linesep.join(f"{key} {run}" for key, run in fill(Path(sys.argv[1])).items()))
