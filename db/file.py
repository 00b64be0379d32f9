"""Where the store's file lies, what lies beside it, how commands name it, and how times are written
in it.

Imports nothing heavy: the command line does at its start.
"""

from __future__ import annotations

import re
import shlex
from datetime import UTC, datetime
from pathlib import Path

from drf.errors import StoreError, UsageError
from drf.files import path_of_variable

DEFAULT_PATH = Path("runs/drf.db")

_RUN_ID = re.compile(r"[0-9a-f]{32}")


def usual_path() -> Path:
    """Return the store of every command that is not given --db: that of the variable DRF_DB, else
    DEFAULT_PATH. Raises UsageError as `drf.files.user_path`."""
    return path_of_variable("DRF_DB") or DEFAULT_PATH


def on_store(command: str, store: Path) -> str:
    """Return a command for a shell, with --db where it would use another store without it."""
    if store.absolute() == usual_path().absolute():
        return command
    return f"{command} --db {shlex.quote(str(store))}"


def run_id(text: str) -> str:
    """Return the id of a run as it is. Raises StoreError for one that no drf gives.

    Ids become names of files and folders, and one from a stranger's store may name any other place.
    """
    if not isinstance(text, str) or not _RUN_ID.fullmatch(text):
        raise StoreError(
            f"the store contains a run with the id {str(text)[:40]!r}, which no drf gives (32 hex"
            " digits); do not use this file, or find out where it comes from"
        )
    return text


def run_folder(store: Path, run: str) -> Path:
    """Return the folder of a run's checkpoints: beside the store, named by the full run id.

    Raises StoreError for an id that is none.
    """
    return store.parent / run_id(run)


def refuse_link(folder: Path) -> None:
    """Raise UsageError where a run's folder is a link: what is deleted in it lies elsewhere."""
    if folder.is_symlink():
        raise UsageError(
            f"{folder} is a link to another place, where drf deletes nothing; remove the link, or"
            " delete the run without --checkpoints"
        )


def now() -> str:
    """Return the present time as stored: ISO 8601 text in UTC with milliseconds, e.g.
    2026-11-23T18:50:12.345Z.

    Text, because `select * from runs` should be legible; this form sorts as text and SQLite's own
    date functions read it.
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def time_of(text: str) -> datetime:
    """Return a stored time. Raises ValueError for text that is none, or says no zone."""
    then = datetime.fromisoformat(text)
    if then.tzinfo is None:
        raise ValueError(f"the time {text[:40]!r} says no zone")
    return then


def age_s(then: str) -> float:
    """Return the seconds since a stored time; negative if it lies in the future.

    Raises ValueError as `time_of`."""
    return (datetime.now(UTC) - time_of(then)).total_seconds()
