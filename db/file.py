"""Where the store's file lies, what lies beside it, and how times are written in it.

Imports nothing heavy: the command line does at its start.
"""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

DEFAULT_PATH = Path("runs/drf.db")


def run_folder(store: Path, run: str) -> Path:
    """Return the folder of a run's checkpoints: beside the store, named by the full run id."""
    return store.parent / run


def now() -> str:
    """Return the present time as stored: ISO 8601 text in UTC with milliseconds, e.g.
    2026-11-23T18:50:12.345Z.

    Text, because `select * from runs` should be legible; this form sorts as text and SQLite's own
    date functions read it.
    """
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age_s(then: str) -> float:
    """Return the seconds since a stored time; negative if it lies in the future."""
    return (datetime.now(UTC) - datetime.fromisoformat(then)).total_seconds()
