"""Times of single faces (`drf.inference.latency`), measured and stored for the leaderboard."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch

from db import reads
from db.connection import open_reader, open_store
from db.file import now, run_folder
from db.recording.latencies import Latency, record_latency
from db.recording.record import bring_beside, where_possible
from drf import checkpoint, hardware
from drf.inference.latency import (
    PASSES,
    ROUNDS,
    faces,
    one_thread,
    pass_times,
    quickest_round,
    single_pass,
)
from drf.models.base import LandmarkModel
from drf.models.fuse_batchnorm import fuse_batchnorm
from experiments.paths import checkpoint_of
from experiments.progress import bar, say


@dataclass(frozen=True)
class Measured:
    """A run (full id) with its name and what was measured of it."""

    run: str
    name: str
    latency: Latency


def measure_runs(texts: Sequence[str], db: Path) -> list[Measured]:
    """Measure the best checkpoints of runs in turn, and store the results.

    Raises NotFoundError for a run that matches none or several, has no checkpoint or was imported,
    and DrfError for a checkpoint that cannot be read; then nothing is measured.
    """
    with contextlib.closing(open_reader(db)) as reader:
        runs = dict.fromkeys(reads.find_run(reader, text) for text in texts)
        stored = {run: reads.run(reader, run) for run in runs}
    models = {run: _model(facts, run_folder(db, run)) for run, facts in stored.items()}
    with one_thread(), bar("measuring") as advance:
        steps = {run: single_pass(model, faces(model, 1)) for run, model in models.items()}
        times = pass_times(steps, ROUNDS, PASSES, advance)
        machine = hardware.describe_cpu(), torch.get_num_threads(), torch.__version__, now()
    found = []
    with contextlib.closing(open_store(db)) as store:
        for run, ms in times.items():
            p50, p90 = np.percentile(quickest_round(ms), [50, 90]).tolist()
            latency = Latency(p50, p90, *machine)
            record_latency(store, run, latency)
            with where_possible(run_folder(db, run), say):
                bring_beside(run_folder(db, run), store, run)
            found.append(Measured(run, stored[run]["name"], latency))
    return found


def _model(stored: Mapping[str, object], folder: Path) -> LandmarkModel:
    model, _ = checkpoint.rebuild(checkpoint_of(stored, folder / checkpoint.BEST))
    return fuse_batchnorm(model)
