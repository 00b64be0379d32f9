"""Whatever ends a command that packs faces, its processes end with it, and nothing is left over."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import psutil
import pytest

from drf.data.packs import load, pack
from drf.data.synthetic_dataset import SyntheticDataset

FACES = 1000


def wait_until(there: Callable[[], object], seconds: float = 60) -> None:
    deadline = time.monotonic() + seconds
    while not there():
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.02)


def packs(cache: Path) -> subprocess.Popen[bytes]:
    """Return a command that is packing, with faces on the disk already."""
    command = [sys.executable, "-c", "import cli.main; cli.main.main()", "data", "pack"]
    options = ["--synthetic-train-size", str(FACES), "--subset", "train", "--cache", str(cache)]
    packing = subprocess.Popen([*command, *options], stderr=subprocess.PIPE)
    wait_until(lambda: any(crops.stat().st_size for crops in cache.glob("*/*/crops.npy")))
    return packing


@pytest.mark.parametrize("stopped_s", [0.0, 1.0])
def test_a_command_whose_worker_is_killed_ends_with_a_sentence(
    tmp_path: Path, stopped_s: float
) -> None:
    """A command that stands still takes no results, and its workers have handed over some in part:
    it waited for the rest of such a result for ever."""
    packing = packs(tmp_path)
    busy = [
        child
        for child in psutil.Process(packing.pid).children()
        if "spawn_main" in " ".join(child.cmdline())
    ]
    packing.send_signal(signal.SIGSTOP)
    time.sleep(stopped_s)
    busy[0].kill()
    packing.send_signal(signal.SIGCONT)
    try:
        _, said = packing.communicate(timeout=60)
    finally:
        packing.kill()  # nothing where it has ended
    assert packing.returncode == 1
    assert b"Traceback" not in said
    assert b"a process that renders faces has ended" in said
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_processes_that_pack_end_with_their_command(
    tmp_path: Path, ended_by: signal.Signals
) -> None:
    """Two workers of 93 MB each lived on for ever, and held the command's stderr open."""
    packing = packs(tmp_path)
    children = psutil.Process(packing.pid).children(recursive=True)
    assert len(children) >= 2  # the workers, and what Python starts to look after semaphores
    packing.send_signal(ended_by)
    packing.communicate(timeout=30)  # returns when nobody holds its stderr any more
    assert packing.returncode == {signal.SIGKILL: -9, signal.SIGTERM: 130}[ended_by]
    _, alive = psutil.wait_procs(children, timeout=10)
    assert not alive
    if ended_by == signal.SIGTERM:
        assert not list(tmp_path.iterdir())
    pack(SyntheticDataset(size=20), "train", cache_dir=tmp_path)
    (folder,) = tmp_path.iterdir()  # what the killed one left was removed
    assert load(folder) is not None
