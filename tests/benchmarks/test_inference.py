"""What few leaves cost is read off a trained cascade, soft routing as `drf eval` has it."""

from __future__ import annotations

from pathlib import Path

import pytest

from benchmarks import inference
from db.file import run_folder
from drf import checkpoint
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import Paths
from experiments.request import Request
from experiments.train import train_new_run

TINY = {
    "data.synthetic_train_size": 60,
    "data.input_size": 64,
    "model.width": 8,
    "model.features": 8,
    "model.trees": 2,
    "model.global_context_dim": 8,
    "model.stages": 1,
    "training.epochs": 1,
    "training.device": "cpu",
    "training.precision": "fp32",
}


def test_soft_routing_is_what_is_evaluated_and_all_leaves_are_soft_routing(
    tmp_path: Path, few_faces: object
) -> None:
    places = Paths(tmp_path / "drf.db", None, None, None)
    run = train_new_run(
        Request("cascade-forest", options=TINY | {"model.tree_depth": 3}), places
    ).run
    found = inference.accuracy(run_folder(places.db, run) / checkpoint.BEST, None)
    stored = evaluate_run(run, EvaluationSpec("val", precision="fp32"), places)["ocular"]["nme"]
    assert found["soft"] == pytest.approx(stored, rel=1e-4)
    assert found["top 8"] == pytest.approx(found["soft"], rel=1e-4)  # of 2^3 leaves
    assert found["hard-last"] == found["hard"]  # of one stage
    assert found["hard"] != pytest.approx(found["soft"], rel=1e-6)
