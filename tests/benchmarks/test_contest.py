"""The contest trains what it means, finds its runs again, and compares them right."""

from __future__ import annotations

import dataclasses
import itertools
import math
import xml.etree.ElementTree as ElementTree
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.contest import figure, methods, rows, runs, scores, table
from benchmarks.contest.settings import Budget, ContestSettings
from db import predictions
from db.connection import open_reader, open_store
from db.recording.evaluations import record_evaluation
from db.recording.runs import end_run, start_run
from drf import presets, registry
from drf.errors import DrfError, UsageError
from drf.landmarks.markup import IBUG68
from experiments.paths import Paths
from experiments.request import Request, configure
from experiments.train import Result
from tests.db import examples

REAL = Budget("300w", 10.0, threads=2)
SMALL = ("data.synthetic_train_size=24", "data.input_size=64")
TRIAL = Budget("synthetic", 10.0, 1, epochs=1, settings=SMALL)
HOURGLASS = next(row for row in rows.ROWS if row.name == "hourglass")


def settings(folder: Path, budget: Budget = REAL) -> ContestSettings:
    return ContestSettings(Paths(folder / "drf.db", None, None, folder / "cache"), budget)


def test_unknown_rows_and_rows_without_their_preset_are_refused_in_a_sentence(monkeypatch) -> None:
    with pytest.raises(UsageError, match="no row 'hourglas'; did you mean 'hourglass'"):
        rows.chosen(["hourglas"])
    future = rows.Row("future", "to come", preset="not-there-yet")
    monkeypatch.setattr(rows, "ROWS", (*rows.ROWS[:3], future))
    with pytest.raises(UsageError, match=r"future \(preset not-there-yet\)"):
        rows.chosen(None)
    assert [row.name for row in rows.chosen(["hourglass", "ert"])] == [
        "hourglass",
        "ert",
    ]


def test_rows_on_request_are_left_out_until_asked_for(monkeypatch) -> None:
    large = rows.Row("large", "large", preset="hourglass", minutes=60.0, on_request=True)
    monkeypatch.setattr(rows, "ROWS", (*rows.ROWS[:2], large))
    assert [row.name for row in rows.chosen(None)] == ["mean-shape", "ert"]
    assert [row.name for row in rows.chosen(None, everything=True)] == [
        "mean-shape",
        "ert",
        "large",
    ]


@pytest.mark.parametrize("budget", [REAL, TRIAL, Budget("300w", 3.0, 1)])
@pytest.mark.parametrize("name", ["mean-shape", "hourglass", "heatmap-forest", "wide"])
def test_what_is_trained_is_what_is_looked_up_later(
    budget: Budget, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a finished run would never be found, and trained again on every call."""
    wide = rows.Row("wide", "wide", preset="hourglass", overrides=("model.width=32",))
    row = {r.name: r for r in (*rows.ROWS, wide)}[name]
    asked: list[tuple[Request, str | None, int]] = []

    def train(request: Request, paths: Paths, name: str | None, threads: int) -> Result:
        asked.append((request, name, threads))
        raise UsageError("heard")

    monkeypatch.setattr(methods, "train_in_process", train)
    method = methods.PresetMethod(row, settings(tmp_path, budget))
    with pytest.raises(UsageError, match="heard"):
        method.train(7)
    ((request, called, threads),) = asked
    assert (called, threads) == (name, budget.threads)
    expected = configure(request).config
    assert method.config(7) == (expected.family, expected.flat())
    assert expected.training.seed == 7
    assert request.track == ("ten-minutes" if budget is REAL else None)
    limits = (1, 0.0) if budget is TRIAL else (0, budget.minutes)
    assert (expected.training.epochs, expected.training.max_minutes) == limits


def test_a_row_may_have_minutes_of_its_own_and_then_leaves_the_track() -> None:
    large = rows.Row("large", "large", preset="hourglass", minutes=60.0)
    asked = rows.request(large, 0, REAL)
    assert asked.track is None
    assert configure(asked).config.training.max_minutes == 60.0
    assert configure(asked).config.data.dataset == "300w"


def test_a_row_may_have_threads_of_its_own_and_is_found_by_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = dataclasses.replace(HOURGLASS, threads=1)
    asked: list[int] = []

    def train(request: Request, paths: Paths, name: str | None, threads: int) -> Result:
        asked.append(threads)
        raise UsageError("heard")

    monkeypatch.setattr(methods, "train_in_process", train)
    with pytest.raises(UsageError, match="heard"):
        methods.PresetMethod(alone, settings(tmp_path)).train(0)
    assert asked == [1]
    run = finished(tmp_path, threads=1)
    assert runs.find(alone, 0, settings(tmp_path)) == run
    assert runs.find(HOURGLASS, 0, settings(tmp_path)) is None


def test_equal_macs_are_as_near_as_the_widths_allow() -> None:
    row = rows.Row("equal", "equal", preset="hourglass", equal_macs="heatmap-forest")

    def macs(preset: str, *words: str) -> int:
        return registry.count_macs(
            registry.build(configure(Request(preset, None, None, words)).config, IBUG68)
        )

    target = macs("heatmap-forest")
    width = int(rows.equal_width(row)[0].removeprefix("model.width="))
    distance = {
        w: abs(macs("hourglass", f"model.width={w}", f"model.growth={w // 2}") - target)
        for w in (width - 4, width, width + 4)
    }
    assert min(distance, key=distance.__getitem__) == width
    assert distance[width] < 0.2 * target


def finished(folder: Path, threads: int = 2, state: str = "finished", **changes: object) -> str:
    """A run of the row hourglass as `drf train` would have stored it, with any key changed."""
    flat = configure(rows.request(HOURGLASS, 0, REAL)).config.flat() | changes
    store = open_store(folder / "drf.db")
    new = examples.new_run(
        config=flat, sources=dict.fromkeys(flat, "--set"), provenance={"threads": threads}
    )
    run = start_run(store, new)
    end = {"wall_s": 600.0, "faces_per_s": 60.0, "kept_epoch": 1, "kept_val_nme": 0.03}
    end_run(store, run, state, **end)
    store.close()
    return run


def test_a_finished_run_is_taken_and_one_that_differs_is_not(tmp_path: Path) -> None:
    here = settings(tmp_path)
    assert runs.find(HOURGLASS, 0, here) is None  # no store yet
    finished(tmp_path, threads=1)
    finished(tmp_path, **{"training.lr": 1.0})
    finished(tmp_path, **{"training.seed": 1})
    finished(tmp_path, state="interrupted")
    assert runs.find(HOURGLASS, 0, here) is None
    run = finished(tmp_path)
    assert runs.find(HOURGLASS, 0, here) == run


def test_a_checkpoint_of_another_run_is_not_timed_as_this_one(tmp_path: Path) -> None:
    run = finished(tmp_path)
    examples.write_checkpoint_of_another_run(tmp_path / "drf.db", run)
    with pytest.raises(DrfError, match=f"is not a checkpoint of run {run[:8]}"):
        methods.PresetMethod(HOURGLASS, settings(tmp_path)).load(run)


def evaluated(folder: Path, row: rows.Row, seed: int, error_px: float) -> runs.RunResult:
    """A run whose evaluations miss by about so much, twice as much under the jitter."""
    store = open_store(folder / "drf.db")
    run = start_run(store, examples.new_run(name=row.name, seed=seed, provenance={"threads": 2}))
    kinds = {
        "test": {"flip_test": True},
        "single": {"flip_test": False},
        "jitter": {"box": "gt_jitter"},
        "val": {"subset": "val"},
    }
    ids = {}
    for name, facts in kinds.items():
        px = error_px * (2 if name == "jitter" else 1)
        result = examples.evaluation(error_px=px, seed=seed, **facts)
        ids[name] = record_evaluation(store, run, result, examples.crops(result))
    end = {"wall_s": 60.0 * (seed + 1), "faces_per_s": 1.0, "kept_epoch": 1, "kept_val_nme": 0.03}
    end_run(store, run, "finished", **end)
    store.close()
    return runs.RunResult(row, seed, run, ids)


def test_what_was_evaluated_on_another_dataset_is_no_evaluation_of_the_contest(
    tmp_path: Path,
) -> None:
    result = evaluated(tmp_path, HOURGLASS, 0, 3.0)
    store = open_store(tmp_path / "drf.db")
    for other in ({"dataset": "wflw"}, {"landmarks": "eyes"}):
        record_evaluation(store, result.run, examples.evaluation(subset="val", **other), [])
    store.close()
    assert runs._evaluations(result.run, settings(tmp_path, TRIAL)) == result.evaluations


@pytest.fixture(scope="module")
def entries(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple]:
    folder = tmp_path_factory.mktemp("contest")
    better = rows.Row("better", "better", preset="heatmap-forest", seeds=2)
    results = {
        "hourglass": [evaluated(folder, HOURGLASS, 5, 3.0)],
        "better": [evaluated(folder, better, seed, 1.0) for seed in (0, 1)],
    }
    reader = open_reader(folder / "drf.db")
    yield reader, results, scores.document(reader, folder / "drf.db", results)
    reader.close()


def test_scores_are_means_over_seeds_and_differences_are_paired_by_face(entries) -> None:
    reader, results, (hourglass, better) = entries

    def stored(run: runs.RunResult, evaluation: str) -> np.ndarray:
        found = predictions.image_errors(reader, run.evaluations[evaluation])
        return 100 * found.sort_values("name")["ocular"].to_numpy()

    zero, one = (stored(run, "test") for run in results["better"])
    other = stored(results["hourglass"][0], "test")
    assert better["ocular_nme"]["mean"] == pytest.approx((zero.mean() + one.mean()) / 2)
    assert better["ocular_nme"]["sd"] == pytest.approx(abs(zero.mean() - one.mean()) / math.sqrt(2))
    assert hourglass["ocular_nme"]["sd"] is None
    assert better["training_minutes"] == pytest.approx(1.5)
    assert hourglass["versus"] == {}  # of the two references, only itself takes part
    versus = better["versus"]["hourglass"]
    assert versus["ocular"]["estimate"] == pytest.approx(((zero + one) / 2 - other).mean())
    assert versus["ocular"]["low"] < versus["ocular"]["estimate"] < versus["ocular"]["high"] < 0
    assert versus["ocular"]["excludes_0"]
    rises = [stored(run, "jitter") - stored(run, "test") for run in results["better"]]
    theirs = stored(results["hourglass"][0], "jitter") - other
    expected = (np.mean(rises, axis=0) - theirs).mean()
    assert versus["rise_under_jitter"]["estimate"] == pytest.approx(expected)


def test_uncertainty_is_read_where_models_say_how_sure_they_are(tmp_path: Path, entries) -> None:
    assert [entry["uncertainty"] for entry in entries[2]] == [None, None]
    sure = examples.evaluation(error_px=3.0)
    offsets = (sure.predictions - sure.ground_truth).astype(np.float64)
    squared = (offsets**2).sum(axis=-1)[..., None, None] * np.eye(2)
    store = open_store(tmp_path / "drf.db")
    run = start_run(store, examples.new_run(provenance={"threads": 2}))
    knowing = dataclasses.replace(sure, covariances=squared.astype(np.float32))
    number = record_evaluation(store, run, knowing, [])
    store.close()
    reader = open_reader(tmp_path / "drf.db")
    oracle = scores._uncertainty(reader, [runs.RunResult(HOURGLASS, 0, run, {"test": number})])
    reader.close()
    assert oracle["aurc"] == pytest.approx(oracle["least_aurc"], rel=1e-3)
    assert 0 < oracle["aurc"] < 100 * knowing.errors("ocular").mean()
    assert oracle["inside_95"] == 100.0  # every error is one standard deviation long


def timed(entry: dict, ms: float) -> dict:
    keys = ("model_ms_p50", "model_ms_p95", "whole_ms_p50", "whole_ms_p95", "batch_faces_per_s")
    return entry | {"latency": dict.fromkeys(keys, ms)}


def test_the_tables_hold_every_row_and_every_difference(entries) -> None:
    shown = [timed(entry, 2.5) for entry in entries[2]]
    head, _, *body = table.scores(shown).splitlines()
    assert len(body) == 2
    assert {line.count("|") for line in (head, *body)} == {head.count("|")}
    assert f"{shown[1]['ocular_nme']['mean']:.2f} ± {shown[1]['ocular_nme']['sd']:.2f}" in body[1]
    *_, last = table.differences(shown).splitlines()
    assert f"**{shown[1]['versus']['hourglass']['ocular']['estimate']:+.2f} [" in last


def test_the_figure_is_an_svg_with_a_mark_and_a_label_for_every_row_that_learns(entries) -> None:
    shown = [timed(entry, ms) for entry, ms in zip(entries[2], (1.0, 8.0), strict=True)]
    shown[1]["family"] = "heatmap-forest"
    floor = shown[0] | {"params": 0, "label": "mean shape"}
    facts = {"dataset": "300w", "subset": "helen", "minutes": 10.0, "rows": [*shown, floor]}
    svg = ElementTree.fromstring(figure.figure(facts))
    space = "{http://www.w3.org/2000/svg}"
    marks = [group.get("id", "").partition("-")[0] for group in svg.iter(f"{space}g")]
    assert [marks.count(kind) for kind in figure.MARKERS] == [1, 1]
    texts = [text.text for text in svg.iter(f"{space}text")]
    for row in shown:
        assert f"{row['label']} {row['ocular_nme']['mean']:.2f}" in texts
    assert not any("mean shape" in (text or "") for text in texts)


def test_the_same_numbers_give_the_same_figure(entries) -> None:
    shown = [timed(entry, ms) for entry, ms in zip(entries[2], (1.0, 8.0), strict=True)]
    facts = {"dataset": "300w", "subset": "helen", "minutes": 10.0, "rows": shown}
    assert figure.figure(facts) == figure.figure(facts)
    assert "dc:date" not in figure.figure(facts)


@given(st.lists(st.floats(0, 1), min_size=1, max_size=15))
def test_labels_keep_their_distance_and_their_order(wanted: list[float]) -> None:
    heights = figure.spread(sorted(wanted), figure.LABEL_GAP)
    assert all(b - a >= figure.LABEL_GAP - 1e-6 for a, b in itertools.pairwise(heights))
    assert max(heights) <= 1 + 1e-6


def test_an_axis_of_a_short_range_has_ticks_too() -> None:
    def ticks(low: float, high: float) -> list[float]:
        found = figure.tick_locator(low, high).tick_values(low, high)
        return [round(float(tick), 9) for tick in found if low <= tick <= high]

    assert ticks(2.64, 3.41) == [2.7, 2.8, 2.9, 3.0, 3.1, 3.2, 3.3, 3.4]
    assert ticks(2.3, 40)[:4] == [2.5, 3, 4, 5]


def test_all_rows_have_every_preset_that_learns_all_landmarks() -> None:
    known = {preset for row in rows.chosen(None, everything=True) for preset in row.presets()}
    rest = set(presets.names()) - known
    assert {name for name in rest if "eyes" not in name} == {"historical/sample-200"}
