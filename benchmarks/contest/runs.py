"""The runs and evaluations of a contest: what the store has is used again, the rest is made."""

from __future__ import annotations

import contextlib
import sys
from dataclasses import dataclass

from benchmarks.contest.ert_method import ErtMethod
from benchmarks.contest.methods import Method, PresetMethod
from benchmarks.contest.rows import Kind, Row, n_threads
from benchmarks.contest.settings import ContestSettings
from db import reads
from db.connection import open_reader
from db.recording import box_labels
from experiments.in_process import find_finished

METHODS: dict[Kind, type[Method]] = {"preset": PresetMethod, "ert": ErtMethod}


@dataclass(frozen=True)
class RunResult:
    """One run of a row with its evaluations (ids) by the names of `ContestSettings.evaluations`."""

    row: Row
    seed: int
    run: str
    evaluations: dict[str, int]


def method_of(row: Row, settings: ContestSettings) -> Method:
    """Return what trains, evaluates and loads a row's runs."""
    return METHODS[row.kind](row, settings)


def train_and_evaluate(row: Row, seed: int, settings: ContestSettings) -> RunResult:
    """Return a row's run of one seed, trained and evaluated where the store has none yet.

    Raises DrfError for a training that fails.
    """
    method = method_of(row, settings)
    run = find(row, seed, settings)
    if run is None:
        _print(f"{row.name}, seed {seed}: training")
        run = method.train(seed)
    for name, spec in settings.evaluations().items():
        if name not in _evaluations(run, settings):
            _print(f"{row.name}, seed {seed}: evaluating on {spec.subset}, box {spec.box}")
            method.evaluate(run, spec)
    return RunResult(row, seed, run, _evaluations(run, settings))


def find(row: Row, seed: int, settings: ContestSettings) -> str | None:
    """Return the newest finished run of the same name, configuration, seed and threads, if any."""
    family, config = method_of(row, settings).config(seed)
    return find_finished(
        settings.paths.db, family, config, row.name, threads=n_threads(row, settings.budget)
    )


def _evaluations(run: str, settings: ContestSettings) -> dict[str, int]:
    """Return a run's newest evaluation by each name; without those that it has none for. One of
    another dataset, whose subset may have the same name, is none."""
    with contextlib.closing(open_reader(settings.paths.db)) as reader:
        stored = reads.evaluations(reader, run)
        landmarks = reads.run(reader, run)["landmarks"]
    stored = stored[
        (stored["dataset"] == settings.budget.dataset) & (stored["landmarks"] == landmarks)
    ]
    found = {}
    for name, spec in settings.evaluations().items():
        same = stored[
            (stored["subset"] == spec.subset)
            & (stored["box"].map(box_labels.protocol) == spec.box)
            & (stored["flip_test"] == spec.flip_test)
        ]
        if len(same):
            found[name] = int(same["evaluation"].iloc[0])
    return found


def _print(sentence: str) -> None:
    print(sentence, file=sys.stderr, flush=True)
