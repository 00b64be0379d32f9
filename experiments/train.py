"""One training session: from what the user wishes to a run that is trained and recorded.

`rehearse` takes a few steps of it and records nothing (`drf train --dry-run`).
"""

from __future__ import annotations

import contextlib
import math
import resource
import signal
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch

from db import reads, status
from db.connection import open_reader, open_store
from db.file import on_store, run_folder
from db.recording.record import bring_run, claim_of, forget_after, open_record, pass_on
from db.recording.runs import FIRST_CLAIM, NewRun, claimed, resume_run, start_run
from db.recording.words import FirstWords, checked_name, write_first
from db.transactions import writing
from drf import checkpoint, distributed, hardware, presets, registry
from drf.checkpoint import RESUMABLE, load_backbone, load_weights
from drf.config import Resolved, RunConfig, from_flat
from drf.data.packs import Pack
from drf.errors import DrfError, NotFoundError, UsageError
from drf.models.base import LandmarkModel
from drf.models.pretrained import check_start, load_published
from drf.processes import ending_signals
from drf.training.loop import STOPPED, Outcome, Silent, Trainer
from drf.training.optimiser import Schedule
from drf.training.validation import validate
from experiments import provenance
from experiments.paths import (
    Paths,
    checkpoint_of,
    dataset_of,
    load_packs,
    origin,
    write_origin,
)
from experiments.progress import console, say
from experiments.recorder import Recorder, RunWriter
from experiments.request import Request, configure

DEVICE = "training.device"
"""May differ as well, and stays in the configuration as it was: where a run is continued is a
matter of the machine, not of the method."""


@dataclass(frozen=True)
class Result:
    """A run that has ended in order. checkpoint: its key training.checkpoint, best or last. run: ""
    in a process that torchrun started beside the first one."""

    run: str
    name: str
    outcome: Outcome
    checkpoint: str = "best"

    def document(self) -> dict[str, Any]:
        """Return what `drf train --json` prints: kept_val_nme in percent, and both kept_… once more
        as best_…, as version 0.1.0 called them."""
        facts = asdict(self.outcome)
        if self.outcome.kept_val_nme is not None:
            facts["kept_val_nme"] *= 100
        old = {f"best_{name}": facts[f"kept_{name}"] for name in ("epoch", "val_nme")}
        return {"run": self.run, "name": self.name} | facts | old

    def sentence(self, store: Path) -> str:
        """Return the last line for a person. store: that has the run"""
        o, run = self.outcome, self.run[:8]
        ended = f"Run {run} ({self.name}) {o.state} after {o.epochs} epochs"
        if o.state in status.FAULTS:
            return f"{ended}: {o.reason}."
        if o.kept_val_nme is None:
            return f"{ended}; it has no checkpoint to evaluate yet."
        which = "last epoch's" if self.checkpoint == "last" else "best"
        nme = f"{which} validation NME {100 * o.kept_val_nme:.2f} % (epoch {o.kept_epoch})"
        then = on_store(f"drf eval {run}", store)
        return f"{ended} and {o.wall_s / 60:.1f} min; {nme}. Next: {then}"

    def exit_code(self) -> int:
        """Return 130 for an interrupted run, 1 for a collapsed or diverged one, else 0."""
        if self.outcome.state in status.FAULTS:
            return 1
        return 130 if self.outcome.state == "interrupted" else 0


def train_new_run(
    request: Request,
    paths: Paths,
    name: str | None = None,
    said: FirstWords | None = None,
    *,
    run: str | None = None,
) -> Result:
    """Train a new run. Raises UsageError, before anything is stored, for what cannot be met.

    said: note and tags, which the run has from its first moment on, however it ends
    run: its id, for a job of a sweep; None draws one
    Under torchrun every process is to call it; the first one alone records (`drf.distributed`).
    """
    name = request.preset if name is None else checked_name(name)
    said = (said or FirstWords()).checked()
    resolved = configure(request)
    with distributed.started(resolved.config.training.device):
        return _train_new_run(request, resolved, paths, name, said, run)


def _train_new_run(
    request: Request,
    resolved: Resolved,
    paths: Paths,
    name: str,
    said: FirstWords,
    run: str | None,
) -> Result:
    config, model, train, val = prepare(resolved.config, paths)
    device = hardware.choose_device(config.training.device)
    precision = hardware.choose_precision(config.training.precision, device)
    if distributed.rank() > 0:
        return _train_beside(Trainer(config, model, train, val, paths.db.parent, Silent()), name)
    store = open_store(paths.db)
    params = registry.count_params(model)
    new = NewRun(
        name=name,
        family=config.family,
        preset=request.preset,
        dataset=str(train.manifest["dataset"]),
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
    with writing(store):
        run = start_run(store, new, run)
        write_first(store, run, said)
    writer = RunWriter(run, FIRST_CLAIM, store)
    with recorded_run(writer), Recorder(writer, console()) as recorder:
        folder = run_folder(paths.db, run)
        write_origin(folder, paths)
        writer.record = open_record(folder, store, run)
        trainer = Trainer(config, model, train, val, folder, recorder, run)
        outcome = _train(trainer, writer)
    return Result(run, new.name, outcome, config.training.checkpoint)


def prepare(config: RunConfig, paths: Paths) -> tuple[RunConfig, LandmarkModel, Pack, Pack]:
    """Return what a new run starts with: its configuration, model, and faces of train and val.

    Raises UsageError for what cannot be met on this machine, NotFoundError for a run to start from
    that is not there, and as `load_packs`.
    """
    device = hardware.choose_device(config.training.device)
    hardware.choose_precision(config.training.precision, device)
    model = registry.build(config, dataset_of(config, paths).markup)
    Schedule.plan(config.training, steps_per_epoch=1)
    check_start(model, config.training.pretrained, config.training.init_from)
    config = _initialised(config, model, paths)
    train, val = load_packs(config, ("train", "val"), paths)
    return config, model, train, val


def _train_beside(trainer: Trainer, name: str) -> Result:
    """Compute a share of what the first process trains and records."""
    with _signals_as_interrupts():
        return Result("", name, trainer.run(), trainer.config.training.checkpoint)


def _initialised(config: RunConfig, model: LandmarkModel, paths: Paths) -> RunConfig:
    """Start a model from published weights or those of another run where the configuration says so.

    Returns the configuration with the full id of that run: names and short ids can change their
    meaning as the store grows.
    """
    if config.training.pretrained:
        say(load_published(model))
    if not config.training.init_from:
        return config
    with contextlib.closing(open_reader(paths.db)) as reader:
        run = reads.find_run(reader, config.training.init_from)
        stored = reads.run(reader, run)
    saved = checkpoint_of(stored, run_folder(paths.db, run) / checkpoint.BEST)
    load = load_weights if config.training.init_weights == "all" else load_backbone
    say(load(model, config.family, saved, run))
    return replace(config, training=replace(config.training, init_from=run))


def resume_training(text: str, changes: dict[str, object], paths: Paths) -> Result:
    """Go on with a run from its last checkpoint, to the digits of a run that was never stopped.

    Raises NotFoundError without a checkpoint, UsageError while another process trains the run, and
    where it has used up already what `changes` allow it.
    """
    with contextlib.closing(open_reader(paths.db)) as reader:
        run = reads.find_run(reader, text)
        stored = reads.run(reader, run)
    if stored["track"] is not None:
        presets.refuse_changes(presets.track(stored["track"]), "option", changes)
    device = str(changes[DEVICE]) if DEVICE in changes else None
    changes = {key: value for key, value in changes.items() if key != DEVICE}
    if why := status.why_not_free(stored):
        raise UsageError(f"{why}; resume it when that has ended")
    folder = run_folder(paths.db, run)
    saved = _last_of(stored, folder)
    _refuse_less_than_done(saved, changes, run)
    with saved.explained():
        family = saved.header["family"]
        flat = saved.header["config"] | changes
        config = from_flat(family, registry.family(family).config, flat)
    with distributed.started(device or config.training.device):
        return _resume(stored, config, saved, changes, origin(folder, paths), device)


def _resume(
    stored: Mapping[str, Any],
    config: RunConfig,
    saved: checkpoint.Checkpoint,
    changes: Mapping[str, object],
    paths: Paths,
    device: str | None,
) -> Result:
    run = stored["id"]
    folder = run_folder(paths.db, run)
    train, val = load_packs(config, ("train", "val"), paths)
    model = registry.build(config, train.markup)
    if distributed.rank() > 0:
        beside = Trainer(config, model, train, val, folder, Silent(), run, device=device)
        beside.resume(saved)
        return _train_beside(beside, stored["name"])
    store = open_store(paths.db)
    record = open_record(folder, store, run)
    claim = resume_run(store, run, changes, beyond=claim_of(record, run))
    writer = RunWriter(run, claim, store, record)
    before_s = checkpoint.stored_state(saved).elapsed_s
    with recorded_run(writer, before_s), Recorder(writer, console()) as recorder:
        pass_on(store, record, run, claim)
        trainer = Trainer(config, model, train, val, folder, recorder, run, device=device)
        trainer.resume(_last_of(stored, folder))  # until now the process before could still write
        with writer.saving():
            forget_after(record, run, trainer.state.epoch)
        with claimed(store, run, claim):
            bring_run(record.conn, store, run)
        outcome = _train(trainer, writer)
    return Result(run, stored["name"], outcome, config.training.checkpoint)


def _last_of(stored: Mapping[str, Any], folder: Path) -> checkpoint.Checkpoint:
    """Return the checkpoint that a run goes on from."""
    status.refuse_without_model(stored)
    path, run = folder / checkpoint.LAST, stored["id"][:8]
    if not path.is_file():
        raise NotFoundError(
            f"run {run} has no checkpoint {path} to go on from: train a new one, with the options"
            f" that `drf runs show {run}` lists"
        )
    return checkpoint_of(stored, path)


def _refuse_less_than_done(
    saved: checkpoint.Checkpoint, changes: Mapping[str, Any], run: str
) -> None:
    """Raise UsageError where a run has had more than a resumed one would be allowed."""
    done = checkpoint.stored_state(saved)
    epochs, minutes = (changes.get(key) for key in RESUMABLE)
    if epochs and epochs < done.epoch:
        raise UsageError(
            f"run {run[:8]} has trained {done.epoch} epochs already: --epochs takes {done.epoch} or"
            " more here"
        )
    if minutes and 60 * minutes < done.elapsed_s:
        raise UsageError(
            f"run {run[:8]} has trained {done.elapsed_s / 60:.1f} minutes already: --max-minutes"
            " takes more than that here"
        )


def _train(trainer: Trainer, writer: RunWriter) -> Outcome:
    outcome = trainer.run()
    writer.end(
        outcome.state,
        reason=outcome.reason,
        wall_s=outcome.wall_s,
        faces_per_s=outcome.faces_per_s,
        kept_epoch=outcome.kept_epoch,
        kept_val_nme=outcome.kept_val_nme,
    )
    return outcome


@contextlib.contextmanager
def recorded_run(writer: RunWriter, before_s: float = 0.0) -> Iterator[None]:
    """Record a run that breaks inside as failed or interrupted; SIGTERM and SIGHUP end it like
    Ctrl-C.

    before_s: seconds that the run was trained before, up to the checkpoint it goes on from
    Use in the main thread. What happened is raised again. Closes the store in the end.
    """
    began = time.monotonic()
    with _signals_as_interrupts():
        try:
            yield
        except BaseException as error:
            state, reason = "failed", f"{type(error).__name__}: {error}"
            if isinstance(error, KeyboardInterrupt):
                state, reason = "interrupted", STOPPED
            elif isinstance(error, DrfError):
                reason = str(error)
            if not writer.ended:
                with contextlib.suppress(Exception):  # the first error is the one to report
                    writer.end(
                        state,
                        reason=reason,
                        wall_s=before_s + time.monotonic() - began,
                        faces_per_s=None,
                        kept_epoch=None,
                        kept_val_nme=None,
                    )
            raise
        finally:
            writer.close()


@contextlib.contextmanager
def _signals_as_interrupts() -> Iterator[None]:
    """Raise KeyboardInterrupt at the signals that ask a process to end."""
    taken = {number: signal.getsignal(number) for number in ending_signals()}
    for number in taken:
        signal.signal(number, signal.default_int_handler)
    try:
        yield
    finally:
        for number, was in taken.items():
            signal.signal(number, was)


WARM_UP, TIMED = 1, 3
"""Steps of a rehearsal: those that are left out of the time, and those that are timed."""


@dataclass(frozen=True)
class Rehearsal:
    """What a training takes on this machine, as it is used now.

    macs     multiply-accumulates for one face
    memory   largest number of bytes that steps and validation took: of the GPU, or of the process
    minutes  of all epochs with their validation, or the budget where that ends sooner
    """

    params: int
    macs: int
    device: str
    memory: int
    seconds_per_step: float
    minutes: float


def rehearse(request: Request, paths: Paths) -> Rehearsal:
    """Take a few steps of a training and validate once. Nothing is stored.

    Raises as `train_new_run` before its first step, and DrfError where memory does not suffice.
    """
    config, model, train, val = prepare(configure(request).config, paths)
    params, macs = registry.count_params(model), registry.count_macs(model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, model, train, val, Path(folder), Silent())
        step_s = _seconds_per_step(trainer) if trainer.trainable else 0.0
        began = time.perf_counter()
        validate(trainer.predictor(), val)
        validation_s = time.perf_counter() - began
    options = config.training
    epochs = (options.epochs or math.inf) if trainer.trainable else 0
    steps = options.passes_per_epoch * len(train.names) // trainer.batch
    # One validation more than epochs: that of the model before its first step.
    minutes = (epochs * steps * step_s + (epochs + 1) * validation_s) / 60
    if options.max_minutes:
        minutes = min(minutes, options.max_minutes)
    described = hardware.describe(trainer.device)
    return Rehearsal(params, macs, described, _memory(trainer.device), step_s, minutes)


def _seconds_per_step(trainer: Trainer) -> float:
    trainer.model.initialise(trainer.batches.initial_data(trainer.config.training.seed))
    take = trainer.repeated_step()
    for step in range(WARM_UP + TIMED):
        if step == WARM_UP:
            began = _now(trainer.device)
        take()
    return (_now(trainer.device) - began) / TIMED


def _now(device: torch.device) -> float:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter()


def _memory(device: torch.device) -> int:
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak
