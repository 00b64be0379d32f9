"""A consistent copy of a store that may be in use."""

from __future__ import annotations

import os
import sqlite3
from pathlib import Path

from db.transactions import as_drf_error
from drf.files import replacing_file


def back_up(con: sqlite3.Connection, target: Path) -> None:
    """Write a compact copy of the open store to `target`, as of this moment.

    The copy is one file without a write-ahead log, so it can be read from any disk. It takes its
    name only when it is complete. Raises UsageError if there is a file of that name or no folder,
    StoreError or DrfError where it cannot be written or the disk is full.
    """
    try:
        with replacing_file(target, overwrite=False) as unfinished:
            # As bytes: a path need not be UTF-8.
            con.execute("VACUUM INTO CAST(? AS TEXT)", [os.fsencode(unfinished)])
    except sqlite3.Error as error:
        explained = as_drf_error(error, str(target))
        if explained is None:
            raise
        raise explained from error
