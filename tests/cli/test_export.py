from __future__ import annotations

import sqlite3
from pathlib import Path

import cv2
import numpy as np
import pytest

from drf import checkpoint
from drf.inference.onnx_network import OnnxNetwork
from drf.loading import load
from drf.models.base import Recalibration, Recalibrations
from tests.cli.conftest import Drf
from tests.cli.test_training import TINY
from tests.db.examples import write_checkpoint_of_another_run


def research_only(path: Path) -> None:
    """Make the example store one of faces that may not be passed on."""
    con = sqlite3.connect(path)
    con.execute("UPDATE faces SET dataset = '300w'")
    con.execute("UPDATE evaluations SET dataset = '300w'")
    con.commit()
    con.close()


def test_both_exports_at_once_and_the_bundle_is_sound(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    answer = drf("export", "--static", tmp_path / "site", "--bundle", tmp_path / "b.db")
    assert (answer.code, answer.out) == (0, "")
    assert "Wrote 4 runs to" in answer.err
    assert "WARNING" not in answer.err  # synthetic faces are free
    assert (tmp_path / "site/index.html").is_file()
    assert drf("db", "check", "--db", tmp_path / "b.db").code == 0
    assert {row["run"] for row in drf("leaderboard", "--json", "--db", tmp_path / "b.db").json} == {
        *filled
    }


def test_pictures_for_research_only_are_told_on_stderr_and_left_out_on_request(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    research_only(tmp_path / "drf.db")
    static, bundle = tmp_path / "site", tmp_path / "b.db"
    answer = drf("export", "--static", static, "--bundle", bundle)
    assert answer.err.count("WARNING") == 2
    assert "pictures of 300w (for research only, not for commercial use" in answer.err
    assert list(static.rglob("*.jpg"))
    without = tmp_path / "without.db"
    answer = drf("export", "--static", static, "--bundle", without, "--no-images")
    assert "WARNING" not in answer.err
    assert not list(static.rglob("*.jpg"))
    con = sqlite3.connect(without)
    assert con.execute("SELECT count(crop) FROM faces").fetchone() == (0,)
    con.close()


def test_chosen_runs_alone(drf: Drf, filled: list[str], tmp_path: Path) -> None:
    answer = drf(
        *("export", "--static", tmp_path / "site", "--run", filled[0][:8], "--run", filled[3])
    )
    assert answer.code == 0
    assert {page.stem for page in (tmp_path / "site/runs").iterdir()} == {filled[0], filled[3]}


def test_mistakes_are_one_sentence(drf: Drf, filled: list[str], tmp_path: Path) -> None:
    assert drf("export").code == 2
    assert drf("export", "--static", tmp_path / "site", "--run", "nobody").code == 3
    assert drf("export", "--static", tmp_path / "site", "--subset", "ibug").code == 3
    assert drf("export", "--static", tmp_path).code == 2  # holds the store
    (tmp_path / "b.db").write_text("precious")
    assert drf("export", "--bundle", tmp_path / "b.db").code == 2
    assert (tmp_path / "b.db").read_text() == "precious"


def test_a_model_that_is_not_there_is_one_sentence(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    answer = drf("export", "onnx", "nobody", "--out", tmp_path / "m.onnx")
    assert answer.code == 3
    assert "nobody" in answer.err
    answer = drf("export", "onnx", filled[1], "--out", tmp_path / "m.onnx")
    assert answer.code == 3
    assert "there is no checkpoint" in answer.err
    write_checkpoint_of_another_run(tmp_path / "drf.db", filled[1])
    answer = drf("export", "onnx", filled[1], "--out", tmp_path / "m.onnx")
    assert (answer.code, answer.err.count("\n")) == (1, 1)
    assert f"is not a checkpoint of run {filled[1][:8]}" in answer.err
    assert not list(tmp_path.glob("*.onnx"))


@pytest.mark.parametrize("command", ["onnx", "predictions"])
@pytest.mark.parametrize(
    "option",
    [("--db", "other.db"), ("--static", "s"), ("--bundle", "b"), ("--run", "x"),
     ("--subset", "common"), ("--faces", "6"), ("--images",)],
)  # fmt: skip
def test_an_option_before_a_command_that_does_not_hear_of_it_is_refused(
    drf: Drf, filled: list[str], tmp_path: Path, command: str, option: tuple[str, ...]
) -> None:
    out = tmp_path / "out"
    answer = drf("export", *option, command, filled[1], "--out", out)
    assert (answer.code, answer.err.count("\n")) == (2, 1)
    assert f"{option[0]} before {command} counts for pages and bundles alone" in answer.err
    assert not out.exists()


@pytest.mark.slow
def test_a_trained_run_and_its_file_find_the_same_landmarks(drf: Drf, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    run = drf("train", "hourglass", *TINY, "--epochs", 1, "--name", "tiny", "--json").json["run"]
    assert drf("eval", run, "--no-flip-test").code == 0
    best = checkpoint.load(tmp_path / run / checkpoint.BEST)
    correction = Recalibration([1.0] * 68, usual=0.025)
    told = {checkpoint.RECALIBRATIONS: Recalibrations(correction, correction).as_dict()}
    checkpoint.save(best.path, best.tensors, best.header | told)
    assert load("tiny", db=tmp_path / "drf.db").network.largest_error == pytest.approx(0.03)
    file = tmp_path / "tiny.onnx"
    answer = drf("export", "onnx", "tiny", "--out", file)
    assert answer.code == 0, answer.err
    assert "Next: drf predict --model" in answer.err
    assert drf("export", "onnx", "tiny", "--out", file).code == 2  # never replaced
    described = OnnxNetwork(file).description
    assert described.largest_error == pytest.approx(0.03)
    assert (described.run, described.family, described.input_size) == (run, "hourglass", 32)
    assert described.scores[0]["subset"] == "common"
    assert "NME on synthetic common" in described.card

    photo = tmp_path / "photo.png"
    pixels = np.random.default_rng(0).integers(0, 256, (200, 200, 3), dtype=np.uint8)
    cv2.imwrite(str(photo), pixels)
    found = [
        np.array(
            drf("predict", photo, "--model", model, "--box", "20,30,128,128", "--json").json[
                "photos"
            ][0]["faces"][0]["landmarks"]
        )
        for model in (file, "tiny")
    ]
    assert np.abs(found[0] - found[1]).max() < 4e-3  # 1e-3 px of the input, which shows four
