"""What is new on a board since a revision of the store, or since a day: rows that came, rows whose
place or error changed, and runs that were deleted."""

from __future__ import annotations

import re
import sqlite3
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import pandas as pd

from db.boards.board import places
from db.reads import BOARD, revision
from drf.errors import UsageError, quoted
from drf.scoring import scores
from drf.text import decimals


@dataclass(frozen=True)
class Change:
    """A row of a board that is not what it was.

    id            of the run or method
    place, nme    today; place None where it has no rank; nme in percent
    ..._before    the same at the revision; nme_before None where the row is new
    """

    id: str
    name: str
    place: int | None
    nme: float
    place_before: int | None = None
    nme_before: float | None = None

    def shown(self) -> tuple[str, str]:
        """Return place and NME as text, "3 → 2" where they were others."""
        place, nme = _place(self.place), decimals(self.nme)
        if self.nme_before is None:
            return place, nme
        return _arrow(_place(self.place_before), place), _arrow(decimals(self.nme_before), nme)


@dataclass(frozen=True)
class Deletion:
    """A run that left a board. deleted_at: UTC, as `db.file.now`."""

    run: str
    name: str
    deleted_at: str


@dataclass(frozen=True)
class Changes:
    """What is new on a board since a revision: rows in the order of the board, then deletions."""

    revision: int
    added: tuple[Change, ...] = ()
    moved: tuple[Change, ...] = ()
    deleted: tuple[Deletion, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.added or self.moved or self.deleted)

    def lines(self) -> list[tuple[str, str, str, str, str]]:
        """Return the lines of a table with the columns COLUMNS."""
        came = [("added", one.name, *one.shown(), one.id[:8]) for one in self.added]
        changed = [("changed", one.name, *one.shown(), one.id[:8]) for one in self.moved]
        gone = [("deleted", one.name, "", "", one.run[:8]) for one in self.deleted]
        return [*came, *changed, *gone]


COLUMNS = ("what", "name", "place", "NME, %", "id")
"""Headings of `Changes.lines`."""


def revision_of(con: sqlite3.Connection, text: str) -> int:
    """Return the revision that a user names: by its number, or by a day or time, which stands for
    the last revision before the first evaluation or deletion after it. Times without a zone are
    UTC. Raises UsageError for what is neither, and for a revision that is still to come.
    """
    now = revision(con)
    if re.fullmatch(r"[0-9]{1,18}", text):
        if int(text) > now:
            raise UsageError(f"the store is at revision {now} and has no revision {text} yet")
        return int(text)
    try:
        then = datetime.fromisoformat(text)
        then = then.replace(tzinfo=UTC) if then.tzinfo is None else then.astimezone(UTC)
    except (ValueError, OverflowError) as error:  # the latter: before year 1 or after 9999 in UTC
        raise UsageError(
            f"{quoted(text)} is no revision and no time: give a number, or a day as 2026-11-23"
        ) from error
    stored = then.isoformat(timespec="milliseconds").replace("+00:00", "Z")
    (first,) = con.execute(_FIRST_AFTER, {"then": stored}).fetchone()
    return now if first is None else max(0, int(first) - 1)


def compared(
    since: int,
    before: pd.DataFrame,
    rows: pd.DataFrame,
    norm: str,
    deleted: Sequence[Deletion] = (),
) -> Changes:
    """Return what is new on a board since a revision.

    before, rows: the board at the revision and today, rows of `db.boards.board`; norm: key of the
    normaliser that ranks; deleted: of `deletions`. NMEs are compared as they are shown, so a change
    below that is none.
    """
    nme = scores.column(norm, "nme")
    old, new = _placed(before, nme), _placed(rows, nme)
    added, moved = [], []
    for key, (row, place) in new.items():
        change = Change(row["id"], row["name"], place, float(row[nme]))
        *same, ranked = key  # a row that lost or got its rank is no new one
        found = old.get(key) or old.get((*same, not ranked))
        if found is None:
            added.append(change)
            continue
        earlier, place_before = found
        was = float(earlier[nme])
        if place != place_before or decimals(was) != decimals(change.nme):
            moved.append(replace(change, place_before=place_before, nme_before=was))
    return Changes(since, tuple(added), tuple(moved), tuple(deleted))


def deletions(
    con: sqlite3.Connection, since: int, board: Mapping[str, str], still_there: pd.DataFrame
) -> list[Deletion]:
    """Return the runs that were deleted from a board (values of BOARD) after a revision, oldest
    first, but for those that came back.

    still_there: rows of `db.boards.board` of today
    """
    where = " AND ".join(f"{column} = :{column}" for column in BOARD)
    found = con.execute(
        "SELECT run, name, deleted_at FROM deletions"
        f" WHERE revision > :since AND {where} ORDER BY revision, run",
        {"since": since, **{column: board[column] for column in BOARD}},
    )
    present = {run for runs in still_there["runs"] for run in runs} if len(still_there) else set()
    return [Deletion(*row) for row in found if row[0] not in present]


def _placed(rows: pd.DataFrame, nme: str) -> dict[tuple[object, ...], tuple[pd.Series, int | None]]:
    """Return rows with their places, best first, by what makes a row one and the same."""
    if rows.empty:
        return {}
    rows = rows.sort_values(["ranked", nme, "id"], ascending=[False, True, True])
    placed = places(rows, nme)
    keys = rows[["id", "flip_test", "manifest_digest", "ranked"]].astype(object)
    return {
        tuple(key): (row, None if pd.isna(place) else int(place))
        for key, (_, row), place in zip(keys.to_numpy(), rows.iterrows(), placed, strict=True)
    }


def _place(place: int | None) -> str:
    return "–" if place is None else str(place)


def _arrow(before: str, now: str) -> str:
    return now if before == now else f"{before} → {now}"


_FIRST_AFTER = """
    SELECT min(revision) FROM (
        SELECT revision FROM evaluations WHERE created_at > :then
        UNION ALL SELECT revision FROM deletions WHERE deleted_at > :then
    )
"""
