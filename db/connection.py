"""Opens the store: a writer that creates and migrates it, and readers that can change nothing.

Every file is judged before it is used: not a database, a database that is not ours, one of a newer
or older drf, read-only, on a network file system. Each gets its own sentence (`StoreError`).
"""

from __future__ import annotations

import os
import shlex
import sqlite3
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlite_utils import Database

from db.derived import AT_ONCE, complete, lacking, note_completed, refresh_views
from db.faces import store_markup
from db.migrations import APPLICATION_ID, migrations
from db.transactions import as_drf_error, locked
from drf.errors import NotFoundError, StoreError, reason_of
from drf.markup import IBUG68

BUSY_TIMEOUT_S = 30.0


def open_store(path: Path, *, at_once: int = AT_ONCE) -> Database:
    """Open a store for writing; create it and its folder, or bring an older one up to date.

    The connection is in WAL mode (readers never wait for the writer), waits 30 s for another
    writer, and enforces foreign keys. It begins no transaction by itself: write in `writing`.

    at_once: where at most so many evaluations lack a score, because the store is older than the
    score, they get it here; of more, `drf db migrate` says how long it takes, and does it.

    Raises StoreError (a directory, not a database, not a store, from a newer drf, not writable, on
    a network file system) and DrfError (disk full, locked).
    """
    with _explained(path):
        if path.is_dir():
            raise StoreError(f"{path} is a folder; name a file with --db, e.g. {path / 'drf.db'}")
        _refuse_network(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            db = Database(connection)
            _judge(db, path)
            db.execute("PRAGMA journal_mode = WAL")
            _migrate(db)
            db.execute("PRAGMA foreign_keys = ON")  # not before: steps make tables anew
            _complete(db, at_once)
        except BaseException:
            connection.close()
            raise
    return db


def open_reader(path: Path) -> sqlite3.Connection:
    """Open a store for reading only; a read-only medium will do. Close it soon, one per load.

    Raises NotFoundError if there is no file, else as `open_store`; a store of an older drf is
    refused with the command that migrates it.
    """
    connection, pending = open_as_it_is(path)
    if pending:
        connection.close()
        if len(pending) == len(_known()):
            raise StoreError(
                f"{path} is empty: no store was ever written to it; train a model with this --db,"
                " or name another"
            )
        raise StoreError(
            f"{path} was made by an older drf ({len(pending)} schema steps behind); "
            f"run `drf db migrate --db {shlex.quote(str(path))}` first"
        )
    return connection


def open_as_it_is(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """Open a store for reading whatever its age; return also the schema steps that it lacks.

    Raises as `open_reader`, but not for a store of an older drf.
    """
    with _explained(path):
        if not path.exists():
            raise NotFoundError(
                f"there is no store at {path}; train a model first, or name one with --db"
            )
        if path.is_dir():
            raise StoreError(f"{path} is a folder; name the store's file with --db")
        # A backup is not in WAL mode, so it may be read from a network disk. On a local disk the
        # header stays unread: to close a file drops the locks of all connections of this process
        # to it, and another process may then remove the log that they still write.
        if network_type(path) and in_wal_mode(path):
            _refuse_network(path)
        try:
            return _connect_to_read(path)
        except sqlite3.OperationalError:
            # A file in WAL mode needs its -shm index even to be read, and on a read-only medium it
            # cannot be made. Then nobody can be writing either, so the file may be read as one that
            # never changes; but only if no -wal holds newer pages, which `immutable` would miss.
            if _writable(path.parent) or _has_content(path.with_name(path.name + "-wal")):
                raise
            return _connect_to_read(path, "&immutable=1")


def in_wal_mode(path: Path) -> bool:
    """Whether the header of a database file asks for a write-ahead log (bytes 18 and 19 are 2)."""
    with path.open("rb") as file:
        return file.read(20)[18:] == b"\x02\x02"


def _known() -> list[str]:
    return [migration.name for migration in migrations.pending(Database(memory=True))]


def _judge(db: Database, path: Path) -> set[str]:
    """Return the schema steps applied. Raises StoreError for a file that is not ours, or newer."""
    (application_id,) = db.execute("PRAGMA application_id").fetchone()
    (tables,) = db.execute("SELECT count(*) FROM sqlite_master").fetchone()
    if application_id != APPLICATION_ID and tables:
        raise StoreError(
            f"{path} is an SQLite database but not a drf store; name another with --db"
        )
    applied = {migration.name for migration in migrations.applied(db)}
    if newer := applied - set(_known()):
        raise StoreError(
            f"{path} was made by a newer drf ({', '.join(sorted(newer))}); update drf to use it"
        )
    return applied


def _migrate(db: Database) -> None:
    """Apply what is missing, in one transaction that writes in any case."""
    with locked(db):
        # Looked up again under the lock: another process may have migrated in the meantime.
        if migrations.pending(db):
            migrations.apply(db)
        refresh_views(db)
        store_markup(db, IBUG68)  # an older store takes over normalisers that this drf adds
        # SQLite grants the lock on a read-only file and fails at the first write: better now.
        db.execute("UPDATE meta SET value = value")


def _complete(db: Database, at_once: int) -> None:
    """Compute scores that evaluations lack, if they are at most so many."""
    found = lacking(db.conn)
    if len(found) <= at_once:
        complete(db, found)
        note_completed(db)


def _connect_to_read(path: Path, more: str = "") -> tuple[sqlite3.Connection, list[str]]:
    uri = f"{path.resolve().as_uri()}?mode=ro{more}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)
    try:
        applied = _judge(Database(connection), path)
    except BaseException:
        connection.close()
        raise
    return connection, [name for name in _known() if name not in applied]


def _refuse_network(path: Path) -> None:
    if kind := network_type(path):
        raise StoreError(
            f"{path} lies on a network file system ({kind}), where SQLite's log is not safe; keep "
            "the store on a local disk (--db) and put copies here with `drf db backup`"
        )


def _writable(folder: Path) -> bool:
    return os.access(folder, os.W_OK, effective_ids=os.access in os.supports_effective_ids)


def _has_content(path: Path) -> bool:
    return path.exists() and path.stat().st_size > 0


@contextmanager
def _explained(path: Path) -> Iterator[None]:
    try:
        yield
    except sqlite3.Error as error:
        explained = as_drf_error(error, str(path))
        if explained is None:
            raise
        raise explained from error
    except OSError as error:
        reason = reason_of(error, error.filename or path)
        raise StoreError(f"{path} cannot be opened: {reason}") from error


# SQLite's write-ahead log keeps its index in shared memory, which hosts do not share, and the locks
# of network file systems are often not what they claim: a store there would be damaged silently.

NETWORK_TYPES = frozenset(
    {
        *("9p", "afpfs", "afs", "beegfs", "ceph", "cifs", "gpfs", "glusterfs", "lustre", "nfs"),
        *("nfs4", "orangefs", "panfs", "pvfs2", "smb3", "smbfs", "webdav", "macfuse_sshfs"),
        *("fuse.ceph", "fuse.gcsfuse", "fuse.glusterfs", "fuse.rclone", "fuse.s3fs", "fuse.sshfs"),
    }
)


def network_type(path: Path) -> str | None:
    """Return the type of the network file system that holds `path` (it need not exist), or None."""
    # psutil reads /proc/self/mounts on Linux and getfsstat elsewhere, escapes resolved.
    mounts = [(part.mountpoint, part.fstype) for part in psutil.disk_partitions(all=True)]
    kind = filesystem_of(path.resolve(), mounts)
    return kind if kind in NETWORK_TYPES else None


def filesystem_of(path: Path, mounts: Iterable[tuple[str, str]]) -> str | None:
    """Return the type of the deepest mount above an absolute `path`; of equals the last.

    mounts: (mount point, type) in the order in which they were mounted.
    """
    kind, depth = None, -1
    for point, fstype in mounts:
        mount = Path(point)
        if path.is_relative_to(mount) and len(mount.parts) >= depth:
            kind, depth = fstype.lower(), len(mount.parts)
    return kind
