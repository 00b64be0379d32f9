"""Training in a process of its own: its result, its errors and its end come back to the caller."""

from __future__ import annotations

import contextlib
import multiprocessing
import os
import shutil
import signal
import sqlite3
import threading
from pathlib import Path

import pytest

from db import reads
from db.connection import open_reader, open_store
from db.recording.runs import end_run, start_run
from drf.config import NEW_KEYS, OLD_KEYS
from drf.errors import DrfError, UsageError
from experiments.in_process import find_finished, train_in_process
from experiments.paths import Paths
from experiments.request import Request, configure
from experiments.train import resume_training
from tests.conftest import REPOSITORY
from tests.db import examples

GOLDEN = REPOSITORY / "tests" / "golden" / "store"

TINY = {
    "data.dataset": "synthetic",
    "data.synthetic_train_size": 24,
    "data.input_size": 64,
    "model.width": 8,
    "training.device": "cpu",
}


pytestmark = pytest.mark.usefixtures("few_faces")


def places(folder: Path) -> Paths:
    return Paths(folder / "drf.db", None, None, None)


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


def test_a_run_whose_configuration_has_keys_of_an_earlier_version_is_found(tmp_path: Path) -> None:
    paths = places(tmp_path)
    config = configure(request(1)).config
    today = {new: old for old, new in OLD_KEYS.items() if new in config.flat()}
    earlier = {today.get(key, key): value for key, value in config.flat().items()}
    assert earlier.keys() != config.flat().keys()
    store = open_store(paths.db)
    new = examples.new_run(config=earlier, sources=dict.fromkeys(earlier, "--set"))
    run = start_run(store, new)
    end_run(store, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=1, kept_val_nme=0.1)
    store.close()
    assert find_finished(paths.db, config.family, config.flat(), new.name) == run


def test_a_run_that_is_older_than_a_key_is_found(tmp_path: Path) -> None:
    paths = places(tmp_path)
    config = configure(Request("cascade-forest-pair")).config
    earlier = {key: value for key, value in config.flat().items() if key not in NEW_KEYS}
    assert earlier.keys() != config.flat().keys()
    store = open_store(paths.db)
    new = examples.new_run(
        family=config.family, config=earlier, sources=dict.fromkeys(earlier, "--set")
    )
    run = start_run(store, new)
    end_run(store, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=1, kept_val_nme=0.1)
    store.close()
    assert find_finished(paths.db, config.family, config.flat(), new.name) == run
    aligned = configure(Request("cascade-forest-aligned")).config
    assert find_finished(paths.db, config.family, aligned.flat(), new.name) is None


def test_a_run_of_version_0_1_0_goes_on_from_its_last_checkpoint(tmp_path: Path) -> None:
    shutil.copytree(GOLDEN, tmp_path, dirs_exist_ok=True)
    open_store(tmp_path / "drf.db").close()  # which migrates it
    result = resume_training("golden-hourglass", {"training.epochs": 3}, places(tmp_path))
    outcome = result.outcome
    assert (outcome.state, outcome.epochs, outcome.kept_epoch) == ("finished", 3, 3)
    with contextlib.closing(open_reader(tmp_path / "drf.db")) as reader:
        stored = reads.run(reader, result.run)
        curves = reads.curves(reader, result.run).set_index(["metric", "epoch"])["value"]
    assert (stored["kept_epoch"], stored["kept_val_nme"]) == (3, outcome.kept_val_nme)
    assert curves["val_nme_ocular", 3] == outcome.kept_val_nme
    said = result.sentence(tmp_path / "drf.db")
    assert f"last epoch's validation NME {100 * curves['val_nme_ocular', 3]:.2f} %" in said
    document = result.document()
    assert (document["best_epoch"], document["best_val_nme"]) == (3, document["kept_val_nme"])
    assert document["kept_val_nme"] == 100 * outcome.kept_val_nme


def test_the_sentence_of_an_error_comes_back(tmp_path: Path) -> None:
    before = os.environ.get("OMP_NUM_THREADS")
    with pytest.raises(UsageError, match=r"did you mean 'model\.width'"):
        train_in_process(request(1, **{"model.widht": 8}), places(tmp_path), "tiny", threads=7)
    assert os.environ.get("OMP_NUM_THREADS") == before


@pytest.mark.parametrize(
    ("number", "error", "status"),
    [
        (signal.SIGINT, KeyboardInterrupt, "interrupted"),
        pytest.param(signal.SIGKILL, DrfError, None, marks=pytest.mark.slow),
    ],
)
def test_a_process_that_is_stopped_ends_the_call(
    tmp_path: Path, number: signal.Signals, error: type[BaseException], status: str | None
) -> None:
    paths = places(tmp_path)

    ended = threading.Event()

    def stop_the_child() -> None:
        """Once it has recorded an epoch; on a busy machine it may take seconds to begin."""
        while not ended.wait(0.1):
            with (
                contextlib.suppress(DrfError, sqlite3.Error),
                contextlib.closing(open_reader(paths.db)) as con,
            ):
                if con.execute("SELECT count(*) FROM epochs").fetchone()[0]:
                    break
        for child in multiprocessing.active_children():
            os.kill(child.pid or 0, number)

    watch = threading.Thread(target=stop_the_child)
    watch.start()
    try:
        with pytest.raises(error):
            train_in_process(request(10_000), paths, "endless")
    finally:
        ended.set()
        watch.join()
    with contextlib.closing(open_reader(paths.db)) as reader:
        (stored,) = reads.runs(reader).to_dict("records")
    if status is not None:
        assert stored["status"] == status
