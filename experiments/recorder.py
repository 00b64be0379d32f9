"""A listener that writes a run into the store while it goes on, and shows it on stderr."""

from __future__ import annotations

import logging
import math
import sqlite3
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import TYPE_CHECKING

from rich.console import Console
from rich.progress import BarColumn, Progress, TaskID, TextColumn

from db.gallery import record_leaves, record_predictions
from db.runs import record_epoch, record_heartbeat
from drf import scores
from drf.text import percent

if TYPE_CHECKING:
    import numpy as np
    from sqlite_utils import Database

    from drf.pictures import FaceCrop, LeafGallery
    from drf.training.loop import Progress as RunProgress

BEAT_EVERY_S = 5.0

_log = logging.getLogger(__name__)


class Recorder:
    """Use as a context manager around `Trainer.run`.

    A store that cannot be written for a while (locked, full) does not end a training that took
    hours: what could not be written is kept and tried again with the next write.
    """

    def __init__(self, db: Database, run: str, console: Console) -> None:
        self.db, self.run, self.console = db, run, console
        self._pending: list[Callable[[], None]] = []
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

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._bar.stop()
        if kind is None:
            self.flush()
        else:  # what went wrong first is what the user should read
            self._try(self.flush)

    def on_progress(self, progress: RunProgress) -> None:
        text = (
            f"epoch {progress.epoch} · loss {progress.loss:.4f}"
            f" · {progress.faces_per_s:.0f} faces/s · {_clock(progress.seconds_left)} left"
        )
        self._bar.update(self._task, completed=progress.share, description=text)
        if time.monotonic() - self._beaten >= BEAT_EVERY_S:
            self._beaten = time.monotonic()
            self._try(
                lambda: record_heartbeat(
                    self.db,
                    self.run,
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
        self.console.print(f"epoch {epoch:3d} · {loss}validation NME {errors}")
        self._write(partial(record_epoch, self.db, self.run, epoch, values))

    def on_faces(self, epoch: int, faces: Sequence[FaceCrop], predictions: np.ndarray) -> None:
        self._write(partial(record_predictions, self.db, self.run, epoch, faces, predictions))

    def on_leaves(self, gallery: LeafGallery) -> None:
        self._write(partial(record_leaves, self.db, self.run, gallery))

    def flush(self) -> None:
        """Write what is not in the store yet, in its order."""
        while self._pending:
            self._pending[0]()
            self._pending.pop(0)

    def _write(self, write: Callable[[], None]) -> None:
        self._pending.append(write)
        self._try(self.flush)

    def _try(self, write: Callable[[], None]) -> None:
        try:
            write()
        except sqlite3.OperationalError as error:
            _log.warning("the store could not be written (%s); trying again later", error)


def _clock(seconds: float) -> str:
    if not math.isfinite(seconds):
        return "–:–"
    minutes, seconds = divmod(round(seconds), 60)
    return f"{minutes}:{seconds:02d}"
