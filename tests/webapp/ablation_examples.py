"""An ablation of two factors and a third, two seeds, and runs that do not belong to it."""

from __future__ import annotations

import itertools
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np

from db.connection import open_store
from db.recording import evaluations, runs
from drf.scoring.results import Evaluation
from tests.webapp import examples
from tests.webapp.examples import HOSTILE, HOURGLASS

TREES, DEPTHS = (1, 2, 4), (3, 5)
BASE = {"model.trees": 2, "model.depth": 5, "model.label_kind": "xy", "training.lr": 1e-3}
FOREST = replace(HOURGLASS, name="forest", family="heatmap-forest", preset=None, track=None)


def true_error(trees: int, depth: int) -> float:
    """What the ablation should find: trees help, deep trees a little."""
    return 0.06 - 0.006 * float(np.log2(trees)) - 0.001 * (depth - 3)


def evaluation(error: float, seed: int) -> Evaluation:
    """Of the faces of `common`: each is off by its own share of the error, more for hard faces, and
    a seed moves all a little."""
    made = examples.evaluation("common", error, seed=0)
    offset = made.predictions - made.ground_truth
    luck = np.random.default_rng(seed)
    scale = 1 + 0.02 * luck.standard_normal() + 0.05 * luck.standard_normal((len(offset), 1, 1))
    predictions = (made.ground_truth + offset * scale).astype(np.float32)
    return replace(made, predictions=predictions, ms_per_face=1.0 + 20 * error)


def add(
    db: object, change: dict[str, object], *, seed: int, error: float, state: str = "finished",
    new: runs.NewRun = FOREST, at: Evaluation | None = None,
) -> str:  # fmt: skip
    """A run of the base configuration with some keys changed, ended and evaluated."""
    config = BASE | change | {"training.seed": seed}
    trees = config["model.trees"]
    new = replace(
        new, seed=seed, config=config, sources=dict.fromkeys(config, "--set"),
        params=400_000 + 30_000 * trees, macs=20_000_000 + 500_000 * trees,
    )  # fmt: skip
    run = runs.start_run(db, new)
    evaluations.record_evaluation(db, run, at or evaluation(error, 10 * trees + seed), [])
    if state != "running":
        runs.end_run(
            db, run, state, reason=None if state == "finished" else "Stopped.", wall_s=90.0 + trees,
            faces_per_s=300.0, kept_epoch=3, kept_val_nme=error,
        )  # fmt: skip
    return run


def fill(path: Path) -> dict[str, str]:
    """Make the store; returns run ids: of the grid as "trees-depth-seed", of the others by name."""
    db = open_store(path)
    ids = {}
    for trees, depth, seed in itertools.product(TREES, DEPTHS, (0, 1)):
        if (trees, depth) != (4, 3):  # a combination that nobody has trained
            change = {"model.trees": trees, "model.depth": depth}
            key = f"{trees}-{depth}-{seed}"
            ids[key] = add(db, change, seed=seed, error=true_error(trees, depth))
    ids["leaf"] = add(db, {"model.label_kind": HOSTILE[0]}, seed=0, error=0.07, state="collapsed")
    ids["two changes"] = add(
        db, {"training.lr": 3e-3, "model.label_kind": "map"}, seed=0, error=0.05
    )
    ids["interrupted"] = add(db, {"model.trees": 8}, seed=0, error=0.05, state="interrupted")
    half = evaluation(0.05, 1)
    some = replace(
        half, names=half.names[:20], ground_truth=half.ground_truth[:20],
        predictions=half.predictions[:20], manifest={"digest": "others"},
    )  # fmt: skip
    ids["other faces"] = add(db, {"model.trees": 16}, seed=0, error=0.05, at=some)
    hourglass = replace(HOURGLASS, name=HOSTILE[1])
    ids["other family"] = add(db, {"model.depth": 4}, seed=0, error=0.04, new=hourglass)
    ids["again"] = add(db, {}, seed=0, error=true_error(2, 5))  # of 2-5-0: still two seeds
    db.close()
    return ids


if __name__ == "__main__":
    fill(Path(sys.argv[1]))
