"""Opens the store: a writer that creates and migrates it, and readers that can change nothing.

Every file is judged before it is used: not a database, a database that is not ours, one of a newer
or older drf, read-only, on a network file system, made by a stranger: with triggers, views or
tables that drf does not make (`db.tables.schema`), or ids that are none. Each gets its own sentence
(`StoreError`). What else a stranger may have written into it is found where it fails to be read:
see `integrity.explain`.
"""

from __future__ import annotations

import os
import shlex
import sqlite3
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import psutil
from sqlite_utils import Database

from db import file
from db.faces import store_markup
from db.tables import board_rows, schema
from db.tables.derived import AT_ONCE, complete, lacking, note_completed, refresh_views
from db.tables.migrations import APPLICATION_ID, migrations
from db.tables.schema import Fault
from db.transactions import Store, as_drf_error, locked
from drf.errors import NotFoundError, StoreError, reason_of
from drf.landmarks.markup import IBUG68

BUSY_TIMEOUT_S = 30.0
LONGEST_VALUE = 64 * 2**20
"""Bytes of the largest text or BLOB that is read; the largest that drf writes has a few MB."""

_OF_A_FILE = (
    *("Could not decode to UTF-8", "malformed database schema", "malformed JSON"),
    "unsupported file format",
)
"""How errors begin that what is in a file causes, and that have no code of their own."""
_STEPS_OF_SQLITE = 100_000  # some milliseconds
_opened: deque[Path] = deque(maxlen=4)
_with_ids: deque[tuple[object, ...]] = deque(maxlen=8)  # states of stores whose ids are ids


def opened() -> Sequence[Path]:
    """Return the stores that this process opened last, the newest first."""
    return list(dict.fromkeys(reversed(_opened)))


def open_store(
    path: Path, *, at_once: int = AT_ONCE, while_migrating: Callable[[], None] | None = None
) -> Store:
    """Open a store for writing; create it and its folder, or bring an older one up to date.

    The connection is in WAL mode (readers never wait for the writer), waits 30 s for another
    writer, and enforces foreign keys. It begins no transaction by itself: write in `writing`.

    at_once: where at most so many evaluations lack a score, because the store is older than the
    score, they get it here; of more, `drf db migrate` says how long it takes, and does it.
    while_migrating: is called some times a second as long as the schema is brought up to date

    Raises StoreError (a directory, not a database, not a store, from a newer drf, not writable, on
    a network file system) and DrfError (disk full, locked).
    """
    _opened.append(path)
    with _explained(path):
        if path.is_dir():
            raise StoreError(f"{path} is a folder; name a file with --db, e.g. {path / 'drf.db'}")
        _refuse_links(path)
        _refuse_network(path)
        path.parent.mkdir(parents=True, exist_ok=True)
        connection = sqlite3.connect(path, timeout=BUSY_TIMEOUT_S, isolation_level=None)
        try:
            _distrust(connection)
            db = Store(connection, path, board_rows.settle)
            _refuse_foreign(_judge(connection, path)[1], path)
            db.execute("PRAGMA journal_mode = WAL")
            _migrate(db, path, while_migrating)
            _refuse_ids(connection, path)
            db.execute("PRAGMA foreign_keys = ON")  # not before: steps make tables anew
            _complete(db, at_once)
        except BaseException:
            connection.close()
            raise
    return db


def open_reader(path: Path, *, limit_s: float | None = None) -> sqlite3.Connection:
    """Open a store for reading only; a read-only medium will do. Close it soon, one per load.

    limit_s: seconds after which SQLite ends a query on this connection with an error

    Raises NotFoundError if there is no file, else as `open_store`; a store of an older drf is
    refused with the command that migrates it.
    """
    connection, pending = open_as_it_is(path)
    if pending:
        connection.close()
        raise _is_older(path, pending)
    if limit_s is not None:
        end = time.monotonic() + limit_s
        connection.set_progress_handler(lambda: time.monotonic() > end, _STEPS_OF_SQLITE)
    return connection


def open_as_it_is(path: Path) -> tuple[sqlite3.Connection, list[str]]:
    """Open a store for reading whatever its age; return also the schema steps that it lacks.

    Raises as `open_reader`, but not for a store of an older drf.
    """
    connection, found, pending = _open_to_read(path)
    try:
        _refuse_foreign(found, path)
        with _explained(path):
            if len(pending) < len(schema.steps()):  # else it is empty, without a table
                _refuse_ids(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection, pending


def open_to_check(path: Path) -> tuple[sqlite3.Connection, list[Fault]]:
    """Open a store for reading, even with what no drf puts into it; return also in what its schema
    differs. Read no table while it does.

    Raises as `open_reader`, but not for what a stranger has written.
    """
    connection, found, pending = _open_to_read(path)
    if pending and not found:
        connection.close()
        raise _is_older(path, pending)
    return connection, found


def _is_older(path: Path, pending: Sequence[str]) -> StoreError:
    if len(pending) == len(schema.steps()):
        return StoreError(
            f"{path} is empty: no store was ever written to it; train a model with this --db,"
            " or name another"
        )
    return StoreError(
        f"{path} was made by an older drf ({len(pending)} schema steps behind); "
        f"run `drf db migrate --db {shlex.quote(str(path))}` first"
    )


def _open_to_read(path: Path) -> tuple[sqlite3.Connection, list[Fault], list[str]]:
    """Return a connection, in what the schema differs, and the steps that it lacks."""
    _opened.append(path)
    with _explained(path):
        if not path.exists():
            raise NotFoundError(
                f"there is no store at {path}; train a model first, or name one with --db"
            )
        if path.is_dir():
            raise StoreError(f"{path} is a folder; name the store's file with --db")
        _refuse_links(path)
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


def _judge(connection: sqlite3.Connection, path: Path) -> tuple[frozenset[str], list[Fault]]:
    """Return the schema steps applied, and in what the schema differs from what they make.

    Raises StoreError for a file that is not ours, or newer."""
    connection.execute("BEGIN")  # all of it as of one moment: another process may be migrating
    try:
        return _as_of_now(connection, path)
    finally:
        if connection.in_transaction:
            connection.execute("ROLLBACK")


def _as_of_now(connection: sqlite3.Connection, path: Path) -> tuple[frozenset[str], list[Fault]]:
    (application_id,) = connection.execute("PRAGMA application_id").fetchone()
    objects = schema.declared(connection)
    if not objects:
        return frozenset(), []
    if application_id != APPLICATION_ID:
        raise StoreError(
            f"{path} is an SQLite database but not a drf store; name another with --db"
        )
    if not schema.has_steps(objects):
        return frozenset(), [Fault("schema", "file", "has not the table of schema steps")]
    applied = frozenset(step.name for step in migrations.applied(Database(connection)))
    if newer := applied.difference(schema.steps()):
        named = ", ".join(sorted(schema.printable(str(name)) for name in newer)[:3])
        raise StoreError(f"{path} was made by a newer drf ({named}); update drf to use it")
    return applied, schema.faults(objects, applied)


def _refuse_foreign(found: Sequence[Fault], path: Path) -> None:
    if found:
        raise StoreError(
            f"{path} is not as drf makes it: its {found[0].subject} {found[0].problem}; do not use"
            " this file, or see `drf db check` and remove what is listed"
        )


def _refuse_ids(connection: sqlite3.Connection, path: Path) -> None:
    """Raise StoreError for a run whose id is none: paths are made of ids."""
    state = _state(path)
    if state in _with_ids:  # a page opens the store several times, and there may be 10,000 runs
        return
    for (odd,) in connection.execute(
        "SELECT id FROM runs WHERE typeof(id) != 'text' OR length(id) != 32"
        " OR id GLOB '*[^0-9a-f]*' LIMIT 1"
    ):
        file.run_id(odd)
    _with_ids.append(state)


def _state(path: Path) -> tuple[object, ...]:
    """Return what every write to a store changes: inode, time and size of its file and its log."""
    found = (part.stat() for part in (path, path.with_name(path.name + "-wal")) if part.exists())
    return path, *((of.st_ino, of.st_mtime_ns, of.st_size) for of in found)


def _distrust(connection: sqlite3.Connection) -> None:
    """Take what a file holds for what a stranger may have written: a page is looked at before it is
    believed, and no value is larger than any of ours.

    `trusted_schema` stays on: switched off it forbids the json_valid of our own CHECKs, and no
    other schema is used.
    """
    connection.execute("PRAGMA cell_size_check = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, LONGEST_VALUE)


def _migrate(db: Database, path: Path, tell: Callable[[], None] | None) -> None:
    """Apply what is missing, in one transaction that writes in any case."""
    with locked(db), _telling(db.conn, tell):
        # Looked up again under the lock: another process may have migrated in the meantime.
        if pending := migrations.pending(db):
            try:
                migrations.apply(db)
            except (sqlite3.Error, ValueError, TypeError) as error:
                if isinstance(error, sqlite3.Error) and as_drf_error(error) is not None:
                    raise  # a full disk, a lock
                migrations.apply(Database(memory=True))  # raises where the step itself is wrong
                raise StoreError(
                    f"{path} cannot be brought up to date from {pending[0].name} on, because of"
                    f" what it contains ({error}); restore a backup"
                ) from error
        refresh_views(db)
        store_markup(db, IBUG68)  # an older store takes over normalisers that this drf adds
        # SQLite grants the lock on a read-only file and fails at the first write: better now.
        db.execute("UPDATE meta SET value = value")


@contextmanager
def _telling(connection: sqlite3.Connection, tell: Callable[[], None] | None) -> Iterator[None]:
    connection.set_progress_handler(tell, _STEPS_OF_SQLITE)
    try:
        yield
    finally:
        connection.set_progress_handler(None, 0)


def _complete(db: Database, at_once: int) -> None:
    """Compute scores that evaluations lack, if they are at most so many."""
    found = lacking(db.conn)
    if len(found) <= at_once:
        complete(db, found)
        note_completed(db)


def _connect_to_read(
    path: Path, more: str = ""
) -> tuple[sqlite3.Connection, list[Fault], list[str]]:
    uri = f"{path.resolve().as_uri()}?mode=ro{more}"
    connection = sqlite3.connect(uri, uri=True, timeout=BUSY_TIMEOUT_S)
    try:
        _distrust(connection)
        applied, found = _judge(connection, path)
    except BaseException:
        connection.close()
        raise
    return connection, found, [name for name in schema.steps() if name not in applied]


def _refuse_links(path: Path) -> None:
    """Raise StoreError for what is no file, and for a log that SQLite would write elsewhere."""
    if path.exists() and not path.is_file():
        raise StoreError(f"{path} is no regular file; name the store's file with --db")
    real = path.resolve()
    for log in (real.with_name(real.name + suffix) for suffix in ("-wal", "-shm", "-journal")):
        if log.is_symlink():
            raise StoreError(
                f"{log} is a link to another place, where SQLite would write; remove it"
            )


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
        if explained is None and str(error).startswith(_OF_A_FILE):
            explained = StoreError(f"{path} is no store that drf made ({str(error)[:100]!a})")
        if explained is None:
            raise
        raise explained from error
    except UnicodeDecodeError as error:  # of SQLite's own message, which quotes a damaged schema
        raise StoreError(f"{path} is no store that drf made, or damaged") from error
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
