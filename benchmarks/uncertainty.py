"""What the covariances that runs predicted are worth.

    python -m benchmarks.uncertainty RUN [RUN ...] [--db runs/drf.db] [--subset helen] [--json]

Of the newest evaluation of each run on a subset, by the first normaliser of its markup, in percent:

    nme         mean error
    landmarks   area under the risk-coverage curve of all landmarks, the smallest ellipse first, and
                the least that any order has
    faces       that of the errors of whole faces, the lowest mean expected error first
    gap         mean distance of expected from real errors, in ten bins
    regions     share of the true places within their 95 % ellipses, and the radius of these
"""

from __future__ import annotations

import argparse
import contextlib
import json
import sqlite3
import sys
from typing import Any

import numpy as np

from benchmarks import run_script
from db import predictions, reads
from db.analysis import ellipses
from db.connection import open_reader
from db.file import DEFAULT_PATH
from drf.errors import NotFoundError
from drf.files import user_path
from drf.scoring import scores, uncertainty


def measure(con: sqlite3.Connection, run: str, subset: str) -> dict[str, Any]:
    """Return the figures of a run (its name or id). Raises NotFoundError where it has no evaluation
    with covariances on the subset of its own dataset."""
    run_id = reads.find_run(con, run)
    found = reads.evaluations(con, run_id)
    found = found[found["dataset"] == reads.run(con, run_id)["dataset"]]
    for row in found[found["subset"] == subset].to_dict("records"):  # the newest first
        number, landmarks = int(row["evaluation"]), str(row["landmarks"])
        covariances = predictions.covariances_of_evaluation(con, number)
        if covariances is not None:
            break
    else:
        raise NotFoundError(
            f"run {run} has no evaluation on {subset} with covariances: drf eval {run} --subset"
            f" {subset}"
        )
    markup = reads.markup(con, row["markup"])
    norm = scores.defined_for(markup)[0]
    _, truth, predicted = predictions.predictions(con, number)
    errors = scores.point_errors(predicted, truth, norm, markup, landmarks)
    distances = scores.distances(truth, norm, markup)[:, None]
    covariances = covariances[:, markup.indices(landmarks)].astype(np.float64)
    sizes = uncertainty.size(covariances) / distances**2
    expected = uncertainty.expected_errors(covariances) / distances
    known = np.isfinite(errors) & np.isfinite(expected)
    whole = known.all(axis=1)
    return {
        "run": run,
        "nme": 100 * float(errors[known].mean()),
        "landmarks": _areas(errors[known], sizes[known]),
        "faces": _areas(errors[whole].mean(axis=1), expected[whole].mean(axis=1)),
        "gap": 100 * uncertainty.calibration(errors[known], expected[known]).gap,
        "regions": {
            region: {"inside": of["inside"], "radius": of["radius"][norm]}
            for region, of in ellipses.document(con, number, markup, landmarks)["regions"].items()
        },
    }


def _areas(errors: np.ndarray, unsure: np.ndarray) -> dict[str, float]:
    area = uncertainty.risk_coverage(errors, unsure).area
    return {"area": 100 * area, "least": 100 * (area - uncertainty.excess_area(errors, unsure))}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("runs", nargs="+", metavar="RUN")
    parser.add_argument("--db", type=user_path, default=DEFAULT_PATH)
    parser.add_argument("--subset", default="helen")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with contextlib.closing(open_reader(options.db)) as con:
        rows = [measure(con, run, options.subset) for run in options.runs]
    if options.json:
        json.dump(rows, sys.stdout, indent=2)
        print()
        return 0
    for row in rows:
        areas = "  ".join(
            f"{what} {row[what]['area']:.3f} (least {row[what]['least']:.3f})"
            for what in ("landmarks", "faces")
        )
        regions = "  ".join(
            f"{region} {of['inside']:.1f} r {of['radius']:.2f}"
            for region, of in row["regions"].items()
        )
        print(f"{row['run']}: nme {row['nme']:.2f}  {areas}  gap {row['gap']:.2f}  {regions}")
    return 0


if __name__ == "__main__":
    run_script(main)
