"""Writes of a run's life: start, heartbeat, curves, end, deletion. Each is one transaction.

A run belongs to one process at a time. Who starts or resumes it claims it, and gets the number of
the claim; the training writes inside `claimed`, which refuses a number that is no longer the run's.
"""

from __future__ import annotations

import json
import math
import os
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from sqlite_utils import Database

from db import file, status
from db.faces import delete_orphan_faces, store_markup
from db.tables.derived import note_trained_on
from db.transactions import locked, writing
from drf.errors import DrfError, NotFoundError, UsageError
from drf.landmarks.markup import Markup


@dataclass(frozen=True)
class NewRun:
    """What is known of a run before its first step.

    name        shown on the board; runs that differ only in their seed may share it
    family      key of the model registry, e.g. hourglass
    preset      name of the preset it came from, None if from none
    dataset     what it trains on
    track       rules it keeps (e.g. ten-minutes), None if it runs free
    landmarks   landmark subset
    markup      of the training faces
    epochs      planned, None where a budget of time decides or nothing is trained
    config      flat, "training.lr": 1e-3; values JSON can hold
    sources     where each key of config came from: default, preset NAME, file PATH, --set, ...
    provenance  git commit and dirty diff, versions, hardware, device, precision, command line
    manifest    counts, skipped faces and digest of the training subset
    params      trainable parameters
    macs        multiply-accumulates for one face
    trained_on  what it learned from, see `db.tables.derived`; None where that follows from dataset
                and configuration
    """

    name: str
    family: str
    preset: str | None
    dataset: str
    track: str | None
    landmarks: str
    markup: Markup
    seed: int
    epochs: int | None
    config: dict[str, Any]
    sources: dict[str, str]
    provenance: dict[str, Any]
    manifest: dict[str, Any]
    params: int
    macs: int
    trained_on: str | None = None


FIRST_CLAIM = 1
"""Number of the claim with which a run starts."""


class LostRun(DrfError):
    """The run belongs to another process by now, or was deleted."""


def start_run(db: Database, new: NewRun, run: str | None = None) -> str:
    """Record a run as running in this process and return its id, 32 hex digits. This process has
    the FIRST_CLAIM on it.

    run: the id, for a job of a sweep; None draws one
    Raises ValueError if config and sources have different keys, or a value is not JSON, UsageError
    for an id that is taken, and as `db.faces.store_markup`.
    """
    if new.config.keys() != new.sources.keys():
        odd = sorted(new.config.keys() ^ new.sources.keys())
        raise ValueError(f"config and sources differ in {', '.join(odd)}")
    run, now = run or uuid.uuid4().hex, file.now()
    row = {
        "id": run,
        **{name: getattr(new, name) for name in _PLAIN},
        "markup": new.markup.name,
        "provenance": _json(new.provenance),
        "manifest": _json(new.manifest),
        "claim": FIRST_CLAIM,
        **_process(),
        "started_at": now,
        "heartbeat_at": now,
    }
    config = [
        {"run": run, "key": key, "value": _json(value), "source": new.sources[key]}
        for key, value in new.config.items()
    ]
    with writing(db):
        if db.execute("SELECT 1 FROM runs WHERE id = ?", [run]).fetchone():
            raise UsageError(f"run {run[:8]} is in the store already: another process started it")
        store_markup(db, new.markup)
        db.table("runs").insert(row)
        db.table("run_config").insert_all(config)
        note_trained_on(db.conn, run)
    return run


def resume_run(db: Database, run: str, changes: Mapping[str, Any], *, beyond: int = 0) -> int:
    """Record that an ended or crashed run goes on in this process, with some keys changed; return
    the number of the claim.

    changes  flat configuration keys and their new values, whose source becomes "resume";
             training.epochs is the planned number too
    beyond   a number that was claimed elsewhere, where the store was put back to an earlier state
    Raises UsageError while the run's process may still write, NotFoundError if it is not there.
    """
    now = file.now()
    with writing(db):
        row = require_run(db, run)
        if why := status.why_not_free(row):
            raise UsageError(f"{why}; resume it when that has ended")
        claim = max(row["claim"], beyond) + 1
        again = _process() | {"claim": claim, "heartbeat_at": now, "ended_at": None, "reason": None}
        again |= {"kept_epoch": None, "kept_val_nme": None}  # `status.settled` reads them so far
        if "training.epochs" in changes:
            again["epochs"] = changes["training.epochs"] or None
        db.table("runs").update(run, again)
        db.table("run_config").upsert_all(
            [
                {"run": run, "key": key, "value": _json(value), "source": "resume"}
                for key, value in changes.items()
            ],
            pk=("run", "key"),
        )
    return claim


@contextmanager
def claimed(db: Database, run: str, claim: int) -> Iterator[None]:
    """Run a block as one transaction of the process that has the claim.

    Raises LostRun, before the block, if another process has claimed the run since, or it is gone.
    """
    with locked(db):
        require_claim(db, run, claim)
        yield


def require_claim(db: Database, run: str, claim: int) -> None:
    """Raise LostRun if a claim on a run is not the newest, or the run is gone."""
    row = db.execute("SELECT claim, pid, host FROM runs WHERE id = ?", [run]).fetchone()
    if row is None:
        raise LostRun(f"run {run[:8]} is not in the store any more: nothing more of it is written")
    if row[0] != claim:
        raise LostRun(
            f"process {row[1]} on {row[2]} goes on with run {run[:8]}, which was resumed there:"
            " nothing more of it is written here"
        )


def record_heartbeat(
    db: Database, run: str, *, epoch: int, progress: float, faces_per_s: float
) -> None:
    """Record that a run lives and how far it is; at least every 30 s, for it is stale after 60.

    The start of its process is written again: it is counted from the boot time, which follows the
    clock, and after a correction of the clock the process would else seem to be another one.
    progress  share of the whole run, 0..1
    Raises NotFoundError if the run was deleted meanwhile.
    """
    values = {"epoch": epoch, "progress": progress, "faces_per_s": faces_per_s}
    alive = {"heartbeat_at": file.now(), "process_started": status.process_started(os.getpid())}
    _update(db, run, values | alive)


def record_epoch(db: Database, run: str, epoch: int, values: dict[str, float]) -> None:
    """Record the metrics of one epoch (fractions, seconds, ...); replaces those of the same name.

    Values that are not finite are kept as NULL. Raises NotFoundError if the run was deleted.
    """
    rows = [
        {
            "run": run,
            "epoch": epoch,
            "metric": metric,
            "value": value if math.isfinite(value) else None,
        }
        for metric, value in values.items()
    ]
    with writing(db):
        require_run(db, run)
        db.table("epochs").insert_all(rows, replace=True)


def end_run(
    db: Database,
    run: str,
    state: str,
    *,
    reason: str | None = None,
    wall_s: float | None,
    faces_per_s: float | None,
    kept_epoch: int | None,
    kept_val_nme: float | None,
) -> None:
    """Record how a run ended: finished, interrupted, failed, collapsed or diverged. Its epoch
    becomes the last that was recorded: that of the last heartbeat may lie behind.

    reason        one sentence, for all states but finished
    wall_s        seconds of training, all sessions together
    faces_per_s   mean over the training
                  None leaves what is stored of either: nothing, where nothing was trained here
    kept_val_nme  validation NME of the epoch whose weights were kept (the best, or the last where
                  training.checkpoint says so), a fraction
    Raises NotFoundError if the run was deleted meanwhile.
    """
    if state not in status.ENDED:
        raise ValueError(f"a run ends as one of {', '.join(status.ENDED)}, not {state!r}")
    now = file.now()
    done = {"progress": 1.0} if state == "finished" else {}
    (last,) = db.execute("SELECT max(epoch) FROM epochs WHERE run = ?", [run]).fetchone()
    _update(
        db,
        run,
        {
            **done,
            **({} if last is None else {"epoch": last}),
            **({} if wall_s is None else {"wall_s": wall_s}),
            **({} if faces_per_s is None else {"faces_per_s": faces_per_s}),
            "state": state,
            "reason": reason,
            "kept_epoch": kept_epoch,
            "kept_val_nme": kept_val_nme,
            "heartbeat_at": now,
            "ended_at": now,
        },
    )


DIED = "its process ended without saying why"


def reap(db: Database) -> list[str]:
    """Record as failed every run whose process is gone, or of another machine has not been heard
    of; return their ids. They can be resumed as before."""
    with writing(db):
        rows = db.table("runs").rows_where("state = 'running'", order_by="started_at")
        dead = [row for row in rows if status.of_run(row) != "running"]
        for row in dead:
            ended = {"state": "failed", "reason": DIED, "ended_at": row["heartbeat_at"]}
            db.table("runs").update(row["id"], ended)
    return [row["id"] for row in dead]


def delete_run(db: Database, run: str) -> None:
    """Delete a run with its curves, evaluations and pictures, and the faces that no other shows.
    What stays is its name, for the boards that it was on: see `db.boards.changes`.

    Raises NotFoundError if there is no such run, UsageError while its process may still write.
    """
    with writing(db):
        if why := status.why_not_free(require_run(db, run)):
            raise UsageError(f"{why}; stop it first, then delete the run")
        db.execute(_NOTE_DELETION, {"run": run, "now": file.now()})
        db.execute("DELETE FROM runs WHERE id = ?", [run])
        delete_orphan_faces(db)


def require_run(db: Database, run: str) -> dict[str, Any]:
    """Return the row of a run. Raises NotFoundError if it was deleted."""
    rows = list(db.table("runs").rows_where("id = ?", [run]))
    if not rows:
        raise NotFoundError(f"run {run[:8]} is not in the store any more; it was deleted")
    return rows[0]


_NOTE_DELETION = """
    INSERT OR REPLACE INTO deletions
    SELECT DISTINCT r.id, r.name, e.dataset, e.subset, e.landmarks, e.box, :now,
        (SELECT value + 1 FROM meta WHERE key = 'revision')
    FROM evaluations AS e JOIN runs AS r ON r.id = e.run WHERE e.run = :run
"""
_PLAIN = (
    *("name", "family", "preset", "dataset", "track", "landmarks", "seed", "epochs"),
    *("params", "macs", "trained_on"),
)


def _process() -> dict[str, Any]:
    """What says that a run is alive in this process."""
    return {
        "state": "running",
        "host": status.this_host(),
        "pid": os.getpid(),
        "process_started": status.process_started(os.getpid()),
    }


def _update(db: Database, run: str, values: dict[str, Any]) -> None:
    with writing(db):
        require_run(db, run)
        db.table("runs").update(run, values)


def _json(value: Any) -> str:
    return json.dumps(value, allow_nan=False, ensure_ascii=False)
