"""Resident memory of training on as many faces as 300-W trains on.

    python -m benchmarks.training_memory [--quick] [--json] [--preset hourglass]

Packs synthetic faces (3148, as all of 300-W; 400 with --quick), trains one pass over them in a
process of its own, and prints that process's peak: the interpreter, torch and the mapped pages of
the pack included. The target is 2 GB.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks import run_script

TARGET_GB = 2.0


def train_once(preset: str, faces: int, cache: Path) -> float:
    """Train one epoch in this process and return its peak resident memory in GB."""
    from drf import registry
    from drf.data.packs import pack
    from drf.data.synthetic_dataset import SyntheticDataset
    from drf.training.loop import Silent, Trainer
    from experiments.request import Request, configure

    config = configure(Request(preset, options={"training.epochs": 1})).config
    dataset = SyntheticDataset(size=faces)
    train, val = (pack(dataset, subset, "gt", cache) for subset in ("train", "val"))
    Trainer(config, registry.build(config, train.markup), train, val, cache / "run", Silent()).run()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6  # kB on Linux


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="hourglass")
    parser.add_argument("--quick", action="store_true", help="400 faces")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    faces = 400 if arguments.quick else 3148
    if arguments.child:
        print(train_once(arguments.preset, faces, arguments.child))
        return
    with tempfile.TemporaryDirectory() as cache:
        command = [sys.executable, "-m", "benchmarks.training_memory", *sys.argv[1:]]
        command += ["--child", cache]
        peak = float(subprocess.run(command, check=True, capture_output=True, text=True).stdout)
    result = {"preset": arguments.preset, "faces": faces, "peak_gb": peak, "target_gb": TARGET_GB}
    if arguments.json:
        print(json.dumps(result, indent=2))
    else:
        print(
            f"{result['preset']}, {faces} faces: peak {peak:.2f} GB resident (target {TARGET_GB})"
        )


if __name__ == "__main__":
    run_script(main)
