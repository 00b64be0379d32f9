"""Every trained family on the GPU: does it compute what the CPU computes, and how well is it used.

    python -m benchmarks.gpu_check [--quick] [--json] [--data-root data/300w] [--minutes 1]
                                   [--faces 2000] [--family NAME ...] [--set KEY=VALUE ...]

Needs torch, numpy, OpenCV and safetensors alone; where drf is not installed, set PYTHONPATH=. in
the repository. Without CUDA it says so, and compares two runs on the CPU instead, which must agree
to the last digit. Each family is trained by the preset of its name. The columns:

loss diff  largest relative difference of the first steps' losses, fp32 without TF32, from the same
           weights on the same augmented batches
faces/s    of a training of so many minutes by the loop that `drf train` runs; val: its best NME, %
step ms    of one step, the drawing of the batch and the optimiser included
of peak    FLOP/s of a step, by torch's counter, over the best that a large matrix product or a 3x3
           convolution reaches in the same minute in bf16 (fp32 where bf16 is only emulated)
head       share of the step that is not there when the same step trains the backbone alone
GB         largest allocation of the training; of CUDA alone
waits      synchronisations that torch reports per step; of CUDA alone

What ends it early (Ctrl-C, `timeout`) leaves the families that were read. A committee has no
backbone of its own: what its head costs is said of its members' family.

Keep what --json prints on a GPU as benchmarks/results/gpu_check-DEVICE-DATE.json, for one
gpu_check-nvidia-h100-2026-12-01.json; a later run is a new file.

Exits with 1 if a family fails or disagrees. A family that needs a module which is not installed
(scipy: assignment of peaks, k-means) is skipped, and the table says so.
"""

from __future__ import annotations

import argparse
import copy
import json
import os
import signal
import sys
import tempfile
import traceback
from collections.abc import Iterable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import run_script
from benchmarks.timing import flops_of, in_turn, medians, peak_steps, waits_of
from benchmarks.timing.backbone import BackboneAlone, used_levels
from drf import hardware, presets, registry
from drf.config import RunConfig
from drf.data.dataset import open_dataset
from drf.data.packs import Pack, pack
from drf.errors import DrfError
from drf.files import user_path
from drf.landmarks.markup import IBUG68
from drf.models.base import LandmarkModel
from drf.training.batches import Batches
from drf.training.loop import Silent, Trainer
from experiments.request import Request, configure

TOLERANCE = {"cpu": 0.0, "cuda": 1e-2}
"""Of the losses, relative: a GPU sums in another order, and every step adds to the difference."""


@dataclass(frozen=True)
class Budget:
    """faces: to train on · steps: compared · epochs: of training, 0: as many as the minutes hold
    blocks, repeats: of timed steps
    """

    faces: int
    steps: int
    epochs: int
    minutes: float
    blocks: int
    repeats: int


@dataclass(frozen=True)
class Bench:
    """What all families share: faces, a folder for checkpoints, device, its best precision."""

    train: Pack
    val: Pack
    folder: Path
    device: torch.device
    precision: str

    def trainer(self, config: RunConfig, model: LandmarkModel) -> Trainer:
        return Trainer(config, model, self.train, self.val, self.folder, Silent())


@dataclass(frozen=True)
class Reading:
    """One row; see the module. None: not measured on this device, or the family failed."""

    family: str
    preset: str
    loss_difference: float | None = None
    agrees: bool | None = None
    precision: str | None = None
    batch: int | None = None
    faces_per_s: float | None = None
    val_nme_percent: float | None = None
    step_ms: float | None = None
    gflop_per_step: float | None = None
    peak_tflops: float | None = None
    share_of_peak: float | None = None
    head_share: float | None = None
    memory_gb: float | None = None
    waits_per_step: float | None = None
    error: str | None = None
    skipped: str | None = None


class Replay:
    """Batches that were drawn before, in place of those that a trainer draws."""

    def __init__(self, drawn: Iterable[tuple[Tensor, Tensor]], device: torch.device) -> None:
        self._remaining, self._device = iter(drawn), device

    def draw(self, index: np.ndarray, generator: torch.Generator) -> tuple[Tensor, Tensor]:
        images, points = next(self._remaining)
        return images.to(self._device), points.to(self._device)


def default_presets(wanted: list[str] | None) -> dict[str, str]:
    """Return {family: preset} of the families that learn, by the presets of their names."""
    known = [presets.load(name) for name in presets.names()]
    chosen: dict[str, str] = {}
    for name in wanted or registry.FAMILIES:
        registry.family(name)  # an unknown one is said
        own = sorted((p.name != name, p.name) for p in known if p.family == name)
        if own and _learns(own[0][1]):
            chosen[name] = own[0][1]
    return chosen


def _learns(preset: str) -> bool:
    return registry.count_params(registry.build(configure(Request(preset)).config, IBUG68)) > 0


def loss_difference(config: RunConfig, bench: Bench, steps: int) -> float:
    """Return the largest relative difference of the first losses, device against CPU, in fp32."""
    seed = config.training.seed
    options = replace(config.training, precision="fp32", epochs=30, max_minutes=0.0, device="cpu")
    config = replace(config, training=options)
    torch.manual_seed(seed)
    model = registry.build(config, IBUG68)
    batches = Batches(bench.train, config, torch.device("cpu"))
    model.initialise(batches.initial_data(seed))
    generator = torch.Generator().manual_seed(seed)
    index = np.arange(min(options.batch_size, len(batches)))
    drawn = [batches.draw(index, generator) for _ in range(steps)]

    def losses(device: str) -> np.ndarray:
        placed = replace(config, training=replace(options, device=device))
        trainer = bench.trainer(placed, copy.deepcopy(model))
        step = trainer.repeated_step()
        trainer.batches = Replay(drawn, trainer.device)
        torch.manual_seed(seed)
        return np.array([float(step()["loss"]) for _ in drawn])

    with torch.backends.cudnn.flags(enabled=True, allow_tf32=False):
        expected, found = losses("cpu"), losses(bench.device.type)
    return float(np.max(np.abs(found - expected) / np.abs(expected)))


def read(family: str, preset: str, settings: list[str], bench: Bench, budget: Budget) -> Reading:
    """Compare, train and measure one family. Raises what training raises."""
    limits = {"training.epochs": budget.epochs, "training.max_minutes": budget.minutes}
    config = configure(Request(preset, assignments=tuple(settings), options=limits)).config
    difference = loss_difference(config, bench, budget.steps)
    trainer = bench.trainer(config, registry.build(config, IBUG68))
    on_gpu = bench.device.type == "cuda"
    if on_gpu:
        torch.cuda.reset_peak_memory_stats()
    outcome = trainer.run()
    memory = torch.cuda.max_memory_allocated() / 1e9 if on_gpu else None
    whole = trainer.repeated_step()
    peaks = peak_steps(bench.device, bench.precision)
    steps = {"whole": whole} | {name: step for name, (step, _) in peaks.items()}
    if hasattr(trainer.model, "backbone"):
        backbone = BackboneAlone(trainer.model, used_levels(trainer.model, whole))
        steps["alone"] = bench.trainer(config, backbone).repeated_step()
    times = medians(in_turn(steps, budget.blocks, budget.repeats))
    flops, peak = flops_of(whole), max(work / times[name] for name, (_, work) in peaks.items())
    nme = outcome.kept_val_nme
    return Reading(
        family=family,
        preset=preset,
        loss_difference=difference,
        agrees=difference <= TOLERANCE[bench.device.type],
        precision=trainer.precision,
        batch=trainer.batch,
        faces_per_s=outcome.faces_per_s,
        val_nme_percent=None if nme is None else 100 * nme,
        step_ms=1e3 * times["whole"],
        gflop_per_step=flops / 1e9,
        peak_tflops=peak / 1e12,
        share_of_peak=flops / times["whole"] / peak,
        head_share=1 - times["alone"] / times["whole"] if "alone" in times else None,
        memory_gb=memory,
        waits_per_step=waits_of(whole, budget.repeats) if on_gpu else None,
    )


def check(arguments: argparse.Namespace, budget: Budget, scratch: Path) -> dict[str, object]:
    """Read every family and return the document that --json prints."""
    device = hardware.choose_device("auto")
    root = arguments.data_root
    dataset = open_dataset("300w" if root else "synthetic", root, size=budget.faces)
    train, val = (
        pack(dataset, subset, "gt", scratch, limit=min(limit, budget.faces))
        for subset, limit in (("train", budget.faces), ("val", 200))
    )
    precision = hardware.choose_precision("auto", device)
    bench = Bench(train, val, scratch / "run", device, precision)
    readings = []
    for family, preset in default_presets(arguments.family).items():
        print(f"{family} …", file=sys.stderr)
        try:
            readings.append(read(family, preset, arguments.settings, bench, budget))
        except KeyboardInterrupt:
            print("stopped: what was read so far follows", file=sys.stderr)
            break
        except ModuleNotFoundError as error:
            readings.append(Reading(family, preset, skipped=f"{error.name} is not installed"))
        except (DrfError, RuntimeError) as error:  # the others are read all the same
            traceback.print_exc()
            reason = f"{type(error).__name__}: {str(error).splitlines()[0]}"
            readings.append(Reading(family, preset, error=reason))
    return {
        "device": hardware.describe(device),
        "compared_with": "the CPU" if device.type == "cuda" else "itself: no CUDA device here",
        "load_average": os.getloadavg()[0],
        "torch": torch.__version__,
        "peak_precision": precision,
        "faces": {"dataset": dataset.name, "train": len(train.names), "val": len(val.names)},
        "budget": asdict(budget),
        "settings": arguments.settings,
        "families": [asdict(reading) for reading in readings],
    }


def print_table(document: dict) -> None:
    peaks = [row["peak_tflops"] for row in document["families"] if row["peak_tflops"]]
    faces = document["faces"]
    print(f"{document['device']}, compared with {document['compared_with']}")
    print(f"load of the machine: {document['load_average']:.1f} processes")
    print(f"peak, {document['peak_precision']}: {max(peaks, default=0):.2f} TFLOP/s")
    print(f"{faces['dataset']}: {faces['train']} faces, {faces['val']} to validate")
    columns = (
        *(("loss_difference", "loss diff", "{:.1e}"), ("faces_per_s", "faces/s", "{:.0f}")),
        *(("val_nme_percent", "val", "{:.2f}"), ("step_ms", "step ms", "{:.1f}")),
        *(("share_of_peak", "of peak", "{:.1%}"), ("head_share", "head", "{:.1%}")),
        *(("memory_gb", "GB", "{:.2f}"), ("waits_per_step", "waits", "{:.1f}")),
    )
    print(f"{'family':<26}" + "".join(f"{title:>10}" for _, title, _ in columns))
    for row in document["families"]:
        cells = ["–" if row[key] is None else form.format(row[key]) for key, _, form in columns]
        verdict = row["error"] or row["skipped"] or ("" if row["agrees"] else "DISAGREES")
        print(f"{row['family']:<26}" + "".join(f"{cell:>10}" for cell in cells) + f"  {verdict}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--data-root", type=user_path, help="folder of 300-W; default: synthetic faces"
    )
    parser.add_argument("--minutes", type=float, default=1.0, help="of training per family")
    parser.add_argument("--faces", type=int, default=2000, help="to train on, at most")
    parser.add_argument("--family", action="append", help="default: all that learn")
    parser.add_argument("--set", action="append", default=[], dest="settings", metavar="KEY=VALUE")
    parser.add_argument("--quick", action="store_true", help="end within a minute; 24 faces")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    budget = Budget(arguments.faces, 10, 0, arguments.minutes, blocks=9, repeats=10)
    if arguments.quick:
        budget = Budget(faces=24, steps=2, epochs=2, minutes=0.0, blocks=3, repeats=1)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as scratch:
        document = check(arguments, budget, Path(scratch))
    if arguments.json:
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        print_table(document)
    return 0 if all(row["agrees"] or row["skipped"] for row in document["families"]) else 1


if __name__ == "__main__":
    run_script(main)
