"""A run that is killed, stopped, deleted or robbed of its store ends with the same digits, or says
that it has lost the run; nothing is written twice, and nothing is ever missing."""

from __future__ import annotations

import contextlib
import itertools
import os
import random
import signal
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from db.connection import open_store
from db.file import run_folder
from db.recording.runs import delete_run
from db.transactions import writing
from drf import checkpoint, registry
from drf.errors import NotFoundError
from experiments.paths import recover_run
from tests.faults.trainings import Digits, Training, digits, faults, only_run
from tests.models.test_families import SMALL

Whole = Callable[[str], tuple[Training, Digits]]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Whole:
    """Return whole(family) -> a training that nothing interrupted, and its digits."""
    base, known = tmp_path_factory.mktemp("kills"), {}

    def of(family: str) -> tuple[Training, Digits]:
        if family not in known:
            training = Training(base / family, family, SMALL.get(family, {}))
            assert training.run() == 0, training.words()
            assert faults(training.db) == []
            known[family] = training, digits(training.db)
        return known[family]

    return of


def nth(training: Training, point: str, number: int) -> int:
    """Return where the n-th point of a name comes among all points."""
    return [i for i, name in enumerate(training.points(), 1) if name == point][number - 1]


def go_on(training: Training) -> int | None:
    return replace(training, resume=True, kill_at=0).run()


@pytest.mark.parametrize(
    ("point", "number", "after", "how"),
    [
        ("rename last.safetensors", 1, True, signal.SIGKILL),  # initialised; no best weights yet
        ("rename last.safetensors", 2, False, signal.SIGKILL),  # told, but not saved
        ("rename last.safetensors", 3, True, signal.SIGTERM),
        ("rename best.safetensors", 2, True, signal.SIGHUP),
        ("commit record.db", -2, False, signal.SIGINT),
    ],
)
def test_a_run_that_ends_at_any_point_goes_on_to_the_same_digits(
    whole: Whole, tmp_path: Path, point: str, number: int, after: bool, how: int
) -> None:
    undisturbed, expected = whole("gaussian-forest")
    there = undisturbed.points().count(point)
    at = number if number > 0 else there + number + 1
    assert 1 <= at <= there
    training = replace(
        undisturbed, folder=tmp_path / "run", kill_at=at, point=point, after=after, number=how
    )
    share_packs(undisturbed, training)
    assert training.run() == (-how if how == signal.SIGKILL else 130), training.words()
    assert faults(training.db) == []
    assert only_run(training.db)["status"] == (
        "crashed" if how == signal.SIGKILL else "interrupted"
    )
    assert go_on(training) == 0, training.words()
    assert digits(training.db) == expected
    assert faults(training.db) == []


def share_packs(done: Training, new: Training) -> None:
    """Let a training in another folder find the packed faces of one that was done."""
    cache = new.folder.parent / "cache"
    if not cache.exists():
        cache.symlink_to(done.folder.parent / "cache")


@contextlib.contextmanager
def stopped(training: Training) -> Any:
    """A process that stopped itself; it goes on where the block ends, and has then ended."""
    process = training.start()
    try:
        there = psutil.Process(process.pid)
        deadline = time.monotonic() + 120
        while there.status() != psutil.STATUS_STOPPED:
            assert time.monotonic() < deadline, training.words()
            assert process.is_alive(), training.words()
            time.sleep(0.02)
        yield process
        os.kill(process.pid or 0, signal.SIGCONT)
        process.join(120)
    finally:
        process.kill()


def say_it_is_elsewhere(db: Path) -> None:
    """Let a run look as if another host had not been heard of for an hour."""
    with contextlib.closing(open_store(db)) as store, writing(store):
        store.execute("UPDATE runs SET host = 'elsewhere'")
        store.execute("UPDATE runs SET heartbeat_at = '2026-01-01T00:00:00.000Z'")


@pytest.fixture
def stopping(whole: Whole, tmp_path: Path) -> Training:
    """A training that stops itself when the store has its first epoch, before its checkpoint."""
    undisturbed, _ = whole("cnn-heatmap")
    saved = nth(undisturbed, "rename last.safetensors", 2)
    training = replace(undisturbed, folder=tmp_path / "run", number=signal.SIGSTOP, after=True)
    share_packs(undisturbed, training)
    return replace(training, kill_at=saved - 1)


def files(db: Path) -> dict[str, tuple[int, int]]:
    """What lies in the folder of the one run, and when it was written."""
    folder = run_folder(db, only_run(db)["id"])
    found = {path.name: path.stat() for path in folder.glob("*.safetensors")}
    return {name: (at.st_mtime_ns, at.st_ino) for name, at in found.items()}


def test_of_two_processes_of_one_run_the_first_stops_writing(
    whole: Whole, stopping: Training
) -> None:
    with stopped(stopping) as process:
        with contextlib.closing(open_store(stopping.db)) as store, writing(store):
            store.execute("UPDATE runs SET heartbeat_at = '2026-01-01T00:00:00.000Z'")
        refused = replace(stopping, resume=True, kill_at=0)
        assert refused.run() == 2
        assert f"process {process.pid} on" in refused.words()
        assert "though not heard of since 2026-01-01" in refused.words()
        say_it_is_elsewhere(stopping.db)
        assert go_on(stopping) == 0, stopping.words()
        before = digits(stopping.db), files(stopping.db)
    assert process.exitcode == 1
    assert "was resumed there: nothing more of it is written here" in stopping.words()
    assert before == (digits(stopping.db), files(stopping.db))
    assert before[0] == whole("cnn-heatmap")[1]
    assert faults(stopping.db) == []


def test_a_run_that_is_deleted_while_it_trains_says_so(stopping: Training) -> None:
    with stopped(stopping) as process:
        run = only_run(stopping.db)["id"]
        before = files(stopping.db)
        say_it_is_elsewhere(stopping.db)
        with contextlib.closing(open_store(stopping.db)) as store:
            delete_run(store, run)
    assert process.exitcode == 1
    assert "is not in the store any more: nothing more of it is written" in stopping.words()
    with contextlib.closing(open_store(stopping.db)) as store:
        assert store.table("runs").count == store.table("epochs").count == 0
    now = {path.name: path.stat() for path in run_folder(stopping.db, run).glob("*.safetensors")}
    assert before == {name: (at.st_mtime_ns, at.st_ino) for name, at in now.items()}


def test_a_store_that_is_replaced_while_a_run_trains_gets_the_run_back(
    whole: Whole, stopping: Training
) -> None:
    with stopped(stopping) as process:
        run = only_run(stopping.db)["id"]
        for path in stopping.folder.glob("drf.db*"):
            path.unlink()
        open_store(stopping.db).close()
    assert process.exitcode == 1
    folder = run_folder(stopping.db, run)
    assert "was deleted or replaced while it was in use" in stopping.words()
    assert f"`drf runs recover {folder}`" in stopping.words()
    for _ in range(2):  # once more changes nothing
        assert recover_run(folder, stopping.db) == run
        assert only_run(stopping.db)["status"] == "failed"
    assert go_on(stopping) == 0, stopping.words()
    assert digits(stopping.db) == whole("cnn-heatmap")[1]
    assert faults(stopping.db) == []


@pytest.mark.slow
def test_a_hundred_kills_lose_nothing(whole: Whole, tmp_path: Path) -> None:
    """DRF_FAULTS kills, 100 without it: at random moments and at exact points, several of one run,
    of every family in turn."""
    seed = int(os.environ.get("DRF_FAULT_SEED", "12"))
    kills = int(os.environ.get("DRF_FAULTS", "100"))
    chance, began = random.Random(seed), time.monotonic()
    done = {"at a point": 0, "at a moment": 0, "before the first checkpoint": 0}
    for number in itertools.count():
        if sum(done.values()) >= kills:
            break
        family = list(registry.FAMILIES)[number % len(registry.FAMILIES)]
        undisturbed, expected = whole(family)
        took = only_run(undisturbed.db)["wall_s"] + 1.0
        training, code = replace(undisturbed, folder=tmp_path / f"run{number}"), None
        share_packs(undisturbed, training)
        for again in range(chance.randint(1, 3)):
            if chance.random() < 0.5:
                how, kill_at = "at a point", chance.randint(1, len(undisturbed.points()))
                code = replace(training, kill_at=kill_at, after=chance.random() < 0.5).run()
            else:
                how, moment = "at a moment", chance.uniform(0, 1.2) * took
                code = killed_at_a_moment(training, moment)
            if code == 0:  # it had ended already
                break
            assert code == -signal.SIGKILL, training.words()
            assert not training.db.exists() or faults(training.db) == [], family
            if can_go_on(training):
                done[how] += 1
                training = replace(training, resume=True)
            else:
                done["before the first checkpoint"] += 1
                folder = tmp_path / f"run{number}-{again}"
                training = replace(training, folder=folder, resume=False)
        if code != 0:
            assert training.run() == 0, training.words()
        assert digits(training.db) == expected, family
        assert faults(training.db) == [], family
        seconds = time.monotonic() - began
        print(f"seed {seed}: {number + 1} runs, kills {done}, {seconds:.0f} s", flush=True)


def killed_at_a_moment(training: Training, seconds: float) -> int | None:
    process = training.start()
    process.join(seconds)
    process.kill()
    process.join(120)
    return process.exitcode


def can_go_on(training: Training) -> bool:
    """Return whether the run has a checkpoint; where it has none, resuming it says so."""
    if list(training.folder.glob(f"*/{checkpoint.LAST}")):
        return True
    with contextlib.suppress(ValueError, NotFoundError):  # no run yet, or no store
        only_run(training.db)
        refused = replace(training, resume=True, kill_at=0)
        assert refused.run() == 3
        assert "has no checkpoint" in refused.words()
    return False
