"""Transactions, and what errors of SQLite mean to the user.

Everything that is written to a store is written inside `writing` or `locked`. An open file can be
deleted or replaced under its path; SQLite goes on writing into what nobody will find again. So the
file is looked for before and after each transaction.
"""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from sqlite_utils import Database

from drf.errors import DrfError, StoreError


class StoreLost(DrfError):
    """The file of an open store was deleted or replaced."""


class Store(Database):
    """A store that is open for writing, and the file that its path named when it was opened.

    settle: is called at the end of every transaction, for rows that follow from what was written
    """

    def __init__(
        self,
        connection: sqlite3.Connection,
        path: Path,
        settle: Callable[[sqlite3.Connection], None],
    ) -> None:
        super().__init__(connection)
        self.settle = settle
        self.path = path.absolute()  # the working directory may change
        self._file = self._at_path()

    def in_place(self) -> bool:
        """Return whether the path still names the file that was opened."""
        return self._at_path() == self._file

    def require_file(self) -> None:
        """Raise StoreLost unless the file is in place."""
        if not self.in_place():
            raise StoreLost(f"{self.path} was deleted or replaced while it was in use")

    def _at_path(self) -> tuple[int, int] | None:
        try:
            there = self.path.stat()
        except (FileNotFoundError, NotADirectoryError):
            return None
        return there.st_dev, there.st_ino


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

    The write lock is held from the first statement on: one taken later could fail half-way. Inside
    another block it is a part of that one's transaction. Raises StoreLost.
    """
    if db.conn.in_transaction:
        yield
        return
    _require_file(db)
    db.execute("BEGIN IMMEDIATE")
    try:
        yield
        if isinstance(db, Store):
            db.settle(db.conn)
        db.execute("COMMIT")
    except BaseException:
        if db.conn.in_transaction:  # a full disk has rolled back already
            db.execute("ROLLBACK")
        raise
    _require_file(db)


def _require_file(db: Database) -> None:
    if isinstance(db, Store):
        db.require_file()


_SENTENCES: dict[int, tuple[type[DrfError], str]] = {
    sqlite3.SQLITE_FULL: (
        DrfError,
        "the disk that holds {where} is full; free some space: what was being written is undone",
    ),
    sqlite3.SQLITE_BUSY: (
        DrfError,
        "{where} stayed locked by another program for 30 seconds; try again when it is done",
    ),
    sqlite3.SQLITE_READONLY: (
        StoreError,
        "{where} cannot be written; make it and its folder writable, or name another with --db",
    ),
    sqlite3.SQLITE_CANTOPEN: (
        StoreError,
        "{where} cannot be opened; check that it and its folder may be read and written",
    ),
    sqlite3.SQLITE_PERM: (
        StoreError,
        "{where} cannot be opened; check that it and its folder may be read and written",
    ),
    sqlite3.SQLITE_NOTADB: (
        StoreError,
        "{where} is not an SQLite database; name the store with --db",
    ),
    sqlite3.SQLITE_CORRUPT: (
        StoreError,
        "{where} is damaged; restore a backup, or save what `sqlite3 FILE .recover` finds",
    ),
    sqlite3.SQLITE_TOOBIG: (
        StoreError,
        "{where} contains a value larger than any that drf writes; restore a backup",
    ),
    sqlite3.SQLITE_INTERRUPT: (
        StoreError,
        "{where} took too long to be read; `drf db check` looks for the reason",
    ),
    sqlite3.SQLITE_IOERR: (
        DrfError,
        "the disk that holds {where} is full or failed to read or write; free some space or check"
        " the disk, then run `drf db check`",
    ),
}


def as_drf_error(error: sqlite3.Error, where: str = "the store") -> DrfError | None:
    """Return the error to show for one of SQLite's, or None if it can only be a bug of ours."""
    code = getattr(error, "sqlite_errorcode", None)
    if code is None:
        return None
    if code & 0xFF == sqlite3.SQLITE_IOERR and _is_full(where):
        code = sqlite3.SQLITE_FULL
    kind, sentence = _SENTENCES.get(code & 0xFF, (None, ""))  # the low byte is the primary code
    return kind(sentence.format(where=where)) if kind else None


FULL_BELOW = 2**20
"""Bytes: a disk with less left is full for SQLite, which says of its log and index that they could
not be written, not why."""


def _is_full(where: str) -> bool:
    """Return whether the disk of a file has no room left."""
    folder = Path(where).absolute().parent
    return folder.is_dir() and shutil.disk_usage(folder).free < FULL_BELOW
