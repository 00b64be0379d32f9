"""What a stranger put into the schema of a store is refused before any of it runs."""

from __future__ import annotations

import os
import shutil
import sqlite3
from contextlib import closing
from pathlib import Path

import pytest

from db.connection import open_as_it_is, open_reader, open_store, open_to_check
from db.maintenance import integrity
from drf.errors import StoreError
from tests.conftest import REPOSITORY
from tests.db.examples import filled_store, older_store

ENDLESS = "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT i FROM n"
FOREIGN = {
    "CREATE TRIGGER t AFTER UPDATE ON meta BEGIN DELETE FROM runs; END": "trigger 't'",
    f"CREATE VIEW mine AS {ENDLESS}": "view 'mine'",
    "CREATE TABLE remarks (text)": "table 'remarks'",
    "CREATE VIRTUAL TABLE found USING fts5(text)": "table 'found'",
    "CREATE INDEX odd ON runs (length(name))": "index 'odd'",
    "ALTER TABLE runs ADD COLUMN big TEXT AS (hex(name))": "table 'runs'",
    "ALTER TABLE epochs DROP COLUMN value": "table 'epochs'",
    "DROP INDEX runs_name": "index runs_name is missing",
    "DROP TABLE meta": "table meta is missing",
    "DELETE FROM _sqlite_migrations WHERE name LIKE 'm004%'": "lists steps in an order",
    "DROP TABLE _sqlite_migrations": "has not the table of schema steps",
}


def change(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        if statement.startswith("ALTER"):
            con.execute("DROP VIEW leaderboard")
            con.execute("DROP VIEW evaluation_scores")
        con.execute(statement)


@pytest.mark.parametrize(("statement", "named"), FOREIGN.items())
def test_what_no_drf_makes_is_named_and_refused(
    filled: list[str], path: Path, statement: str, named: str
) -> None:
    change(path, statement)
    for opens in (open_reader, open_as_it_is, open_store):
        with pytest.raises(StoreError, match="is not as drf makes it") as refused:
            opens(path)
        assert named in str(refused.value)
    con, found = open_to_check(path)
    con.close()
    assert any(named in f"{fault.subject} {fault.problem}" for fault in found)


def test_a_trigger_does_not_run_when_an_older_store_is_brought_up_to_date(path: Path) -> None:
    older_store(path)
    change(path, "CREATE TRIGGER t AFTER INSERT ON meta BEGIN DELETE FROM runs; END")
    change(path, "CREATE TRIGGER u AFTER UPDATE ON runs BEGIN DELETE FROM run_config; END")
    with pytest.raises(StoreError, match="trigger 't' is not drf's"):
        open_store(path)


def test_a_view_of_ours_that_never_ends_is_neither_read_nor_kept(
    filled: list[str], path: Path
) -> None:
    change(path, "DROP VIEW leaderboard")
    change(path, f"CREATE VIEW leaderboard AS {ENDLESS}")
    with closing(open_reader(path)) as con:
        (fault,) = integrity.faults(con)
        assert fault.subject == "view leaderboard"
        assert "`drf db migrate`" in fault.problem
    open_store(path).close()
    with closing(open_reader(path)) as con:
        assert integrity.faults(con) == []


def test_a_trigger_that_is_listed_as_a_view_of_ours_is_refused(
    filled: list[str], path: Path
) -> None:
    """SQLite makes what the statement says, whatever the row of the schema calls it."""
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("PRAGMA writable_schema = ON")
        trigger = "CREATE TRIGGER t AFTER UPDATE ON meta BEGIN DELETE FROM epochs; END"
        con.execute("UPDATE sqlite_master SET sql = ? WHERE name = 'leaderboard'", [trigger])
    for opens in (open_reader, open_store):
        with pytest.raises(StoreError):
            opens(path)


@pytest.mark.parametrize("suffix", ["-wal", "-shm", "-journal"])
def test_a_log_that_is_a_link_is_refused(filled: list[str], path: Path, suffix: str) -> None:
    """SQLite would write its log over the file that the link names."""
    precious = path.with_name("precious")
    precious.write_text("mine")
    log = Path(f"{path}{suffix}")
    log.unlink(missing_ok=True)
    log.symlink_to(precious)
    for opens in (open_reader, open_store):
        with pytest.raises(StoreError, match="is a link to another place"):
            opens(path)
    assert precious.read_text() == "mine"


def test_a_pipe_is_no_store(path: Path) -> None:
    os.mkfifo(path)
    for opens in (open_reader, open_store):
        with pytest.raises(StoreError, match="is no regular file"):
            opens(path)


def test_spaces_quotes_and_statistics_are_no_difference(filled: list[str], path: Path) -> None:
    """Another version of SQLite writes what it renames in another way."""
    with closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("ANALYZE")
        con.execute("DROP INDEX runs_name")
        con.execute('CREATE INDEX "runs_name"   ON [runs]\n  ( name )')
    open_reader(path).close()
    open_store(path).close()


def test_stores_of_version_0_1_0_and_of_today_open(tmp_path: Path) -> None:
    path = tmp_path / "drf.db"
    shutil.copy(REPOSITORY / "tests/golden/store/drf.db", path)
    con, pending = open_as_it_is(path)
    con.close()
    assert pending
    open_store(path).close()
    open_reader(path).close()
    filled_store(tmp_path / "new.db")
    open_reader(tmp_path / "new.db").close()


def test_a_query_on_a_reader_with_a_limit_ends(filled: list[str], path: Path) -> None:
    with (
        closing(open_reader(path, limit_s=0.05)) as con,
        pytest.raises(sqlite3.OperationalError, match="interrupted"),
    ):
        con.execute(f"SELECT max(i) FROM ({ENDLESS})")


@pytest.mark.parametrize("name", ["NULL", "x'ff'", "7", "'m999' || char(27) || '[2J'"])
def test_a_step_of_any_kind_is_told_as_a_newer_one(
    filled: list[str], path: Path, name: str
) -> None:
    change(path, f"INSERT INTO _sqlite_migrations VALUES (99, 'drf', {name}, '')")
    with pytest.raises(StoreError, match="newer drf") as refused:
        open_reader(path)
    assert str(refused.value).isprintable()


def test_an_empty_file_is_told_as_one(path: Path) -> None:
    path.touch()
    with pytest.raises(StoreError, match="is empty: no store was ever written to it"):
        open_reader(path)


@pytest.mark.parametrize("opens", [open_reader, open_store])
def test_an_id_that_is_none_is_refused(filled: list[str], path: Path, opens: object) -> None:
    change(path, "UPDATE runs SET id = replace(id, substr(id, 1, 3), '../')")
    assert callable(opens)
    with pytest.raises(StoreError, match="32 hex digits"):
        opens(path)
