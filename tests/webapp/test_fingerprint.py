"""What no write to the store tells is on the page all the same, the next time it runs."""

import shutil
import sqlite3

import pytest

from db import connection, file, status
from tests.webapp import boards, examples
from tests.webapp.conftest import board_table, opened


@pytest.fixture
def own(tmp_path, monkeypatch):
    path = tmp_path / "drf.db"
    boards.store_with_seeds(path)
    monkeypatch.setenv("DRF_DB", str(path))
    return path


def test_a_run_that_falls_silent_is_stale_at_once(own, monkeypatch):
    with sqlite3.connect(own) as con:
        con.execute(
            "UPDATE runs SET state = 'running', host = 'elsewhere', heartbeat_at = ?"
            " WHERE family = 'mean-shape'",
            [file.now()],
        )
    app = opened()
    assert set(board_table(app)["status"]) == {"✓ finished", "▶ running"}
    monkeypatch.setattr(status, "age_s", lambda text: 3600.0)
    assert "running" not in " ".join(board_table(app.run())["status"])


def test_another_file_in_place_of_the_store_is_shown_at_once(own, tmp_path):
    app = opened()
    before = list(board_table(app)["short_id"])
    other = tmp_path / "other.db"
    examples.fill(other)
    other.replace(own)
    assert not set(board_table(app.run())["short_id"]) & set(before)


def test_a_store_made_anew_in_its_place_is_shown_at_once(own, tmp_path):
    """As many writes to the same inode: neither revision nor file seem to be others."""
    app = opened(lb_rows="Runs")
    before = set(board_table(app)["short_id"])
    boards.store_with_seeds(tmp_path / "again.db")
    shutil.copyfile(tmp_path / "again.db", own)
    assert not set(board_table(app.run())["short_id"]) & before


def test_a_run_of_a_page_reads_through_one_connection_and_closes_it(own, monkeypatch):
    readers, open_reader = [], connection.open_reader

    def counted(*args, **options):
        readers.append(open_reader(*args, **options))
        return readers[-1]

    monkeypatch.setattr(connection, "open_reader", counted)
    app = opened()
    assert len(readers) == 1
    app.run()
    assert len(readers) == 2
    for reader in readers:
        with pytest.raises(sqlite3.ProgrammingError):
            reader.execute("SELECT 1")
