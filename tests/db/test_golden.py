"""A store of version 0.1.0 opens, and nothing that it said has changed."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest

from db import faces, method_ids, predictions, reads
from db.analysis import paired
from db.boards import entries
from db.connection import open_reader, open_store
from db.maintenance import integrity
from db.recording import gallery
from db.tables.steps_m009_to_m011 import CONFIG_KEYS, METRICS
from drf.config import OLD_KEYS
from drf.landmarks.markup import IBUG68
from tests.conftest import REPOSITORY

GOLDEN = REPOSITORY / "tests" / "golden"
EXPECTED: dict[str, Any] = json.loads((GOLDEN / "expected.json").read_text(encoding="utf-8"))
RENAMED = {"points": "landmarks", "best_epoch": "kept_epoch", "best_val_nme": "kept_val_nme"}
RUNS = sorted(EXPECTED["methods"])


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Iterator[sqlite3.Connection]:
    path = tmp_path_factory.mktemp("golden") / "drf.db"
    shutil.copy(GOLDEN / "store" / "drf.db", path)
    open_store(path).close()
    con = open_reader(path)
    yield con
    con.close()


def renamed(facts: dict[str, Any]) -> dict[str, Any]:
    """What version 0.1.0 printed, in the words of today; but for the epoch that a run was in at its
    last heartbeat, which is no longer shown as the number of its epochs."""
    facts = {key: value for key, value in facts.items() if key != "epoch"}
    facts = {RENAMED.get(key, key): value for key, value in facts.items()}
    preset = facts.get("preset")
    return facts | {"preset": preset and preset.replace("notes/", "historical/")}


def assert_same(found: Any, expected: Any) -> None:
    """Scores are compared to 1e-9 percent; everything else exactly. New keys are allowed."""
    if isinstance(expected, dict):
        assert expected.keys() <= found.keys()
        for key, value in expected.items():
            assert_same(found[key], value)
    elif isinstance(expected, float):
        assert found == pytest.approx(expected, abs=1e-9, rel=0)
    else:
        assert found == expected


@pytest.mark.parametrize("landmarks", EXPECTED["leaderboard"])
def test_boards(golden: sqlite3.Connection, landmarks: str) -> None:
    board = reads.leaderboard(golden, landmarks=landmarks)
    found = {row["evaluation"]: entries.entry(row) for row in board.to_dict("records")}
    for entry in EXPECTED["leaderboard"][landmarks]:
        assert_same(found[entry["evaluation"]], renamed(entry))
    assert len(found) == len(EXPECTED["leaderboard"][landmarks])


def test_runs(golden: sqlite3.Connection) -> None:
    for found, expected in zip(entries.records(reads.runs(golden)), EXPECTED["runs"], strict=True):
        assert_same(found, renamed(expected))


def test_epochs_are_those_that_were_recorded(golden: sqlite3.Connection) -> None:
    for run in entries.records(reads.runs(golden)):
        assert run["epoch"] == EXPECTED["epochs"][run["id"]][-1]


def test_everything_about_a_run(golden: sqlite3.Connection) -> None:
    expected = renamed(EXPECTED["show"])
    config = {
        CONFIG_KEYS.get(key, key): (
            given["value"],
            given["source"].replace("preset notes/", "preset historical/"),
        )
        for key, given in expected.pop("config").items()
    }
    evaluations = [renamed(row) for row in expected.pop("evaluations")]
    found = reads.run(golden, expected["id"])
    assert {key: (value, source) for key, value, source in found["config"]} == config
    assert_same(found, expected)
    rows = entries.records(reads.evaluations(golden, expected["id"]))
    for row, was in zip(rows, evaluations, strict=True):
        was.pop("preset")
        assert_same(row, was)


def test_worst_faces(golden: sqlite3.Connection) -> None:
    for evaluation, worst in EXPECTED["worst_faces"].items():
        images = predictions.image_errors(golden, int(evaluation))
        top = images.sort_values("ocular", ascending=False).head(len(worst))
        for row, (name, ocular, pupil) in zip(top.to_dict("records"), worst, strict=True):
            assert row["name"] == name
            assert (row["ocular"], row["pupil"]) == (ocular, pupil)


@pytest.mark.parametrize("run", RUNS)
def test_leaves_and_epochs(golden: sqlite3.Connection, run: str) -> None:
    assert len(gallery.leaves(golden, run)[0]) == EXPECTED["leaves"][run]
    assert gallery.epochs(golden, run) == EXPECTED["epochs"][run]


def test_links_that_name_a_method_still_find_it(golden: sqlite3.Connection) -> None:
    today = method_ids.method_of_runs(golden)
    for run, old in EXPECTED["methods"].items():
        assert today[run] != old
        assert method_ids.today(golden, old) == today[run]
        assert method_ids.today(golden, today[run]) == today[run]
    assert method_ids.today(golden, "0" * 12) is None


def test_nothing_is_wrong_with_it(golden: sqlite3.Connection) -> None:
    assert integrity.faults(golden) == []


def test_the_step_renames_what_configurations_may_still_use() -> None:
    assert CONFIG_KEYS == OLD_KEYS


def test_names_of_metrics(golden: sqlite3.Connection) -> None:
    there = {name for (name,) in golden.execute("SELECT DISTINCT metric FROM epochs")}
    assert not there & METRICS.keys()
    assert set(METRICS.values()) <= there


def test_box_and_median_are_what_the_formulas_say(golden: sqlite3.Connection) -> None:
    for evaluation, landmarks in golden.execute("SELECT id, landmarks FROM evaluations"):
        ids, truth, predicted = predictions.predictions(golden, evaluation)
        chosen = IBUG68.indices(landmarks).tolist()
        errors = []
        for face_truth, face in zip(truth.tolist(), predicted.tolist(), strict=True):
            xs, ys = zip(*face_truth, strict=True)
            size = ((max(xs) - min(xs)) * (max(ys) - min(ys))) ** 0.5
            lengths = [
                ((face[k][0] - face_truth[k][0]) ** 2 + (face[k][1] - face_truth[k][1]) ** 2) ** 0.5
                for k in chosen
            ]
            errors.append(sum(lengths) / len(lengths) / size)
        n, ordered = len(errors), sorted(errors)
        rows = golden.execute(
            "SELECT score, value FROM scores WHERE evaluation = ? AND norm = 'box'", [evaluation]
        )
        scores = dict(rows.fetchall())
        assert scores["nme"] == pytest.approx(sum(errors) / n, abs=1e-11)
        assert scores["median"] == pytest.approx((ordered[(n - 1) // 2] + ordered[n // 2]) / 2)
        assert scores["fr8"] == pytest.approx(sum(error > 0.08 for error in errors) / n)
        assert scores["auc10"] == pytest.approx(
            sum(max(0.0, 1 - error / 0.1) for error in errors) / n, abs=1e-11
        )
        shared = paired.errors(golden, [evaluation])
        place = {face: at for at, face in enumerate(shared.faces.tolist())}
        for face, error in zip(ids.tolist(), errors, strict=True):
            assert shared["box"][0, place[face]] == pytest.approx(error, abs=1e-11)


def test_its_faces_have_the_markup_of_300w(golden: sqlite3.Connection) -> None:
    (face,) = golden.execute("SELECT min(id) FROM faces").fetchone()
    read = faces.read_face(golden, face)
    assert read.markup == IBUG68
    assert read.points.shape == (68, 2)
    assert read.visibility is None
    assert np.isfinite(read.points).all()
