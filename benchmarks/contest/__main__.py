"""Compares forests with other methods on the same faces, with the same budget and machine.

    python -m benchmarks.contest --data-root data/300w [--db runs/drf.db] [--rows NAME,...]
        [--all] [--minutes 10] [--threads 2] [--seeds 3] [--json] [--plot contest.svg] [--quick]

Every row is trained by `drf train` (by dlib: ERT, which needs the extra `peers`), for the same
minutes with the same number of threads, unless the row has its own, and evaluated as by `drf eval`:
on helen, box gt and gt_jitter, averaged with the mirrored face, once more without, and on val. All
of it goes into the store; runs that are there (same name, configuration, seed and number of
threads) are taken as they are, so a contest can be spread over several calls, and calls with other
--rows can write to one store at the same time. --all trains every row of docs/results.md from
nothing, in some six hours. With --minutes 10 the rows keep the rules of the ten-minute track.

Latency is measured anew on every call, on one thread, all rows in turn on the same faces: one pass
without the mirrored face, eager, batch norms folded, from the prepared crop to landmarks and from
the picture and its box. The quickest of three passes counts for each face.

`AURC`: area under the risk-coverage curve of single landmarks, the most certain first by the area
of their covariance; as the NME where certainty says nothing. `one pass`: NME without the mirrored
face, what the latency pays for. `rise`: NME under gt_jitter minus NME under gt. Differences are of
errors averaged over seeds, with the 95 % interval over faces and seeds. --quick: synthetic
faces, one epoch, the rows of QUICK.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
import tempfile
from dataclasses import asdict
from pathlib import Path
from typing import Any

import torch

from benchmarks import run_script
from benchmarks.contest import rows, scores, table
from benchmarks.contest.figure import figure
from benchmarks.contest.runs import RunResult, method_of, train_and_evaluate
from benchmarks.contest.settings import Budget, ContestSettings
from benchmarks.timing import one_thread
from benchmarks.timing.latency import Faces, Latency, measure
from db.connection import open_reader
from db.file import DEFAULT_PATH
from drf import hardware
from drf.data.boxes import gt_boxes
from drf.data.dataset import open_dataset
from drf.files import user_path
from experiments.paths import Paths

QUICK = ("mean-shape", "hourglass", "heatmap-forest")
TIMED_FACES = 100


def contest(
    chosen: list[rows.Row], seeds: int, settings: ContestSettings, timed: int
) -> dict[str, Any]:
    """Run what is missing and return the document that --json prints.

    timed: number of test faces for the latency
    """
    results = {
        row.name: [train_and_evaluate(row, seed, settings) for seed in range(min(seeds, row.seeds))]
        for row in chosen
    }
    with contextlib.closing(open_reader(settings.paths.db)) as reader:
        entries = scores.document(reader, settings.paths.db, results)
    latency = latencies(results, settings, timed)
    for entry in entries:
        entry["latency"] = asdict(latency[entry["name"]])
    budget = settings.budget
    return {
        "machine": hardware.describe(torch.device("cpu")),
        "load_average": os.getloadavg()[0],
        "dataset": budget.dataset,
        "subset": budget.subset,
        "minutes": budget.minutes,
        "threads_of_training": budget.threads,
        "rows": entries,
    }


def latencies(
    results: dict[str, list[RunResult]], settings: ContestSettings, timed: int
) -> dict[str, Latency]:
    """Time the first seed of every row, on one thread."""
    models = {
        name: method_of(first.row, settings).load(first.run)
        for name, (first, *_) in results.items()
    }
    with one_thread():
        return measure(models, faces(settings, timed))


def faces(settings: ContestSettings, n: int) -> Faces:
    """Return n test faces with their boxes, protocol gt."""
    dataset = open_dataset(settings.budget.dataset, settings.paths.data_root)
    known = dataset.subset(settings.budget.subset).faces[:n]
    boxes = [gt_boxes(face.points[None])[0] for face in known]
    return [(dataset.picture(face), box) for face, box in zip(known, boxes, strict=True)]


def print_tables(document: dict[str, Any]) -> None:
    print(f"{document['dataset']} {document['subset']}; {document['machine']}", end="; ")
    print(f"{document['minutes']:g} minutes on {document['threads_of_training']} threads")
    print(f"latency on one thread, load of the machine {document['load_average']:.1f}\n")
    print(table.scores(document["rows"]), table.differences(document["rows"]), sep="\n\n")


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=user_path, help="folder of 300-W; default: DRF_DATA")
    parser.add_argument("--db", type=user_path, default=DEFAULT_PATH, help="the store")
    parser.add_argument("--cache", type=user_path, help="packed faces; default runs/cache")
    parser.add_argument("--rows", help="names, separated by commas; default: the main ones")
    parser.add_argument(
        "--all", action="store_true", help="also the committee of 60 minutes and the older designs"
    )
    parser.add_argument(
        "--minutes", type=float, default=rows.TRACK_MINUTES, help="of each training"
    )
    parser.add_argument(
        "--threads", type=int, default=2, help="of each training, unless its row has its own"
    )
    parser.add_argument("--seeds", type=int, default=3, help="of the rows that are compared")
    parser.add_argument("--plot", type=user_path, metavar="FILE", help="write the figure, an SVG")
    parser.add_argument("--quick", action="store_true", help="synthetic faces, seconds per row")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    names = options.rows.split(",") if options.rows else list(QUICK) if options.quick else None
    budget = Budget("300w", options.minutes, options.threads)
    timed, seeds = TIMED_FACES, options.seeds
    if options.quick:
        small = ("data.synthetic_train_size=48", "data.input_size=64", "training.batch_size=16")
        budget = Budget("synthetic", options.minutes, options.threads, epochs=1, settings=small)
        timed, seeds = 5, 1
    with contextlib.ExitStack() as stack:
        if options.quick:  # a trial leaves nothing behind
            scratch = Path(stack.enter_context(tempfile.TemporaryDirectory()))
            paths = Paths(scratch / "drf.db", None, None, options.cache or scratch / "cache")
        else:
            paths = Paths(options.db, options.data_root, None, options.cache)
        chosen = rows.chosen(names, options.all)
        settings = ContestSettings(paths, budget)
        for row in chosen:
            method_of(row, settings).require()
        document = contest(chosen, seeds, settings, timed)
    if options.plot:
        options.plot.write_text(figure(document), encoding="utf-8")
    if options.json:
        json.dump(document, sys.stdout, indent=2)
        print()
    else:
        print_tables(document)
    return 0


if __name__ == "__main__":
    run_script(main)
