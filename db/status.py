"""Whether a run still lives: derived when read, for a killed process cannot say that it died."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Mapping

import psutil

from db.file import age_s

STALE_AFTER_S = 60.0
FAULTS = ("collapsed", "diverged")
"""How a training ends that ran, but whose model learned nothing."""

ENDED = ("finished", "interrupted", "failed", *FAULTS)
STATUSES = (*ENDED, "running", "stale", "crashed")

_START_TOLERANCE_S = 2.0  # start times are counted from the boot time, which follows the clock


def derive(state: str, heartbeat_age_s: float, process_alive: bool | None) -> str:
    """Return one of STATUSES.

    state            what the run last wrote of itself
    heartbeat_age_s  seconds since its last heartbeat
    process_alive    None if its process cannot be looked up here: it runs on another host

    Where the process can be looked up, it decides and not the clock, which may be put forward or
    back under a living run. Elsewhere a heartbeat that lies more than a minute in the future says
    nothing either: a clock that is wrong must not keep a dead run alive.
    """
    if state != "running":
        return state
    if process_alive is not None:
        return "running" if process_alive else "crashed"
    return "stale" if abs(heartbeat_age_s) > STALE_AFTER_S else "running"


def of_run(row: Mapping[str, object]) -> str:
    """Return the status of a row of `runs` (state, heartbeat_at, host, pid, process_started)."""
    state = str(row["state"])
    if state != "running":
        return state
    return derive(state, age_s(str(row["heartbeat_at"])), _alive(row))


def why_not_free(row: Mapping[str, object]) -> str | None:
    """Return why the process of a run may still write to it, in one sentence, or None.

    A process of this machine that has not been heard of for long may have been stopped, and goes on
    later: only its end makes the run free. Of another machine nothing but the heartbeat is known.
    """
    if of_run(row) != "running":
        return None
    pid, heartbeat = int(str(row["pid"])), str(row["heartbeat_at"])
    why = f"run {str(row['id'])[:8]} is running: process {pid} on {row['host']} trains it"
    if abs(age_s(heartbeat)) <= STALE_AFTER_S:
        return why
    if pid == os.getpid():  # it trained the run before, and does something else now
        return None
    return f"{why}, though not heard of since {heartbeat} (`kill -KILL {pid}` ends it)"


def _alive(row: Mapping[str, object]) -> bool | None:
    """Return whether the process of a run exists; None if it runs on another host."""
    if row["host"] != this_host():
        return None
    started = float(str(row["process_started"]))
    return process_alive(int(str(row["pid"])), started, str(row["heartbeat_at"]))


def this_host() -> str:
    """Return the name that runs of this machine carry."""
    return platform.node()


def process_started(pid: int) -> float:
    """Return when a process began, in seconds since 1970. Raises psutil.NoSuchProcess."""
    return psutil.Process(pid).create_time()


def process_alive(pid: int, started: float, heartbeat_at: str | None = None) -> bool:
    """Whether `pid` is still the process that began at `started`; pids are given out again.

    heartbeat_at: the last heartbeat of that process. The start of a process is counted from the
    boot time, which jumps with the clock; but one that began before a heartbeat of the last minute
    is who sent it, for no two processes have one pid at a time.
    """
    try:
        process = psutil.Process(pid)
        if process.status() == psutil.STATUS_ZOMBIE:  # killed, its parent has not looked yet
            return False
        began = process.create_time()
        if abs(began - started) <= _START_TOLERANCE_S:
            return True
        return heartbeat_at is not None and -STALE_AFTER_S < age_s(heartbeat_at) < min(
            STALE_AFTER_S, time.time() - began
        )
    except psutil.NoSuchProcess:
        return False
