from __future__ import annotations

import os
import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from db import reads
from db.connection import open_reader, open_store
from db.maintenance.backup import back_up
from db.recording import runs
from db.transactions import as_drf_error, writing
from drf.errors import DrfError, NotFoundError, StoreError
from tests.db import examples
from tests.db.privileges import permissions, without_privileges

OPENERS = [open_store, open_reader]


@pytest.mark.parametrize("opener", OPENERS)
def test_a_text_file_is_not_a_database(opener: object, path: Path) -> None:
    path.write_text("run,nme\nhourglass,3.4\n" * 100)
    with pytest.raises(StoreError, match="not an SQLite database"):
        opener(path)  # type: ignore[operator]
    assert path.read_text().startswith("run,nme")


@pytest.mark.parametrize("opener", OPENERS)
def test_somebody_elses_database_is_left_alone(opener: object, path: Path) -> None:
    other = sqlite3.connect(path)
    other.execute("CREATE TABLE runs (id TEXT)")
    other.commit()
    other.close()
    before = path.read_bytes()
    with pytest.raises(StoreError, match="not a drf store"):
        opener(path)  # type: ignore[operator]
    assert path.read_bytes() == before


@pytest.mark.parametrize("opener", OPENERS)
def test_a_folder_is_not_a_store(opener: object, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="is a folder"):
        opener(tmp_path)  # type: ignore[operator]


def test_a_damaged_store_is_told_apart(filled: list[str], path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[100:4096] = os.urandom(3996)  # the page that holds the schema
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"damaged; restore a backup"):
        open_reader(path)


def test_a_damaged_header_is_told(filled: list[str], path: Path) -> None:
    with path.open("r+b") as file:
        file.seek(44)  # the number of the schema's format
        file.write((7).to_bytes(4, "big"))
    for opener in (open_store, open_reader):
        with pytest.raises(StoreError, match="unsupported file format"):
            opener(path)


def test_a_reader_makes_no_file(path: Path) -> None:
    with pytest.raises(NotFoundError, match=r"no store at .*drf\.db; train a model first"):
        open_reader(path)
    assert not path.exists()


def test_the_folder_of_a_new_store_is_made(tmp_path: Path) -> None:
    open_store(tmp_path / "a" / "b" / "drf.db").close()
    assert (tmp_path / "a" / "b" / "drf.db").is_file()


def test_a_file_in_place_of_the_folder_is_told(tmp_path: Path) -> None:
    (tmp_path / "runs").write_text("")
    with pytest.raises(StoreError, match="cannot be opened"):
        open_store(tmp_path / "runs" / "drf.db")


def test_a_read_only_file_can_be_read_but_not_written(filled: list[str], path: Path) -> None:
    with permissions(path, 0o444), permissions(path.parent, 0o777), without_privileges():
        with pytest.raises(StoreError, match="cannot be written"):
            open_store(path)
        con = open_reader(path)
        assert len(reads.runs(con)) == len(filled)
        con.close()


def test_a_store_in_a_read_only_folder_can_be_read(filled: list[str], path: Path) -> None:
    with permissions(path, 0o444), permissions(path.parent, 0o555), without_privileges():
        con = open_reader(path)
        assert len(reads.leaderboard(con)) == 4
        con.close()
        with pytest.raises(StoreError, match="cannot be"):
            open_store(path)


def test_newer_pages_in_the_log_are_never_passed_over(path: Path) -> None:
    """A copy of a live store's folder on a read-only medium, without the index of its log."""
    db = open_store(path)
    db.execute("PRAGMA wal_autocheckpoint = 0")
    examples.add_finished_run(db)
    copy = path.parent / "medium" / path.name
    copy.parent.mkdir()
    copy.write_bytes(path.read_bytes())
    Path(f"{copy}-wal").write_bytes(Path(f"{path}-wal").read_bytes())
    db.close()
    with (
        permissions(copy, 0o444),
        permissions(copy.parent, 0o555),
        without_privileges(),
        pytest.raises(StoreError, match="cannot be opened"),
    ):
        open_reader(copy)
    con = open_reader(copy)  # where the index can be made, the log is read
    assert len(reads.runs(con)) == 1
    con.close()


def test_a_file_that_is_being_written_is_never_taken_for_one_that_cannot_change(
    con: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.connection.BUSY_TIMEOUT_S", 0.05)
    copy = tmp_path / "copy.db"  # without a log, so that its writer keeps readers out
    back_up(con, copy)
    writer = sqlite3.connect(copy, isolation_level=None)
    writer.execute("BEGIN EXCLUSIVE")
    with pytest.raises(DrfError, match="locked by another program"):
        open_reader(copy)
    writer.close()


def test_a_folder_that_may_not_be_entered_is_told(filled: list[str], path: Path) -> None:
    with permissions(path.parent, 0o000), without_privileges():
        for opener in OPENERS:
            with pytest.raises(StoreError, match="permission"):
                opener(path)


def test_readers_cannot_write(con: sqlite3.Connection) -> None:
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        con.execute("DELETE FROM runs")


def test_names_with_characters_of_urls_are_opened(tmp_path: Path) -> None:
    odd = tmp_path / "100% done? #1 & more.db"
    open_store(odd).close()
    open_reader(odd).close()
    assert odd.is_file()


def test_every_write_counts_the_revision_up_once(db: Database, path: Path) -> None:
    con = open_reader(path)
    seen = [reads.revision(con)]
    run = runs.start_run(db, examples.new_run())
    seen.append(reads.revision(con))
    runs.record_heartbeat(db, run, epoch=1, progress=0.1, faces_per_s=1.0)
    seen.append(reads.revision(con))
    runs.record_epoch(db, run, 1, {"a": 1.0, "b": 2.0})
    seen.append(reads.revision(con))
    con.close()
    assert seen == [0, 1, 2, 3]


def test_a_block_that_fails_leaves_nothing_not_even_a_revision(db: Database) -> None:
    before = list(db.conn.iterdump())
    twice = "INSERT INTO meta VALUES ('half', 1)"

    def fail() -> None:
        with writing(db):
            db.execute(twice)
            db.execute(twice)

    with pytest.raises(sqlite3.IntegrityError):
        fail()
    assert list(db.conn.iterdump()) == before
    with writing(db):  # and the connection is as good as before
        pass


def test_a_full_disk_is_told_and_undone(db: Database) -> None:
    run = examples.add_finished_run(db)
    (pages,) = db.execute("PRAGMA page_count").fetchone()
    db.execute(f"PRAGMA max_page_count = {pages}")  # SQLite's own way to a disk that is full
    before = list(db.conn.iterdump())
    result = examples.evaluation(400)
    with pytest.raises(sqlite3.OperationalError) as caught:
        examples.evaluations.record_evaluation(db, run, result, examples.crops(result))
    error = as_drf_error(caught.value, "runs/drf.db")
    assert error is not None
    assert "the disk that holds runs/drf.db is full" in str(error)
    assert error.exit_code == 1
    assert list(db.conn.iterdump()) == before


def test_a_locked_store_is_told(db: Database, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("db.connection.BUSY_TIMEOUT_S", 0.05)
    with writing(db), pytest.raises(DrfError, match="locked by another program") as caught:
        open_store(path)
    assert caught.value.exit_code == 1
