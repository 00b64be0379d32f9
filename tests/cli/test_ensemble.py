"""The mean of several runs' predictions: stored, listed, refused, sent on, and kept without its
members."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from db import predictions, reads, status
from db.analysis import factors
from db.analysis.configs import settings
from db.connection import open_reader, open_store
from db.recording.evaluations import record_evaluation
from db.recording.runs import end_run, start_run
from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from experiments.ensemble import combined
from tests.cli.conftest import Answer, Drf
from tests.db import examples

N = 6
TRUTH = examples.ground_truth(N)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """The store that `drf` uses."""
    return tmp_path / "drf.db"


@pytest.fixture
def runs(filled: list[str]) -> list[str]:
    """The two seeds of the hourglass and the wider one, each evaluated on "common"."""
    return filled[1:]


def member(path: Path, name: str, **changes: Any) -> str:
    """A run that learned from more than its own dataset, without an evaluation; its id."""
    store = open_store(path)
    spent = changes.pop("wall_s", 60.0)
    run = start_run(store, examples.new_run(name=name, **changes))
    end_run(
        store, run, "finished", wall_s=spent, faces_per_s=None, kept_epoch=None, kept_val_nme=None
    )
    store.close()
    return run


def evaluated(path: Path, run: str, **changes: Any) -> int:
    store = open_store(path)
    result = examples.evaluation(N, **changes)
    number = record_evaluation(store, run, result, [])
    store.close()
    return number


def covariances(seed: int) -> np.ndarray:
    """Covariances of N faces, (N, 68, 2, 2) float32."""
    roots = np.random.default_rng(seed).normal(0, 2, (N, 68, 2, 2))
    return (roots @ roots.transpose(0, 1, 3, 2) + np.eye(2)).astype(np.float32)


def stored_points(path: Path, evaluation: int) -> np.ndarray:
    con = open_reader(path)
    _, _, found = predictions.predictions(con, evaluation)
    con.close()
    return found


def counts(path: Path) -> tuple[int, ...]:
    con = open_reader(path)
    tables = ("runs", "run_config", "evaluations", "predictions", "scores", "faces")
    found = tuple(con.execute(f"SELECT count(*) FROM {table}").fetchone()[0] for table in tables)
    con.close()
    return found


def refused(path: Path, answer: Answer, code: int, sentence: str, before: tuple[int, ...]) -> bool:
    """Whether a command said one sentence with these words and stored nothing."""
    assert sentence in answer.err
    return (answer.code, answer.err.count("\n"), counts(path)) == (code, 1, before)


def test_the_mean_and_its_covariances_are_those_of_the_formulas() -> None:
    points = [TRUTH + np.float32(m) * np.float32([1, -2]) for m in range(3)]
    own = [covariances(m) for m in range(3)]
    mean, total = combined(points, own)
    assert total is not None
    for n, k in ((0, 0), (5, 67), (2, 30)):
        y = sum(points[m][n, k].astype(float) for m in range(3)) / 3
        expected = np.zeros((2, 2))
        for m in range(3):
            apart = points[m][n, k].astype(float) - y
            for i in range(2):
                for j in range(2):
                    expected[i, j] += (own[m][n, k, i, j] + apart[i] * apart[j]) / 3
        assert mean[n, k] == pytest.approx(y, rel=1e-6)
        assert total[n, k] == pytest.approx(expected, rel=1e-5)


def test_no_covariance_is_made_up_where_a_member_predicts_none() -> None:
    _, total = combined([TRUTH, TRUTH], [covariances(0), None])
    assert total is None


def test_it_is_a_row_of_the_board_with_the_scores_of_the_mean(
    drf: Drf, runs: list[str], path: Path
) -> None:
    answer = drf("ensemble", *runs, "--name", "mean", "--json")
    assert answer.code == 0, answer.err
    entry = answer.json
    each = [stored_points(path, number).astype(float) for number in (2, 3, 4)]
    mean = ((each[0] + each[1] + each[2]) / 3).astype(np.float32)
    for norm in scores.NORMALISER_KEYS:
        expected = scores.summary(scores.image_errors(mean, TRUTH, norm, IBUG68))
        found = entry["scores"][norm]
        assert found == pytest.approx({key: 100 * value for key, value in expected.items()})
    assert stored_points(path, entry["evaluation"]).tobytes() == mean.tobytes()
    assert (entry["family"], entry["ranked"], entry["n"]) == ("ensemble", True, N)
    assert entry["members"] == runs
    (row,) = (row for row in drf("leaderboard", "--json").json if row["run"] == entry["run"])
    assert row["scores"] == entry["scores"]
    assert drf("db", "check").code == 0
    assert drf("verify").code == 0


def test_its_cost_is_the_sum_over_the_members_and_the_rest_is_not_known(
    drf: Drf, runs: list[str]
) -> None:
    entry = drf("ensemble", *runs, "--name", "mean", "--json").json
    sums = {"params": 2 * 1_234_567 + 5_000_000, "macs": 3 * 89_000_000, "wall_s": 180.0}
    assert {key: entry[key] for key in sums} == sums
    unknown = ("ms_per_face", "epochs_trained", "steps", "checkpoint", "preset", "track")
    assert {entry[key] for key in unknown} == {None}
    assert (entry["flip_test"], entry["device"]) == (True, "cpu")
    shown = drf("runs", "show", "mean", "--json").json
    assert (shown["epochs"], shown["kept_epoch"], shown["faces_per_s"]) == (None, None, None)
    assert shown["manifest"]["digest"] == "abc"
    assert list(shown["provenance"]["members"]) == runs
    assert shown["provenance"]["command"].startswith("drf ensemble ")


def test_the_time_of_a_member_that_nobody_knows_makes_the_sum_unknown(
    drf: Drf, runs: list[str], path: Path
) -> None:
    store = open_store(path)
    with store.conn:
        store.execute(
            "UPDATE runs SET wall_s = NULL, process_started = process_started + 1000 WHERE id = ?",
            [runs[0]],
        )
    store.close()
    assert drf("ensemble", *runs, "--name", "mean", "--json").json["wall_s"] is None


def test_it_names_all_data_that_a_member_learned_from_and_keeps_no_track(
    drf: Drf, runs: list[str], path: Path
) -> None:
    config = {"training.pretrained": "imagenet"}
    learned = member(path, "learned", config=config, sources=dict.fromkeys(config, "option"))
    evaluated(path, learned, seed=4)
    config = {"training.init_from": "f" * 32}
    unknown = member(path, "unknown", config=config, sources=dict.fromkeys(config, "option"))
    evaluated(path, unknown, seed=5)
    one = drf("ensemble", runs[0], learned, "--name", "one", "--json").json
    assert (one["trained_on"], one["track"]) == ("synthetic, imagenet", None)
    two = drf("ensemble", unknown, learned, "--name", "two", "--json").json
    assert two["trained_on"] == "synthetic, imagenet, unknown data"
    text = drf("leaderboard")
    assert "one (ensemble, trained on synthetic, imagenet)" in " ".join(text.out.split())
    assert "Ensembles are means of the predictions of several runs: " in text.out + text.err
    told = drf("ensemble", runs[1], learned, "--name", "three").err
    assert "It was trained on synthetic, imagenet, which the leaderboard says too." in told
    # What completes older stores must not take it for a run that learned from its dataset alone.
    other = path.with_name("other.db")
    assert drf("export", "--bundle", other, "--run", "two").code == 0
    assert drf("import", "bundle", other).code == 0
    assert drf("runs", "show", "two", "--json").json["trained_on"] == two["trained_on"]


def test_covariances_are_stored_where_all_members_predict_them(
    drf: Drf, runs: list[str], path: Path
) -> None:
    for seed, run in enumerate(runs):
        evaluated(path, run, seed=seed, subset="full", covariances=covariances(seed))
    evaluated(path, runs[0], seed=0, subset="challenging", covariances=covariances(0))
    evaluated(path, runs[1], seed=1, subset="challenging")
    all_of_them = drf("ensemble", *runs, "--name", "all", "--subset", "full", "--json").json
    con = open_reader(path)
    found = predictions.covariances_of_evaluation(con, all_of_them["evaluation"])
    own = [predictions.covariances_of_evaluation(con, number) for number in (5, 6, 7)]
    con.close()
    each = [stored_points(path, number) for number in (5, 6, 7)]
    _, expected = combined(each, own)
    assert found is not None
    assert expected is not None
    np.testing.assert_allclose(found, expected, rtol=5e-3, atol=5e-2)  # halves are stored
    assert set(all_of_them["ellipses"]["regions"]) >= {"eyes", "jaw"}
    some = drf("ensemble", *runs[:2], "--name", "some", "--subset", "challenging", "--json").json
    assert some["ellipses"] is None


def test_one_ensemble_has_evaluations_on_several_subsets_and_none_twice(
    drf: Drf, runs: list[str], path: Path
) -> None:
    for seed, run in enumerate(runs):
        evaluated(path, run, seed=seed, subset="full")
    before = counts(path)
    answer = drf("ensemble", *runs, "--name", "mean")
    assert refused(path, answer, 2, "(subset common, full): add --subset NAME", before)
    one = drf("ensemble", *runs, "--name", "mean", "--subset", "full", "--json").json
    two = drf("ensemble", *runs[::-1], "--name", "mean", "--subset", "common", "--json").json
    assert one["run"] == two["run"]
    before = counts(path)
    answer = drf("ensemble", *runs, "--name", "mean", "--subset", "full")
    assert refused(path, answer, 2, "has predictions for full already: give another", before)
    answer = drf("ensemble", runs[0], runs[2], "--name", "mean", "--subset", "full")
    sentence = "'mean' is the name of an ensemble of other runs"
    assert refused(path, answer, 2, sentence, before)


def test_ensembles_of_the_same_methods_with_other_seeds_are_one_method(
    drf: Drf, runs: list[str], path: Path
) -> None:
    wide = [
        member(
            path,
            "wider",
            seed=seed,
            params=9,
            config={"model.width": 9},
            sources={"model.width": "--set"},
        )
        for seed in (0, 1)
    ]
    for seed, run in enumerate(wide):
        evaluated(path, run, seed=8 + seed)
    for seed in (0, 1):
        entry = drf("ensemble", runs[seed], wide[seed], "--name", "mean", "--json").json
        assert entry["seed"] == seed
    rows = drf("leaderboard", "--methods", "--json").json
    (row,) = (row for row in rows if row["name"] == "mean")
    assert row["seeds"] == [0, 1]


def test_with_and_without_the_flip_test_are_not_mixed(
    drf: Drf, runs: list[str], path: Path
) -> None:
    evaluated(path, runs[0], subset="full", flip_test=True)
    evaluated(path, runs[1], subset="full", flip_test=False)
    before = counts(path)
    call = ("ensemble", *runs[:2], "--name", "mean", "--subset", "full")
    answer = drf(*call)
    assert refused(path, answer, 2, f"but run {runs[1][:8]} was not", before)
    without = evaluated(path, runs[0], subset="full", flip_test=False, seed=7)
    evaluated(path, runs[0], subset="full", flip_test=True)
    entry = drf(*call, "--json").json
    assert entry["flip_test"] is False
    both = [stored_points(path, number).astype(float) for number in (without, 6)]
    mean = ((both[0] + both[1]) / 2).astype(np.float32)
    assert stored_points(path, entry["evaluation"]).tobytes() == mean.tobytes()


def test_the_newest_evaluation_of_each_member_is_taken(
    drf: Drf, runs: list[str], path: Path
) -> None:
    newest = evaluated(path, runs[0], seed=11)
    entry = drf("ensemble", *runs[:2], "--name", "mean", "--json").json
    both = [stored_points(path, number).astype(float) for number in (newest, 3)]
    mean = ((both[0] + both[1]) / 2).astype(np.float32)
    assert stored_points(path, entry["evaluation"]).tobytes() == mean.tobytes()


def test_other_faces_or_another_ground_truth_are_refused(
    drf: Drf, runs: list[str], path: Path
) -> None:
    evaluated(path, runs[0], subset="full")
    moved = examples.evaluation(N, subset="full")
    moved.ground_truth[3, 40] += 1
    evaluated(path, runs[1], subset="full", ground_truth=moved.ground_truth)
    names = tuple(f"full/{i}" for i in range(N))
    evaluated(path, runs[2], subset="full", names=names)
    before = counts(path)
    for other in runs[1:]:
        answer = drf("ensemble", runs[0], other, "--name", "mean", "--subset", "full")
        assert refused(path, answer, 2, "was evaluated on other faces of full", before)
        assert f"run {other[:8]}" in answer.err


def test_boxes_must_agree_and_can_be_named(drf: Drf, runs: list[str], path: Path) -> None:
    for run, digest in zip(runs, ("a" * 64, "a" * 64, "b" * 64), strict=True):
        manifest = {"digest": "d", "box_file": digest, "box_name": "mtcnn"}
        evaluated(path, run, box="file", manifest=manifest)
    before = counts(path)
    answer = drf("ensemble", *runs[:2], "--name", "mean")
    assert refused(path, answer, 2, "(box file-mtcnn-aaaaaaaa, gt): add --box NAME", before)
    answer = drf("ensemble", *runs, "--name", "mean", "--box", "file")
    assert refused(path, answer, 3, "share no board with box file", before)
    entry = drf("ensemble", *runs[:2], "--name", "mean", "--box", "file", "--json").json
    assert entry["box"] == "file-mtcnn-aaaaaaaa"
    assert drf("ensemble", *runs, "--name", "mean-of-gt", "--box", "gt").code == 0


def test_what_cannot_be_a_member_is_refused_with_the_reason(
    drf: Drf, runs: list[str], path: Path
) -> None:
    assert drf("ensemble", *runs, "--name", "mean").code == 0
    theirs = member(path, "theirs", family=status.EXTERNAL, params=0, macs=0)
    evaluated(path, theirs)
    bare = member(path, "bare")
    store = open_store(path)
    half = start_run(store, examples.new_run(name="half"))
    end_run(
        store,
        half,
        "interrupted",
        reason="stopped",
        wall_s=1.0,
        faces_per_s=None,
        kept_epoch=None,
        kept_val_nme=None,
    )
    store.close()
    evaluated(path, half)
    before = counts(path)
    for words, code, sentence in (
        ((runs[0],), 2, "name at least two"),
        ((runs[0], runs[0][:8]), 2, f"run {runs[0][:8]} is named twice"),
        ((runs[0], "nobody"), 3, "no run has the name"),
        ((runs[0], "hourglass"), 3, "matches 2 runs"),
        ((runs[0], "theirs"), 2, "(theirs) was imported: what it learned from"),
        ((runs[0], "mean"), 2, "(mean) is an ensemble itself: name its members instead"),
        ((runs[0], "half"), 2, "(half) is interrupted: only runs that are ranked"),
        ((runs[0], "bare"), 3, f"run {bare[:8]} was evaluated on nothing"),
        ((*runs, "--subset", "full"), 3, "share no board with subset full"),
        ((*runs, "--dataset", "300w"), 3, "share no board with dataset 300w"),
    ):
        answer = drf("ensemble", *words, "--name", "other")
        assert refused(path, answer, code, sentence, before), (words, answer.err)
    answer = drf("ensemble", *runs, "--name", " ")
    assert refused(path, answer, 2, "blank name", before)


def test_a_store_that_is_not_there_is_not_made(drf: Drf, path: Path) -> None:
    answer = drf("ensemble", "a", "b", "--name", "mean")
    assert (answer.code, answer.err.count("\n"), path.exists()) == (3, 1, False)


def test_its_row_stays_when_the_members_are_deleted(drf: Drf, runs: list[str], path: Path) -> None:
    entry = drf("ensemble", *runs, "--name", "mean", "--json").json
    for run in runs:
        assert drf("runs", "delete", run, "--yes").code == 0
    rows = drf("leaderboard", "--json").json
    (row,) = (row for row in rows if row["run"] == entry["run"])
    kept = ("scores", "params", "macs", "wall_s", "trained_on", "n")
    assert {key: row[key] for key in kept} == {key: entry[key] for key in kept}
    assert drf("db", "check").code == 0
    shown = drf("runs", "show", "mean", "--json").json
    names = [one["name"] for one in shown["provenance"]["members"].values()]
    assert names == ["hourglass", "hourglass", "hourglass-wide"]
    assert drf("runs", "delete", "mean", "--yes").code == 0


def test_it_goes_through_a_bundle_without_its_members(
    drf: Drf, runs: list[str], path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = drf("ensemble", *runs, "--name", "mean", "--json").json
    bundle = path.with_name("bundle.db")
    assert drf("export", "--bundle", bundle, "--run", "mean").code == 0
    assert drf("verify", "--db", bundle).code == 0
    other = path.with_name("other.db")
    monkeypatch.setenv("DRF_DB", str(other))
    assert drf("import", "bundle", bundle).code == 0
    (row,) = drf("leaderboard", "--json").json
    own = ("evaluation", "rank")
    assert {k: v for k, v in row.items() if k not in own} == {
        k: v for k, v in entry.items() if k in row and k not in own
    }
    assert "has nothing new" in drf("import", "bundle", bundle).out


def test_every_command_that_needs_a_model_says_that_it_has_none(
    drf: Drf, runs: list[str], path: Path
) -> None:
    assert drf("ensemble", *runs, "--name", "mean").code == 0
    for command in (
        ("eval", "mean"),
        ("train", "--resume", "mean"),
        ("bench", "mean"),
        ("repro", "mean"),
        ("export", "onnx", "mean"),
    ):
        answer = drf(*command)
        assert (answer.code, answer.err.count("\n")) == (3, 1), answer.err
        assert "has no model: its predictions are the mean of other runs'" in answer.err


def test_it_is_compared_exported_and_left_out_of_ablations(
    drf: Drf, runs: list[str], path: Path
) -> None:
    assert drf("ensemble", *runs, "--name", "mean").code == 0
    assert drf("runs", "diff", "mean", "hourglass-wide").code == 0
    listed = drf("runs", "list", "--json").json
    (row,) = (row for row in listed if row["name"] == "mean")
    assert (row["family"], row["status"], row["wall_s"]) == ("ensemble", "finished", 180.0)
    out = path.with_name("p.json")
    words = ("export", "predictions", "mean", "--format", "json", "--out", out)
    assert drf(*words).code == 0
    assert len(json.loads(out.read_text())) == N
    site = path.with_name("site")
    assert drf("export", "--static", site).code == 0
    pages = [page.read_text(encoding="utf-8") for page in site.rglob("*.html")]
    assert any("mean (ensemble)" in page for page in pages)
    assert any("no model was run for these predictions" in page for page in pages)
    con = open_reader(path)
    rows = reads.leaderboard(con)
    compared = factors.compare(rows, settings(con, list(rows["run"])))
    con.close()
    left_out = compared.left_out.set_index("name")["reason"]
    assert left_out.to_dict() == {"mean": "ensemble"}
