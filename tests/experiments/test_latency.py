"""`drf bench` measures the model that is evaluated, on one thread, and stores what it measured."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from db.connection import open_reader, open_store
from db.file import run_folder
from db.recording import latencies
from drf import checkpoint, hardware
from drf.errors import NotFoundError
from drf.inference import latency
from drf.inference.prediction import Predictor
from drf.models.fuse_batchnorm import fuse_batchnorm
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import Paths
from experiments.request import Request
from experiments.train import train_new_run
from tests.cli.conftest import Drf, drf
from tests.db import examples

TINY = {
    "data.synthetic_train_size": 24,
    "data.input_size": 32,
    "model.width": 8,
    "model.depth": 2,
    "training.device": "cpu",
    "training.epochs": 1,
}
__all__ = ["drf"]


@pytest.fixture
def paths(tmp_path: Path, few_faces: object) -> Paths:
    return Paths(tmp_path / "drf.db", None, None, None)


def test_a_run_is_measured_and_its_board_shows_it(paths: Paths, drf: Drf) -> None:
    run = train_new_run(Request("hourglass", options=TINY), paths, "tiny").run
    evaluate_run(run, EvaluationSpec("val"), paths)
    threads = torch.get_num_threads()
    assert drf("bench", "tiny", run[:8]).code == 0  # one run, however it is named
    assert torch.get_num_threads() == threads
    with contextlib.closing(open_reader(paths.db)) as con:
        (found,) = latencies.of_runs(con)[run]
    assert 0 < found.p50_ms <= found.p90_ms
    assert (found.threads, found.torch) == (1, torch.__version__)
    assert found.hardware == hardware.describe_cpu()
    (row,) = drf("leaderboard", "--json", "--sort", "latency_ms").json
    assert (row["latency_ms"], row["latency_on"]) == (found.p50_ms, found.hardware)
    (method,) = drf("leaderboard", "--methods", "--json").json
    assert method["latency_p90_ms"] == found.p90_ms
    assert f"on {found.hardware}." in drf("leaderboard").out.replace("\n", " ")
    (shown,) = drf("runs", "show", "tiny", "--json").json["latencies"]
    assert shown["p50_ms"] == found.p50_ms
    with contextlib.closing(open_store(run_folder(paths.db, run) / "record.db")) as kept:
        assert latencies.of_runs(kept.conn) == {run: [found]}


def test_a_record_that_is_locked_costs_no_result(
    paths: Paths, drf: Drf, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = train_new_run(Request("hourglass", options=TINY), paths, "tiny").run
    record = run_folder(paths.db, run) / "record.db"
    monkeypatch.setattr("db.connection.BUSY_TIMEOUT_S", 0.05)
    with contextlib.closing(sqlite3.connect(record, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answers = [drf("eval", "tiny"), drf("bench", "tiny")]
    for answer in answers:
        assert answer.code == 0
        assert f"record beside the checkpoints is not: {record} stayed locked" in answer.err
    (row,) = drf("leaderboard", "--json").json
    assert row["latency_ms"] > 0


def test_a_pass_is_that_of_an_evaluation_without_the_flip_test(paths: Paths) -> None:
    run = train_new_run(Request("hourglass", options=TINY), paths, "tiny").run
    model, _ = checkpoint.load_model(run_folder(paths.db, run) / checkpoint.BEST)
    images = latency.faces(model, 1)
    passed = latency.single_pass(fuse_batchnorm(model), images)()
    expected = Predictor(model, torch.device("cpu"), "fp32").unit_points(images)
    assert isinstance(passed, torch.Tensor)
    assert torch.allclose(passed, expected, atol=1e-5)


def test_nothing_is_measured_where_one_of_the_runs_has_no_model(paths: Paths, drf: Drf) -> None:
    run = train_new_run(Request("hourglass", options=TINY), paths, "tiny").run
    with contextlib.closing(open_store(paths.db)) as store:
        examples.add_finished_run(store, name="no checkpoint")
        examples.add_finished_run(store, name="imported", family="external")
    for other, why in (
        ("no checkpoint", "there is no checkpoint"),
        ("imported", "its predictions were imported"),
        ("unknown", "no run has the name"),
    ):
        told = drf("bench", "tiny", other)
        assert told.code == NotFoundError.exit_code
        assert told.err.startswith("drf: ")
        assert why in told.err
        assert told.err.count("\n") == 1
    assert json.loads(drf("runs", "show", run, "--json").out)["latencies"] == []


def test_what_the_thread_waits_for_is_not_counted() -> None:
    times = latency.pass_times({"waits": lambda: time.sleep(0.01)}, rounds=2, passes=3)["waits"]
    assert times.shape == (2, 3)
    assert np.median(times) < 5  # ms


def test_the_round_with_the_smallest_median_counts() -> None:
    times = np.array([[5.0, 5.0, 5.0], [2.0, 3.0, 90.0], [1.0, 4.0, 4.0]])
    assert latency.quickest_round(times).tolist() == [2.0, 3.0, 90.0]
