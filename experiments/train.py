"""One training session: from what the user wishes to a run that is trained and recorded."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

from sqlite_utils import Database

from db import reads
from db.connection import open_reader, open_store
from db.file import run_folder
from db.runs import NewRun, end_run, resume_run, start_run
from drf import checkpoint, hardware, registry, tracks
from drf.checkpoint import load_backbone
from drf.config import RunConfig, from_flat
from drf.data.packs import Pack
from drf.errors import DrfError, UsageError
from drf.models.base import LandmarkModel
from drf.training.loop import Outcome, Trainer
from drf.training.schedule import Schedule
from experiments import provenance
from experiments.packs import dataset_of, load_packs
from experiments.paths import Paths, origin, write_origin
from experiments.progress import console
from experiments.recorder import Recorder
from experiments.request import Request, configure

RESUMABLE = ("training.epochs", "training.max_minutes")
"""What may change when a run goes on; everything else would make it another run."""


@dataclass(frozen=True)
class Result:
    """A run that has ended in order."""

    run: str
    name: str
    outcome: Outcome

    def document(self) -> dict[str, Any]:
        """Return what `drf train --json` prints."""
        facts = asdict(self.outcome)
        if self.outcome.best_val_nme is not None:
            facts["best_val_nme"] *= 100
        return {"run": self.run, "name": self.name} | facts

    def sentence(self) -> str:
        """Return the last line for a person."""
        o, run = self.outcome, self.run[:8]
        ended = f"Run {run} ({self.name}) {o.state} after {o.epochs} epochs"
        if o.state == "collapsed":
            return f"{ended}: {o.reason}."
        if o.best_val_nme is None:
            return f"{ended}; it holds nothing to evaluate yet."
        best = f"best val NME {100 * o.best_val_nme:.2f} % in epoch {o.best_epoch}"
        return f"{ended} and {o.wall_s / 60:.1f} min; {best}. Next: drf eval {run}"

    def exit_code(self) -> int:
        """Return 130 for an interrupted run, 1 for a collapsed one, else 0."""
        return {"interrupted": 130, "collapsed": 1}.get(self.outcome.state, 0)


def train_new_run(request: Request, paths: Paths, name: str | None = None) -> Result:
    """Train a new run. Raises UsageError, before anything is stored, for what cannot be met."""
    resolved = configure(request)
    config = resolved.config
    device = hardware.choose_device(config.training.device)
    precision = hardware.choose_precision(config.training.precision, device)
    model = registry.build(config, dataset_of(config, paths).markup)
    Schedule.plan(config.training, steps_per_epoch=1)
    config = _initialised(config, model, paths)
    train, val = load_packs(config, ("train", "val"), paths)
    store = open_store(paths.db)
    params = registry.count_params(model)
    new = NewRun(
        name=name or request.preset,
        family=config.family,
        preset=request.preset,
        dataset=config.data.dataset,
        track=request.track,
        landmarks=config.data.landmarks,
        markup=train.markup,
        seed=config.training.seed,
        epochs=(config.training.epochs or None) if params else None,
        config=config.flat(),
        sources=resolved.sources,
        provenance=provenance.collect(device, precision),
        manifest=train.manifest,
        params=params,
        macs=registry.count_macs(model),
    )
    run = start_run(store, new)
    folder = run_folder(paths.db, run)
    with _recorded(store, run):
        write_origin(folder, paths)
        outcome = _train(store, run, config, model, train, val, folder)
    return Result(run, new.name, outcome)


def _initialised(config: RunConfig, model: LandmarkModel, paths: Paths) -> RunConfig:
    """Start a model from another run's backbone where the configuration says so.

    Returns the configuration with the full id of that run: names and short ids can change their
    meaning as the store grows.
    """
    if not config.training.init_from:
        return config
    with contextlib.closing(open_reader(paths.db)) as reader:
        run = reads.find_run(reader, config.training.init_from)
    saved = checkpoint.load(run_folder(paths.db, run) / checkpoint.BEST)
    load_backbone(model, config.family, saved, run)
    return replace(config, training=replace(config.training, init_from=run))


def resume_training(text: str, changes: dict[str, object], paths: Paths) -> Result:
    """Go on with a run from its last checkpoint, to the digits of a run that was never stopped."""
    with contextlib.closing(open_reader(paths.db)) as reader:
        run = reads.find_run(reader, text)
        stored = reads.run(reader, run)
    if stored["track"] is not None:
        tracks.refuse_changes(tracks.get(stored["track"]), "option", changes)
    folder = run_folder(paths.db, run)
    saved = checkpoint.load(folder / checkpoint.LAST)
    family = saved.header["family"]
    model_config = registry.family(family).config
    config = from_flat(family, model_config, saved.header["config"] | changes)
    paths = origin(folder, paths)
    train, val = load_packs(config, ("train", "val"), paths)
    store = open_store(paths.db)
    resume_run(store, run, changes)
    with _recorded(store, run):
        model = registry.build(config, train.markup)
        outcome = _train(store, run, config, model, train, val, folder, saved)
    return Result(run, stored["name"], outcome)


def refuse_with_resume(others: Sequence[object], changes: dict[str, object]) -> None:
    """Raise UsageError where --resume stands beside what would make it another run."""
    odd = [key for key in changes if key not in RESUMABLE]
    if any(others) or odd:
        raise UsageError(
            "a resumed run keeps its configuration: beside --resume only --epochs and"
            " --max-minutes may change"
        )


def _train(
    store: Database,
    run: str,
    config: RunConfig,
    model: Any,
    train: Pack,
    val: Pack,
    folder: Path,
    saved: checkpoint.Checkpoint | None = None,
) -> Outcome:
    with Recorder(store, run, console()) as recorder:
        trainer = Trainer(config, model, train, val, folder, recorder)
        if saved is not None:
            trainer.resume(saved)
        outcome = trainer.run()
    end_run(
        store,
        run,
        outcome.state,
        reason=outcome.reason,
        wall_s=outcome.wall_s,
        faces_per_s=outcome.faces_per_s,
        kept_epoch=outcome.best_epoch,
        kept_val_nme=outcome.best_val_nme,
    )
    return outcome


@contextlib.contextmanager
def _recorded(store: Database, run: str) -> Iterator[None]:
    """Let a run that breaks say so in the store; a polite `kill` ends it like Ctrl-C."""
    began = time.monotonic()
    before = signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        yield
    except BaseException as error:
        reason = str(error) if isinstance(error, DrfError) else f"{type(error).__name__}: {error}"
        state = "interrupted" if isinstance(error, KeyboardInterrupt) else "failed"
        with contextlib.suppress(Exception):  # the first error is the one to report
            end_run(
                store,
                run,
                state,
                reason=reason,
                wall_s=time.monotonic() - began,
                faces_per_s=0.0,
                kept_epoch=None,
                kept_val_nme=None,
            )
        raise
    finally:
        signal.signal(signal.SIGTERM, before)
