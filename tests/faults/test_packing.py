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


@pytest.mark.parametrize("ended_by", [signal.SIGKILL, signal.SIGTERM])
def test_processes_that_pack_end_with_their_command(
    tmp_path: Path, ended_by: signal.Signals
) -> None:
    """Two workers of 93 MB each lived on for ever, and held the command's stderr open."""
    command = [sys.executable, "-c", "import cli.main; cli.main.main()", "data", "pack"]
    options = ["--synthetic-train-size", str(FACES), "--subset", "train", "--cache", str(tmp_path)]
    packing = subprocess.Popen([*command, *options], stderr=subprocess.PIPE)
    wait_until(lambda: any(crops.stat().st_size for crops in tmp_path.glob("*/*/crops.npy")))
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
