"""A stored run is trained again and compared; a training is estimated before it starts."""

from __future__ import annotations

import contextlib
from dataclasses import replace
from pathlib import Path

import pytest

from db import reads
from db.connection import open_reader, open_store
from db.file import run_folder
from drf.data.synthetic_dataset import SyntheticDataset
from drf.errors import NotFoundError
from experiments import repro
from experiments.paths import Paths, load_pack, origin
from experiments.request import Request
from experiments.train import rehearse, train_new_run

TINY = {
    "data.dataset": "synthetic",
    "data.synthetic_train_size": 24,
    "data.input_size": 32,
    "model.width": 8,
    "model.depth": 2,
    "training.device": "cpu",
    "training.epochs": 2,
}


@pytest.fixture
def paths(tmp_path: Path, few_faces: object) -> Paths:
    return Paths(tmp_path / "drf.db", None, None, None)


def test_a_run_is_repeated_to_the_digit_and_what_differs_is_told(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = train_new_run(Request("hourglass", options=TINY), paths, "tiny")
    assert repro.differences("tiny", paths) == []
    again = repro.repeat("tiny", paths)
    assert (again.run, again.difference, again.tolerance) == (first.run, 0.0, 0.0)
    assert again.same
    with contextlib.closing(open_reader(paths.db)) as con:
        assert reads.run(con, again.again)["name"] == "tiny (again)"
        one, two = ({k: v for k, v, _ in reads.run(con, run)["config"]}
                    for run in (first.run, again.again))  # fmt: skip
    assert one == two
    monkeypatch.setattr("experiments.provenance.VERSION", "99.0")
    (found,) = repro.differences(first.run, paths)
    assert (found.what, found.now) == ("drf", "99.0")


def test_a_run_on_the_boxes_of_a_file_is_repeated_on_them(paths: Paths, tmp_path: Path) -> None:
    """The new run knows its box file too, so that it can be evaluated and resumed."""
    box_file = tmp_path / "boxes.csv"
    with box_file.open("w") as file:
        file.write("name,x,y,w,h\n")
        for subset in ("train", "val"):
            faces = load_pack(SyntheticDataset(size=24), subset, "gt", paths)
            for name, (x, y, side) in zip(faces.names, faces.boxes.tolist(), strict=True):
                file.write(f"{name},{x - side / 2},{y - side / 2},{side},{side}\n")
    options = TINY | {"data.box": "file"}
    train_new_run(Request("hourglass", options=options), replace(paths, box_file=box_file), "own")
    again = repro.repeat("own", paths)
    assert again.same
    assert origin(run_folder(paths.db, again.again), paths).training_box_file == box_file


def test_what_is_compared_is_the_nme_that_judges_the_run(paths: Paths) -> None:
    """Of ocular, pupil and box it is ocular, which the markup names first."""
    options = {key: TINY[key] for key in TINY if not key.startswith(("model.", "training.epochs"))}
    first = train_new_run(Request("mean-shape", options=options), paths, "floor")
    with contextlib.closing(open_store(paths.db)) as store:
        for norm, moved in (("ocular", 0.01), ("pupil", 0.2), ("box", 0.3)):
            changed = store.execute(
                "UPDATE epochs SET value = value + ? WHERE run = ? AND metric = ?",
                [moved, first.run, f"val_nme_{norm}"],
            )
            assert changed.rowcount == 1
        store.conn.commit()
    again = repro.repeat(first.run, paths)
    assert again.difference == pytest.approx(0.01)
    assert not again.same


def test_a_training_that_is_stopped_repeats_nothing(
    paths: Paths, monkeypatch: pytest.MonkeyPatch
) -> None:
    options = {key: TINY[key] for key in TINY if not key.startswith("model.")}
    first = train_new_run(Request("mean-shape", options=options), paths, "floor")
    stopped = replace(first, outcome=replace(first.outcome, state="interrupted"))
    monkeypatch.setattr(repro, "train_new_run", lambda *_: stopped)
    with pytest.raises(KeyboardInterrupt):
        repro.repeat(first.run, paths)


def test_a_rehearsal_refuses_what_the_training_would(paths: Paths) -> None:
    options = TINY | {"training.init_from": "nosuch"}
    for begin in (rehearse, train_new_run):
        with pytest.raises(NotFoundError):
            begin(Request("hourglass", options=options), paths)


def test_a_model_that_is_not_trained_takes_one_validation_and_no_budget(paths: Paths) -> None:
    options = {key: TINY[key] for key in TINY if not key.startswith("model.")}
    for epochs in (0, 100):
        limits = {"training.epochs": epochs, "training.max_minutes": 600.0}
        found = rehearse(Request("mean-shape", options=options | limits), paths)
        assert found.seconds_per_step == 0
        assert 0 < found.minutes < 1


def test_a_rehearsal_counts_all_steps_and_stores_nothing(paths: Paths) -> None:
    options = TINY | {"training.batch_size": 4, "training.epochs": 100}
    found = rehearse(Request("hourglass", options=options), paths)
    assert found.params > 0
    assert found.macs > 0
    assert found.memory > 10 * 2**20
    assert found.minutes > 100 * 6 * found.seconds_per_step / 60 > 0
    short = rehearse(Request("hourglass", options=options | {"training.max_minutes": 1e-6}), paths)
    assert short.minutes == 1e-6
    by_time = options | {"training.epochs": 0, "training.max_minutes": 7.5}
    assert rehearse(Request("hourglass", options=by_time), paths).minutes == 7.5
    assert not paths.db.exists()
