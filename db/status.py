"""What a run says of itself, put right when it is read.

Whether it still lives: a killed process cannot say that it died. How far it came: a heartbeat comes
every few seconds, so of a run that has ended, the epoch that it names may lie behind the epochs
there are; one that was killed has written neither its best epoch nor how long it took.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psutil

from db import external
from db.file import age_s
from drf import scores

STALE_AFTER_S = 60.0
FAULTS = ("collapsed", "diverged")
"""How a training ends that ran, but whose model learned nothing."""

ENDED = ("finished", "interrupted", "failed", *FAULTS)
STATUSES = (*ENDED, "running", "stale", "crashed")

_START_TOLERANCE_S = 2.0  # start times are counted from the boot time, which follows the clock


def derive(state: str, heartbeat_age_s: float, process_alive: bool | None) -> str:
    """Return one of STATUSES.

    state            what the run last wrote of itself
    heartbeat_age_s  seconds since it was last heard of
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

    heartbeat_at: when that process was last heard of. The start of a process is counted from the
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


SETTLED = ("epoch", "progress", "kept_epoch", "kept_val_nme", "wall_s")
NEEDED = (
    "id",
    "family",
    "status",
    "epochs",
    "started_at",
    "heartbeat_at",
    "process_started",
    *SETTLED,
)

_RESUMED_S = 30.0  # a process that began so long after its run was recorded went on with it


def settled(con: sqlite3.Connection, row: Mapping[str, Any]) -> dict[str, Any]:
    """Return the columns SETTLED of a run, of which `row` has NEEDED; None where it has no value.

    epoch         the last that was finished; of a running run the one that it is in
    progress      of a run that does not train any more no less than the share of finished epochs
    kept_epoch, kept_val_nme   so far, where the run has not ended in order
    wall_s        from its start to its last heartbeat, likewise; None of one that was resumed
    """
    (last,) = con.execute("SELECT max(epoch) FROM epochs WHERE run = ?", [row["id"]]).fetchone()
    running = row["status"] == "running"
    epoch = row["epoch"] if last is None else max(last, row["epoch"]) if running else last
    found = {**{name: row[name] for name in SETTLED}, "epoch": epoch}
    if row["epochs"] and last is not None and not running:
        found["progress"] = min(1.0, max(row["progress"], last / row["epochs"]))
    if row["kept_epoch"] is None:
        found |= _kept_so_far(con, row["id"])
    if row["wall_s"] is None:
        found["wall_s"] = wall_s(row)
    return found


def wall_s(row: Mapping[str, Any]) -> float | None:
    """Return the seconds from the start of a run to its last heartbeat; None of a resumed one, of
    which nobody knows how long it paused, and of one that was trained elsewhere."""
    if row["family"] == external.FAMILY or was_resumed(row):
        return None
    began, heard = (datetime.fromisoformat(row[key]) for key in ("started_at", "heartbeat_at"))
    return max((heard - began).total_seconds(), 0.0)


def was_resumed(row: Mapping[str, Any]) -> bool:
    """Return whether the process of a run is not the one that started it."""
    started = datetime.fromisoformat(row["started_at"])
    return float(row["process_started"]) - started.timestamp() > _RESUMED_S


def _kept_so_far(con: sqlite3.Connection, run: str) -> dict[str, Any]:
    """Return the epoch whose weights `best.safetensors` holds, and its NME under the first
    normaliser of the run's markup; nothing where no epoch was validated."""
    keeps_last = con.execute(
        "SELECT 1 FROM run_config WHERE run = ? AND key = 'training.checkpoint'"
        " AND value = '\"last\"'",
        [run],
    ).fetchone()
    order = "epoch DESC" if keeps_last else "value, epoch"
    for norm in scores.NORMALISER_KEYS:
        found = con.execute(
            "SELECT epoch, value FROM epochs WHERE run = ? AND metric = ? AND value IS NOT NULL"
            f" ORDER BY {order} LIMIT 1",
            [run, f"val_nme_{norm}"],
        ).fetchone()
        if found:
            return {"kept_epoch": found[0], "kept_val_nme": found[1]}
    return {}
