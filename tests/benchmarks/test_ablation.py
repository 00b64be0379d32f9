"""The ablation script takes up what the store has finished, and nothing else."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import ablation
from db import evaluations, runs
from db.connection import open_store
from experiments.paths import Paths
from experiments.request import configure
from tests.conftest import REPOSITORY
from tests.db import examples

BASE = {"data.dataset": "synthetic", "training.epochs": 10}


def record(path: Path, combination, *, state="finished", error_px=None, **base):
    """A run of a combination as the script would have trained it, evaluated if it has an error."""
    config = configure(combination.request(BASE | base)).config
    store = open_store(path)
    flat = config.flat()
    run = runs.start_run(
        store,
        examples.new_run(
            name=combination.name,
            family=config.family,
            seed=combination.seed,
            config=flat,
            sources=dict.fromkeys(flat, "option"),
        ),
    )
    runs.end_run(
        store,
        run,
        state,
        reason=None if state == "finished" else "stopped",
        wall_s=60.0,
        faces_per_s=100.0,
        kept_epoch=1,
        kept_val_nme=0.1,
    )
    if error_px is not None:
        result = replace(examples.evaluation(error_px=error_px), subset=ablation.SUBSET)
        evaluations.record_evaluation(store, run, result, [])
    store.close()
    return run


def test_the_ablation_has_at_least_24_runs_with_two_seeds() -> None:
    grid = ablation.grid(quick=False)
    assert len(set(grid)) == len(grid) >= 24
    for factor in ("trees", "depth", "sigma", "seed"):
        assert len({getattr(combination, factor) for combination in grid}) >= 2


def test_only_finished_runs_of_the_same_configuration_are_taken_up(tmp_path) -> None:
    path = tmp_path / "drf.db"
    combinations = ablation.grid(quick=False)[:5]
    done = record(path, combinations[0])
    record(path, combinations[1], state="interrupted")
    record(path, combinations[2], **{"training.epochs": 20})
    collapsed = record(path, combinations[3], state="collapsed")
    newer = record(path, combinations[0])
    found = ablation.finished(combinations, BASE, path)
    assert found == [newer, None, None, collapsed, None]
    assert done != newer


def test_what_is_finished_and_evaluated_is_not_done_again(tmp_path, monkeypatch) -> None:
    path = tmp_path / "drf.db"
    (combination,) = ablation.grid(quick=False)[:1]
    run = record(path, combination, error_px=2.0)

    def never(*_: object) -> None:
        raise AssertionError("trained or evaluated again")

    monkeypatch.setattr(ablation, "train_in_process", never)
    monkeypatch.setattr(ablation, "evaluate_run", never)
    places = Paths(path, None, None, None)
    ((_, became),) = ablation.outcomes([combination], BASE, places, jobs=1)
    assert became == "trained before, evaluated before"
    assert ablation.finished([combination], BASE, path) == [run]


def test_the_summary_is_the_mean_over_seeds_of_what_the_board_has(tmp_path) -> None:
    path = tmp_path / "drf.db"
    zero, one = (
        c for c in ablation.grid(quick=False) if (c.trees, c.depth, c.sigma) == (1, 3, 0.5)
    )
    ids = [record(path, zero, error_px=1.0), record(path, one, error_px=3.0)]
    (row,) = ablation.summary([zero, one], BASE, path)
    board = ablation.evaluations(path, ids)
    first, second = (board[run]["ocular"]["nme"] for run in ids)
    assert row["nme"] == pytest.approx((first + second) / 2)
    assert row["sd"] == pytest.approx(abs(first - second) / 2**0.5)
    assert (row["seeds"], row["minutes"], row["runs"]) == (2, 1.0, ids)
    line = ablation.table([row]).splitlines()[-1]
    cells = [cell.strip() for cell in line.strip("|").split("|")]
    assert cells[:5] == ["1", "3", "0.5", "2", f"{row['nme']:.2f} ± {row['sd']:.2f}"]


@pytest.mark.slow
def test_the_quick_ablation_trains_and_evaluates() -> None:
    ran = subprocess.run(
        [sys.executable, "-m", "benchmarks.ablation", "--quick", "--json"],
        cwd=REPOSITORY,
        env=os.environ | {"PYTHONPATH": str(REPOSITORY)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr
    rows = json.loads(ran.stdout)["rows"]
    assert [(row["trees"], row["seeds"]) for row in rows] == [(1, 2), (4, 2)]
