from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlite_utils import Database

from db.connection import open_reader, open_store
from tests.db.examples import copied, filled_store


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "drf.db"


@pytest.fixture
def db(path: Path) -> Iterator[Database]:
    """An empty store, open for writing."""
    store = open_store(path)
    yield store
    store.close()


@pytest.fixture
def filled(path: Path) -> list[str]:
    """A store with four runs at `path`; their ids."""
    return copied(filled_store, path)


@pytest.fixture
def con(filled: list[str], path: Path) -> Iterator[sqlite3.Connection]:
    """A reader of the filled store."""
    connection = open_reader(path)
    yield connection
    connection.close()
