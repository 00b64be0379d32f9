"""How a run stands: whether it lives, how far it came, and whether it is ranked.

*Status*, one of STATUSES: a killed process cannot say that it died. How far it came: a heartbeat
comes every few seconds, so of a run that has ended, the epoch that it names may lie behind the
epochs there are; one that was killed has written neither its best epoch nor how long it took.

*Condition* of a run, or of one of its evaluations: its status, or WORSE_THAN_FLOOR where the
training ran to its end but one shape for every face has no larger error. Only what is FINISHED has
a rank, is marked as best, is compared by default and counts in a verdict; everything else is shown
with the word of its condition.

The floor of an evaluation is the best evaluation of the family `mean-shape` on the same board and
faces; without one it is `evaluations.floor_nme`, estimated from the ground truth
(`drf.data.floor`). A run is worse than the floor where all of its evaluations that have a floor
are.
"""

from __future__ import annotations

import os
import platform
import sqlite3
import time
from collections.abc import Mapping
from datetime import datetime
from typing import Any

import numpy as np
import pandas as pd
import psutil

from db.file import age_s
from drf.data import floor
from drf.errors import NotFoundError
from drf.scoring import scores

EXTERNAL = "external"
"""The family of runs that drf did not train: the predictions of a method, imported from a file.
Such a run has nothing that only a training or a model has. Columns of `runs` that may not be NULL
contain 0 where nothing is known; whoever reads them reads NULL."""

ENSEMBLE = "ensemble"
"""The family of runs whose predictions are the mean of other runs' (`experiments.ensemble`). What
such a run cost is the sum over these."""

_WHY_WITHOUT_MODEL = {
    EXTERNAL: "its predictions were imported from a file; `drf import predictions` brings those for"
    " another subset",
    ENSEMBLE: "its predictions are the mean of other runs'; `drf ensemble` makes those for another"
    " subset",
}
WITHOUT_MODEL = tuple(_WHY_WITHOUT_MODEL)
"""Families of runs that drf did not train: they have predictions, but no epochs, no checkpoint."""

NOT_MEASURED = 0.0
"""Milliseconds a face of predictions that no model was run for; what was measured is more."""

_UNKNOWN = ("params", "macs")


def known(column: str, table: str = "") -> str:
    """Return SQL that reads a column of `runs`, NULL where an external run has no such fact.

    table: alias of `runs` with its dot, e.g. "r."
    """
    if column not in _UNKNOWN:
        return f"{table}{column}"
    return f"CASE WHEN {table}family = '{EXTERNAL}' THEN NULL ELSE {table}{column} END"


def known_as(column: str, table: str = "") -> str:
    """Return `known` under the name of the column."""
    return f"{known(column, table)} AS {column}"


def is_external(con: sqlite3.Connection, run: str) -> bool:
    """Return whether a run (full id) was imported."""
    row = con.execute("SELECT family FROM runs WHERE id = ?", [run]).fetchone()
    return row is not None and row[0] == EXTERNAL


def refuse_without_model(run: Mapping[str, Any]) -> None:
    """Raise NotFoundError for a run (of `reads.run`) that has no model."""
    if why := _WHY_WITHOUT_MODEL.get(run["family"]):
        raise NotFoundError(f"run {run['id'][:8]} ({run['name']}) has no model: {why}")


MS_PER_FACE = f"nullif(e.ms_per_face, {NOT_MEASURED}) AS ms_per_face"
"""Column of an evaluation `e`, NULL where nothing was measured."""


SPENT = """(SELECT max(epoch) FROM epochs WHERE run = r.id) AS epochs_trained,
        (SELECT value FROM epochs WHERE run = r.id AND metric = 'steps'
            AND epoch = (SELECT max(epoch) FROM epochs WHERE run = r.id)) AS steps,
        (SELECT value FROM epochs WHERE run = r.id AND metric = 'faces_seen'
            AND epoch = (SELECT max(epoch) FROM epochs WHERE run = r.id)) AS faces_seen,
        json_extract(r.provenance, '$.device') AS device,
        json_extract(r.provenance, '$.hardware') AS hardware,
        json_extract(r.provenance, '$.threads') AS threads,
        (SELECT nullif(json_extract(value, '$'), '') FROM run_config
            WHERE run = r.id AND key = 'training.init_from') AS started_from"""
"""What a run `r` spent until its last epoch, on which machine, and the run whose weights it started
from (full id, NULL for none), which spent something too: as SQL columns."""

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
    which nobody knows how long it paused, and of one that was not trained here."""
    if row["family"] in WITHOUT_MODEL or was_resumed(row):
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


FINISHED, WORSE_THAN_FLOOR = "finished", "worse than floor"

PLACE = ("dataset", "subset", "landmarks", "box", "face_set")
"""Columns of `measured`; the last one is nme."""
_NME = "coalesce({})".format(
    ", ".join(
        f"(SELECT value FROM scores WHERE evaluation = e.id AND norm = '{norm}' AND score = 'nme')"
        for norm in scores.NORMALISER_KEYS
    )
)
"""The NME of an evaluation `e` under the first normaliser that exists there."""

FLOOR = f"CASE WHEN r.family != '{floor.FAMILY}' THEN coalesce(measured.nme, e.floor_nme) END"
"""The floor of an evaluation `e` of a run `r`, a fraction, in a query that has MEASURED."""


def measured(at_revision: int | None = None) -> str:
    """Return a WITH clause that begins a query: the best evaluation of the mean shape on each board
    and set of faces; at_revision: of those that the store had then."""
    place = ", ".join(f"e.{column}" for column in PLACE)
    return f"""WITH measured AS MATERIALIZED (
        SELECT {place}, min({_NME}) AS nme
        FROM runs AS r CROSS JOIN evaluations AS e ON e.run = r.id
        WHERE r.family = '{floor.FAMILY}'
        AND {"1" if at_revision is None else f"e.revision <= {at_revision:d}"}
        GROUP BY {place}
    )"""


MEASURED = "LEFT JOIN measured ON " + " AND ".join(f"measured.{c} = e.{c}" for c in PLACE)
"""What joins `measured` to an evaluation `e`."""


def floors_sql(where: str = "1") -> str:
    """Return SQL that makes (evaluation, run, nme, floor), fractions, of every evaluation that has
    an NME and a floor. where: a condition on its evaluations `e` or runs `r`."""
    return f"""
        {measured()}
        SELECT * FROM (
            SELECT e.id AS evaluation, e.run, {_NME} AS nme, {FLOOR} AS floor
            FROM evaluations AS e JOIN runs AS r ON r.id = e.run {MEASURED}
            WHERE {where} AND {FLOOR} IS NOT NULL
        ) WHERE nme IS NOT NULL
    """


def ranked(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows, with a column `condition`, have a rank: (n,) bool."""
    return (frame["condition"] == FINISHED).to_numpy(dtype=bool)


def takes_place(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows, with `condition` and `family`, take a place among the others: (n,) bool.
    The mean shape takes none: it marks the floor."""
    return ranked(frame) & (frame["family"] != floor.FAMILY).to_numpy(dtype=bool)


def of_evaluations(statuses: pd.Series, nme: np.ndarray, floors: np.ndarray) -> pd.Series:
    """Return the conditions of evaluations: the status of each one's run, its NME and its FLOOR in
    one unit, NaN where there is none."""
    return _conditions(statuses, nme >= floors)


def of_runs(con: sqlite3.Connection, frame: pd.DataFrame) -> pd.Series:
    """Return the conditions of runs: rows with `id` and `status`."""
    worse = {run for (run,) in con.execute(_WORSE, [FINISHED])}
    return _conditions(frame["status"], frame["id"].isin(worse).to_numpy())


def explained(con: sqlite3.Connection, run: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the condition of a run (a row with `id`, `status`, `reason`), and why it is not ranked
    in one sentence, None where it is or nothing is known."""
    status, reason = run["status"], run["reason"]
    if status != FINISHED:
        return status, reason
    found = con.execute(f"{floors_sql('e.run = ?')} ORDER BY evaluation", [run["id"]]).fetchall()
    if not found or any(nme < floor for _, _, nme, floor in found):
        return status, reason
    _, _, nme, least = found[-1]
    return WORSE_THAN_FLOOR, (
        f"the NME of its newest evaluation, {100 * nme:.2f} %, is no better than that of"
        f" one shape for every face, {100 * least:.2f} %: it has learned nothing"
    )


# Most runs are better than the floor in the first evaluation that is looked at.
_WORSE = f"""
    {measured()}
    SELECT r.id FROM runs AS r WHERE r.state = ?
    AND NOT EXISTS (
        SELECT 1 FROM evaluations AS e {MEASURED} WHERE e.run = r.id AND {_NME} < {FLOOR}
    )
    AND EXISTS (
        SELECT 1 FROM evaluations AS e {MEASURED} WHERE e.run = r.id AND {_NME} >= {FLOOR}
    )
"""


def _conditions(statuses: pd.Series, worse: np.ndarray) -> pd.Series:
    return statuses.mask((statuses == FINISHED) & worse, WORSE_THAN_FLOOR)
