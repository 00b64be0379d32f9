"""Runs of the row ERT: trained beside this process, recorded like those of `drf train`."""

from __future__ import annotations

import contextlib
import multiprocessing
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from sqlite_utils import Database

from db.connection import open_store
from db.evaluations import record_evaluation
from db.file import run_folder
from db.runs import NewRun, beat, end_run, record_epoch, start_run
from drf import metrics
from drf.config import parse_assignments
from drf.data.packs import PACK_SIZE, Pack, pack
from drf.data.sources import open_dataset
from drf.errors import DrfError
from drf.prediction import face_crops
from drf.results import Evaluation
from experiments import provenance
from experiments.evaluate import EvaluationSpec
from rivals.ert import MODEL, SIZE, Ert, ErtConfig, fit, grey, predict, require_dlib

if TYPE_CHECKING:
    from rivals.rows import Effort, Row
    from rivals.runs import Ring

BEAT_S = 5.0


def settings(effort: Effort) -> ErtConfig:
    """Return the published settings; a few trees for a trial of the script."""
    return ErtConfig(cascades=2, trees=20, oversampling=2) if effort.epochs else ErtConfig()


def config(seed: int, effort: Effort) -> dict[str, object]:
    """Return the flat configuration that is stored with a run."""
    model = {f"model.{key}": value for key, value in asdict(settings(effort)).items()}
    data = {"data.dataset": effort.dataset, "data.box": "gt", "data.landmarks": "all"}
    size = parse_assignments(effort.settings).get("data.synthetic_train_size")
    return (
        data
        | ({"data.synthetic_train_size": size} if size else {})
        | model
        | {"training.seed": seed}
    )


def train(row: Row, seed: int, ring: Ring) -> None:
    """Train and record a run of family `ert`. Raises UsageError without dlib, DrfError if dlib
    fails; the run is then recorded as failed."""
    require_dlib()
    faces, val = _pack("train", "gt", ring), _pack("val", "gt", ring)
    store = open_store(ring.places.db)
    run = start_run(store, _new_run(row, seed, ring, faces))
    began = time.monotonic()
    with _ended(store, run, began):
        folder = run_folder(ring.places.db, run)
        _fit_beside(faces, seed, ring.effort, folder, lambda: _beat(store, run))
        wall_s = time.monotonic() - began
        predicted, _ = predict(Ert(folder / MODEL), val, flip_test=False)
        nme = {
            norm: metrics.nme(metrics.image_errors(predicted, val.picture_points, norm))
            for norm in ("ocular", "pupil")
        }
        record_epoch(store, run, 1, {f"val_nme_{norm}": value for norm, value in nme.items()})
        end_run(
            store,
            run,
            "finished",
            wall_s=wall_s,
            faces_per_s=len(faces.names) / wall_s,
            best_epoch=1,
            best_val_nme=nme["ocular"],
        )
    store.close()


def evaluate(run: str, target: EvaluationSpec, ring: Ring) -> None:
    """Evaluate a run and record what came of it."""
    require_dlib()
    faces = _pack(target.subset or "val", target.box or "gt", ring)
    predictor = Ert(run_folder(ring.places.db, run) / MODEL)
    predictions, ms_per_face = predict(predictor, faces, target.flip_test)
    result = Evaluation(
        dataset=str(faces.manifest["dataset"]),
        subset=str(faces.manifest["subset"]),
        names=faces.names,
        ground_truth=faces.picture_points,
        predictions=predictions,
        points="all",
        box=str(faces.manifest["box"]),
        flip_test=target.flip_test,
        manifest=faces.manifest,
        ms_per_face=ms_per_face,
    )
    store = open_store(ring.places.db)
    record_evaluation(store, run, result, list(face_crops(faces)), checkpoint=MODEL)
    store.close()


def _fit_beside(
    faces: Pack, seed: int, effort: Effort, folder: Path, tick: Callable[[], None]
) -> None:
    """Fit in a process of its own: dlib would not let go of the interpreter for minutes."""
    folder.mkdir(parents=True, exist_ok=True)
    scale = SIZE / PACK_SIZE
    np.save(folder / "crops.npy", np.stack([grey(crop) for crop in faces.crops]))
    np.save(folder / "points.npy", (faces.points + 0.5) * scale - 0.5)
    context = multiprocessing.get_context("spawn")
    process = context.Process(target=fit, args=(folder, settings(effort), seed, effort.threads))
    process.start()
    try:
        while process.exitcode is None:
            process.join(BEAT_S)
            tick()
    finally:
        process.terminate()
        process.join()
        for name in ("crops.npy", "points.npy"):
            (folder / name).unlink(missing_ok=True)
    if process.exitcode:
        raise DrfError(f"dlib ended its training with exit code {process.exitcode}")


def _beat(store: Database, run: str) -> None:
    """dlib does not say how far it is: the run shows as living, at 0."""
    beat(store, run, epoch=0, progress=0.0, faces_per_s=0.0)


@contextlib.contextmanager
def _ended(store: Database, run: str, began: float) -> Iterator[None]:
    """Let a run that breaks say so in the store."""
    try:
        yield
    except BaseException as error:
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        end_run(
            store,
            run,
            state,
            reason=str(error) or type(error).__name__,
            wall_s=time.monotonic() - began,
            faces_per_s=0.0,
            best_epoch=None,
            best_val_nme=None,
        )
        raise


def _new_run(row: Row, seed: int, ring: Ring, faces: Pack) -> NewRun:
    import dlib

    flat = config(seed, ring.effort)
    facts = provenance.collect(torch.device("cpu"), "fp32") | {"threads": ring.effort.threads}
    facts["packages"] = {**facts["packages"], "dlib": dlib.__version__}  # type: ignore[dict-item]
    return NewRun(
        name=row.name,
        family="ert",
        preset=None,
        dataset=ring.effort.dataset,
        track=None,
        points="all",
        seed=seed,
        epochs=1,
        config=flat,
        sources=dict.fromkeys(flat, "benchmarks/contest.py"),
        provenance=facts,
        manifest=faces.manifest,
        params=settings(ring.effort).params(),
        macs=0,  # comparisons and additions alone
    )


def _pack(subset: str, box: str, ring: Ring) -> Pack:
    size = parse_assignments(ring.effort.settings).get("data.synthetic_train_size")
    places = ring.places
    dataset = open_dataset(
        ring.effort.dataset, places.data_root, size=int(str(size)) if size else None
    )
    return pack(dataset, subset, box, places.cache)
