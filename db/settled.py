"""What a run says of itself, put right by what it recorded.

A heartbeat comes every few seconds: of a run that has ended, the epoch that it names may lie behind
the epochs there are. A run that was killed has written neither its best epoch nor how long it took.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from datetime import datetime
from typing import Any

from db import external
from drf import scores

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
