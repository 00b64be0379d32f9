"""What becomes of a run while it goes on: it is written into the store, and shown on stderr."""

from __future__ import annotations

import contextlib
import logging
import math
import sqlite3
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn
from sqlite_utils import Database

from db.recording.gallery import record_leaves, record_predictions
from db.recording.runs import claimed, end_run, record_epoch, record_heartbeat, require_claim
from db.transactions import Store, StoreLost, as_drf_error
from drf.errors import DrfError
from drf.scoring import scores
from drf.text import percent

if TYPE_CHECKING:
    import numpy as np

    from drf.pictures import FaceCrop, LeafGallery
    from drf.training.loop import Progress as RunProgress

_log = logging.getLogger(__name__)

BEAT_EVERY_S = 5.0

Change = Callable[[Database], None]
"""Writes something of a run into the store, or the record, that it is given."""


@dataclass
class RunWriter:
    """Writes into the record beside the checkpoints, if the run has one, and then into the store.

    Every write is a transaction that begins with a look at the claim: LostRun is raised where the
    run was resumed by another process or deleted. A store that cannot be written for a while
    (locked, full) does not end a training that took hours: what could not be written is kept and
    tried again with the next write. One whose file is gone does, with DrfError, which says how the
    record is brought into another.
    """

    run: str
    claim: int
    store: Store
    record: Store | None = None
    ended: bool = False
    _pending: list[Change] = field(default_factory=list)

    def write(self, change: Change) -> None:
        """Write once into each; into the store as soon as that can be written."""
        self._write_into_record(change)
        self._pending.append(change)
        try:
            self._flush()
        except sqlite3.OperationalError as error:
            _warn(error)

    def try_to_write(self, change: Change) -> None:
        """Write what will be outdated soon, and may be left out."""
        try:
            self._write_into_record(change)
            with self._into_store():
                change(self.store)
        except sqlite3.OperationalError as error:
            _warn(error)

    def end(self, state: str, **facts: Any) -> None:
        """Write how the run ended, see `end_run`, and what is not in the store yet. Raises DrfError
        where the store still cannot be written."""
        self.write(partial(end_run, run=self.run, state=state, **facts))
        self.ended = True
        try:
            self._flush()
        except sqlite3.OperationalError as error:
            raise DrfError(f"{as_drf_error(error) or error}{self._way_out()}") from error

    def close(self) -> None:
        """Close store and record."""
        self.store.close()
        if self.record is not None:
            self.record.close()

    @contextlib.contextmanager
    def saving(self) -> Iterator[None]:
        """Keep every other process from claiming the run for as long as a block takes, in which
        files beside the record may be written. Raises LostRun if one has claimed it already, or the
        run was deleted."""
        with self._explained(), contextlib.suppress(sqlite3.OperationalError):  # busy
            self.store.require_file()
            require_claim(self.store, self.run, self.claim)
        if self.record is None:
            yield
        else:
            with claimed(self.record, self.run, self.claim):
                yield

    def _write_into_record(self, change: Change) -> None:
        if self.record is not None:
            with claimed(self.record, self.run, self.claim):
                change(self.record)

    def _flush(self) -> None:
        while self._pending:
            with self._into_store():
                self._pending[0](self.store)
            self._pending.pop(0)

    @contextlib.contextmanager
    def _into_store(self) -> Iterator[None]:
        with self._explained(), claimed(self.store, self.run, self.claim):
            yield

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except StoreLost as error:
            raise DrfError(f"{error}{self._way_out()}") from error
        except sqlite3.OperationalError:
            raise
        except sqlite3.DatabaseError as error:  # other contents under the same file
            if explained := as_drf_error(error):
                raise DrfError(f"{explained}{self._way_out()}") from error
            raise

    def _way_out(self) -> str:
        """Return where the results are when the store does not have them, as the end of a
        sentence."""
        if self.record is None or not self.record.in_place():
            return ""
        folder = self.record.path.parent
        return f"; run {self.run[:8]} is in {folder}: `drf runs recover {folder}` brings it back"


class Recorder:
    """Use as a context manager around `Trainer.run`."""

    def __init__(self, writer: RunWriter, console: Console) -> None:
        self.writer, self.run, self.console = writer, writer.run, console
        self._beaten = -math.inf
        self._bar = Progress(
            BarColumn(bar_width=24),
            TextColumn("{task.percentage:3.0f} %"),
            TextColumn("{task.description}"),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._task: TaskID = self._bar.add_task("preparing", total=1.0)

    def __enter__(self) -> Recorder:
        self._bar.start()
        return self

    def __exit__(self, *_: object) -> None:
        with _shown():
            self._bar.stop()

    def on_progress(self, progress: RunProgress) -> None:
        text = (
            f"epoch {progress.epoch} · loss {progress.loss:.4f}"
            f" · {progress.faces_per_s:.0f} faces/s · {_clock(progress.seconds_left)} left"
        )
        with _shown():
            self._bar.update(self._task, completed=progress.share, description=text)
        if time.monotonic() - self._beaten >= BEAT_EVERY_S:
            self._beaten = time.monotonic()
            self.writer.try_to_write(
                partial(
                    record_heartbeat,
                    run=self.run,
                    epoch=progress.epoch,
                    progress=progress.share,
                    faces_per_s=progress.faces_per_s,
                )
            )

    def on_epoch(self, epoch: int, values: dict[str, float]) -> None:
        loss = f"loss {values['loss']:.4f} · " if "loss" in values else ""
        errors = ", ".join(
            f"{percent(100 * values[f'val_nme_{norm}'])} {norm}"
            for norm in scores.NORMALISER_KEYS
            if f"val_nme_{norm}" in values
        )
        with _shown():
            self.console.print(f"epoch {epoch:3d} · {loss}validation NME {errors}")
        self.writer.write(partial(record_epoch, run=self.run, epoch=epoch, values=values))

    def on_faces(self, epoch: int, faces: Sequence[FaceCrop], predictions: np.ndarray) -> None:
        self.writer.write(
            partial(
                record_predictions,
                run=self.run,
                epoch=epoch,
                faces=faces,
                predictions=predictions,
            )
        )

    def on_leaves(self, gallery: LeafGallery) -> None:
        self.writer.write(partial(record_leaves, run=self.run, gallery=gallery))

    def saving(self) -> AbstractContextManager[None]:
        return self.writer.saving()


def _shown() -> AbstractContextManager[None]:
    """Go on where nothing can be shown any more, because the terminal was closed."""
    return contextlib.suppress(OSError)


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "–:–"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"


def _warn(error: sqlite3.OperationalError) -> None:
    _log.warning("the store could not be written (%s); trying again later", error)
