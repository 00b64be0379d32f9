"""What the tables of a store look like, and what a file has instead.

Whoever made a file may have put a trigger, a view or a table of other columns into it, and SQLite
runs these when the file is used. So what a file declares is compared with what the steps of
`db.tables.migrations` declare, before anything but that declaration is read.
"""

from __future__ import annotations

import functools
import re
import sqlite3
from collections.abc import Mapping
from dataclasses import dataclass

from sqlite_utils import Database

from db.tables.derived import views
from db.tables.migrations import migrations

Objects = Mapping[tuple[str, str], str]
"""(table, index, view or trigger; name) -> the statement that made it, as `_plain` writes it."""

_STEPS = ("table", migrations.migrations_table)
_OF_SQLITE = {  # what it makes by itself, for keys, AUTOINCREMENT and ANALYZE
    ("index", ""),
    ("table", "CREATE TABLE sqlite_sequence(name,seq)"),
    ("table", "CREATE TABLE sqlite_stat1(tbl,idx,stat)"),
    ("table", "CREATE TABLE sqlite_stat4(tbl,idx,neq,nlt,ndlt,sample)"),
}
_WHY = {
    "trigger": "would run whenever drf writes",
    "view": "would run where a table is expected",
}


@dataclass(frozen=True)
class Fault:
    """check: which one found it; subject: the row or file; problem: one sentence."""

    check: str
    subject: str
    problem: str


def declared(con: sqlite3.Connection) -> Objects:
    """Return what a file declares but for what SQLite makes by itself."""
    rows = con.execute(
        "SELECT CAST(ifnull(type, '') AS TEXT), CAST(ifnull(name, '') AS TEXT),"
        " CAST(ifnull(sql, '') AS TEXT) FROM sqlite_master"
    )
    return _objects(tuple(rows))


@functools.cache
def steps() -> tuple[str, ...]:
    """Return the names of all steps that this drf knows, in their order."""
    return tuple(step.name for step in migrations.pending(Database(memory=True)))


def has_steps(objects: Objects) -> bool:
    """Return whether a file has the table of applied steps, so that it may be read."""
    return objects.get(_STEPS) == _after(())[_STEPS]


def faults(objects: Objects, applied: frozenset[str]) -> list[Fault]:
    """Return in what a file differs from a store to which these steps were applied.

    The text of the two views is no difference here: it follows `drf.scoring.scores`, drf never
    reads them, and `derived.refresh_views` makes them anew before anything is written. See
    `outdated_views`.
    """
    known = steps()
    if applied != set(known[: len(applied)]):
        return [Fault("schema", _STEPS[1], "lists steps in an order in which no drf applies them")]
    expected = _after(known[: len(applied)])
    missing = [
        Fault("schema", f"{kind} {name}", "is missing")
        for kind, name in expected
        if (kind, name) not in objects and kind != "view"
    ]
    ours = {("view", name): f"CREATE VIEW {name} AS" for name in views()}
    foreign = [
        Fault(
            "schema",
            f"{kind} '{printable(name)}'",
            f"is not drf's: it {_WHY.get(kind, 'is made otherwise')}",
        )
        for (kind, name), sql in objects.items()
        if expected.get((kind, name)) != sql
        # What SQLite makes follows from the statement alone, whatever it is listed as.
        and not ((kind, name) in ours and sql.startswith(ours[kind, name]))
    ]
    return [*foreign, *missing]


def outdated_views(objects: Objects) -> list[Fault]:
    """Return which views of a store of today are others than this drf makes."""
    return [
        Fault("schema", f"view {name}", "is not of this drf; `drf db migrate` makes it anew")
        for name, sql in views().items()
        if objects.get(("view", name)) != _plain(sql)
    ]


@functools.cache
def _after(first: tuple[str, ...]) -> Objects:
    """Return what a store declares after the first so many steps."""
    db = Database(memory=True)
    migrations.apply(db, stop_before=steps()[len(first) : len(first) + 1])
    return declared(db.conn)


@functools.lru_cache(maxsize=16)  # the app opens the same store several times for a page
def _objects(rows: tuple[tuple[str, str, str], ...]) -> Objects:
    made = {(kind, name): _plain(sql) for kind, name, sql in rows}
    return {
        (kind, name): sql
        for (kind, name), sql in made.items()
        if not (name.startswith("sqlite_") and (kind, sql) in _OF_SQLITE)
    }


def _plain(sql: str) -> str:
    """Return a statement without what does not matter in it: quotes around plain names, which
    SQLite adds where a table is renamed, and how many spaces there are."""
    bare = re.sub(r'"(\w+)"|\[(\w+)\]', r"\1\2", sql)
    return re.sub(r" ?([(),]) ?", r"\1", " ".join(bare.split()))


def printable(text: str) -> str:
    """Return text that may hold anything as it can be printed: short, and controls escaped."""
    short = text if len(text) <= 60 else f"{text[:60]}…"
    return short if short.isprintable() else ascii(short)[1:-1]
