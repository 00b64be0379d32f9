"""docs/store.md says what is true: its queries run, and it names every table and column."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pytest

TEXT = (Path(__file__).parents[2] / "docs" / "store.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.split("\n")[0][:40])
def test_the_example_queries_answer(con: sqlite3.Connection, query: str) -> None:
    rows = con.execute(query).fetchall()
    assert len(rows) in (4, 6)  # four runs, six faces
    assert all(value is not None for row in rows for value in row)


def test_there_are_two_examples() -> None:
    assert len(QUERIES) == 2


def test_every_table_and_column_is_described(con: sqlite3.Connection) -> None:
    described = set(re.findall(r"`(\w+)`", TEXT))
    tables = con.execute(
        "SELECT name FROM sqlite_master WHERE type IN ('table', 'view')"
        " AND name NOT GLOB 'sqlite_*' AND name NOT GLOB '_sqlite*'"
    ).fetchall()
    names = {name for (name,) in tables}
    for (table,) in tables:
        if table not in ("leaderboard", "evaluation_scores"):
            names |= {column for _, column, *_ in con.execute(f"PRAGMA table_info({table})")}
    assert names <= described
