"""`drf repro`: trains a stored run again, and says whether the result is the same and why not."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from db import reads, status
from db.connection import open_reader
from db.file import run_folder
from drf import hardware, registry
from drf.config import RunConfig, from_flat
from experiments import provenance
from experiments.paths import Paths, load_packs, origin
from experiments.request import Request
from experiments.train import train_new_run

TOLERANCE = 0.002
"""Difference of validation NMEs, a fraction, up to which a result counts as repeated on another
machine or without deterministic arithmetic: that of two seeds is rarely smaller."""

_COMPARED = ("git_commit", "git_diff", "drf", "python", "system", "hardware", "device", "precision",
             "threads", "processes")  # fmt: skip


@dataclass(frozen=True)
class Difference:
    """What is not as it was when the run was trained: of code, versions, machine or data."""

    what: str
    then: Any
    now: Any


@dataclass(frozen=True)
class Repeated:
    """run: that was trained again · again: the new one · difference: the largest between their
    validation NMEs, epoch by epoch, a fraction; NaN where they have no epoch in common"""

    run: str
    again: str
    difference: float
    tolerance: float

    @property
    def same(self) -> bool:
        return self.difference <= self.tolerance


def differences(text: str, paths: Paths) -> list[Difference]:
    """Return what differs here from where a run was trained. Raises NotFoundError."""
    stored, config, paths = _stored(text, paths)
    device = hardware.choose_device(config.training.device)
    precision = hardware.choose_precision(config.training.precision, device)
    then, now = stored["provenance"], provenance.collect(device, precision)
    then = {**_flat(then), "processes": then.get("processes", 1)}
    (train,) = load_packs(config, ["train"], paths)
    pairs = {key: (then.get(key), value) for key, value in _flat(now).items()}
    pairs["training faces"] = (stored["manifest"].get("digest"), train.manifest.get("digest"))
    return [Difference(key, *pair) for key, pair in pairs.items() if pair[0] != pair[1]]


def repeat(text: str, paths: Paths) -> Repeated:
    """Train a run again from its stored configuration, as a new run, and compare each epoch.

    On the machine and with the code of the first one, a deterministic run, or one on the CPU that
    counts epochs, has to have the same digits: the tolerance is 0. Else it is TOLERANCE. Raises
    KeyboardInterrupt where the user stops the training.
    """
    stored, config, paths = _stored(text, paths)
    exact = not differences(text, paths) and _repeats_exactly(config)
    request = Request(stored["preset"], options=config.flat())
    result = train_new_run(request, paths, f"{stored['name']} (again)")
    if result.outcome.state == "interrupted":
        raise KeyboardInterrupt  # its first epochs say nothing of those that are missing
    with contextlib.closing(open_reader(paths.db)) as reader:
        then, now = (reads.validation_nmes(reader, run) for run in (stored["id"], result.run))
    shared = then.keys() & now.keys()
    apart = max((abs(then[epoch] - now[epoch]) for epoch in shared), default=math.nan)
    return Repeated(stored["id"], result.run, apart, 0.0 if exact else TOLERANCE)


def _repeats_exactly(config: RunConfig) -> bool:
    device = hardware.choose_device(config.training.device)
    counts_epochs = config.training.max_minutes == 0
    return counts_epochs and (config.training.deterministic or device == torch.device("cpu"))


def _stored(text: str, paths: Paths) -> tuple[dict[str, Any], RunConfig, Paths]:
    with contextlib.closing(open_reader(paths.db)) as reader:
        stored = reads.run(reader, reads.find_run(reader, text))
    status.refuse_without_model(stored)
    flat = {key: value for key, value, _ in stored["config"]}
    config = from_flat(stored["family"], registry.family(stored["family"]).config, flat)
    paths = origin(run_folder(paths.db, stored["id"]), paths)
    return stored, config, replace(paths, box_file=paths.boxes_for(config.data.box))


def _flat(made: Mapping[str, Any]) -> dict[str, Any]:
    packages = {f"package {name}": version for name, version in made.get("packages", {}).items()}
    return {key: made.get(key) for key in _COMPARED} | packages
