"""A listener that writes a run into the store while it goes on, and shows it on stderr."""

from __future__ import annotations

import contextlib
import math
import time
from collections.abc import Sequence
from contextlib import AbstractContextManager
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

    from drf.pictures import FaceCrop, LeafGallery
    from drf.training.loop import Progress as RunProgress
    from experiments.run_writer import RunWriter

BEAT_EVERY_S = 5.0


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
