"""Definitions of markups in the store: it shows landmarks that the reading drf has never heard of.

A markup is written once, with the first run, evaluation or face that has it.
"""

from __future__ import annotations

import functools
import json
import sqlite3

from sqlite_utils import Database

from drf.errors import NotFoundError, UsageError
from drf.markup import Markup


def store_markup(db: Database, markup: Markup) -> str:
    """Write the definition of a markup if it is new; return its name. Call in a transaction.

    Raises UsageError where the store has another definition under the name.
    """
    row = db.execute("SELECT definition FROM markups WHERE name = ?", [markup.name]).fetchone()
    if row is None:
        db.table("markups").insert(
            {"name": markup.name, "definition": json.dumps(markup.as_dict(), ensure_ascii=False)}
        )
    elif _parsed(row[0]) != markup:
        raise UsageError(
            f"the store has another definition of the markup {markup.name!r}: its results would"
            " not compare; give your markup another name, or use another store (--db)"
        )
    return markup.name


def markup(con: sqlite3.Connection, name: str) -> Markup:
    """Return the markup of a name. Raises NotFoundError if no run, evaluation or face has it."""
    row = con.execute("SELECT definition FROM markups WHERE name = ?", [name]).fetchone()
    if row is None:
        raise NotFoundError(f"there is no markup {name!r} in the store")
    return _parsed(row[0])


@functools.lru_cache(maxsize=64)
def _parsed(definition: str) -> Markup:
    return Markup.from_dict(json.loads(definition))
