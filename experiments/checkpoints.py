"""Checkpoints of a run that a store knows, and what else lies in the folder of a run."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from db import external, reads
from db.connection import open_store
from db.record import find_record, recover
from drf import checkpoint
from drf.checkpoint import Checkpoint
from drf.errors import NotFoundError


def checkpoint_of(stored: Mapping[str, Any], path: Path) -> Checkpoint:
    """Read a checkpoint of a run.

    stored: what `reads.run` returns of it. Raises NotFoundError without the file, DrfError if it is
    damaged or of another run.
    """
    refuse_external(stored)
    saved = checkpoint.load(path)
    config = {key: value for key, value, _ in stored["config"]}
    saved.require_run(stored["id"], stored["family"], config)
    return saved


def refuse_external(stored: Mapping[str, Any]) -> None:
    """Raise NotFoundError for a run that has no model: its predictions were imported."""
    if stored["family"] == external.FAMILY:
        raise NotFoundError(
            f"run {stored['id'][:8]} ({stored['name']}) has no model: its predictions were imported"
            " from a file; `drf import predictions` brings those for another subset"
        )


def recover_run(folder: Path, db: Path) -> str:
    """Bring the run whose folder is named into a store, and return its id. May be repeated.

    Raises as `record.find_record` and `record.recover`, and DrfError where the checkpoints beside
    the record are of another run; the store then stays as it is.
    """
    record, run = find_record(folder)
    with contextlib.closing(record):
        stored = reads.run(record.conn, run)
        for path in (folder / checkpoint.BEST, folder / checkpoint.LAST):
            if path.is_file():
                checkpoint_of(stored, path)
        with contextlib.closing(open_store(db)) as store:
            recover(record, store, run)
    return run
