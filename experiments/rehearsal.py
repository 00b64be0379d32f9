"""`drf train --dry-run`: what a training would take, from a few of its steps."""

from __future__ import annotations

import resource
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from drf import hardware, registry
from drf.training.loop import Silent, Trainer
from drf.training.validation import validate
from experiments.paths import Paths, load_packs
from experiments.request import Request, configure

WARM_UP, TIMED = 1, 3


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
    config = configure(request).config
    train, val = load_packs(config, ("train", "val"), paths)
    model = registry.build(config, train.markup)
    params, macs = registry.count_params(model), registry.count_macs(model)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(config, model, train, val, Path(folder), Silent())
        step_s = _seconds_per_step(trainer) if trainer.trainable else 0.0
        began = time.perf_counter()
        validate(trainer.predictor(), val)
        validation_s = time.perf_counter() - began
    options = config.training
    steps = options.passes_per_epoch * len(train.names) // trainer.batch
    minutes = options.epochs * (steps * step_s + validation_s) / 60
    if options.max_minutes:
        minutes = min(minutes or options.max_minutes, options.max_minutes)
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
