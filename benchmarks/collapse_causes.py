"""Which cause of the historical collapse brings it back: each remedy removed, alone and together.

    python -m benchmarks.collapse_causes --data-root data/300w [--seeds 3] [--epochs 8] [--json]
    python -m benchmarks.collapse_causes --quick          (synthetic faces, two rows, a minute)

The eyes, small pictures, 3 trees of 16 leaves over maps; the loss is cross-entropy alone, as the
historical design had it (a coordinate loss would hide a collapse). A row names what is switched
back; "std ratio" is the standard deviation of the predictions over that of the labels (below 0.1
counts as collapsed), "I(leaf; x)" is at most log 16 = 2.77 nats.
"""

from __future__ import annotations

import argparse
import json
import logging
import statistics
import sys
import tempfile
from pathlib import Path

from tabulate import tabulate

from benchmarks import run_script
from drf import registry
from drf.data.dataset import open_dataset
from drf.data.packs import Pack, pack
from drf.files import user_path
from drf.training.loop import Listener, Trainer
from experiments.request import Request, configure

BASE = {
    "data.landmarks": "eyes",
    "data.input_size": 64,
    "model.backbone": "residual",
    "model.width": 16,
    "model.features": 64,
    "model.bins": 32,
    "model.label_sigma": 0.5,
    "model.coordinate_loss_weight": 0.0,
    "training.precision": "fp32",
    "training.device": "cpu",
    "training.max_minutes": 0.0,
}
NO_WARMUP = {"model.routing_warmup": 0.0}
IDENTICAL = {"model.leaf_init": "identical"}
RESTART = {"model.statistics": "restart", "model.cnn_steps": 20, "model.leaf_iterations": 10}
RAW = {"model.gates": "raw"}
CONSTANT = {
    "model.steepness_first": 1.0,
    "model.annealing": "constant",
    "model.steepness_last": 1.0,
}

ROWS: dict[str, dict[str, object]] = {
    "all remedies": {},
    "no warm-up": NO_WARMUP,
    "identical leaves": IDENTICAL,
    "identical leaves, no warm-up": IDENTICAL | NO_WARMUP,
    "restart on each batch": RESTART,
    "restart, no warm-up": RESTART | NO_WARMUP,
    "raw gates": RAW,
    "raw gates, no warm-up": RAW | NO_WARMUP,
    "constant steepness": CONSTANT,
    "all causes: historical": IDENTICAL | RESTART | RAW | CONSTANT | NO_WARMUP,
}
QUICK = ("all remedies", "all causes: historical")


class Last(Listener):
    """Keeps the readings of the last epoch."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def on_epoch(self, epoch: int, values: dict[str, float]) -> None:
        self.values = values


def train(
    change: dict[str, object], epochs: int, seed: int, packs: tuple[Pack, Pack], folder: Path
) -> dict[str, object]:
    """Train one row once; return its last readings, NME in percent."""
    options = BASE | change | {"training.epochs": epochs, "training.seed": seed}
    config = configure(Request("historical/eyes-2000", options=options)).config
    last = Last()
    outcome = Trainer(config, registry.build(config, packs[0].markup), *packs, folder, last).run()
    return {
        "nme": 100 * last.values["val_nme_ocular"],
        "prediction_std_ratio": last.values["prediction_std_ratio"],
        "information": last.values["information"],
        "excess_ce": last.values["excess_ce"],
        "collapsed": outcome.state == "collapsed",
    }


def table(rows: dict[str, list[dict[str, float]]]) -> str:
    lines = []
    for name, runs in rows.items():
        scores = ("nme", "prediction_std_ratio", "information", "excess_ce")
        cells = [_mean_and_sd([run[key] for run in runs]) for key in scores]
        collapsed = sum(bool(run["collapsed"]) for run in runs)
        lines.append([name, *cells, f"{collapsed} of {len(runs)}"])
    titles = ["switched back", "val NME %", "std ratio", "I(leaf; x)", "excess CE", "collapsed"]
    return tabulate(lines, titles, tablefmt="github", disable_numparse=True)


def _mean_and_sd(values: list[float]) -> str:
    mean = f"{statistics.mean(values):.2f}"
    return f"{mean} ± {statistics.stdev(values):.2f}" if len(values) > 1 else mean


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=user_path, help="300-W; without it synthetic faces")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--epochs", type=int, default=8)
    parser.add_argument("--quick", action="store_true", help="two rows, synthetic, one minute")
    parser.add_argument("--json", action="store_true")
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.ERROR)
    source = "300w" if arguments.data_root and not arguments.quick else "synthetic"
    dataset = open_dataset(source, arguments.data_root, seed=0, size=300)
    epochs = 4 if arguments.quick else arguments.epochs
    rows: dict[str, list[dict[str, float]]] = {}
    with tempfile.TemporaryDirectory() as scratch:
        packs = (
            pack(dataset, "train", "gt", Path(scratch)),
            pack(dataset, "val", "gt", Path(scratch)),
        )
        for name in QUICK if arguments.quick else ROWS:
            rows[name] = []
            for seed in range(arguments.seeds):
                folder = Path(scratch) / "run"
                rows[name].append(train(ROWS[name], epochs, seed, packs, folder))
                print(f"{name}, seed {seed}: {rows[name][-1]}", file=sys.stderr, flush=True)
    if arguments.json:
        print(json.dumps({"dataset": source, "epochs": epochs, "base": BASE, "rows": rows}))
    else:
        print(table(rows))


if __name__ == "__main__":
    run_script(main)
