"""A folder that is replaced as a whole, and only if it is an export of ours."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from drf.errors import UsageError
from drf.files import replacing_folder

MARKER = "drf-export.json"
"""What the export is of, and the list of its files. A folder without it is not ours."""


@contextmanager
def replaced(target: Path, facts: dict[str, Any]) -> Iterator[Path]:
    """Give a folder to fill, which takes the place of `target` when the block ends well.

    facts: goes into the marker. Raises UsageError, before and after the block, for a target that is
    no folder, holds files that no export wrote, or has no parent folder.
    """
    target = target.resolve()
    _refuse_foreign(target)
    with replacing_folder(target) as unfinished:
        yield unfinished
        marker = {**facts, "files": _files(unfinished)}
        (unfinished / MARKER).write_text(json.dumps(marker, indent=1, ensure_ascii=False) + "\n")
        _refuse_foreign(target)


def _refuse_foreign(target: Path) -> None:
    if not target.parent.is_dir():
        raise UsageError(f"the folder {target.parent} does not exist; make it first")
    if not target.exists():
        return
    if not target.is_dir():
        raise UsageError(f"{target} is a file; name a folder for the export")
    found = set(_files(target))
    if not found:
        return
    try:
        known = set(json.loads((target / MARKER).read_text())["files"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        raise UsageError(
            f"{target} is not empty and no export of drf; give a new folder, nothing is overwritten"
        ) from None
    if others := sorted(found - known - {MARKER}):
        raise UsageError(
            f"{target} holds what the export did not write ({', '.join(others[:3])}); move it away"
        )


def _files(folder: Path) -> list[str]:
    return sorted(
        path.relative_to(folder).as_posix() for path in folder.rglob("*") if not path.is_dir()
    )
