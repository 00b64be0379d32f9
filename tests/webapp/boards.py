"""Boards for tests of the leaderboard: made-up entries, and a store with seeds and a baseline."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pandas as pd

from db.connection import open_store
from db.recording import evaluations, runs
from drf.scoring import scores
from tests.db import examples
from tests.markups import FIVE, points_of

NO_OCULAR = replace(FIVE, name="no-ocular", normalisers={"pupil": FIVE.normalisers["pupil"]})
NAMES = ("beta", "Alpha", "gamma", "delta")


def entries_of_a_board() -> pd.DataFrame:
    """Four runs of one board; the order under pupil is the reverse of that under ocular."""
    n = len(NAMES)
    frame = pd.DataFrame(
        {"name": NAMES, "family": "hourglass", "run": [f"{i}" * 32 for i in range(n)]}
    )
    for place, score in enumerate(scores.SCORE_KEYS):
        up = [float(10 * place + i) for i in range(n)]
        for norm in scores.NORMALISER_KEYS:
            frame[scores.column(norm, score)] = up[::-1] if norm == "pupil" else up
    return frame.assign(
        preset=[None, "small", None, "small"], track=None, precision="fp32", seed=0,
        trained_on=None, started_from=None, params=[4, 3, 2, 1], macs=1, ms_per_face=1.0,
        wall_s=[60.0, None, 30.0, 90.0],
        status="finished", condition="finished", dataset="synthetic", subset="common",
        landmarks="all", markup="ibug68", box="gt",
        flip_test=True, n=30, evaluation=range(1, n + 1), checkpoint="best.safetensors",
        epochs_trained=30.0, steps=300.0, faces_seen=4800.0, hardware="a CPU, 2 threads",
        eval_precision="fp32", crop_version=2,
        latency_ms=float("nan"), latency_p90_ms=float("nan"), latency_on=None,
        manifest_digest="d", created_at=[f"2026-01-0{i + 1}T00:00:00.000Z" for i in range(n)],
    )  # fmt: skip


def store_with_seeds(path: Path, faces: int = 40) -> dict[str, list[str]]:
    """Three seeds of `forest`, two of `wide`, one of `floor`, on one subset of 300-W's name;
    returns the run ids."""
    db = open_store(path)
    made: dict[str, list[str]] = {}
    plan = (
        ("forest", "heatmap-forest", (0, 1, 2), 2.0),
        ("wide", "hourglass", (0, 1), 2.6),
        ("floor & <i>co</i>_1", "mean-shape", (0,), 9.0),
    )
    for name, family, seeds, error_px in plan:
        for seed in seeds:
            config = {"training.seed": seed, "model.name": name}
            new = examples.new_run(
                name=f"{name}-s{seed}" if len(seeds) > 1 else name, family=family, seed=seed,
                dataset="300w", config=config, sources=dict.fromkeys(config, "default"),
            )  # fmt: skip
            run = runs.start_run(db, new)
            runs.end_run(
                db, run, "finished", wall_s=60.0, faces_per_s=1.0, kept_epoch=1, kept_val_nme=0.05
            )
            result = examples.evaluation(faces, error_px, seed=seed, dataset="300w", subset="full")
            evaluations.record_evaluation(db, run, result, [], checkpoint="best.safetensors")
            made.setdefault(name, []).append(run)
    db.close()
    return made


def store_with_two_markups(path: Path, faces: int = 20) -> None:
    """A board whose markup has no ocular normaliser, `five`, beside a usual one."""
    db = open_store(path)
    usual = examples.evaluation(faces, dataset="usual")
    truth, predicted = (
        points_of(FIVE, points).astype(np.float32)
        for points in (usual.ground_truth, usual.predictions)
    )
    five = replace(
        usual, dataset="five", markup=NO_OCULAR, ground_truth=truth, predictions=predicted
    )
    for made in (usual, five):
        new = examples.new_run(name=made.dataset, dataset=made.dataset, markup=made.markup)
        run = runs.start_run(db, new)
        evaluations.record_evaluation(db, run, made, examples.crops(made))
        runs.end_run(
            db, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=1, kept_val_nme=0.05
        )
    db.close()
