"""The row ERT as a method: trained by dlib, recorded like the runs of `drf train`."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import torch

from benchmarks.contest.ert import (
    MODEL,
    SIZE,
    Ert,
    ErtAligner,
    ErtConfig,
    fit,
    grey,
    predict,
    require_dlib,
)
from benchmarks.contest.rows import Row, n_threads
from benchmarks.contest.settings import ContestSettings
from benchmarks.timing.latency import TimedModel
from db.connection import open_store
from db.file import run_folder
from db.recording.evaluations import record_evaluation
from db.recording.runs import FIRST_CLAIM, NewRun, record_epoch, record_heartbeat, start_run
from drf.config import parse_assignments
from drf.data.dataset import open_dataset
from drf.data.packs import PACK_SIZE, Pack, evaluation_on, pack
from drf.errors import DrfError
from drf.inference.prediction import face_crops
from drf.landmarks.markup import ALL
from drf.training.validation import validation_scores
from experiments import provenance
from experiments.evaluate import EvaluationSpec
from experiments.recorder import BEAT_EVERY_S, RunWriter
from experiments.train import recorded_run


@dataclass(frozen=True)
class ErtMethod:
    """Ensemble of regression trees; see `benchmarks.contest.methods.Method`."""

    row: Row
    settings: ContestSettings

    @property
    def options(self) -> ErtConfig:
        """The published settings; a few trees for a trial of the script."""
        trial = self.settings.budget.epochs
        return ErtConfig(cascades=2, trees=20, oversampling=2) if trial else ErtConfig()

    def require(self) -> None:
        require_dlib()

    def config(self, seed: int) -> tuple[str, dict[str, object]]:
        budget = self.settings.budget
        data = {"data.dataset": budget.dataset, "data.box": "gt", "data.landmarks": ALL}
        size = {} if self._size is None else {"data.synthetic_train_size": self._size}
        model = {f"model.{key}": value for key, value in asdict(self.options).items()}
        return "ert", {**data, **size, **model, "training.seed": seed}

    def train(self, seed: int) -> str:
        """Train and record a run. Raises UsageError without dlib, DrfError if dlib fails; the run
        is then recorded as failed."""
        require_dlib()
        paths = self.settings.paths
        faces, val = self._pack("train", "gt"), self._pack("val", "gt")
        with contextlib.closing(open_store(paths.db)) as store:
            run = start_run(store, self._new_run(seed, faces))
            folder = run_folder(paths.db, run)

            def heartbeat() -> None:  # dlib does not say how far it is
                record_heartbeat(store, run, epoch=0, progress=0.0, faces_per_s=0.0)

            writer = RunWriter(run, FIRST_CLAIM, store)
            with recorded_run(writer):
                began = time.monotonic()
                threads = n_threads(self.row, self.settings.budget)
                _fit_in_process(faces, self.options, seed, threads, folder, heartbeat)
                wall_s = time.monotonic() - began
                predicted, _ = predict(Ert(folder / MODEL), val, flip_test=False)
                values = validation_scores(predicted, val, ALL)
                record_epoch(store, run, 1, values)
                writer.end(
                    "finished",
                    wall_s=wall_s,
                    faces_per_s=len(faces.names) / wall_s,
                    kept_epoch=1,
                    kept_val_nme=values["val_nme_ocular"],
                )
        return run

    def evaluate(self, run: str, spec: EvaluationSpec) -> None:
        require_dlib()
        faces = self._pack(spec.subset or "val", spec.box or "gt")
        db = self.settings.paths.db
        flip_test = spec.flip_test is not False
        predictions, ms_per_face = predict(Ert(run_folder(db, run) / MODEL), faces, flip_test)
        result = evaluation_on(
            faces,
            predictions,
            landmarks=ALL,
            flip_test=flip_test,
            ms_per_face=ms_per_face,
        )
        with contextlib.closing(open_store(db)) as store:
            record_evaluation(store, run, result, list(face_crops(faces)), checkpoint=MODEL)

    def load(self, run: str) -> TimedModel:
        return ErtAligner(Ert(run_folder(self.settings.paths.db, run) / MODEL))

    @property
    def _size(self) -> int | None:
        """The number of synthetic training faces, where the settings of a trial name one."""
        size = parse_assignments(self.settings.budget.settings).get("data.synthetic_train_size")
        return None if size is None else int(str(size))

    def _pack(self, subset: str, box: str) -> Pack:
        paths = self.settings.paths
        dataset = open_dataset(self.settings.budget.dataset, paths.data_root, size=self._size)
        return pack(dataset, subset, box, paths.cache)

    def _new_run(self, seed: int, faces: Pack) -> NewRun:
        import dlib

        family, flat = self.config(seed)
        made_by = provenance.collect(torch.device("cpu"), "fp32")
        packages = {**made_by["packages"], "dlib": dlib.__version__}  # type: ignore[dict-item]
        threads = n_threads(self.row, self.settings.budget)
        return NewRun(
            name=self.row.name,
            family=family,
            preset=None,
            dataset=self.settings.budget.dataset,
            track=None,
            landmarks=ALL,
            markup=faces.markup,
            seed=seed,
            epochs=1,
            config=flat,
            sources=dict.fromkeys(flat, "benchmarks.contest"),
            provenance=made_by | {"threads": threads, "packages": packages},
            manifest=faces.manifest,
            params=self.options.params(faces.markup.n_points),
            macs=0,  # comparisons and additions alone
        )


def _fit_in_process(
    faces: Pack,
    options: ErtConfig,
    seed: int,
    threads: int,
    folder: Path,
    heartbeat: Callable[[], None],
) -> None:
    """Fit in a process of its own: dlib holds the interpreter's lock for minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = SIZE / PACK_SIZE
    np.save(folder / "crops.npy", np.stack([grey(crop) for crop in faces.crops]))
    np.save(folder / "points.npy", (faces.points + 0.5) * scale - 0.5)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=fit, args=(folder, options, seed, threads))
    process.start()
    try:
        while process.exitcode is None:
            process.join(BEAT_EVERY_S)
            heartbeat()
    finally:
        process.terminate()
        process.join()
        for name in ("crops.npy", "points.npy"):
            (folder / name).unlink(missing_ok=True)
    if process.exitcode:
        raise DrfError(f"dlib ended its training with exit code {process.exitcode}")
