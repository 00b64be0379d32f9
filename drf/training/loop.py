"""The training loop: draw, predict, step, average; validate after each epoch; keep the best.

Every epoch starts its random streams from (seed, epoch), so a run that goes on from a checkpoint
needs no random state and, on the CPU, repeats the uninterrupted run to the last digit.

An epoch is told to the listener before its checkpoint is written. A run that is killed in between
goes on from the epoch before and tells this one once more; nothing is ever missing.
"""

from __future__ import annotations

import logging
import math
import time
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from drf import checkpoint, distributed, errors
from drf.config import RunConfig, TrainingConfig
from drf.data.packs import Pack
from drf.errors import DataError, Diverged, DrfError, UsageError
from drf.hardware import autocast, choose_device, choose_precision, reproducible
from drf.inference.prediction import Predictor, face_crops
from drf.models.base import LandmarkModel
from drf.models.pretrained import published_layers
from drf.pictures import FaceCrop, LeafGallery
from drf.scoring import scores
from drf.training.batches import Batch, Batches, mixed
from drf.training.optimiser import MovingAverage, Optimisers, Schedule
from drf.training.validation import (
    Meter,
    collapsed,
    leaf_gallery,
    no_better_than_floor,
    recalibrate,
    validate,
    watched,
)

_log = logging.getLogger(__name__)

COLLAPSE_AFTER_SHARE, COLLAPSE_AFTER_STEPS = 0.3, 100
"""A run is judged collapsed only after this share of it, and no sooner than after so many steps."""

FLOOR_AFTER_STEPS = 500
"""Steps before a run is expected to be better than one shape for every face."""
TRAINING_NEEDS_LESS = (
    "lower training.batch_size or data.input_size, take a smaller model or another --device"
)


@dataclass(frozen=True)
class Progress:
    """Where a run stands. share: 0..1 of the run · loss: mean since the last report."""

    epoch: int
    share: float
    loss: float
    faces_per_s: float
    seconds_left: float


class Listener(Protocol):
    """Hears of a run while it goes on. What a subclass leaves out does nothing."""

    def on_progress(self, progress: Progress) -> None:
        """Called every half second or so."""
        return

    def on_epoch(self, epoch: int, values: dict[str, float]) -> None:
        """Called after each epoch's validation; epoch 0 is the model before its first step."""
        return

    def on_faces(self, epoch: int, faces: Sequence[FaceCrop], predictions: np.ndarray) -> None:
        """Called after each epoch's validation with the same few faces, and what was predicted for
        them: (m, K, 2) float32 picture px, NaN at landmarks the model does not know."""
        return

    def on_leaves(self, gallery: LeafGallery) -> None:
        """Called once, when the run is over, if the model has leaves to show."""
        return

    def saving(self) -> AbstractContextManager[object]:
        """Entered while checkpoints are written. Raises where they may not be, because the run
        belongs to somebody else by now."""
        return nullcontext()


class Silent(Listener):
    """Hears of a run and does nothing about it."""


@dataclass(frozen=True)
class Outcome:
    """state: finished | interrupted | collapsed | diverged · reason: a sentence, None if finished
    epochs: those that were finished, with their validation
    kept_epoch, kept_val_nme: the epoch whose weights were kept, and its validation NME, a fraction:
        the best one, or the last where training.checkpoint is "last". The NME is that under the
        first normaliser of the markup, None where nothing was validated
    faces_per_s: of the training steps alone
    """

    state: str
    epochs: int
    kept_epoch: int
    kept_val_nme: float | None
    wall_s: float
    faces_per_s: float
    reason: str | None = None


Answers = list[tuple[Any, Tensor]]
"""What a learner answered to the parts of a batch, and their points."""


class Trainer:
    """One run on two packs of the same box protocol; `folder` takes the checkpoints.

    run: its id, which the checkpoints carry; None for a run that no store knows
    device: in place of the configuration's, where a run goes on elsewhere
    """

    def __init__(
        self,
        config: RunConfig,
        model: LandmarkModel,
        train: Pack,
        val: Pack,
        folder: Path,
        listener: Listener,
        run: str | None = None,
        *,
        device: str | None = None,
    ) -> None:
        options = config.training
        self.config, self.val, self.folder, self.listener = config, val, folder, listener
        self.header = checkpoint.describe(config, val.markup, run)
        self.watched = watched(len(val.names))
        self.faces = list(face_crops(val, self.watched))
        self.device = choose_device(device or options.device)
        self.precision = choose_precision(options.precision, self.device)
        self.model = model.place(self.device)
        self.batches = Batches(train, config, self.device)
        self.batch = min(options.batch_size, len(self.batches))
        self.mine = distributed.share(self.batch)
        _refuse_clock(options)
        self.learners = model.learners
        self.threads = distributed.Threads(len(self.learners), self.device)
        self.trainable = any(p.requires_grad for p in model.parameters())
        self.schedule = Schedule.plan(
            options, options.passes_per_epoch * len(self.batches) // self.batch
        )
        slow = published_layers(self.model) if options.pretrained else ()
        self.optimiser = Optimisers(
            self.model, options.optimiser, options.weight_decay, slow, options.pretrained_lr_factor
        )
        self.average = MovingAverage(self.model, options.ema_decay)
        self.state = checkpoint.State()
        self._started = False
        self._completed = 0  # epochs
        self._began = 0.0  # perf_counter at which the run, pauses left out, would have begun

    def run(self) -> Outcome:
        """Train to the end of the plan or of the budget, until interrupted (Ctrl-C), collapsed or
        diverged: some number is not finite, or at the end the model is no better than one shape for
        every face.

        Raises DrfError when a checkpoint cannot be written, and where there is too little memory.
        """
        self._began = time.perf_counter() - self.state.elapsed_s
        try:
            with self._enough_memory(), reproducible(self.config.training.deterministic):
                end, reason = self._train()
                self._finalise_best()
        except KeyboardInterrupt:
            end, reason = "interrupted", STOPPED
        s = self.state
        speed = s.faces / s.training_s if s.training_s else 0.0
        nme = s.kept_val_nme if math.isfinite(s.kept_val_nme) else None
        return Outcome(end, self._completed, s.kept_epoch, nme, self._elapsed(), speed, reason)

    def _train(self) -> tuple[str, str | None]:
        """Return how the training ended, and why, as `Outcome` has it.

        What is not finite may break anything: a factorisation in a leaf update, an index, a score.
        Whatever is raised while the weights are not finite is therefore a divergence.
        """
        try:
            if not self._started:
                self._start()
            while self.trainable and not self._over() and not self.state.collapsed:
                self._epoch()
        except Exception as error:
            if not isinstance(error, Diverged) and self._weights_are_finite():
                raise
            what = error.args[0] if isinstance(error, Diverged) else WEIGHTS
            return "diverged", (
                f"{what} in epoch {self.state.epoch}: lower training.lr, which is"
                f" {self.config.training.lr:g}"
            )
        if self.state.collapsed:
            return "collapsed", self.state.collapsed
        if self.trainable and self.state.step >= FLOOR_AFTER_STEPS:
            nme, landmarks = self.state.kept_val_nme, self.model.spec.landmarks
            if why := no_better_than_floor(nme, self.val, landmarks):
                return "diverged", why
        return "finished", None

    def resume(self, saved: checkpoint.Checkpoint) -> None:
        """Take up a run where its `last.safetensors` left it, whose epoch was the first one or
        later. Raises DrfError where the checkpoint does not fit the model, or its header is none.

        `best.safetensors` is written after it. Where the run was killed in between, the weights are
        those of the average here.
        """
        self.state = checkpoint.stored_state(saved)
        with saved.explained():
            self.model.load_state_dict(saved.under("model."))
            self.average.model.load_state_dict(saved.under("average."))
            self.optimiser.restore(saved.under("optimiser."))
        self.average.steps = self.state.step
        self._started = True
        self._completed = self.state.epoch
        if self._has_best():
            return
        if self.state.kept_epoch != self.state.epoch:
            raise DrfError(
                f"{self.folder / checkpoint.BEST} is not of epoch {self.state.kept_epoch}, whose"
                " weights the run has kept: put the right one back, or train a new run"
            )
        with self.listener.saving():
            self._save_best()

    def _has_best(self) -> bool:
        """Return whether the weights that the run has kept are there. Earlier versions wrote them
        before the state, so they may be of the epoch that comes next."""
        path = self.folder / checkpoint.BEST
        if not path.is_file():
            return False
        best = checkpoint.load(path)
        with best.explained():
            epoch, run = best.header["epoch"], best.header.get("run")
            of_run = run in (None, self.header.get("run"))
            return of_run and (epoch == self.state.kept_epoch or epoch == self.state.epoch + 1)

    def _start(self) -> None:
        """Let the model see the labels, and measure it before its first step: that is epoch 0."""
        torch.manual_seed(mixed((self.config.training.seed, 0)))
        options = self.config.training
        if not (options.init_from and options.init_weights == "all"):
            self.model.initialise(self.batches.initial_data(options.seed))
        distributed.same(self.model)
        self.average = MovingAverage(self.model, options.ema_decay)
        self._finish_epoch({})

    def _epoch(self) -> None:
        self.state.epoch += 1
        seed = (self.config.training.seed, self.state.epoch)
        orders = self.batches.orders(seed, self.config.training.passes_per_epoch, self._streams)
        generators = self.batches.generators(seed, self._streams)
        self.model.seed_draws(mixed(seed) + distributed.rank())
        distributed.synchronise_batch_norms(self.model)
        self.model.train()
        meter = Meter()
        started = time.perf_counter()
        for first in range(0, orders.shape[1] - self.batch + 1, self.batch):
            if self._over():
                break
            index = np.sort(orders[:, first : first + self.batch])
            meter.add(self.step(index, generators), self.batch)
            if meter.due():
                self.listener.on_progress(self._progress(meter))
        if meter.unreported:  # epochs shorter than a report's interval are heard of too
            self.listener.on_progress(self._progress(meter))
        self.state.training_s += time.perf_counter() - started
        self.state.faces += meter.faces
        self.model.finish_epoch()
        distributed.same(self.model)
        self._finish_epoch(meter.means() | {"lr": self._rate()})

    @property
    def _streams(self) -> int:
        """How many batches a step draws: one for all learners, or one for each."""
        return len(self.learners) if self.model.own_batches else 1

    def repeated_step(self) -> Callable[[], dict[str, Tensor]]:
        """Return a function that takes a step on the same faces, augmented anew: for measuring."""
        index = np.tile(np.arange(self.batch), (self._streams, 1))
        generators = self.batches.generators((0, 0), self._streams)
        self.model.seed_draws(0)
        self.model.train()
        return lambda: self.step(index, generators)

    def step(self, index: np.ndarray, generators: Sequence[torch.Generator]) -> dict[str, Tensor]:
        """Take one optimiser step on the faces of an index, (streams, B) int, augmented by the
        generator of each stream; return its losses, means over the learners."""
        drawn = self.threads.map(self._draw, index, generators)
        self.model.set_progress(self._share())
        self.optimiser.set_rate(self._rate())
        answers, losses = self._backward(drawn)
        distributed.average_gradients(self.model.parameters())
        if self.config.training.grad_clip:
            torch.nn.utils.clip_grad_norm_(self.model.parameters(), self.config.training.grad_clip)
        self.optimiser.step()
        for learner, parts in zip(self.learners, answers, strict=True):
            for outputs, points in parts:
                learner.leaf_step(outputs, points)
        self.average.update(self.model)
        self.state.step += 1
        return losses

    def _draw(self, index: np.ndarray, generator: torch.Generator) -> Batch:
        images, points = self.batches.draw(index, generator)
        return images[self.mine], points[self.mine]

    def _backward(self, drawn: list[Batch]) -> tuple[list[Answers], dict[str, Tensor]]:
        """Set the gradients of a step; return each learner's answers, and the losses.

        A batch that does not fit into memory is halved, from then on: the gradients of its parts
        are added. Batch norm and leaves see the parts one after another, so the result is another
        one; `batch_parts` of each epoch says so. With several processes it ends the training.
        """
        batches = drawn if self.model.own_batches else drawn * len(self.learners)
        while True:
            self.optimiser.zero_grad()
            try:
                found = self.threads.map(self._accumulate, self.learners, batches)
                break
            except Exception as error:
                faces = len(drawn[0][0])
                # Processes add up their sums layer by layer, so none of several repeats a step.
                repeats = distributed.processes() == 1 and 2 * self.state.batch_parts <= faces
                if not (repeats and errors.is_out_of_memory(error)):
                    raise
            self.state.batch_parts *= 2  # here, where the failed step's tensors are freed
            _log.warning(
                "a batch of %d faces does not fit into memory: it is computed in %d parts",
                self.batch,
                self.state.batch_parts,
            )
        answers, losses = zip(*found, strict=True)
        means = {name: torch.stack([own[name] for own in losses]).mean() for name in losses[0]}
        return list(answers), means

    def _accumulate(
        self, learner: LandmarkModel, batch: Batch
    ) -> tuple[Answers, dict[str, Tensor]]:
        """Add the gradient of the mean of all learners' losses to the weights of one of them."""
        (images, points), parts = batch, self.state.batch_parts
        answers, losses = Answers(), dict[str, Tensor]()
        for seen, wanted in zip(images.chunk(parts), points.chunk(parts), strict=True):
            share = len(seen) / len(images)
            seen, wanted = learner.training_view(seen, wanted)
            with autocast(self.device, self.precision):
                outputs = learner(seen)
            loss, named = learner.loss(outputs, wanted)
            (share / len(self.learners) * loss).backward()
            answers.append((outputs, wanted))
            for name, value in [("loss", loss), *((f"loss_{k}", v) for k, v in named.items())]:
                losses[name] = losses.get(name, 0) + share * value.detach()
        return answers, losses

    def _finish_epoch(self, values: dict[str, float]) -> None:
        """Validate the averaged weights and tell it, save the state, keep the weights if they are
        the best so far."""
        if not self._weights_are_finite():
            raise Diverged(WEIGHTS)
        if distributed.rank() == 0:
            self._validate_and_save(values)
        self.state = distributed.agreed(self.state)
        self._completed = self.state.epoch

    def _validate_and_save(self, values: dict[str, float]) -> None:
        started = time.perf_counter()
        self.average.model.set_progress(self._share())
        readings, predictions = validate(self.predictor(), self.val)
        values |= readings
        values |= {"steps": self.state.step, "faces_seen": self.state.faces}
        if self.state.batch_parts > 1:
            values["batch_parts"] = self.state.batch_parts
        self.listener.on_epoch(self.state.epoch, values)
        self.listener.on_faces(self.state.epoch, self.faces, predictions[self.watched])
        s = replace(self.state, elapsed_s=self._elapsed())
        nme = self._val_nme(values)
        if self.config.training.checkpoint == "last" or nme < s.kept_val_nme:
            s.kept_val_nme, s.kept_epoch = nme, s.epoch
        if self._may_have_collapsed():
            s.collapsed = collapsed(values)
        tensors = _prefixed("model.", self.model) | _prefixed("average.", self.average.model)
        tensors |= {f"optimiser.{k}": v for k, v in self.optimiser.moments().items()}
        header = self.header | {"epoch": s.epoch, "state": asdict(s)}
        with self.listener.saving():
            checkpoint.save(self.folder / checkpoint.LAST, tensors, header)
            if s.kept_epoch == s.epoch:
                self._save_best()
        self.state = s  # not before: what an interrupted run says of itself is true of its files
        s.validation_s = max(s.validation_s, time.perf_counter() - started)

    def _save_best(self) -> None:
        """Keep the averaged weights, which are those of the present epoch."""
        tensors = _prefixed("model.", self.average.model)
        header = self.header | {"epoch": self.state.epoch}
        checkpoint.save(self.folder / checkpoint.BEST, tensors, header)

    @torch.no_grad()
    def _weights_are_finite(self) -> bool:
        """Return whether all weights and buffers are, also of the average. Waits for the device
        once."""
        models = self.model.state_dict(), self.average.model.state_dict()
        held = [t for of in models for t in of.values() if t.is_floating_point()]
        return not held or bool(torch.stack([t.isfinite().all() for t in held]).all())

    def _val_nme(self, values: dict[str, float]) -> float:
        """Return the NME under the first normaliser of the markup that exists on the faces. Raises
        DataError where no face has a landmark that the model predicts."""
        names = (f"val_nme_{norm}" for norm in scores.defined_for(self.val.markup))
        found = next((values[name] for name in names if name in values), None)
        if found is None:
            raise DataError(
                f"no face of val has any of the landmarks {self.model.spec.landmarks!r}: choose"
                " others by data.landmarks, or a val whose faces have them"
            )
        return found

    def _finalise_best(self) -> None:
        """Correct the covariances that the best weights predict, and hand over what their leaves
        hold, while the run's clock stands still: a time budget is for training."""
        if not math.isfinite(self.state.kept_val_nme) or distributed.rank() > 0:
            return
        started = time.perf_counter()
        best = checkpoint.load(self.folder / checkpoint.BEST)
        self.average.model.load_state_dict(best.under("model."))
        predictor = self.predictor()
        if (corrected := recalibrate(predictor, self.val)) is not None:
            header = best.header | {checkpoint.RECALIBRATIONS: corrected.as_dict()}
            with self.listener.saving():
                checkpoint.save(self.folder / checkpoint.BEST, best.tensors, header)
        gallery = leaf_gallery(predictor, self.val)
        if gallery.leaves:
            self.listener.on_leaves(gallery)
        self._began += time.perf_counter() - started

    def _enough_memory(self) -> AbstractContextManager[None]:
        faces = f"{self.batch} faces of {self.model.spec.input_size} px on {self.device}"
        return errors.enough_memory(f"training with a batch of {faces}", TRAINING_NEEDS_LESS)

    def predictor(self) -> Predictor:
        return Predictor(self.average.model, self.device, self.precision)

    def _elapsed(self) -> float:
        return time.perf_counter() - self._began

    def _used(self) -> float:
        """Seconds used, the validation counted in that must still follow."""
        return self._elapsed() + self.state.validation_s

    def _over(self) -> bool:
        return self.schedule.over(self.state.step, self._used())

    def _share(self) -> float:
        return self.schedule.progress(self.state.step, self._used())

    def _rate(self) -> float:
        return self.config.training.lr * self.schedule.rate(self._share())

    def _may_have_collapsed(self) -> bool:
        return self.state.step >= COLLAPSE_AFTER_STEPS and self._share() >= COLLAPSE_AFTER_SHARE

    def _progress(self, meter: Meter) -> Progress:
        loss, speed = meter.report()
        share = self._share()
        left = self._elapsed() * (1 - share) / share if share else math.inf
        return Progress(self.state.epoch, share, loss, speed, left)


def _refuse_clock(options: TrainingConfig) -> None:
    """Raise UsageError where clocks, of which each process has its own, would end a run."""
    if distributed.processes() > 1 and options.max_minutes:
        raise UsageError("several processes count epochs, not minutes: leave training.max_minutes")


STOPPED = "stopped by the user"
"""What is said of a run that was interrupted."""

WEIGHTS = "some weights were no longer finite"
"""What is said of a model that cannot go on."""


def _prefixed(prefix: str, model: LandmarkModel) -> dict[str, Tensor]:
    return {prefix + name: value for name, value in model.state_dict().items()}
