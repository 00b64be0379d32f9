"""docs/store.md says what is true: its queries run, and it names every table and column."""

from __future__ import annotations

import re
import sqlite3
from pathlib import Path

import pandas as pd
import pytest

from db import predictions

TEXT = (Path(__file__).parents[2] / "docs" / "store.md").read_text(encoding="utf-8")
QUERIES = re.findall(r"```sql\n(.*?)```", TEXT, flags=re.DOTALL)


@pytest.mark.parametrize("query", QUERIES, ids=lambda query: query.split("\n")[0][:40])
def test_the_example_queries_answer(con: sqlite3.Connection, query: str) -> None:
    rows = con.execute(query).fetchall()
    assert len(rows) in (4, 6)  # four runs, six faces
    assert all(value is not None for row in rows for value in row)


def test_there_are_two_examples() -> None:
    assert len(QUERIES) == 2


def test_the_example_in_python_finds_the_hardest_faces(
    filled: list[str], path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (code,) = re.findall(r"```python\n(.*?)```", TEXT, flags=re.DOTALL)
    exec(code.replace('"runs/drf.db"', repr(str(path))), {})
    lines = [line.split() for line in capsys.readouterr().out.splitlines()]
    con = sqlite3.connect(path)
    found = [predictions.image_errors(con, evaluation) for evaluation in (1, 2, 3, 4)]
    con.close()
    means = 100 * pd.concat(found).groupby("name")["ocular"].mean()
    expected = means.sort_values(ascending=False)
    assert [name for name, *_ in lines] == expected.index.tolist()
    assert [percent for _, percent, _ in lines] == [f"{mean:.2f}" for mean in expected]


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
