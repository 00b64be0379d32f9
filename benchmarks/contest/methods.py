"""How a row is trained, evaluated and timed: the protocol, and the presets of `drf train`."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from typing import Protocol

import torch

from benchmarks.contest.rows import Row, n_threads, request
from benchmarks.contest.settings import ContestSettings
from benchmarks.timing.latency import Network, TimedModel
from db import reads
from db.connection import open_reader
from db.file import run_folder
from drf import checkpoint
from drf.errors import DrfError
from drf.inference.alignment import Aligner
from drf.inference.prediction import Predictor, PredictorNetwork
from drf.models.fuse_batchnorm import fuse_batchnorm
from experiments.evaluate import EvaluationSpec, evaluate_run
from experiments.in_process import train_in_process
from experiments.paths import checkpoint_of
from experiments.request import configure


class Method(Protocol):
    """A kind of row: one entry of `runs.METHODS`."""

    def __init__(self, row: Row, settings: ContestSettings) -> None: ...

    def require(self) -> None:
        """Raise UsageError where a package is missing."""

    def config(self, seed: int) -> tuple[str, dict[str, object]]:
        """Return the family and the flat configuration that are stored with a run."""

    def train(self, seed: int) -> str:
        """Train and record a run; return its id. Raises DrfError for a run that does not finish."""

    def evaluate(self, run: str, spec: EvaluationSpec) -> None:
        """Evaluate a run and record the result."""

    def load(self, run: str) -> TimedModel:
        """Return the model of a run, ready for pictures, on the CPU."""


@dataclass(frozen=True)
class PresetMethod:
    """A preset, trained as by `drf train` and evaluated as by `drf eval`."""

    row: Row
    settings: ContestSettings

    def require(self) -> None:
        """Presets need no package beside drf's own."""

    def config(self, seed: int) -> tuple[str, dict[str, object]]:
        config = configure(request(self.row, seed, self.settings.budget)).config
        return config.family, config.flat()

    def train(self, seed: int) -> str:
        asked = request(self.row, seed, self.settings.budget)
        threads = n_threads(self.row, self.settings.budget)
        result = train_in_process(asked, self.settings.paths, self.row.name, threads)
        if result.outcome.state != "finished":
            said = result.sentence(self.settings.paths.db)
            raise DrfError(f"{self.row.name}, seed {seed}: {said}")
        return result.run

    def evaluate(self, run: str, spec: EvaluationSpec) -> None:
        evaluate_run(run, spec, self.settings.paths)

    def load(self, run: str) -> TimedModel:
        db = self.settings.paths.db
        with contextlib.closing(open_reader(db)) as reader:
            stored = reads.run(reader, run)
        saved = checkpoint_of(stored, run_folder(db, run) / checkpoint.BEST)
        model, _ = checkpoint.rebuild(saved)
        predictor = Predictor(fuse_batchnorm(model), torch.device("cpu"), "fp32")
        return Network(Aligner(PredictorNetwork(predictor)))
