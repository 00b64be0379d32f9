"""What do the engines of a sweep cost over the same runs by `drf train` and `drf eval`?

    python -m benchmarks.sweep_engines [--runs N] [--epochs N] [--engine local ray]

Trains and evaluates N small runs of a hourglass on 256 synthetic faces one after another, by a
process for each command, then by a sweep with one job at a time. Prints wall time and the CPU time
of all processes, each as a ratio to the commands; the target is at most 1.05.
"""

from __future__ import annotations

import argparse
import os
import platform
import resource
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

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
    given = parser.parse_args()
    load = ", ".join(f"{value:.1f}" for value in os.getloadavg())
    print(f"{given.runs} runs of {given.epochs} epochs; {platform.machine()}, load {load}")
    with tempfile.TemporaryDirectory() as scratch:
        ways = ["packing", "commands", *given.engine]
        folders = {way: Path(scratch) / way for way in ways}
        for folder in folders.values():
            folder.mkdir()
        commands(folders["packing"], 1, 1)  # the faces are packed once, for all of them
        usual = commands(folders["commands"], given.runs, given.epochs)
        print(f"  commands  {usual.wall_s:6.1f} s wall        {usual.cpu_s:6.1f} s CPU")
        for engine in given.engine:
            took = sweep(folders[engine], engine, given.runs, given.epochs)
            wall, cpu = took.wall_s / usual.wall_s, took.cpu_s / usual.cpu_s
            print(f"  {engine:<8}  {took.wall_s:6.1f} s wall {wall:5.2f}  {took.cpu_s:6.1f} s CPU"
                  f" {cpu:5.2f}  {'' if cpu <= TARGET else 'MISSED'}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
