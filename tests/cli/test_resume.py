"""Resuming a run, evaluating its checkpoint and bringing it back: what is refused, and how."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path
from typing import Any

import pytest
import torch

from drf import checkpoint
from drf.errors import DrfError
from tests.cli.conftest import Drf
from tests.faults.trainings import Training, few_faces
from tests.models.test_families import SMALL

TINY = (
    *("--set", "data.synthetic_train_size=24", "--set", "data.input_size=32"),
    *("--set", "training.batch_size=8", "--set", "model.width=8", "--set", "model.features=16"),
    *("--set", "model.map_size=8", "--epochs", 2, "--json"),
)


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder to copy: a store, the folder of its one run of two epochs, and packed faces."""
    base = tmp_path_factory.mktemp("trained")
    training = Training(base / "runs", "cnn-heatmap", SMALL["cnn-heatmap"])
    assert training.run() == 0, training.words()
    shutil.move(base / "cache", base / "runs" / "cache")
    return base / "runs"


@pytest.fixture
def run(trained: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a finished run in the store that `drf` uses."""
    monkeypatch.setattr("experiments.train.load_packs", lambda *_: few_faces(trained / "cache"))
    for path in trained.glob("drf.db*"):
        shutil.copy(path, tmp_path)
    (folder,) = (path.parent for path in trained.glob(f"*/{checkpoint.LAST}"))
    return Path(shutil.copytree(folder, tmp_path / folder.name))


def refused(drf: Drf, code: int, *words: object) -> str:
    """The one sentence of a command that must fail."""
    answer = drf(*words)
    assert answer.code == code, answer.err
    assert answer.err.count("\n") == 1, answer.err
    assert answer.err.startswith("drf: ")
    return answer.err


def test_a_run_is_not_resumed_to_less_than_it_has_done(drf: Drf, run: Path) -> None:
    resume = ("train", "--resume", run.name)
    before = (run / checkpoint.LAST).read_bytes()
    told = refused(drf, 2, *resume, "--epochs", 1)
    assert "has trained 2 epochs already: --epochs takes 2 or more" in told
    told = refused(drf, 2, *resume, "--max-minutes", 1e-9)
    assert "minutes already: --max-minutes takes more than that" in told
    assert (run / checkpoint.LAST).read_bytes() == before
    assert drf("runs", "show", run.name, "--json").json["state"] == "finished"
    assert drf(*resume, "--epochs", 3, "--json").json["epochs"] == 3


@pytest.mark.parametrize("error", [DrfError("too little memory"), KeyboardInterrupt()], ids=repr)
@pytest.mark.parametrize("broken", ["resume", "run"])
def test_a_resumed_run_that_breaks_keeps_the_time_and_speed_of_its_training(
    drf: Drf, run: Path, error: BaseException, broken: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = drf("runs", "show", run.name, "--json").json
    assert before["faces_per_s"] > 0
    saved = checkpoint.load(run / checkpoint.LAST)
    state = saved.header["state"] | {"elapsed_s": 1000.0}
    checkpoint.save(run / checkpoint.LAST, saved.tensors, saved.header | {"state": state})

    def breaks(*_: object) -> None:
        raise error

    monkeypatch.setattr(f"drf.training.loop.Trainer.{broken}", breaks)
    assert drf("train", "--resume", run.name, "--epochs", 3).code != 0
    after = drf("runs", "show", run.name, "--json").json
    assert after["state"] == ("failed" if isinstance(error, DrfError) else "interrupted")
    assert 1000 < after["wall_s"] < 1100
    assert after["faces_per_s"] == before["faces_per_s"]
    assert (after["kept_epoch"], after["kept_val_nme"]) == (
        before["kept_epoch"],
        before["kept_val_nme"],
    )


def test_a_run_without_a_checkpoint_says_how_to_train_again(drf: Drf, run: Path) -> None:
    (run / checkpoint.LAST).unlink()
    told = refused(drf, 3, "train", "--resume", run.name)
    assert f"`drf runs show {run.name[:8]}` lists" in told


def test_a_run_without_its_best_weights_is_not_resumed(drf: Drf, run: Path) -> None:
    """Where the best epoch is not the last, nothing else has its weights."""
    saved = checkpoint.load(run / checkpoint.LAST)
    state = saved.header["state"] | {"kept_epoch": 1}
    checkpoint.save(run / checkpoint.LAST, saved.tensors, saved.header | {"state": state})
    (run / checkpoint.BEST).unlink()
    told = refused(drf, 1, "train", "--resume", run.name)
    assert "is not of epoch 1, whose weights the run has kept" in told


def test_a_checkpoint_of_another_run_is_not_taken_for_this_runs(drf: Drf, run: Path) -> None:
    floor = drf("train", "mean-shape", "--set", "data.synthetic_train_size=24", "--json")
    other = drf("train", "cnn-heatmap", *TINY, "--seed", 1).json["run"]
    for donor in (floor.json["run"], other):
        for name in (checkpoint.BEST, checkpoint.LAST):
            shutil.copy(run.parent / donor / name, run / name)
        for words in (
            ("eval", run.name),
            ("train", "--resume", run.name),
            ("train", "cnn-heatmap", *TINY, "--init-from", run.name),
        ):
            told = refused(drf, 1, *words)
            assert f"is not a checkpoint of run {run.name[:8]}: its run is '{donor}'" in told


@pytest.mark.parametrize(
    ("donor", "what"),
    [
        ({"family": "mean-shape"}, "its family is 'mean-shape' instead of 'cnn-heatmap'"),
        ({"config": {"training.seed": 7}}, "its training.seed is 7 instead of 0"),
        ({}, None),
    ],
)
def test_of_older_checkpoints_family_and_configuration_are_compared(
    drf: Drf, run: Path, donor: dict[str, Any], what: str | None
) -> None:
    saved = checkpoint.load(run / checkpoint.LAST)
    header = {key: value for key, value in saved.header.items() if key != "run"}
    config = header["config"] | donor.get("config", {}) | {"training.epochs": 1}
    checkpoint.save(run / checkpoint.LAST, saved.tensors, header | donor | {"config": config})
    if what is None:
        assert drf("train", "--resume", run.name, "--epochs", 2, "--json").code == 0
    else:
        assert what in refused(drf, 1, "train", "--resume", run.name)


DEEP = "[" * 100_000


@pytest.mark.parametrize(
    "change",
    [
        {"state": {"epoch": "2"}},
        {"state": {"epoch": 2, "sideways": 1}},
        {"state": [1, 2]},
        {"state": None},
        {"config": [1]},
        {"config": {"training.lr": "fast"}},
        {"config": {"sideways": 1}},
        {"family": ["cnn-heatmap"]},
        {"family": None},
    ],
    ids=str,
)
def test_a_damaged_header_is_one_sentence(drf: Drf, run: Path, change: dict[str, Any]) -> None:
    for name in (checkpoint.BEST, checkpoint.LAST):
        saved = checkpoint.load(run / name)
        checkpoint.save(run / name, saved.tensors, saved.header | change)
    answer = drf("train", "--resume", run.name)
    assert (answer.code in (1, 2), answer.err.count("\n")) == (True, 1), answer.err
    assert checkpoint.LAST in answer.err
    if "state" not in change:
        answer = drf("eval", run.name)
        assert (answer.code in (1, 2), answer.err.count("\n")) == (True, 1), answer.err
        assert checkpoint.BEST in answer.err


@pytest.mark.parametrize("name", ["model", "average", "optimiser"])
def test_tensors_of_another_shape_are_one_sentence(drf: Drf, run: Path, name: str) -> None:
    for path in (run / checkpoint.BEST, run / checkpoint.LAST):
        saved = checkpoint.load(path)
        tensors = {
            key: torch.zeros(3, 1) if key.startswith(f"{name}.") else value
            for key, value in saved.tensors.items()
        }
        checkpoint.save(path, tensors, saved.header)
    commands = [("train", "--resume", run.name, "--epochs", 3)]
    for words in [*commands, ("eval", run.name)] if name == "model" else commands:
        answer = drf(*words)
        assert answer.code == 1
        assert "is damaged, or of another version of drf" in answer.err.splitlines()[-1]
        assert "Traceback" not in answer.err


@pytest.mark.parametrize(
    "header",
    [
        struct.pack("<Q", 2**62) + b"{}",
        struct.pack("<Q", 2) + b"[]",
        struct.pack("<Q", len(DEEP)) + DEEP.encode(),
        *(
            struct.pack("<Q", len(text)) + text
            for held in (DEEP, "[]", "7", "NaN", "9" * 5000, '{"a":')
            for text in [json.dumps({"__metadata__": {"drf": held}}).encode()]
        ),
    ],
    ids=["huge", "list", "deep", "deep text", "text list", "number", "nan", "digits", "cut off"],
)
def test_a_file_with_any_header_is_one_sentence(drf: Drf, run: Path, header: bytes) -> None:
    for name in (checkpoint.BEST, checkpoint.LAST):
        (run / name).write_bytes(header)
    for words in (("train", "--resume", run.name), ("eval", run.name)):
        assert "is damaged or no checkpoint of drf" in refused(drf, 1, *words)


def test_a_run_is_recovered_from_its_folder(drf: Drf, run: Path, tmp_path: Path) -> None:
    before = drf("runs", "show", run.name, "--json").json
    for path in tmp_path.glob("drf.db*"):
        path.unlink()
    for _ in range(2):
        answer = drf("runs", "recover", run)
        assert answer.code == 0, answer.err
        assert f"Run {run.name[:8]} is in " in answer.err
        after = drf("runs", "show", run.name, "--json").json
        assert {k for k in before if before[k] != after[k]} <= {"ended_at", "heartbeat_at"}
    assert drf("db", "check").code == 0
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(run, elsewhere)
    assert f"Move {elsewhere} to {run}" in drf("runs", "recover", elsewhere).err
    assert "name the folder of a run" in refused(drf, 3, "runs", "recover", tmp_path)
    other = drf("train", "cnn-heatmap", *TINY, "--seed", 1).json["run"]
    shutil.copy(tmp_path / other / checkpoint.BEST, elsewhere / checkpoint.BEST)
    assert "is not a checkpoint of run" in refused(drf, 1, "runs", "recover", elsewhere)
