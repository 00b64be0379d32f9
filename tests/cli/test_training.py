"""train -> eval -> board from the command line, on a few synthetic faces; and how runs end."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer

import cli.main
from drf import checkpoint
from drf.landmarks.markup import IBUG68
from tests.cli.conftest import Drf

TINY = (
    *(
        "--set",
        "data.synthetic_train_size=48",
        "--set",
        "data.input_size=32",
        "--set",
        "model.width=8",
    ),
    *("--set", "model.depth=2", "--set", "model.growth=0", "--set", "training.batch_size=16"),
)

FOREST = ("train", "heatmap-forest")
GROUPS = ("--set", "model.pool=group", "--set", "model.groups=13")
HUGE = (
    *("--set", "model.tree_depth=12", "--set", "model.trees=64"),
    *("--set", "model.label_kind=map", "--set", "model.bins=256"),
)


pytestmark = pytest.mark.usefixtures("few_faces")


def test_train_eval_board(drf: Drf, few_faces: dict[str, int]) -> None:
    floor = drf("train", "mean-shape", "--set", "data.synthetic_train_size=48", "--json")
    assert floor.code == 0
    trained = drf(
        "train", "hourglass", *TINY, "--epochs", 2, "--seed", 5, "--name", "tiny", "--json"
    )
    assert trained.code == 0
    run = trained.json["run"]
    assert trained.json["state"] == "finished"
    assert "Next: drf eval" in trained.err
    for one in (floor.json["run"], run):
        entry = drf("eval", one[:8], "--json")
        assert entry.code == 0
        assert entry.json["run"] == one
        hold = entry.json["ellipses"]
        assert (hold is None) == (one != run)  # the mean shape predicts no covariances
    assert list(hold["regions"]) == list(IBUG68.regions)
    assert entry.json["name"] == "tiny"
    assert (entry.json["dataset"], entry.json["subset"], entry.json["n"]) == (
        "synthetic",
        "common",
        few_faces["common"],
    )
    assert entry.json["box"] == "gt"
    assert entry.json["pupil"]["nme"] > entry.json["ocular"]["nme"] > 0
    board = drf("leaderboard", "--json").json
    assert {row["name"] for row in board} == {"mean-shape", "tiny"}
    assert board[0]["ocular"]["nme"] <= board[1]["ocular"]["nme"]
    assert drf("db", "check").code == 0
    shown = drf("runs", "show", run[:8], "--json").json
    assert shown["config"]["training.seed"] == {"value": 5, "source": "option"}
    assert shown["config"]["model.width"] == {"value": 8, "source": "--set"}
    assert "threads" in shown["evaluations"][0]["machine"]  # what its ms_per_face is of
    assert shown["evaluations"][0]["ellipses"] == hold
    jaw = hold["regions"]["jaw"]
    for text in (drf("runs", "show", run[:8]).out, drf("eval", run[:8]).out):
        line = next(line for line in text.splitlines() if " jaw " in line)
        interval = f"{jaw['low']:.1f} to {jaw['high']:.1f}"
        assert f"{jaw['inside']:.1f}" in line
        assert interval in line
        assert f"{jaw['radius']['ocular']:.2f}" in line


def test_the_same_seed_gives_the_same_digits(drf: Drf) -> None:
    words = ("train", "hourglass", *TINY, "--epochs", 2, "--deterministic", "--json")
    first, second = drf(*words).json, drf(*words).json
    assert first["run"] != second["run"]
    assert first["best_val_nme"] == second["best_val_nme"]


@pytest.mark.parametrize(
    ("words", "code", "sentence"),
    [
        (("train", "hourglas"), 2, "did you mean 'hourglass'"),
        (("train", "--set", "training.lrr=1"), 2, "did you mean 'training.lr'"),
        (("train", "--set", "training.lr=fast"), 2, "takes a number"),
        (("train", "--dataset", "300w"), 2, "DRF_DATA"),
        (("train", "--dataset", "300w", "--data-root", "/nowhere"), 2, "/nowhere"),
        (("train", "--track", "ten-minutes", "--epochs", "3"), 2, "fixes training.epochs"),
        (("train", "--track", "ten-minute"), 2, "did you mean 'ten-minutes'"),
        (("train", "--device", "tpu"), 2, "auto, cpu, cuda"),
        (("train", "--set", "sideways=1"), 2, "`drf train --keys` lists all keys"),
        (("train", "--box", "file"), 2, "--box-file"),
        (("train", "--set", "data.input_size=100"), 2, "divisible by 32"),
        (("train", "--epochs", "0"), 2, "max_minutes"),
        (("train", "--config", "/nowhere.toml"), 2, "/nowhere.toml"),
        (("train", "--resume", "abc", "--seed", "3"), 2, "keeps its configuration"),
        ((*FOREST, "--set", "model.tree_depth=20"), 2, "model.tree_depth takes a value in 1..12"),
        ((*FOREST, "--set", "model.tree_depth=0"), 2, "model.tree_depth takes a value in 1..12"),
        ((*FOREST, "--set", "model.pool=face"), 2, 'model.pool = "face" goes with'),
        ((*FOREST, "--landmarks", "eyes", *GROUPS), 2, "model.groups = 13, but there are 12"),
        ((*FOREST, *HUGE), 2, "68 x 64 trees of 4096 leaves of 65536 cells need"),
        (("eval", "abc"), 3, "no store"),
        (("train", "--resume", "abc"), 3, "no store"),
    ],
)
def test_bad_input_is_one_sentence_and_stores_nothing(
    drf: Drf, tmp_path: Path, monkeypatch, words: tuple[str, ...], code: int, sentence: str
) -> None:
    monkeypatch.delenv("DRF_DATA", raising=False)
    answer = drf(*words)
    assert answer.code == code
    assert answer.out == ""
    assert sentence in answer.err
    assert answer.err.count("\n") == 1
    assert "Traceback" not in answer.err
    assert not (tmp_path / "drf.db").exists()


def test_the_refusal_beside_resume_names_the_options_that_may_stand(
    drf: Drf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    resume = ("train", "--resume", "abc")
    refused = drf(*resume, "--config", "my.toml")
    assert refused.code == 2
    may_stand = set(re.findall(r"--[a-z-]+", refused.err.partition(" only ")[2]))
    command = typer.main.get_command(cli.main.app).commands["train"]  # type: ignore[attr-defined]
    options = {param.opts[0]: param for param in command.params if param.opts[0].startswith("-")}
    assert may_stand < options.keys()
    for name in options.keys() - {"--resume", "--dry-run", "--list", "--keys"}:
        answer = drf(*resume, name, *([] if options[name].is_flag else ["1"]))
        assert answer.code == (3 if name in may_stand else 2), name
        assert ("keeps its configuration" in answer.err) == (name not in may_stand)


def test_eval_without_a_checkpoint_and_of_an_unknown_subset(drf: Drf, filled: list[str]) -> None:
    answer = drf("eval", filled[0][:8])
    assert answer.code == 3
    assert "no checkpoint" in answer.err


def test_presets_are_listed(drf: Drf) -> None:
    names = {preset["name"] for preset in drf("train", "--list", "--json").json}
    assert {"hourglass", "mean-shape"} <= names
    assert "hourglass" in drf("train", "--list").out


def test_keys_are_listed_with_the_values_of_the_preset(drf: Drf) -> None:
    keys = {key.pop("key"): key for key in drf("train", "hourglass", "--keys", "--json").json}
    assert keys["training.lr"] == {
        "type": "float",
        "range": [0, 10],
        "choices": None,
        "default": 3e-3,
        "value": 8e-3,
        "source": "preset hourglass",
        "meaning": "Peak learning rate.",
    }
    assert keys["data.box"]["choices"] == ["gt", "gt_jitter", "file"]
    assert (keys["model.width"]["value"], keys["model.width"]["source"]) == (64, "default")
    text = drf("train", "hourglass", "--keys", "--seed", 7, "--set", "training.lr=0.5").out
    rows = {line.split()[0]: line for line in text.splitlines() if "." in line}
    assert rows.keys() >= keys.keys()
    assert "float, 0..10" in rows["training.lr"]
    assert " 0.5 " in rows["training.lr"]
    assert "--set" in rows["training.lr"]
    assert "Peak learning rate." in rows["training.lr"]
    assert "option" in rows["training.seed"]


def test_keys_of_the_default_preset(drf: Drf) -> None:
    assert drf("train", "--keys").out == drf("train", "cascade-forest", "--keys").out


# A shell's background jobs ignore SIGINT, and their children would too.
MAIN = (
    "import signal; signal.signal(signal.SIGINT, signal.default_int_handler);"
    "from cli.main import main; main()"
)


@pytest.fixture
def endless(tmp_path: Path) -> Iterator[tuple[subprocess.Popen[bytes], Path]]:
    """An endless run in a process of its own, past its first checkpoint; and the run's folder."""
    command = [sys.executable, "-c", MAIN, "train", "hourglass", *TINY, "--epochs", "100000"]
    environment = os.environ | {"DRF_DB": str(tmp_path / "drf.db")}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            deadline = time.monotonic() + 120
            while not list(tmp_path.glob("*/best.safetensors")):  # it is written after the last
                assert process.poll() is None, "the run ended by itself"
                assert time.monotonic() < deadline, "no checkpoint within two minutes"
                time.sleep(0.1)
            yield process, next(tmp_path.glob("*/last.safetensors")).parent
        finally:
            process.kill()


def test_a_killed_run_shows_as_crashed_and_goes_on_from_its_checkpoint(
    drf: Drf, endless: tuple[subprocess.Popen[bytes], Path]
) -> None:
    process, folder = endless
    process.kill()
    process.wait()
    (row,) = drf("runs", "list", "--json").json
    assert row["status"] == "crashed"
    assert drf("db", "check").code == 0
    assert drf("eval", folder.name[:8], "--json").code == 0
    trained = checkpoint.load(folder / checkpoint.LAST).header["epoch"]
    done = drf("train", "--resume", folder.name[:8], "--epochs", max(trained, 1), "--json")
    assert done.code == 0
    assert done.json["run"] == folder.name
    (row,) = drf("runs", "list", "--json").json
    assert row["status"] == "finished"


@pytest.mark.parametrize("how", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_asked_to_stop_ends_in_order(
    drf: Drf, endless: tuple[subprocess.Popen[bytes], Path], how: signal.Signals
) -> None:
    process, _ = endless
    process.send_signal(how)
    assert process.wait(timeout=60) == 130
    (row,) = drf("runs", "list", "--json").json
    assert row["status"] == "interrupted"
