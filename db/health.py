"""Whether a run is finished and sound: what a board ranks, and what it only shows.

A run has a *status* (`db.status`). The *condition* of a run, or of one of its evaluations, is its
status, or WORSE_THAN_FLOOR where the training ran to its end but one shape for every face has no
larger error. Only what is FINISHED has a rank, is marked as best, is compared by default and counts
in a verdict; everything else is shown with the word of its condition.

The floor of an evaluation is the best evaluation of the family `mean-shape` on the same board and
faces; without one it is `evaluations.floor_nme`, estimated from the ground truth (`drf.floor`). A
run is worse than the floor where all of its evaluations that have a floor are.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd

from db import status
from drf import floor, scores

FINISHED, WORSE_THAN_FLOOR = "finished", "worse than floor"
CONDITIONS = (*status.STATUSES, WORSE_THAN_FLOOR)

_PLACE = "dataset, subset, landmarks, box, face_set"


def floors_sql(at_revision: int | None = None, only: Iterable[int] | None = None) -> str:
    """Return SQL that makes (evaluation, run, nme, floor), fractions, of every evaluation that has
    an NME and a floor; at_revision: of those that the store had then; only: of evaluations with
    these ids, and of the mean shape, which makes their floors."""
    asked = "1"
    if only is not None:
        asked = f"(e.id IN ({', '.join(map(str, only))}) OR r.family = '{floor.FAMILY}')"
    nmes = ", ".join(
        f"(SELECT value FROM scores WHERE evaluation = e.id AND norm = '{norm}' AND score = 'nme')"
        for norm in scores.NORMALISER_KEYS
    )
    place = ", ".join(f"e.{column}" for column in _PLACE.split(", "))
    return f"""
        WITH scored AS MATERIALIZED (
            SELECT e.id AS evaluation, e.run, r.family, {place}, e.floor_nme,
            coalesce({nmes}) AS nme
            FROM evaluations AS e JOIN runs AS r ON r.id = e.run
            WHERE {"1" if at_revision is None else f"e.revision <= {at_revision:d}"} AND {asked}
        ), measured AS (
            SELECT {_PLACE}, min(nme) AS nme FROM scored
            WHERE family = '{floor.FAMILY}' GROUP BY {_PLACE}
        )
        SELECT evaluation, run, scored.nme, coalesce(measured.nme, floor_nme) AS floor
        FROM scored LEFT JOIN measured USING ({_PLACE})
        WHERE family != '{floor.FAMILY}' AND scored.nme IS NOT NULL
        AND coalesce(measured.nme, floor_nme) IS NOT NULL
    """


def ranked(frame: pd.DataFrame) -> np.ndarray:
    """Return which rows, with a column `condition`, have a rank: (n,) bool."""
    return (frame["condition"] == FINISHED).to_numpy(dtype=bool)


def of_evaluations(
    con: sqlite3.Connection, frame: pd.DataFrame, *, at_revision: int | None = None
) -> pd.Series:
    """Return the conditions of evaluations: rows with `evaluation` and `status`; at_revision: with
    the floors that were known then."""
    asked = frame["evaluation"].astype(int).tolist()
    worse = _floors(con, at_revision, asked).query("nme >= floor")["evaluation"]
    return _conditions(frame, frame["evaluation"].isin(worse))


def of_runs(con: sqlite3.Connection, frame: pd.DataFrame) -> pd.Series:
    """Return the conditions of runs: rows with `id` and `status`."""
    return _of_runs(_floors(con), frame)


def explained(con: sqlite3.Connection, run: Mapping[str, Any]) -> tuple[str, str | None]:
    """Return the condition of a run (a row with `id`, `status`, `reason`), and why it is not ranked
    in one sentence, None where it is or nothing is known."""
    own = [i for (i,) in con.execute("SELECT id FROM evaluations WHERE run = ?", [run["id"]])]
    floors = _floors(con, only=own)
    (condition,) = _of_runs(floors, pd.DataFrame([{key: run[key] for key in ("id", "status")}]))
    if condition != WORSE_THAN_FLOOR:
        return condition, run["reason"]
    mine = floors.iloc[-1]  # floors are of no run of the mean shape, so all are of this one
    return condition, (
        f"the NME of its newest evaluation, {100 * mine['nme']:.2f} %, is no better than that of"
        f" one shape for every face, {100 * mine['floor']:.2f} %: it has learned nothing"
    )


def _of_runs(floors: pd.DataFrame, frame: pd.DataFrame) -> pd.Series:
    worse = (floors["nme"] >= floors["floor"]).groupby(floors["run"]).all()
    return _conditions(frame, frame["id"].isin(worse.index[worse.to_numpy(dtype=bool)]))


def _conditions(frame: pd.DataFrame, worse: pd.Series) -> pd.Series:
    return frame["status"].mask((frame["status"] == FINISHED) & worse, WORSE_THAN_FLOOR)


def _floors(
    con: sqlite3.Connection, at_revision: int | None = None, only: Iterable[int] | None = None
) -> pd.DataFrame:
    return pd.read_sql_query(f"{floors_sql(at_revision, only)} ORDER BY evaluation", con)
