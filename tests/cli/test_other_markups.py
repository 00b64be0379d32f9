"""A model of one markup judged on faces of another, and started from a model of another."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pytest

from db import predictions, reads
from db.connection import open_reader
from db.maintenance import integrity
from drf import checkpoint
from drf.errors import DataError
from drf.landmarks.markup import MAPS
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.export import card
from experiments.paths import Paths
from experiments.request import Request
from experiments.train import train_new_run
from tests.cli.conftest import Drf
from tests.data.made_up import write_folder
from tests.data.other_trees import FIVE_TOML, write_pts_folder, write_wflw

TINY = {
    "model.width": 8,
    "model.features": 8,
    "model.trees": 2,
    "model.tree_depth": 3,
    "data.input_size": 32,
    "training.epochs": 1,
    "training.batch_size": 4,
    "training.precision": "fp32",
}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, str]:
    """(folder, root of WFLW, run): a model of its 98 landmarks."""
    folder = tmp_path_factory.mktemp("mapped")
    root = write_wflw(folder / "wflw", 8, 2)
    paths = Paths(folder / "drf.db", root, None, folder / "cache")
    request = Request("cascade-forest", options=TINY | {"data.dataset": "wflw"})
    return folder, root, train_new_run(request, paths).run


def test_a_model_is_judged_on_another_markup_on_a_board_of_its_own(
    made: tuple[Path, Path, str], drf: Drf, tmp_path: Path
) -> None:
    folder, _, run = made
    write_folder(tmp_path / "own", "test", 4)
    write_folder(tmp_path / "own", "train", 2)
    (tmp_path / "own/dataset.toml").write_text(
        'name = "own"\nmarkup = "ibug68"\n[subsets]\ntest = { folder = "test" }\n'
        "val = { share = 0.5 }\n"
    )
    where = ("--dataset", "folder", "--data-root", tmp_path / "own")
    store = ("--db", folder / "drf.db", "--cache", tmp_path / "cache")
    answer = drf("eval", run, *where, *store, "--json")
    assert answer.code == 0, answer.err
    row = answer.json
    assert (row["dataset"], row["markup"], row["n"]) == ("own", "ibug68", 4)
    assert (row["landmarks"], row["trained_on"]) == ("shared-wflw98", "wflw")
    shared = sorted(MAPS["wflw98", "ibug68"])
    with contextlib.closing(open_reader(folder / "drf.db")) as con:
        assert integrity.faults(con) == []
        _, truth, predicted = predictions.predictions(con, row["evaluation"])
        assert reads.leaderboard(con).empty  # the board of all landmarks
    there = np.isfinite(predicted).all(axis=(0, 2))
    assert there.nonzero()[0].tolist() == shared
    apart = np.linalg.norm(truth[:, 36].astype(float) - truth[:, 45], axis=-1)
    off = np.linalg.norm(predicted[:, shared].astype(float) - truth[:, shared], axis=-1)
    expected = (off.mean(axis=1) / apart).mean()
    assert row["scores"]["ocular"]["nme"] == pytest.approx(100 * expected, rel=1e-5)
    board = drf("leaderboard", "--landmarks", "shared-wflw98", "--db", folder / "drf.db")
    assert "trained on wflw" in board.out


def test_without_a_map_it_is_a_sentence(made: tuple[Path, Path, str], tmp_path: Path) -> None:
    folder, _, run = made
    root = write_pts_folder(tmp_path / "own")
    paths = Paths(folder / "drf.db", root, None, tmp_path / "cache")
    with pytest.raises(DataError, match=r"98 landmarks .* 5 of 'mine', and drf knows no map"):
        evaluate_run(run, EvaluationSpec(dataset="folder"), paths)
    assert not (tmp_path / "cache").exists()
    known = FIVE_TOML[: FIVE_TOML.index("[markup]")].replace('"mine"', '"five"')
    (root / "dataset.toml").write_text(known + 'markup = "centres5"\n')
    entry = evaluate_run(run, EvaluationSpec(dataset="folder"), paths)
    assert (entry["dataset"], entry["landmarks"]) == ("five", "shared-wflw98")


def test_a_model_of_a_landmark_subset_is_not_mapped(tmp_path: Path) -> None:
    root = write_wflw(tmp_path / "wflw", 8, 2)
    paths = Paths(tmp_path / "drf.db", root, None, tmp_path / "cache")
    options = {"data.dataset": "wflw", "data.landmarks": "mouth"}
    run = train_new_run(Request("mean-shape", options=options), paths).run
    with pytest.raises(DataError, match="subset 'mouth' of 'wflw98': only models of all"):
        evaluate_run(run, EvaluationSpec("val", dataset="synthetic"), paths)  # before any packing


def test_landmarks_of_one_side_are_evaluated_without_the_flip_test(
    drf: Drf, tmp_path: Path
) -> None:
    toml = FIVE_TOML.replace("lower =", 'side = ["right_eye", "nose"]\nlower =')
    root = write_pts_folder(tmp_path / "own", toml=toml)
    where = ("--data-root", root, "--cache", tmp_path / "cache")
    keys = [word for key, value in TINY.items() for word in ("--set", f"{key}={value!r}")]
    train = ("train", "cascade-forest", *keys, "--dataset", "folder", "--landmarks", "side")
    run = drf(*train, *where, "--json").json["run"]
    answer = drf("eval", run, *where, "--json")
    assert answer.json["flip_test"] is False
    assert "'side' of mine is not its own mirror image: it is evaluated" in answer.err
    assert drf("eval", run, *where, "--no-flip-test", "--json").err == ""
    refused = drf("eval", run, *where, "--flip-test")
    assert (refused.code, refused.err.count("\n")) == (2, 1)
    assert "not its own mirror image, so that no flip test" in refused.err
    photo = ("predict", root / "face0.png", "--model", run, "--box", "20,20,80,80", "--json")
    (face,) = drf(*photo).json["photos"][0]["faces"]
    assert [None in point for point in face["landmarks"]] == [False, True, False, True, True]


def test_fine_tuning_across_markups_takes_the_backbone_and_says_so(
    made: tuple[Path, Path, str], drf: Drf, tmp_path: Path
) -> None:
    folder, _, run = made
    root = write_pts_folder(tmp_path / "own")
    keys = [word for key, value in TINY.items() for word in ("--set", f"{key}={value!r}")]
    where = ("--dataset", "folder", "--data-root", root, "--db", folder / "drf.db")
    cache = ("--cache", tmp_path / "cache")
    train = ("train", "cascade-forest", *keys, *where, *cache, "--init-from", run[:8], "--json")
    started = drf(*train)
    assert started.code == 0, started.err
    said = " ".join(started.err.split())
    assert f"Started from the backbone of run {run[:8]} (wflw98):" in said
    assert "for the 5 landmarks of mine, starts anew" in said
    new = started.json["run"]
    answer = drf("eval", new, "--data-root", root, "--db", folder / "drf.db", *cache)
    assert "trained on mine, wflw, which the leaderboard says too" in " ".join(answer.err.split())
    board = drf("leaderboard", "--dataset", "mine", "--db", folder / "drf.db")
    words = board.out.split()  # of a name that takes several lines of its cell
    assert {"(trained", "mine,", "wflw,", "started", f"{run[:8]},"} <= {*words}, board.out
    with contextlib.closing(open_reader(folder / "drf.db")) as con:
        facts = reads.run(con, new)
    _, config = checkpoint.load_model(folder / new / checkpoint.BEST)
    lines = card(facts, config, []).splitlines()
    assert lines[1:] == [
        f"Trained on mine ({facts['manifest']['faces']} faces), box gt.",
        f"It started from the backbone of run {run[:8]}; in all it learned from mine, wflw.",
        "The terms of its training data hold for the model too. mine: under terms that drf does"
        " not know: ask whoever made it. wflw: for research only, not for commercial use, and not"
        " to be passed on; the pictures belong to their owners.",
    ]
