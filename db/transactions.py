"""Transactions: everything that is written to a store is written inside one of these blocks."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from sqlite_utils import Database


@contextmanager
def writing(db: Database) -> Iterator[Database]:
    """Run a block as one transaction that either is in the store as a whole or not at all.

    Also counts `meta.revision` up, so that a page can tell whether what it has cached is current
    (in WAL mode the file's modification time does not tell).
    """
    with locked(db):
        yield db
        db.execute("UPDATE meta SET value = value + 1 WHERE key = 'revision'")


@contextmanager
def locked(db: Database) -> Iterator[None]:
    """Run a block as one transaction, for what no page keeps in its cache; else use `writing`.

    The write lock is held from the first statement on: one taken later could fail half-way.
    """
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        db.execute("COMMIT")
    except BaseException:
        if db.conn.in_transaction:  # a full disk has rolled back already
            db.execute("ROLLBACK")
        raise
