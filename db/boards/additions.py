"""What a board got since a revision of the store.

Every write counts the revision up, heartbeats too, so that the number alone says nothing of a
board. An evaluation keeps the revision that it came with.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from db.reads import BOARD

_SINCE = """
    SELECT e.run, r.name, min(EXISTS (
        SELECT 1 FROM evaluations AS o WHERE o.run = e.run AND o.flip_test = e.flip_test
        AND o.revision <= :revision AND {same}
    ))
    FROM evaluations AS e JOIN runs AS r ON r.id = e.run
    WHERE e.revision > :revision AND {where}
    GROUP BY e.run ORDER BY max(e.id)
"""


@dataclass(frozen=True)
class Addition:
    """A run that was evaluated since.

    again: whether all of that replaces what the board already had of it
    """

    run: str
    name: str
    again: bool


def since(
    con: sqlite3.Connection, revision: int, board: Mapping[str, str] | None = None
) -> list[Addition]:
    """Return the runs that were evaluated after a revision, in that order: on one board (values of
    BOARD), or on any."""
    where = " AND ".join(f"e.{column} = :{column}" for column in board or ()) or "1"
    same = " AND ".join(f"o.{column} = e.{column}" for column in BOARD)
    found = con.execute(
        _SINCE.format(where=where, same=same), {"revision": revision, **(board or {})}
    )
    return [Addition(run, name, bool(again)) for run, name, again in found]
