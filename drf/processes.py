"""Processes: who this one is, whether another one still lives, and ending together.

Imports nothing heavy: the command line does at its start.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import os
import platform
import signal
import threading
from collections.abc import Iterator, Mapping
from pathlib import Path


def ending_signals() -> list[int]:
    """Return the signals, beside SIGINT, that ask this process to end: SIGTERM, and SIGHUP of a
    closed terminal unless it is ignored, as under nohup."""
    asked = [getattr(signal, name) for name in ("SIGTERM", "SIGHUP") if hasattr(signal, name)]
    return [number for number in asked if signal.getsignal(number) is not signal.SIG_IGN]


def end_with_parent() -> None:
    """End this process, which multiprocessing started, when its parent has ended, whatever ended
    that: it gets SIGTERM. Without this a worker waits for its next task for ever."""
    import multiprocessing
    from multiprocessing.connection import wait

    parent = multiprocessing.parent_process()
    if parent is None:
        return

    def watch() -> None:
        wait([parent.sentinel])
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()


@contextlib.contextmanager
def environment(values: Mapping[str, str]) -> Iterator[None]:
    """Set environment variables for the processes that start within."""
    before = {name: os.environ.get(name) for name in values}
    os.environ.update(values)
    try:
        yield
    finally:
        for name, value in before.items():
            if value is None:
                del os.environ[name]
            else:
                os.environ[name] = value


@functools.cache
def host() -> str:
    """Return 8 hexadecimal digits that stand for where process ids are counted: this machine since
    it was started, or this container."""
    facts = [platform.node()]
    for path, read in (
        ("/proc/sys/kernel/random/boot_id", lambda path: path.read_text()),
        ("/proc/self/ns/pid", lambda path: str(path.readlink())),
    ):
        try:
            facts.append(read(Path(path)))
        except OSError:  # no Linux: the name of the machine must do
            continue
    return hashlib.sha256(repr(facts).encode()).hexdigest()[:8]


def is_gone(pid: int) -> bool:
    """Return whether there is no process of this id on this `host`, or one that has ended."""
    import psutil

    try:
        return psutil.Process(pid).status() == psutil.STATUS_ZOMBIE
    except psutil.NoSuchProcess:
        return True
    except psutil.Error:
        return False
