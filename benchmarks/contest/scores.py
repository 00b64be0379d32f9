"""The scores of a contest from the store: means over seeds, and differences with intervals."""

from __future__ import annotations

import math
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.contest.rows import REFERENCES
from benchmarks.contest.runs import RunResult
from db import predictions, reads
from db.file import run_folder
from drf.scoring import scores, uncertainty
from drf.scoring.statistics import Interval, Method, differences, over_seeds

Runs = Sequence[RunResult]


def document(
    con: sqlite3.Connection, store: Path, results: Mapping[str, Runs]
) -> list[dict[str, Any]]:
    """Return one entry per row: what it is, its scores over seeds (percent), what it costs, and
    its differences to REFERENCES (percentage points).

    results: the runs of each row by its name
    """
    return [
        _facts(con, store, runs)
        | _scores(con, runs)
        | {"uncertainty": _uncertainty(con, runs)}
        | {
            "versus": {
                other: _differences(con, runs, results[other])
                for other in REFERENCES
                if other in results and other != name
            }
        }
        for name, runs in results.items()
    ]


def _facts(con: sqlite3.Connection, store: Path, runs: Runs) -> dict[str, Any]:
    stored = [reads.run(con, result.run) for result in runs]
    row, first = runs[0].row, stored[0]
    kept = reads.evaluations(con, runs[0].run)["checkpoint"].iloc[0]
    weights = run_folder(store, runs[0].run) / Path(str(kept)).name
    return {
        "name": row.name,
        "label": row.label,
        "family": first["family"],
        "preset": first["preset"],
        "seeds": [result.seed for result in runs],
        "runs": [result.run for result in runs],
        "params": first["params"],
        "macs": first["macs"],
        "weights_mb": weights.stat().st_size / 1e6 if weights.is_file() else None,
        "training_minutes": float(np.mean([run["wall_s"] for run in stored])) / 60,
        "threads": first["provenance"]["threads"],
    }


def _scores(con: sqlite3.Connection, runs: Runs) -> dict[str, Any]:
    boards = [reads.evaluations(con, result.run).set_index("evaluation") for result in runs]

    def seeds(evaluation: str, column: str) -> dict[str, float | None]:
        values = [
            board.loc[result.evaluations[evaluation], column]
            for result, board in zip(runs, boards, strict=True)
        ]
        facts = asdict(over_seeds(np.array(values, dtype=np.float64)))
        return {key: None if math.isnan(value) else value for key, value in facts.items()}

    found: dict[str, Any] = {column: seeds("test", column) for column in scores.COLUMNS}
    found["single_pass_nme"] = seeds("single", "ocular_nme")
    found["jitter_nme"] = seeds("jitter", "ocular_nme")
    found["val_nme"] = seeds("val", "ocular_nme")
    return found


def _uncertainty(con: sqlite3.Connection, runs: Runs) -> dict[str, float] | None:
    """Return, as means over seeds in percent: the area under risk against coverage and the least
    that any ranking has, errors by the ocular distance; the share within the 95 % ellipses. None
    where the models do not say how sure they are."""
    found = []
    for result in runs:
        evaluation = result.evaluations["test"]
        expected = predictions.covariances_of_evaluation(con, evaluation)
        if expected is None:
            return None
        _, truth, predicted = predictions.predictions(con, evaluation)
        markup = reads.markup(con, reads.run(con, result.run)["markup"])
        missed = scores.point_errors(predicted, truth, "ocular", markup)
        # An ellipse of a large face is large: as the errors, by the ocular distance.
        distances = scores.distances(truth, "ocular", markup)
        unsure = uncertainty.size(expected) / distances[:, None] ** 2
        area = uncertainty.risk_coverage(missed, unsure).area
        least = area - uncertainty.excess_area(missed, unsure)
        found.append((area, least, uncertainty.share_inside(predicted - truth, expected)))
    names = ("aurc", "least_aurc", "inside_95")
    return dict(zip(names, (100 * np.mean(found, axis=0)).tolist(), strict=True))


def _differences(con: sqlite3.Connection, a: Runs, b: Runs) -> dict[str, Any]:
    """Return NME(a) - NME(b) by either normalisation, and how much more the jitter costs a."""

    seeds_a, seeds_b = ([result.seed for result in runs] for runs in (a, b))

    def between(x: np.ndarray, y: np.ndarray) -> dict[str, Any]:
        method, baseline = Method.of_runs(x, seeds_a), Method.of_runs(y, seeds_b)
        (interval,) = differences([method], baseline)
        return _percent(interval)

    (test_a, test_b), (jitter_a, jitter_b) = (
        (errors(con, a, name), errors(con, b, name)) for name in ("test", "jitter")
    )
    return {
        "ocular": between(test_a["ocular"], test_b["ocular"]),
        "pupil": between(test_a["pupil"], test_b["pupil"]),
        "rise_under_jitter": between(
            jitter_a["ocular"] - test_a["ocular"], jitter_b["ocular"] - test_b["ocular"]
        ),
    }


def errors(con: sqlite3.Connection, runs: Runs, evaluation: str) -> dict[str, np.ndarray]:
    """Return the (s, n) errors by normaliser, fractions: s seeds, n faces in order of name."""
    norms = scores.NORMALISER_KEYS
    tables = [
        predictions.image_errors(con, result.evaluations[evaluation]).sort_values("name")
        for result in runs
    ]
    return {norm: np.stack([table[norm].to_numpy() for table in tables]) for norm in norms}


def _percent(interval: Interval) -> dict[str, Any]:
    return {
        "estimate": 100 * interval.estimate,
        "low": 100 * interval.low,
        "high": 100 * interval.high,
        "excludes_0": interval.excludes(0.0),
        "over": interval.over,
    }
