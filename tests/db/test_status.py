from __future__ import annotations

import os
import signal
import subprocess
import sys
from datetime import UTC, datetime, timedelta

import pytest

from db import file, status


@pytest.mark.parametrize(
    ("state", "age_s", "alive", "expected"),
    [
        ("running", 1, True, "running"),
        ("running", 59, True, "running"),
        ("running", 1e6, True, "running"),  # the clock was put forward, or the machine slept
        ("running", -1e6, True, "running"),  # the clock was put back
        ("running", 1, None, "running"),  # another host: only the heartbeat speaks
        ("running", 61, None, "stale"),
        ("running", 1, False, "crashed"),  # killed a second ago
        ("running", 1e6, False, "crashed"),
        ("running", -61, None, "stale"),  # a clock that is ahead must not keep it alive
        *[(state, 1e6, False, state) for state in status.ENDED],
        *[(state, 1, True, state) for state in status.ENDED],
    ],
)
def test_status_of_state_heartbeat_and_process(
    state: str, age_s: float, alive: bool | None, expected: str
) -> None:
    assert status.derive(state, age_s, alive) == expected


def test_this_process_is_alive() -> None:
    assert status.process_alive(os.getpid(), status.process_started(os.getpid()))


def test_a_pid_given_out_again_is_another_process() -> None:
    assert not status.process_alive(os.getpid(), status.process_started(os.getpid()) - 3600)


def test_a_killed_process_is_dead_before_its_parent_looks() -> None:
    child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    started = status.process_started(child.pid)
    assert status.process_alive(child.pid, started)
    child.send_signal(signal.SIGKILL)
    os.waitid(os.P_PID, child.pid, os.WEXITED | os.WNOWAIT)  # dead, but still in the table
    assert not status.process_alive(child.pid, started)
    child.wait()
    assert not status.process_alive(child.pid, started)


def _row(**changes: object) -> dict[str, object]:
    row = {"state": "running", "heartbeat_at": file.now(), "host": status.this_host()}
    mine = {"pid": os.getpid(), "process_started": status.process_started(os.getpid())}
    return row | mine | changes


def test_a_row_of_this_process_runs() -> None:
    assert status.of_run(_row()) == "running"


def test_a_row_of_a_dead_process_of_this_host_has_crashed() -> None:
    assert status.of_run(_row(process_started=1.0, heartbeat_at=LONG_AGO)) == "crashed"


LONG_AGO = "2026-01-01T00:00:00.000Z"


def test_a_clock_that_was_changed_under_a_living_run_does_not_end_it() -> None:
    """The start of this process reads an hour later than stored; it was heard of just now."""
    started = status.process_started(os.getpid()) - 3600
    assert status.of_run(_row(process_started=started)) == "running"
    assert status.of_run(_row(heartbeat_at=LONG_AGO)) == "running"
    began = datetime.fromtimestamp(status.process_started(os.getpid()), UTC)
    before = (began - timedelta(seconds=30)).isoformat()  # of a process that had the pid before
    assert status.of_run(_row(process_started=started, heartbeat_at=before)) == "crashed"


def test_the_process_table_says_nothing_about_another_host() -> None:
    assert status.of_run(_row(host="elsewhere", process_started=1.0)) == "running"
    long_ago = (datetime.now(UTC) - timedelta(minutes=2)).isoformat()
    assert status.of_run(_row(host="elsewhere", heartbeat_at=long_ago)) == "stale"


def test_stored_times_are_read_back() -> None:
    assert file.now().endswith("Z")
    assert abs(file.age_s(file.now())) < 5
    an_hour_ago = datetime.now(UTC) - timedelta(hours=1)
    assert file.age_s(an_hour_ago.isoformat()) == pytest.approx(3600, abs=5)
