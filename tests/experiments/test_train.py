"""Training in a process of its own: its result, its errors and its end come back to the caller."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import signal
import threading
import time
from pathlib import Path

import pytest

from db import reads
from db.connection import open_reader
from drf.errors import DrfError, UsageError
from experiments.paths import Paths
from experiments.request import Request, configure
from experiments.train import find_finished, train_in_process

TINY = {
    "data.dataset": "synthetic",
    "data.synthetic_train_size": 24,
    "data.input_size": 64,
    "model.width": 8,
    "training.device": "cpu",
}


def places(folder: Path) -> Paths:
    return Paths(folder / "drf.db", None, None, folder / "cache")


def request(epochs: int, **options: object) -> Request:
    return Request("hourglass", options=TINY | {"training.epochs": epochs} | options)


def test_a_finished_run_is_found_by_name_configuration_and_threads(tmp_path: Path) -> None:
    paths = places(tmp_path)
    config = configure(request(1)).config
    asked = (paths.db, config.family, config.flat())
    assert find_finished(*asked, "tiny") is None  # no store yet
    result = train_in_process(request(1), paths, "tiny", threads=1)
    assert (result.name, result.outcome.state) == ("tiny", "finished")
    assert find_finished(*asked, "tiny", threads=1) == result.run
    assert find_finished(*asked, "tiny") == result.run
    assert find_finished(*asked, "tiny", threads=2) is None
    assert find_finished(*asked, "other") is None
    assert find_finished(paths.db, "cnn-heatmap", asked[2], "tiny") is None
    assert find_finished(*asked, "tiny", statuses=("collapsed",)) is None
    other = configure(request(1, **{"training.seed": 1})).config
    assert find_finished(paths.db, other.family, other.flat(), "tiny") is None
    with contextlib.closing(open_reader(paths.db)) as reader:
        assert reads.run(reader, result.run)["provenance"]["threads"] == 1


def test_the_sentence_of_an_error_comes_back(tmp_path: Path) -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    with pytest.raises(UsageError, match=r"did you mean 'model\.width'"):
        train_in_process(request(1, **{"model.widht": 8}), places(tmp_path), "tiny", threads=7)
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.parametrize(
    ("number", "error", "status"),
    [(signal.SIGINT, KeyboardInterrupt, "interrupted"), (signal.SIGKILL, DrfError, None)],
)
def test_a_process_that_is_stopped_ends_the_call(
    tmp_path: Path, number: signal.Signals, error: type[BaseException], status: str | None
) -> None:
    paths = places(tmp_path)

    def stop_the_child() -> None:
        """Once it has recorded an epoch."""
        deadline = time.monotonic() + 600
        while time.monotonic() < deadline and multiprocessing.active_children():
            with contextlib.suppress(DrfError), contextlib.closing(open_reader(paths.db)) as con:
                if con.execute("SELECT count(*) FROM epochs").fetchone()[0]:
                    break
            time.sleep(0.1)
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, number)

    watch = threading.Timer(1.0, stop_the_child)
    watch.start()
    with pytest.raises(error):
        train_in_process(request(10_000), paths, "endless")
    watch.join()
    with contextlib.closing(open_reader(paths.db)) as reader:
        (stored,) = reads.runs(reader).to_dict("records")
    if status is not None:
        assert stored["status"] == status
