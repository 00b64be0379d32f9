"""What the loop tells lands in the store in its order, also where it was locked meanwhile."""

from __future__ import annotations

import contextlib
import io
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from rich.console import Console
from sqlite_utils import Database

from db import reads
from db.connection import open_reader, open_store
from db.recording import gallery, runs
from drf.training.loop import STOPPED, Progress
from experiments.recorder import Recorder, RunWriter
from experiments.train import recorded_run
from tests.db import examples

VALUES = {"loss": 1.0, "val_nme_ocular": 0.05, "val_nme_pupil": 0.07}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drf.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    store = open_store(path)
    store.execute("PRAGMA busy_timeout = 10")
    yield store
    store.close()


@pytest.fixture
def recorder(db: Database) -> Recorder:
    writer = RunWriter(runs.start_run(db, examples.new_run()), runs.FIRST_CLAIM, db)
    return Recorder(writer, Console(file=io.StringIO()))


def tell(recorder: Recorder, epoch: int) -> None:
    """What one epoch says."""
    faces = examples.crops(examples.evaluation(6))
    recorder.on_progress(Progress(epoch, 0.5, 1.0, 100.0, 60.0))
    recorder.on_epoch(epoch, VALUES)
    recorder.on_faces(epoch, faces, np.full((6, 68, 2), epoch, np.float32))


def contents(path: Path, run: str) -> tuple[list[int], list[int], int]:
    """Epochs with curves, epochs with faces, number of leaves."""
    con = open_reader(path)
    curves = sorted(set(reads.curves(con, run)["epoch"]))
    found = (curves, gallery.epochs(con, run), len(gallery.leaves(con, run)[0]))
    con.close()
    return found


def test_everything_heard_is_stored(recorder: Recorder, path: Path) -> None:
    with recorder:
        tell(recorder, 0)
        tell(recorder, 1)
        recorder.on_leaves(examples.gallery(examples.leaf()))
    assert contents(path, recorder.run) == ([0, 1], [0, 1], 1)


def test_a_locked_store_ends_no_training_and_loses_nothing(
    recorder: Recorder, path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    with recorder:
        other.execute("BEGIN IMMEDIATE")
        tell(recorder, 0)
        tell(recorder, 1)
        assert contents(path, recorder.run) == ([], [], 0)
        other.execute("ROLLBACK")
        tell(recorder, 2)
        other.execute("BEGIN IMMEDIATE")
        recorder.on_leaves(examples.gallery(examples.leaf()))
        other.execute("ROLLBACK")
        recorder.writer.end(
            "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=None, kept_val_nme=None
        )
    other.close()
    assert "trying again later" in caplog.text
    assert contents(path, recorder.run) == ([0, 1, 2], [0, 1, 2], 1)


def test_the_first_error_is_the_one_that_is_told(recorder: Recorder, path: Path) -> None:
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    tell(recorder, 0)
    with pytest.raises(ZeroDivisionError), recorder:
        raise ZeroDivisionError
    other.close()


def test_a_run_that_is_stopped_outside_its_steps_says_so(recorder: Recorder, path: Path) -> None:
    """A second Ctrl-C, while the first one is answered, was recorded as "KeyboardInterrupt: "."""
    with pytest.raises(KeyboardInterrupt), recorded_run(recorder.writer):
        raise KeyboardInterrupt
    with contextlib.closing(open_reader(path)) as con:
        run = reads.run(con, recorder.run)
    assert (run["status"], run["reason"]) == ("interrupted", STOPPED)
