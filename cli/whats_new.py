"""The tables of `drf leaderboard --since`: rows that came, changed or were deleted."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from cli.output import note, print_json, table, tables
from db import method_ids, reads
from db.boards import board, changes
from db.boards.changes import Changes
from db.recording import box_labels

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
    new = []
    for name in filter(keep, _boards(con)):
        before, now = (
            rows_of(reads.leaderboard(con, **name, at_revision=at), of_run)
            for at in (revision, None)
        )
        ranks = norm or reads.ranked_by(now if len(now) else before).removesuffix("_nme")
        gone = changes.deletions(con, revision, name, now)
        if one := changes.compared(revision, before, now, ranks, gone):
            new.append((name, one))
    if as_json:
        print_json({"since": revision, "boards": [_document(name, one) for name, one in new]})
        return
    for name, one in new:
        tables().print(_table(name, one))
    if not new:
        note(
            f"Nothing is new since revision {revision} of the store, which is at"
            f" {reads.revision(con)}."
        )


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
    names = name | {"box": box_labels.title(name["box"])}
    title = f"{' / '.join(names.values())}, new since revision {found.revision}"
    return table(changes.COLUMNS, found.lines(), title)
