"""What do the engines of a sweep cost over the same runs by `drf train` and `drf eval`?

    python -m benchmarks.sweep_engines [--quick] [--json] [--runs N] [--engine local ray]

Trains and evaluates N small runs of a hourglass on 256 synthetic faces one after another, by a
process for each command, then by a sweep with one job at a time. Prints wall time and the CPU time
of all processes, each as a ratio to the commands; the target is at most 1.05.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from benchmarks import run_script

TARGET = 1.05
SETTINGS = {
    "data.synthetic_train_size": 256,
    "data.input_size": 64,
    "model.width": 16,
    "training.device": '"cpu"',
}
_DRF = (sys.executable, "-c", "from cli.main import main; main()")


@dataclass(frozen=True)
class Took:
    """wall_s and cpu_s: of all processes that were started, until they had ended"""

    wall_s: float
    cpu_s: float


def commands(folder: Path, runs: int, epochs: int) -> Took:
    """Train and evaluate one run after another, as a person would."""
    settings = [f"--set={key}={str(value).strip(chr(34))}" for key, value in SETTINGS.items()]
    began = _now()
    for seed in range(runs):
        name = f"seed-{seed}"
        shared = ["--dataset", "synthetic", "--epochs", str(epochs), "--seed", str(seed)]
        _run(folder, "train", "hourglass", *shared, "--name", name, *settings)
        _run(folder, "eval", name, "--subset", "val")
    return _since(began)


def sweep(folder: Path, engine: str, runs: int, epochs: int) -> Took:
    """Let a sweep do so, one job at a time."""
    lines = [f"{key} = {value}" for key, value in SETTINGS.items()]
    heads = ['preset = "hourglass"', 'dataset = "synthetic"', f"epochs = {epochs}"]
    grid = folder / "grid.toml"
    grid.write_text("\n".join([*heads, f"seeds = {list(range(runs))}", "[settings]", *lines]))
    began = _now()
    _run(folder, "sweep", "run", str(grid), "--engine", engine, "--jobs", "1")
    return _since(began)


def _run(folder: Path, *words: str) -> None:
    variables = {"DRF_DB": str(folder / "drf.db"), "DRF_CACHE": str(folder.parent / "cache")}
    environment = os.environ | variables | {"OMP_NUM_THREADS": "1"}
    subprocess.run([*_DRF, *words], check=True, env=environment, capture_output=True)


def _now() -> Took:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return Took(time.perf_counter(), used.ru_utime + used.ru_stime)


def _since(began: Took) -> Took:
    now = _now()
    return Took(now.wall_s - began.wall_s, now.cpu_s - began.cpu_s)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=6)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--engine", nargs="+", choices=("local", "ray"), default=["local"])
    parser.add_argument("--quick", action="store_true", help="2 runs of 4 epochs")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    given = parser.parse_args()
    runs, epochs = (2, 4) if given.quick else (given.runs, given.epochs)
    found: dict[str, Any] = {"runs": runs, "epochs": epochs, "load": os.getloadavg()}
    if not given.json:
        print(f"{runs} runs of {epochs} epochs; load {found['load'][0]:.1f}")
    with tempfile.TemporaryDirectory() as scratch:
        ways = ["packing", "commands", *given.engine]
        folders = {way: Path(scratch) / way for way in ways}
        for folder in folders.values():
            folder.mkdir()
        commands(folders["packing"], 1, 1)  # the faces are packed once, for all of them
        usual = commands(folders["commands"], runs, epochs)
        for way in ("commands", *given.engine):
            took = usual if way == "commands" else sweep(folders[way], way, runs, epochs)
            wall, cpu = took.wall_s / usual.wall_s, took.cpu_s / usual.cpu_s
            found[way] = asdict(took) | {"cpu_ratio": cpu, "target": TARGET}
            if not given.json:
                print(f"  {way:<8}  {took.wall_s:6.1f} s wall {wall:5.2f}  {took.cpu_s:6.1f} s CPU"
                      f" {cpu:5.2f}  {'' if cpu <= TARGET else 'MISSED'}", flush=True)  # fmt: skip
    if given.json:
        print(json.dumps(found, indent=2))


if __name__ == "__main__":
    run_script(main)
