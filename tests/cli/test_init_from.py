"""`drf train --init-from RUN`: what is taken over, what is refused, and what the store says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch

from drf import checkpoint
from tests.cli.conftest import Drf

DATA = ("--set", "data.synthetic_train_size=48", "--set", "data.input_size=32", "--epochs", 1)
TINY = (*DATA, "--set", "model.width=8", "--set", "training.batch_size=16")
CNN = ("train", "cnn-heatmap", *TINY, "--set", "model.map_size=8", "--json")
STILL = ("--set", "training.lr=0.0", "--set", "training.weight_decay=0.0", "--seed", 1)


pytestmark = pytest.mark.usefixtures("few_faces")


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder for a store with one small trained run; the first test that asks for it fills it."""
    return tmp_path_factory.mktemp("donor")


@pytest.fixture
def donor(drf: Drf, tmp_path: Path, trained: Path) -> str:
    """The full id of that run, in a copy of its store."""
    if not list(trained.iterdir()):
        answer = drf(*CNN, "--name", "donor", "--db", trained / "drf.db")
        assert answer.code == 0, answer.err
    shutil.copytree(trained, tmp_path, dirs_exist_ok=True)
    (row,) = drf("runs", "list", "--json").json
    return str(row["id"])


def learned(folder: Path) -> dict[str, torch.Tensor]:
    """The values of a run's best checkpoint that steps of rate 0 leave alone."""
    tensors = checkpoint.load(folder / checkpoint.BEST).under("model.")
    return {name: value for name, value in tensors.items() if name.endswith(("weight", "bias"))}


@pytest.mark.parametrize("word", ["donor", "id"])
def test_the_backbone_is_the_other_runs_and_nothing_else_is(
    drf: Drf, tmp_path: Path, donor: str, word: str
) -> None:
    told = donor[:8] if word == "id" else word
    started = drf(*CNN, *STILL, "--landmarks", "eyes", "--init-from", told)
    assert started.code == 0, started.err
    run = started.json["run"]
    theirs, ours = learned(tmp_path / donor), learned(tmp_path / run)
    kept = {name for name in ours if name.startswith("backbone.")}
    assert kept
    for name in kept:
        assert torch.equal(ours[name], theirs[name]), name
    assert not torch.equal(ours["summary.dense.weight"], theirs["summary.dense.weight"])
    key = drf("runs", "show", run, "--json").json["config"]["training.init_from"]
    assert key == {"value": donor, "source": "option"}
    assert drf("runs", "show", donor, "--json").json["config"]["training.init_from"]["value"] == ""


def test_all_weights_are_the_other_runs_leaves_too(drf: Drf, tmp_path: Path) -> None:
    forest = ("train", "heatmap-forest", *TINY, "--set", "model.trees=2", "--json")
    donor = drf(*forest).json["run"]
    taken = ("--init-from", donor, "--init-weights", "all")
    started = drf(*forest, *STILL, "--set", "model.routing_warmup=0.0", *taken)
    assert started.code == 0, started.err
    theirs, ours = learned(tmp_path / donor), learned(tmp_path / started.json["run"])
    assert any(name.startswith("forest") for name in ours)
    for name, value in ours.items():
        assert torch.equal(value, theirs[name]), name
    curves = drf("runs", "show", started.json["run"], "--json").json
    assert curves["config"]["training.init_weights"] == {"value": "all", "source": "option"}
    assert curves["trained_on"] == "synthetic"


def test_another_family_with_the_same_backbone_will_do(drf: Drf, tmp_path: Path) -> None:
    hourglass = drf("train", "hourglass", *TINY, "--json").json["run"]
    source = f"training.init_from='{hourglass}'"
    same = ("--set", "model.backbone=hourglass", "--set", source)
    run = drf(*CNN, *STILL, *same).json["run"]
    theirs, ours = learned(tmp_path / hourglass), learned(tmp_path / run)
    name = "backbone.stack.down.first.0.weight"
    assert torch.equal(ours[name], theirs[name])


@pytest.mark.parametrize(
    ("words", "sentence"),
    [
        ((*CNN, "--set", "model.width=16"), "8) does not fit this model's (cnn of width 16)"),
        ((*CNN, "--set", "model.backbone=residual"), "this model's (residual of width 8)"),
        (("train", "mean-shape"), "mean-shape has no backbone"),
        (("train", "cnn-heatmap", "--track", "ten-minutes"), "fixes training.init_from"),
        (("train", "--resume", "donor"), "keeps its configuration"),
    ],
)
def test_what_does_not_fit_is_one_sentence_before_any_work(
    drf: Drf, tmp_path: Path, donor: str, words: tuple[object, ...], sentence: str
) -> None:
    folders = set(tmp_path.glob("*/"))
    answer = drf(*words, "--cache", tmp_path / "unused", "--init-from", "donor")
    assert answer.code == 2
    assert sentence in answer.err
    assert (answer.out, answer.err.count("\n")) == ("", 1)
    assert [row["id"] for row in drf("runs", "list", "--json").json] == [donor]
    assert set(tmp_path.glob("*/")) == folders


def test_a_run_without_a_backbone_or_without_a_checkpoint_is_none_to_start_from(
    drf: Drf, tmp_path: Path
) -> None:
    floor = drf("train", "mean-shape", "--set", "data.synthetic_train_size=48", "--json").json[
        "run"
    ]
    answer = drf(*CNN, "--init-from", floor)
    assert answer.code == 2
    assert "(mean-shape) has no backbone to start from" in answer.err
    (tmp_path / floor / checkpoint.BEST).unlink()
    assert drf(*CNN, "--init-from", floor).code == 3
    unknown = drf(*CNN, "--init-from", "feedface")
    assert unknown.code == 3
    assert "'feedface'" in unknown.err


def test_a_resumed_run_does_not_start_from_the_other_again(
    drf: Drf, tmp_path: Path, donor: str
) -> None:
    run = drf(*CNN, "--init-from", donor).json["run"]
    assert drf("runs", "delete", donor, "--yes", "--checkpoints").code == 0
    resumed = drf("train", "--resume", run, "--epochs", 2, "--json")
    assert resumed.code == 0
    assert resumed.json["epochs"] == 2
    config = drf("runs", "show", run, "--json").json["config"]
    assert config["training.init_from"]["value"] == donor
