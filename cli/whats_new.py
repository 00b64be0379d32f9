"""The tables of `drf leaderboard --since`: rows that came, changed or were deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import pandas as pd

from cli.output import cell, note, print_json, table, tables
from db import board, box_labels, changes, method_ids, reads
from db.changes import Change, Changes

if TYPE_CHECKING:
    from rich.table import Table

Keep = Callable[[dict[str, Any]], bool]
"""Whether a board (values of `reads.BOARD`) was asked for."""


def show(
    con: sqlite3.Connection,
    since: str,
    keep: Keep,
    *,
    norm: str | None,
    methods: bool,
    as_json: bool,
) -> None:
    """Print what is new on the boards that were asked for. norm: key of the normaliser that ranks,
    None for the first of each board; methods: rows are methods, not runs."""
    revision = changes.revision_of(con, since)
    rows_of = board.by_method if methods else board.by_run
    of_run = method_ids.method_of_runs(con)
    found = []
    for name in filter(keep, _boards(con)):
        before, now = (
            rows_of(reads.leaderboard(con, **name, at_revision=at), of_run)
            for at in (revision, None)
        )
        ranks = norm or reads.ranked_by(now if len(now) else before).removesuffix("_nme")
        found.append((name, changes.of_board(con, revision, name, before, now, ranks)))
    new = [(name, one) for name, one in found if one]
    if as_json:
        print_json({"since": revision, "boards": [_document(name, one) for name, one in new]})
        return
    for name, one in new:
        tables().print(_table(name, one))
    current = reads.revision(con)
    if not new:
        note(f"Nothing is new since revision {revision} of the store; it is at {current}.")


def _boards(con: sqlite3.Connection) -> list[dict[str, str]]:
    """Return every board there is, and those whose last run was deleted."""
    columns = ", ".join(reads.BOARD)
    of = (f"SELECT {columns} FROM {table}" for table in ("evaluations", "deletions"))
    found = con.execute(f"{' UNION '.join(of)} ORDER BY {columns}")
    return [dict(zip(reads.BOARD, row, strict=True)) for row in found]


def _document(name: dict[str, str], found: Changes) -> dict[str, Any]:
    def listed(ones: tuple[Any, ...]) -> list[dict[str, Any]]:
        return [{k: None if v != v else v for k, v in asdict(one).items()} for one in ones]

    return name | {
        "added": listed(found.added),
        "moved": listed(found.moved),
        "deleted": listed(found.deleted),
    }


def _table(name: dict[str, str], found: Changes) -> Table:
    rows = [("added", one.name, one.id[:8], *_places(one)) for one in found.added]
    rows += [("changed", one.name, one.id[:8], *_places(one)) for one in found.moved]
    rows += [("deleted", one.name, one.run[:8], "", "") for one in found.deleted]
    names = name | {"box": box_labels.title(name["box"])}
    title = f"{' / '.join(names.values())}, new since revision {found.revision}"
    return table(("what", "name", "id", "place", "NME in percent"), rows, title)


def _places(change: Change) -> tuple[Any, Any]:
    """Return place and NME as cells, with those of before where they were others."""
    place = _arrow(_place(change.place_before), _place(change.place), new=change.added)
    nme = f"{change.nme:.2f}" if not pd.isna(change.nme) else None
    before = None if change.nme_before is None else f"{change.nme_before:.2f}"
    return place, _arrow(before, nme, new=change.added)


def _place(place: int | None) -> str:
    return "–" if place is None else str(place)


def _arrow(before: str | None, now: str | None, *, new: bool) -> Any:
    return cell(now if new or before == now else f"{before} → {now or '–'}")
