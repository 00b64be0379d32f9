"""Rows of a board: one a method with mean and spread over its runs, or one a run."""

from __future__ import annotations

import sqlite3
import statistics
from pathlib import Path

import pandas as pd
import pytest

from db import method_ids, reads
from db.boards import board
from db.connection import open_reader, open_store
from db.recording import evaluations, runs
from drf.scoring import scores
from tests.db import examples


def seeds_of_one_method(path: Path) -> None:
    """Three seeds of one method and a run of another, which has two evaluations."""
    db = open_store(path)
    for seed in range(3):
        config = {"training.seed": seed, "model.trees": 5}
        examples.add_finished_run(
            db, name=f"forest-s{seed}", seed=seed, error_px=2 + seed / 10, config=config,
            sources=dict.fromkeys(config, "default"),
        )  # fmt: skip
    other = runs.start_run(db, examples.new_run(name="other", family="mean-shape"))
    for flip in (True, False):
        made = examples.evaluation(error_px=4, flip_test=flip)
        evaluations.record_evaluation(db, other, made, [])
    db.close()


@pytest.fixture
def entries(path: Path) -> tuple[pd.DataFrame, pd.Series]:
    seeds_of_one_method(path)
    con: sqlite3.Connection = open_reader(path)
    found = reads.leaderboard(con), method_ids.method_of_runs(con)
    con.close()
    return found


def test_a_method_has_mean_and_spread_over_its_runs(entries) -> None:
    table, method = entries
    row = board.by_method(table, method).iloc[0]
    mine = table[table["name"].str.startswith("forest")].sort_values("evaluation")
    assert row["name"] == "forest"
    assert row["seeds"] == (0, 1, 2)
    assert row["runs"] == tuple(mine["run"])
    assert row["evaluations"] == tuple(mine["evaluation"])
    assert row["statuses"] == ("finished",) * 3
    assert row["id"] == method[row["runs"][0]]
    for score in scores.COLUMNS:
        values = mine[score].tolist()
        assert row[score] == pytest.approx(statistics.mean(values))
        assert row[f"{score}_sd"] == pytest.approx(statistics.stdev(values))


def test_evaluations_that_do_not_compare_are_not_averaged(entries) -> None:
    other = board.by_method(*entries).iloc[1:]
    assert other["name"].tolist() == ["other", "other"]
    assert sorted(other["flip_test"]) == [False, True]
    assert other["ocular_nme_sd"].isna().all()
    digests = entries[0].assign(manifest_digest=list("aabbb"))
    assert len(board.by_method(digests, entries[1])) == 4


def test_rows_of_runs_are_the_entries(entries) -> None:
    table, method = entries
    rows = board.by_run(table, method)
    assert len(rows) == len(table)
    assert rows["ocular_nme"].tolist() == sorted(table["ocular_nme"])
    assert rows["ocular_nme_sd"].isna().all()
    assert all(row["runs"] == (row["id"],) for _, row in rows.iterrows())


def test_a_run_that_came_after_the_methods_were_read_stands_alone(entries) -> None:
    table, method = entries
    rows = board.by_method(table, method.iloc[:0])
    assert sorted(map(len, rows["runs"])) == [1] * 5


def test_a_board_without_entries_has_no_rows(entries) -> None:
    table, method = entries
    assert board.by_method(table.iloc[:0], method).empty
    assert list(board.by_method(table.iloc[:0], method)) == list(board.by_method(*entries))


@pytest.mark.parametrize(
    ("names", "seeds", "expected"),
    [
        (("a", "a"), (0, 1), "a"),
        (("hf-s0", "hf-s1"), (0, 1), "hf"),
        (("hf seed 10", "hf seed 2"), (10, 2), "hf"),
        (("hf_01", "hf_02"), (1, 2), "hf"),
        (("shared-2048", "shared-1024"), (0, 1), "shared-1024"),  # sizes, not seeds
        (("0", "1"), (0, 1), "1"),
        (("first", "again"), (0, 1), "again"),
    ],
)
def test_runs_of_a_method_are_called_by_what_is_common_but_the_seed(names, seeds, expected) -> None:
    assert board.name_of(names, seeds) == expected
