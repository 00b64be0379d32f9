"""Milliseconds stand on a board only where they are of one kind of hardware."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pandas as pd
import pytest
from sqlite_utils import Database

from db import method_ids, reads
from db.boards import board
from db.connection import open_reader, open_store
from db.maintenance import bundle, integrity, merge
from db.recording import latencies, record
from db.recording.latencies import Latency, record_latency
from drf.errors import NotFoundError
from tests.db.examples import add_finished_run

HERE, ELSEWHERE = "a CPU, AVX2", "another CPU"


def measured(p50: float, hardware: str = HERE, day: int = 1) -> Latency:
    return Latency(p50, 1.2 * p50, hardware, 1, "2.6.0", f"2026-11-{day:02d}T00:00:00.000Z")


def evaluated(db: Database, name: str, seed: int = 0) -> str:
    config = {"training.seed": seed, "of": name}
    sources = dict.fromkeys(config, "default")
    return add_finished_run(db, name=name, seed=seed, config=config, sources=sources)


def board_of(db: Database) -> pd.DataFrame:
    return latencies.on_boards(db.conn, reads.leaderboard(db.conn))


@pytest.fixture
def runs(db: Database) -> dict[str, str]:
    """Two seeds of `fast`; `slow`; `far`, measured on other hardware alone; `new`, never."""
    made = {name: evaluated(db, name) for name in ("fast", "slow", "far", "new")}
    made["fast1"] = evaluated(db, "fast", seed=1)
    for name, one in (
        ("fast", measured(2.0)), ("fast", measured(9.0, ELSEWHERE)), ("fast1", measured(4.0)),
        ("slow", measured(8.0)), ("far", measured(1.0, ELSEWHERE, 5)),
    ):  # fmt: skip
        record_latency(db, made[name], one)
    return made


def test_a_board_shows_the_hardware_of_most_of_its_runs_and_names_that_of_the_others(
    db: Database, runs: dict[str, str]
) -> None:
    rows = board_of(db).set_index("run").loc[list(runs.values())]
    assert rows["latency_ms"].tolist() == pytest.approx(
        [2.0, 8.0, float("nan"), float("nan"), 4.0], nan_ok=True
    )
    assert rows["latency_on"].fillna("").tolist() == [HERE, HERE, ELSEWHERE, "", HERE]
    assert rows["latency_p90_ms"].dropna().tolist() == pytest.approx([2.4, 9.6, 4.8])
    said = latencies.explanation(rows)
    assert f"on {HERE}." in said
    assert said.endswith(f"on other hardware alone: far ({ELSEWHERE}).")
    assert latencies.explanation(rows[rows["latency_ms"].isna()]) == ""


def test_a_method_has_the_mean_over_its_seeds(db: Database, runs: dict[str, str]) -> None:
    methods = method_ids.method_of_runs(db.conn)
    rows = board.by_method(board_of(db), methods).set_index("name")
    assert rows.loc["fast", "latency_ms"] == 3.0
    assert rows.loc["far", ["latency_on"]].tolist() == [ELSEWHERE]
    assert rows["latency_ms"].isna().to_dict() == {
        "fast": False, "slow": False, "far": True, "new": True,
    }  # fmt: skip


def test_of_two_kinds_with_as_many_runs_the_one_used_last_counts() -> None:
    of = {"a": [measured(1.0)], "b": [measured(1.0, ELSEWHERE, 2)]}
    assert latencies.hardware_of(of, ["a", "a", "b"]) == ELSEWHERE
    assert latencies.hardware_of(of, ["a"]) == HERE
    assert latencies.hardware_of(of, ["c"]) is None


def test_the_newest_measurement_on_a_kind_of_hardware_counts(
    db: Database, runs: dict[str, str]
) -> None:
    before = reads.revision(db.conn)
    record_latency(db, runs["slow"], measured(7.0, day=9))
    assert reads.revision(db.conn) == before + 1
    now = latencies.of_runs(db.conn)
    assert now[runs["slow"]] == [measured(7.0, day=9)]
    assert [one.hardware for one in now[runs["fast"]]] == [HERE, ELSEWHERE]
    with pytest.raises(NotFoundError, match="deleted"):
        record_latency(db, "0" * 32, measured(1.0))


def test_it_goes_along_with_a_bundle_and_comes_with_its_import(
    path: Path, db: Database, runs: dict[str, str], tmp_path: Path
) -> None:
    con = open_reader(path)
    bundle.write_bundle(
        con, tmp_path / "sent.db", bundle.select(con, runs=[runs["slow"]]), images=False
    )
    con.close()
    merge.merge(tmp_path / "other.db", tmp_path / "sent.db")
    other = open_reader(tmp_path / "other.db")
    assert latencies.of_runs(other) == {runs["slow"]: [measured(8.0)]}
    other.close()


def test_the_record_beside_the_checkpoints_brings_it_back(
    db: Database, runs: dict[str, str], tmp_path: Path
) -> None:
    run = runs["slow"]
    (tmp_path / run).mkdir()
    kept = record.open_record(tmp_path / run, db, run)
    record_latency(db, run, measured(6.0))
    record.bring_beside(tmp_path / run, db, run)
    lost = open_store(tmp_path / "empty.db")
    record.recover(kept, lost, run)
    assert latencies.of_runs(lost.conn, run) == {run: [measured(6.0)]}
    kept.close()
    lost.close()


@pytest.mark.parametrize(
    ("change", "problem"),
    [
        ({"p50_ms": 0.0}, "p50_ms is not positive"),
        ({"p90_ms": 0.5}, "p90_ms is less than p50_ms"),
        ({"hardware": "a\x1b[31mCPU"}, "hardware is no single line"),
        ({"measured_at": "yesterday"}, "measured_at is no time"),
        ({"threads": 0}, "threads is not positive"),
    ],
)
def test_the_check_of_a_store_finds_what_no_drf_writes(
    db: Database, runs: dict[str, str], change: dict[str, object], problem: str
) -> None:
    assert integrity.faults(db.conn) == []
    db.execute("PRAGMA ignore_check_constraints = 1")
    record_latency(db, runs["new"], dataclasses.replace(measured(1.0), **change))
    (fault,) = integrity.faults(db.conn)
    assert fault.subject.startswith(f"latencies {runs['new']}/")
    assert fault.problem.startswith(problem)
