"""A sweep of which workers and the driver are killed has every run once, whatever runs its jobs."""

from __future__ import annotations

import contextlib
import importlib.util
import os
import sys
import time
from pathlib import Path

import psutil
import pytest

from db import reads
from db.connection import open_reader
from db.maintenance import integrity
from drf.errors import DrfError

TIME_LIMIT_S = 900
SETTINGS = """
preset = "hourglass"
dataset = "synthetic"
epochs = 2
[settings]
data.synthetic_train_size = 48
data.input_size = 32
model.width = 8
training.device = "cpu"
"""


class Sweep:
    """A grid and its store. begin() starts the driver, as often as one likes."""

    def __init__(self, folder: Path, engine: str, jobs: int) -> None:
        self.engine, self.jobs, self.db = engine, jobs, folder / "drf.db"
        self.grid = folder / "killed.toml"
        self.grid.write_text(f"seeds = {list(range(jobs))}\n{SETTINGS}")
        self.cache = folder / "cache"

    def begin(self) -> psutil.Popen:
        command = [sys.executable, "-c", "from cli.main import main; main()", "sweep", "run"]
        variables = {"DRF_DB": str(self.db), "DRF_CACHE": str(self.cache)}
        return psutil.Popen(
            [*command, str(self.grid), "--engine", self.engine, "--jobs", "2"],
            env=os.environ | variables,
        )

    def done(self) -> int:
        """Return how many jobs are in the store with their evaluation."""
        return len(self.read("SELECT DISTINCT run FROM evaluations"))

    def kill_worker(self, driver: psutil.Popen, when_done: int) -> None:
        """Kill a process that has a job, once so many jobs are done."""
        self.wait_for(driver, when_done)
        deadline = time.monotonic() + TIME_LIMIT_S
        while not (busy := self.workers(driver)):
            assert driver.poll() is None, "the driver has ended"
            assert time.monotonic() < deadline
            time.sleep(0.05)
        with contextlib.suppress(psutil.NoSuchProcess):
            psutil.Process(busy[0]).kill()

    def workers(self, driver: psutil.Popen) -> list[int]:
        """Return the processes that have a job. Those of Ray are not known to the store."""
        if self.engine == "ray":
            named = {child.pid: _command(child) for child in driver.children(recursive=True)}
            return [pid for pid, command in named.items() if "ray::work_in_folder" in command]
        found = self.read("SELECT pid FROM runs WHERE state = 'running' AND epoch > 0")
        return [pid for pid in found if psutil.pid_exists(pid)]

    def read(self, sql: str) -> list[int]:
        """Return the one column of a query; nothing as long as the store is being made."""
        with contextlib.suppress(DrfError), contextlib.closing(open_reader(self.db)) as con:
            return [value for (value,) in con.execute(sql)]
        return []

    def wait_for(self, driver: psutil.Popen, done: int) -> None:
        deadline = time.monotonic() + TIME_LIMIT_S
        while self.done() < done:
            assert driver.poll() is None, "the driver has ended"
            assert time.monotonic() < deadline
            time.sleep(0.2)


def _command(process: psutil.Process) -> str:
    with contextlib.suppress(psutil.Error):
        return " ".join(process.cmdline())
    return ""


@pytest.mark.slow
@pytest.mark.parametrize(("engine", "jobs"), [("local", 4), ("ray", 24)])
def test_nothing_is_lost_when_two_workers_and_the_driver_are_killed(
    tmp_path: Path, engine: str, jobs: int
) -> None:
    if engine == "ray" and importlib.util.find_spec("ray") is None:
        pytest.skip("the package ray is not installed: pip install drf[ray]")
    sweep = Sweep(tmp_path, engine, jobs)
    driver = sweep.begin()
    sweep.kill_worker(driver, 0)
    sweep.kill_worker(driver, 1)
    sweep.wait_for(driver, 2)
    driver.kill()
    driver.wait()
    assert sweep.begin().wait(timeout=TIME_LIMIT_S) == 0
    with contextlib.closing(open_reader(sweep.db)) as con:
        runs = reads.runs(con)
        assert len(runs) == jobs
        assert set(runs["status"]) == {"finished"}
        evaluated = con.execute("SELECT count(*) FROM evaluations GROUP BY run").fetchall()
        epochs = con.execute("SELECT count(DISTINCT epoch) FROM epochs GROUP BY run").fetchall()
        assert integrity.faults(con) == []
    assert evaluated == [(1,)] * jobs
    assert epochs == [(3,)] * jobs
