"""Times in the store: ISO 8601 text in UTC with milliseconds, e.g. 2026-11-23T18:50:12.345Z.

Text, because `select * from runs` should be legible; this form sorts as text and SQLite's own date
functions read it.
"""

from __future__ import annotations

from datetime import UTC, datetime


def now() -> str:
    """Return the present time as stored."""
    return datetime.now(UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def age_s(then: str) -> float:
    """Return the seconds since a stored time; negative if it lies in the future."""
    return (datetime.now(UTC) - datetime.fromisoformat(then)).total_seconds()
