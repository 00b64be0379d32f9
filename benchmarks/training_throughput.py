"""How fast the training loop is, against the same model trained plainly, and what the data costs.

    python -m benchmarks.training_throughput [--quick] [--json] [--preset hourglass]

One process, blocks of steps in turn, so that a noisy machine slows all alike. "Loop" is the step
as `drf train` runs it: packed faces, augmentation, channels-last, precision `auto`. "Plain" is the
same model and step in fp32, contiguous layout. The share of the data is the time that drawing and
augmenting a batch takes, of a whole step of the loop. Faces/s of a committee count a face once that
all members see. Its members compute side by side in threads; it is measured also with one after
another, each with all threads: OMP_NUM_THREADS says how many there are.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from benchmarks import run_script
from benchmarks.timing import in_turn, medians
from drf import hardware, registry
from drf.config import RunConfig
from drf.data.packs import Pack, pack
from drf.data.synthetic_dataset import SyntheticDataset
from drf.training.loop import Silent, Trainer
from experiments.request import Request, configure


def make_trainer(config: RunConfig, faces: Pack, folder: Path) -> Trainer:
    return Trainer(config, registry.build(config, faces.markup), faces, faces, folder, Silent())


def plain(trainer: Trainer) -> Trainer:
    """Undo what the loop does for speed: the layout; precision is fp32 by configuration."""
    trainer.model.to(memory_format=torch.contiguous_format)
    for learner in trainer.learners:
        learner.register_forward_pre_hook(lambda _, images: (images[0].contiguous(),))
    return trainer


def one_after_another(trainer: Trainer) -> Trainer:
    """Let learners wait for each other; each computes with all threads."""
    trainer.threads.count = 1
    return trainer


def data_only(trainer: Trainer) -> Callable[[], object]:
    generator = torch.Generator(trainer.device).manual_seed(0)
    index = np.arange(trainer.batch)
    return lambda: trainer.batches.draw(index, generator)


def measure(preset: str, blocks: int, repeats: int) -> dict[str, object]:
    """Time the three in turn and return medians over the blocks."""
    configs = {
        name: configure(Request(preset, options={"training.precision": precision})).config
        for name, precision in (("loop", "auto"), ("plain", "fp32"))
    }
    with tempfile.TemporaryDirectory() as scratch:
        faces = pack(SyntheticDataset(size=64), "train", "gt", Path(scratch))
        loop = make_trainer(configs["loop"], faces, Path(scratch))
        other = plain(make_trainer(configs["plain"], faces, Path(scratch)))
        steps = {
            "loop": loop.repeated_step(),
            "plain": other.repeated_step(),
            "data": data_only(loop),
        }
        if len(loop.learners) > 1:
            alone = one_after_another(make_trainer(configs["loop"], faces, Path(scratch)))
            steps["alone"] = alone.repeated_step()
        times = in_turn(steps, blocks, repeats)
    batch = loop.batch
    ratios = [b / a for a, b in zip(times["loop"], times["plain"], strict=True)]
    median = medians(times)
    return {
        "preset": preset,
        "hardware": hardware.describe(loop.device),
        "precision": loop.precision,
        "batch": batch,
        "loop_faces_per_s": batch / median["loop"],
        "plain_faces_per_s": batch / median["plain"],
        "ratio": statistics.median(ratios),
        "ratio_range": [min(ratios), max(ratios)],
        "data_share": median["data"] / median["loop"],
        "learners": len(loop.learners),
        "side_by_side": median["alone"] / median["loop"] if "alone" in median else None,
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--preset", default="hourglass")
    parser.add_argument("--quick", action="store_true", help="end within a minute")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    blocks, repeats = (3, 3) if arguments.quick else (9, 10)
    result = measure(arguments.preset, blocks, repeats)
    if arguments.json:
        json.dump(result, sys.stdout, indent=2)
        print()
        return
    print(f"{result['preset']} on {result['hardware']}, batch {result['batch']}")
    print(
        f"  loop, {result['precision']}, channels last   {result['loop_faces_per_s']:8.1f} faces/s"
    )
    print(f"  plain, fp32, contiguous       {result['plain_faces_per_s']:8.1f} faces/s")
    low, high = result["ratio_range"]
    print(f"  ratio                         {result['ratio']:8.2f} x ({low:.2f} to {high:.2f})")
    print(f"  data, of a step of the loop   {100 * result['data_share']:8.1f} %")
    if result["side_by_side"]:
        print(f"  learners side by side         {result['side_by_side']:8.2f} x one after another")


if __name__ == "__main__":
    run_script(main)
