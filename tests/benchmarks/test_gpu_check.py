"""The GPU check runs where nearly nothing is installed, and tells agreement from disagreement."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from benchmarks import gpu_check
from drf import registry
from drf.data.packs import pack
from drf.data.synthetic_dataset import SyntheticDataset
from drf.landmarks.markup import IBUG68
from experiments.request import Request, configure
from tests.conftest import REPOSITORY

ABSENT = ("cli", "db", "webapp", "typer", "rich", "sqlite_utils", "pandas", "plotly", "streamlit")
ABSENT = (*ABSENT, "psutil", "scipy")
BARE = f"""
import runpy, sys
sys.modules.update(dict.fromkeys({ABSENT!r}))  # importing them is an ImportError now
runpy.run_module("benchmarks.gpu_check", run_name="__main__")
"""
TINY = ("--set", "model.width=8", "--set", "data.input_size=64", "--quick", "--json")


def check(*words: str) -> tuple[int, dict]:
    """Run the check on the CPU, in a process where ABSENT cannot be imported."""
    ran = subprocess.run(
        [sys.executable, "-c", BARE, *words],
        cwd=REPOSITORY,
        env=os.environ | {"CUDA_VISIBLE_DEVICES": ""},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.stdout, ran.stderr
    return ran.returncode, json.loads(ran.stdout)


@pytest.mark.slow  # trains every family, on one core for minutes
def test_every_family_that_learns_is_read_with_torch_numpy_opencv_and_safetensors_alone() -> None:
    code, document = check(*TINY)
    rows = document["families"]
    assert {row["family"]: row["error"] for row in rows} == {
        name: None for name in registry.FAMILIES if name != "mean-shape"
    }
    skipped = {row["family"]: row["skipped"] for row in rows if row["skipped"]}
    # Peaks are assigned, and leaves start at the centres of k-means, by scipy.
    assert skipped.keys() <= {"heatmap-forest-single-map", "gaussian-forest"}
    assert all(reason.startswith("scipy") for reason in skipped.values())
    assert code == 0
    assert document["compared_with"] == "itself: no CUDA device here"
    for row in (row for row in rows if not row["skipped"]):
        assert row["loss_difference"] == 0.0
        assert row["faces_per_s"] > 0
        assert row["gflop_per_step"] > 0
        assert row["peak_tflops"] > 0
        assert row["share_of_peak"] > 0
        committee = row["family"] == "cascade-committee"  # its members have backbones, not it
        assert row["head_share"] is None if committee else row["head_share"] < 1
        assert row["memory_gb"] is None
        assert row["waits_per_step"] is None


def test_a_family_that_fails_is_a_row_and_an_exit_code() -> None:
    code, document = check("--family", "hourglass", "--set", "model.widht=8", *TINY)
    (row,) = document["families"]
    assert code == 1
    assert "did you mean 'model.width'" in row["error"]
    assert row["agrees"] is None


@pytest.fixture
def bench(tmp_path: Path):
    faces = pack(SyntheticDataset(size=24), "train", "gt", tmp_path)
    return gpu_check.Bench(faces, faces, tmp_path / "run", torch.device("cpu"), "fp32")


def tiny(preset: str = "cnn-heatmap", **changes: object):
    flat = {"model.width": 8, "data.input_size": 64, "training.device": "cpu"} | changes
    return configure(Request(preset, options=flat)).config


def test_other_losses_are_seen(bench, monkeypatch) -> None:
    assert gpu_check.loss_difference(tiny(), bench, steps=2) == 0.0
    step, calls = gpu_check.Trainer.step, []

    def wrong(trainer, index, generator):
        calls.append(trainer)
        values = step(trainer, index, generator)
        return values if trainer is calls[0] else {"loss": 1.25 * values["loss"]}

    monkeypatch.setattr(gpu_check.Trainer, "step", wrong)
    assert gpu_check.loss_difference(tiny(), bench, steps=2) == pytest.approx(0.25)


@pytest.mark.parametrize(
    ("preset", "levels"),
    [("cnn-heatmap", {"deep"}), ("hourglass", {"detail", "context"})],
)
def test_the_backbone_alone_does_the_work_that_the_model_asks_of_it(
    bench, preset: str, levels: set[str]
) -> None:
    """A dense layer over the deep level needs no way back up; maps need no pooled one."""
    kind = {"model.backbone": "residual"} if preset == "cnn-heatmap" else {}
    config = tiny(preset, **kind)
    trainer = bench.trainer(config, registry.build(config, IBUG68))
    used = gpu_check.used_levels(trainer.model, trainer.repeated_step())
    assert set(used) == levels
    alone = bench.trainer(config, gpu_check.BackboneAlone(trainer.model, used))
    alone.repeated_step()()
    assert learned(alone.model) == {n for n in learned(trainer.model) if n.startswith("backbone.")}


def learned(model: torch.nn.Module) -> set[str]:
    return {name for name, p in model.named_parameters() if p.grad is not None}
