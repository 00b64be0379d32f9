from __future__ import annotations

import contextlib
import os
import sqlite3
from pathlib import Path

import pytest

from db import reads
from db.connection import in_wal_mode, open_reader, open_store
from db.maintenance import integrity
from db.maintenance.backup import back_up
from db.recording import runs
from drf.errors import StoreError, UsageError
from tests.db import examples
from tests.db.privileges import permissions, without_privileges


def test_a_copy_holds_everything_while_the_store_is_written(
    con: sqlite3.Connection, path: Path, tmp_path: Path
) -> None:
    db = open_store(path)
    run = runs.start_run(db, examples.new_run(name="going-on"))
    target = tmp_path / "copy.db"
    back_up(con, target)
    runs.record_heartbeat(db, run, epoch=1, progress=0.5, faces_per_s=1.0)
    db.close()
    copy = open_reader(target)
    assert reads.runs(copy)["name"].tolist()[0] == "going-on"
    assert len(reads.leaderboard(copy)) == 4
    assert integrity.faults(copy) == []
    copy.close()
    assert not in_wal_mode(target)  # one file, readable on any disk
    assert sorted(p.name for p in tmp_path.glob("copy*")) == ["copy.db"]
    open_store(target).close()  # and as good as the original


def test_a_copy_may_have_a_path_that_is_not_utf8(con: sqlite3.Connection, tmp_path: Path) -> None:
    """SQLite takes the path as text, which Python would not encode."""
    target = Path(os.fsdecode(os.fsencode(tmp_path) + b"/caf\xe9.db"))
    back_up(con, target)
    with contextlib.closing(sqlite3.connect(target)) as copy:
        assert copy.execute("SELECT count(*) FROM runs").fetchone() == (4,)


def test_nothing_is_overwritten(con: sqlite3.Connection, tmp_path: Path) -> None:
    target = tmp_path / "copy.db"
    target.write_text("precious")
    with pytest.raises(UsageError, match="overwrite nothing"):
        back_up(con, target)
    assert target.read_text() == "precious"


def test_a_folder_that_is_not_there_is_told(con: sqlite3.Connection, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="does not exist; make it first"):
        back_up(con, tmp_path / "no" / "copy.db")


def test_a_folder_that_may_not_be_written_is_told(con: sqlite3.Connection, tmp_path: Path) -> None:
    folder = tmp_path / "shared"
    folder.mkdir()
    with permissions(folder, 0o555), without_privileges():
        with pytest.raises(StoreError, match=r"shared/copy\.db cannot be opened"):
            back_up(con, folder / "copy.db")
        assert not list(folder.iterdir())


def test_a_copy_that_fails_leaves_no_part(con: sqlite3.Connection, tmp_path: Path) -> None:
    def interrupt() -> int:
        return 1

    con.set_progress_handler(interrupt, 500)
    with pytest.raises(StoreError, match="took too long"):
        back_up(con, tmp_path / "copy.db")
    con.set_progress_handler(None, 0)
    assert not list(tmp_path.glob("copy*"))
