"""One writer and many readers at the same time, and a writer that is killed."""

from __future__ import annotations

import os
import signal
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest

from db import reads
from db.connection import open_reader, open_store
from db.maintenance import integrity
from tests.db import examples, processes


def test_readers_never_see_half_an_evaluation_and_never_wait(path: Path) -> None:
    open_store(path).close()
    with ProcessPoolExecutor(3, mp_context=processes.SPAWN) as pool:
        readers = [pool.submit(processes.read_until_finished, path, 100) for _ in range(2)]
        writer = pool.submit(processes.write_evaluations, path, 25, 100)
        assert writer.result(60) == 25
        assert all(reader.result(60) >= 1 for reader in readers)
    con = open_reader(path)
    assert con.execute("SELECT count(*) FROM predictions").fetchone() == (2500,)
    assert integrity.faults(con) == []
    con.close()


@pytest.mark.parametrize("writers", [2, pytest.param(16, marks=pytest.mark.slow)])
def test_writers_take_turns(path: Path, writers: int) -> None:
    calls = [(path, 10, 20)] * writers
    assert processes.in_parallel(processes.write_evaluations, calls) == [10] * writers
    con = open_reader(path)
    assert reads.revision(con) == writers * (1 + 10 + 10 + 1)  # no write was lost
    assert len(reads.runs(con)) == writers
    written = con.execute("SELECT count(*) FROM predictions").fetchone()
    assert written == (writers * 10 * 20,)
    assert integrity.faults(con) == []
    con.close()


def test_a_reader_takes_no_lock_away_from_a_writer_of_the_same_process(path: Path) -> None:
    """Else the next process to close would remove the log, and what is written after is lost."""
    writer = open_store(path)
    open_reader(path).close()
    assert processes.in_parallel(processes.create, [(path,)]) == ["ok"]
    examples.add_finished_run(writer, name="after")
    con = open_reader(path)
    assert reads.runs(con)["name"].tolist() == ["after"]
    con.close()
    writer.close()


@pytest.mark.parametrize("delay_s", [0.0, 0.013, 0.031])
def test_a_writer_killed_at_any_moment_leaves_a_sound_store(path: Path, delay_s: float) -> None:
    open_store(path).close()
    writer = processes.SPAWN.Process(target=processes.write_for_ever, args=(path,))
    writer.start()
    con = open_reader(path)
    deadline = time.monotonic() + 60
    while reads.revision(con) < 6:
        assert time.monotonic() < deadline, "the writer wrote nothing"
        time.sleep(0.005)
    assert reads.runs(con)["status"].tolist() == ["running"]
    time.sleep(delay_s)
    assert writer.pid is not None
    os.kill(writer.pid, signal.SIGKILL)
    # The writer is dead though nobody has waited for it, and its heartbeat is a moment old.
    while reads.runs(con)["status"].tolist() == ["running"]:
        assert time.monotonic() < deadline, "a killed run still shows as running"
        time.sleep(0.005)
    assert reads.runs(con)["status"].tolist() == ["crashed"]
    assert set(reads.leaderboard(con)["status"]) == {"crashed"}
    assert integrity.faults(con) == []
    con.close()
    writer.join()
    store = open_store(path)  # and the next writer goes on at once
    examples.add_finished_run(store)
    store.close()
