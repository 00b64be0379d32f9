"""The runs and evaluations of a contest: those that the store has are taken, the others made."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from benchmarks.contest import ert_runs, rows
from benchmarks.contest.rows import Effort, Row
from db import reads
from db.connection import open_reader
from drf.errors import DrfError
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.paths import Paths
from experiments.request import configure

DRF = [sys.executable, "-c", "from cli.main import main; main()"]


@dataclass(frozen=True)
class Ring:
    """Where the contest takes place."""

    places: Paths
    effort: Effort

    def targets(self) -> dict[str, EvaluationSpec]:
        """Return the evaluations of each run by the names that the table uses."""
        subset = self.effort.subset
        return {
            "test": EvaluationSpec(subset, "gt", flip_test=True),
            "single": EvaluationSpec(subset, "gt", flip_test=False),
            "jitter": EvaluationSpec(subset, "gt_jitter", flip_test=True),
            "val": EvaluationSpec("val", "gt", flip_test=True),
        }


@dataclass(frozen=True)
class Bout:
    """One run of a row with its evaluations (ids) by the names of `Ring.targets`."""

    row: Row
    seed: int
    run: str
    evaluations: dict[str, int]


def compete(row: Row, seed: int, ring: Ring) -> Bout:
    """Return a row's run of one seed, trained and evaluated where the store has none yet.

    Raises DrfError for a training that fails.
    """
    run = find(row, seed, ring)
    if run is None:
        _say(f"{row.name}, seed {seed}: training")
        train = ert_runs.train if row.kind == "ert" else _train
        train(row, seed, ring)
        run = find(row, seed, ring)
        if run is None:
            raise DrfError(f"{row.name}, seed {seed}, did not finish; `drf runs list` says why")
    evaluate = ert_runs.evaluate if row.kind == "ert" else _evaluate
    for name, target in ring.targets().items():
        if name not in _evaluations(run, ring):
            _say(f"{row.name}, seed {seed}: {target.subset}, {target.box}")
            evaluate(run, target, ring)
    return Bout(row, seed, run, _evaluations(run, ring))


def find(row: Row, seed: int, ring: Ring) -> str | None:
    """Return the newest finished run of the same name, configuration, seed and threads, if any."""
    if not ring.places.db.exists():
        return None
    wanted = (
        ert_runs.config(seed, ring.effort) if row.kind == "ert" else _flat(row, seed, ring.effort)
    )
    with contextlib.closing(open_reader(ring.places.db)) as reader:
        listed = reads.runs(reader)
        same = listed[(listed["name"] == row.name) & (listed["status"] == "finished")]
        for run in same["id"]:
            facts = reads.run(reader, run)
            threads = facts["provenance"].get("threads")
            config = {key: value for key, value, _ in facts["config"]}
            if config == wanted and threads == ring.effort.threads:
                return str(run)
    return None


def _flat(row: Row, seed: int, effort: Effort) -> dict[str, object]:
    return configure(rows.request(row, seed, effort)).config.flat()


def _train(row: Row, seed: int, ring: Ring) -> None:
    places = ring.places
    command = [*DRF, "train", *rows.words(row, seed, ring.effort), "--db", str(places.db)]
    command += ["--data-root", str(places.data_root)] if places.data_root else []
    command += ["--cache", str(places.cache)] if places.cache else []
    environment = os.environ | {"OMP_NUM_THREADS": str(ring.effort.threads)}
    root = str(Path(__file__).parents[2])
    environment["PYTHONPATH"] = os.pathsep.join(
        [root, *filter(None, [os.environ.get("PYTHONPATH")])]
    )
    ran = subprocess.run(command, env=environment, check=False)
    if ran.returncode == 130:
        raise KeyboardInterrupt
    if ran.returncode:
        raise DrfError(f"`drf train` of {row.name} failed with exit code {ran.returncode}")


def _evaluate(run: str, target: EvaluationSpec, ring: Ring) -> None:
    evaluate_run(run, target, ring.places)


def _evaluations(run: str, ring: Ring) -> dict[str, int]:
    """Return the newest evaluation of a run for each target that it has one for."""
    with contextlib.closing(open_reader(ring.places.db)) as reader:
        stored = reads.evaluations(reader, run)
    found = {}
    for name, t in ring.targets().items():
        same = stored[
            (stored["subset"] == t.subset)
            & (stored["box"] == t.box)
            & (stored["flip_test"] == t.flip_test)
        ]
        if len(same):
            found[name] = int(same["evaluation"].iloc[0])
    return found


def _say(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
