"""Sweeps: grids of jobs that are to become runs. A job and its run have the same id.

The id is a digest of what the job is asked for (`experiments.sweeps.grid.identity`). So two grids
that ask for the same share its run, and nothing is trained twice.
"""

from __future__ import annotations

import difflib
import json
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pandas as pd
from sqlite_utils import Database

from db import status
from db.faces import BOX_FILE
from db.file import now
from db.transactions import writing
from drf.errors import NotFoundError, quoted

DONE = ("finished", *status.FAULTS)
"""How the run of a job has ended that is not trained again: a collapse would come again."""
MISSING, NOT_EVALUATED = "missing", "not evaluated"


@dataclass(frozen=True)
class NewJob:
    """job: 32 hex digits · name: of its run · factors: what differs in the grid, key -> value"""

    job: str
    name: str
    seed: int
    factors: Mapping[str, object]


def record_sweep(db: Database, name: str, subset: str, jobs: Sequence[NewJob]) -> None:
    """Record a sweep; one of the same name has these jobs from now on. subset: that each run is
    evaluated on."""
    rows = [
        {
            "sweep": name,
            "place": place,
            "job": one.job,
            "name": one.name,
            "seed": one.seed,
            "factors": json.dumps(dict(one.factors), ensure_ascii=False),
        }
        for place, one in enumerate(jobs)
    ]
    with writing(db):
        known = db.execute("SELECT created_at FROM sweeps WHERE name = ?", [name]).fetchone()
        created = known[0] if known else now()
        db.execute("DELETE FROM sweeps WHERE name = ?", [name])
        db.table("sweeps").insert({"name": name, "subset": subset, "created_at": created})
        db.table("sweep_jobs").insert_all(rows)


def sweeps(con: sqlite3.Connection) -> pd.DataFrame:
    """Return (name, subset, created_at, jobs) of every sweep, newest first. jobs: how many."""
    rows = con.execute(
        "SELECT s.name, s.subset, s.created_at, count(*) FROM sweeps AS s"
        " JOIN sweep_jobs AS j ON j.sweep = s.name GROUP BY s.name"
        " ORDER BY s.created_at DESC, s.name"
    )
    return pd.DataFrame(rows, columns=["name", "subset", "created_at", "jobs"])


def find_sweep(con: sqlite3.Connection, text: str | None) -> str:
    """Return the name of a sweep, the newest without a text. Raises NotFoundError."""
    known = sweeps(con)["name"].tolist()
    if not known:
        raise NotFoundError("the store has no sweep yet: `drf sweep run GRID.toml` makes one")
    if text is None or text in known:
        return text or str(known[0])
    near = difflib.get_close_matches(text, known, n=3)
    hint = f"did you mean {' or '.join(near)}?" if near else "`drf sweep status` lists all"
    raise NotFoundError(f"there is no sweep {quoted(text)}; {hint}")


def jobs(con: sqlite3.Connection, sweep: str) -> pd.DataFrame:
    """Return the jobs of a sweep in their order: job, name, seed, factors (a dict each), condition,
    progress (0..1), started_at, ended_at, wall_s, reason, evaluation (id of the newest one that is
    that of the sweep: on its subset, of the dataset, landmarks and boxes of the run; NaN without
    one).

    condition: MISSING without a run, NOT_EVALUATED for one that has ended as it should and has no
    evaluation yet, else the status of the run.
    """
    rows = con.execute(
        "SELECT job, name, seed, factors FROM sweep_jobs WHERE sweep = ? ORDER BY place", [sweep]
    ).fetchall()
    found = _runs_of_jobs(con, [job for job, *_ in rows], subset_of(con, sweep))
    rows = [
        {"job": job, "name": name, "seed": seed, "factors": json.loads(factors)} | found[job]
        for job, name, seed, factors in rows
    ]
    wanted = ["job", "name", "seed", "factors", "condition", "progress", "started_at", "ended_at"]
    frame = pd.DataFrame(rows, columns=[*wanted, "wall_s", "reason", "evaluation"])
    numbers = dict.fromkeys(("progress", "wall_s", "evaluation"), "float64")
    return frame.astype(numbers).fillna({"progress": 0.0})


def undone(con: sqlite3.Connection, jobs: Sequence[str], subset: str) -> list[str]:
    """Return those of some jobs, recorded or not, that are not done with an evaluation on a
    subset, see `jobs`."""
    found = _runs_of_jobs(con, jobs, subset)
    return [job for job in jobs if found[job]["condition"] not in DONE]


def _runs_of_jobs(
    con: sqlite3.Connection, jobs: Sequence[str], subset: str
) -> dict[str, dict[str, Any]]:
    """Return what the store has of the run of each job, with its condition, see `jobs`."""
    # A run may be evaluated by hand on another dataset, whose subset has the same name, or on other
    # boxes: that is no result of the sweep.
    cursor = con.execute(
        "SELECT j.value AS job, r.*, (SELECT max(e.id) FROM evaluations AS e"
        " WHERE e.run = r.id AND e.subset = ? AND e.dataset = r.dataset"
        " AND e.landmarks = r.landmarks AND ifnull((SELECT json_extract(value, '$')"
        " FROM run_config WHERE run = r.id AND key = 'data.box'), e.box)"
        f" IN (e.box, iif(e.box GLOB '{BOX_FILE}-*', '{BOX_FILE}', NULL))) AS evaluation"
        " FROM json_each(?) AS j"
        " LEFT JOIN (SELECT id, dataset, landmarks, state, progress, started_at, ended_at, wall_s,"
        " reason, heartbeat_at, host, pid, process_started FROM runs) AS r ON r.id = j.value",
        [subset, json.dumps(list(jobs))],
    )
    columns = [column for column, *_ in cursor.description]
    rows = [dict(zip(columns, values, strict=True)) for values in cursor]
    return {row["job"]: row | {"condition": _condition(row)} for row in rows}


def _condition(row: Mapping[str, object]) -> str:
    if row["id"] is None:
        return MISSING
    found = status.of_run(row)
    return NOT_EVALUATED if found in DONE and row["evaluation"] is None else found


def left(frame: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of `jobs` that are not done."""
    return frame[~frame["condition"].isin(DONE)]


def seconds_left(frame: pd.DataFrame) -> float | None:
    """Return how long the rest of a sweep will take, from the jobs that are done and the number of
    those that run now; None as long as none is done."""
    done = frame[frame["condition"].isin(DONE)]
    if done.empty or done["wall_s"].isna().all():
        return None
    rest = left(frame)
    at_a_time = max(1, int((rest["condition"] == "running").sum()))
    return float(done["wall_s"].mean() * (1 - rest["progress"]).sum() / at_a_time)


def subset_of(con: sqlite3.Connection, sweep: str) -> str:
    """Return the subset that the runs of a sweep are evaluated on."""
    return str(con.execute("SELECT subset FROM sweeps WHERE name = ?", [sweep]).fetchone()[0])


def runs_of(con: sqlite3.Connection, sweep: str) -> list[str]:
    """Return the ids of a sweep's jobs, whether they have a run or not."""
    rows = con.execute("SELECT job FROM sweep_jobs WHERE sweep = ? ORDER BY place", [sweep])
    return [job for (job,) in rows]
