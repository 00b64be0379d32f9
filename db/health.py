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
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd

from db import status
from drf import floor, scores

FINISHED, WORSE_THAN_FLOOR = "finished", "worse than floor"
CONDITIONS = (*status.STATUSES, WORSE_THAN_FLOOR)

_PLACE = ("dataset", "subset", "landmarks", "box", "face_set")
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
    place = ", ".join(f"e.{column}" for column in _PLACE)
    return f"""WITH measured AS MATERIALIZED (
        SELECT {place}, min({_NME}) AS nme
        FROM runs AS r CROSS JOIN evaluations AS e ON e.run = r.id
        WHERE r.family = '{floor.FAMILY}'
        AND {"1" if at_revision is None else f"e.revision <= {at_revision:d}"}
        GROUP BY {place}
    )"""


MEASURED = "LEFT JOIN measured ON " + " AND ".join(f"measured.{c} = e.{c}" for c in _PLACE)
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
