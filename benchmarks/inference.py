"""Where the time of a cascade forest goes when it aligns faces, and how near the machine's peak.

    python -m benchmarks.inference [--preset NAME …] [--batches 1,32] [--quick] [--json]
    python -m benchmarks.inference --checkpoint runs/RUN/best.safetensors --data-root data/300w

One thread, fp32, timed as `drf bench` times a run (`drf/inference/latency.py`).
Weights, pictures and shapes are random: what is computed costs the same as in a trained model.
Parts are timed in turn, each on the inputs that it meets in the model, batch norms folded: the
encoder (with the coarse maps), what is seen at the landmarks, what they tell each other, and the
forests by soft, top-4 and hard routing, in all stages or in the last alone. `folded` is the whole
model with soft routing, `as trained` the same without folding. FLOP/s are those of the encoder,
over the best that a large matrix product or a 3x3 convolution reaches.

With --checkpoint, what few leaves cost in accuracy instead: the NME (ocular, %) of a trained
cascade on val, with the flip test, by the leaves of each tree that its forests look at.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks import run_script
from benchmarks.timing import flops_of, peak_steps
from drf import checkpoint, hardware, presets, registry
from drf.data.dataset import open_dataset
from drf.data.packs import pack
from drf.errors import UsageError
from drf.files import user_path
from drf.forest.vector_forest import Inference, VectorForest
from drf.inference.latency import Step, faces, pass_times, quickest_round, single_pass
from drf.inference.prediction import Predictor, predict
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData
from drf.models.cascade_forest import CascadeForest
from drf.models.fuse_batchnorm import fuse_batchnorm
from drf.scoring import scores
from experiments.request import Request, configure

PRESETS = ("cascade-forest", "cascade-forest-small")
ROUTINGS: tuple[Inference, ...] = ("soft", "top", "hard", "hard-last")


def build(preset: str, routing: str) -> CascadeForest:
    """Return a cascade with random weights, its thresholds and leaves started."""
    torch.manual_seed(0)
    words = (f"model.inference={routing}",)
    model = registry.build(configure(Request(preset, assignments=words)).config, IBUG68)
    if not isinstance(model, CascadeForest):
        raise UsageError(f"{preset} is no cascade: name presets of the family cascade-forest")
    k, size = model.spec.n_points, model.spec.input_size
    shapes = 0.5 + 0.2 * torch.randn(1, k, 2) + 0.05 * torch.randn(256, k, 2)
    model.initialise(InitialData(shapes, shapes, torch.rand(64, 3, size, size)))
    model.set_progress(1.0)
    return model.place("cpu").eval()


def steps(preset: str, batch: int) -> dict[str, Step]:
    """Return the whole model and its parts as steps, each on what it meets inside the model."""
    trained = build(preset, "soft")
    model = fuse_batchnorm(trained)
    images = faces(model, batch)
    features = model.backbone(images)
    at = model.coarse.points(model.coarse(features.context))
    stages = list(model.stages)
    looked = [stage.look(features, at) for stage in stages]
    told = [stage.exchange(seen) for stage, seen in zip(stages, looked, strict=True)]
    made: dict[str, Step] = {
        "as trained": single_pass(trained, images),
        "folded": single_pass(model, images),
        "encoder": lambda: model.coarse.points(model.coarse(model.backbone(images).context)),
        "look": lambda: [stage.look(features, at) for stage in stages],
        "exchange": lambda: [s.exchange(x) for s, x in zip(stages, looked, strict=True)],
    }
    for routing in ROUTINGS:
        heads = [stage.head for stage in fuse_batchnorm(build(preset, routing)).stages]
        if all(isinstance(head, VectorForest) for head in heads):
            made[f"forests, {routing}"] = lambda h=heads: [
                forest(x) for forest, x in zip(h, told, strict=True)
            ]
    return made


def measure(preset: str, batch: int, blocks: int, repeats: int) -> dict[str, Any]:
    """Return milliseconds of a face for the model and its parts, and the encoder's FLOP/s."""
    parts = steps(preset, batch)
    peaks = peak_steps(torch.device("cpu"), "fp32")
    taken = _medians(parts, blocks, repeats)
    at_peak = _medians({name: step for name, (step, _) in peaks.items()}, blocks, 3)
    peak = max(flops / at_peak[name] for name, (_, flops) in peaks.items())
    reached = flops_of(parts["encoder"]) / taken["encoder"]
    return {
        "preset": preset,
        "batch": batch,
        "ms_per_face": {name: 1e3 * s / batch for name, s in taken.items()},
        "encoder_gflops": reached / 1e9,
        "share_of_peak": reached / peak,
        "forest_over_encoder": {
            routing: taken[f"forests, {routing}"] / taken["encoder"]
            for routing in ROUTINGS
            if f"forests, {routing}" in taken
        },
    }


def _medians(parts: dict[str, Step], rounds: int, passes: int) -> dict[str, float]:
    """Return the median seconds of each step, of its quickest round."""
    times = pass_times(parts, rounds, passes)
    return {name: float(np.median(quickest_round(ms))) / 1e3 for name, ms in times.items()}


BY_ROUTING: tuple[tuple[str, Inference, int], ...] = (
    ("soft", "soft", 1),
    ("top 8", "top", 8),
    ("top 4", "top", 4),
    ("hard-last", "hard-last", 1),
    ("hard", "hard", 1),
)


def accuracy(path: Path, root: Path | None) -> dict[str, float]:
    """Return the NME on val in percent by the names of BY_ROUTING.

    Raises DrfError where checkpoint or faces cannot be read.
    """
    model, config = checkpoint.load_model(path)
    data = config.data
    faces = pack(
        open_dataset(data.dataset, root, size=data.synthetic_train_size, seed=data.synthetic_seed),
        "val",
        data.box,
    )
    cascades = [module for module in model.modules() if isinstance(module, CascadeForest)]
    found = {}
    for name, inference, k in BY_ROUTING:
        for cascade in cascades:
            cascade.set_inference(inference, k)
        flip_test = faces.markup.is_symmetric(data.landmarks)
        predictor = Predictor(model, torch.device("cpu"), "fp32", flip_test)
        points = predict(predictor, faces).points
        errors = scores.image_errors(
            points, faces.picture_points, "ocular", faces.markup, data.landmarks
        )
        found[name] = 100 * scores.nme(errors)
    return found


def by_routing(document: dict[str, Any]) -> str:
    nme = document["val_nme"]
    return "\n".join(f"{name:9} {v:6.3f} %  {v - nme['soft']:+.3f}" for name, v in nme.items())


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--preset", action="append", choices=presets.names(), dest="presets")
    parser.add_argument("--batches", default="1,32", help="faces at once, separated by commas")
    parser.add_argument(
        "--checkpoint", type=user_path, help="of a trained cascade: accuracy by routing"
    )
    parser.add_argument("--data-root", type=user_path, help="folder of 300-W, with --checkpoint")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    torch.set_num_threads(1)
    blocks = 5 if options.quick else 21
    if options.checkpoint:
        document: dict[str, Any] = {"val_nme": accuracy(options.checkpoint, options.data_root)}
        print(json.dumps(document, indent=2) if options.json else by_routing(document))
        return 0
    with torch.inference_mode():
        rows = [
            measure(preset, batch, blocks, max(2, 32 // batch))
            for preset in options.presets or PRESETS
            for batch in map(int, options.batches.split(","))
        ]
    machine = hardware.describe(torch.device("cpu"))
    if options.json:
        json.dump({"machine": machine, "rows": rows}, sys.stdout, indent=2)
        print()
        return 0
    print(machine)
    for row in rows:
        print(f"\n{row['preset']}, {row['batch']} at once: ms per face")
        for name, ms in row["ms_per_face"].items():
            share = ms / row["ms_per_face"]["encoder"]
            print(f"  {name:14} {ms:7.3f}   {share:6.1%} of the encoder")
        print(f"  encoder: {row['encoder_gflops']:.1f} GFLOP/s, {row['share_of_peak']:.0%} of peak")
    return 0


if __name__ == "__main__":
    run_script(main)
