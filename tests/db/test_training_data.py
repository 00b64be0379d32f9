"""A board names all data that the weights of a run learned from."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Hashable
from pathlib import Path

import pytest
from sqlite_utils import Database

from db import reads
from db.analysis import comparability
from db.connection import open_reader, open_store
from db.maintenance import bundle, integrity
from db.maintenance.merge import merge
from db.recording import evaluations, runs
from db.recording.record import find_record, open_record, recover
from db.tables import board_rows
from db.transactions import Store
from tests.db import examples


def start(
    db: Database, dataset: str, init_from: str = "", pretrained: str = "", **changes: object
) -> str:
    """A run of a dataset with an evaluation, started from another or from published weights; its
    id."""
    config = {"training.init_from": init_from, "training.pretrained": pretrained}
    new = examples.new_run(
        dataset=dataset, config=config, sources=dict.fromkeys(config, "option"), **changes
    )
    run = runs.start_run(db, new)
    runs.end_run(
        db, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=None, kept_val_nme=None
    )
    evaluations.record_evaluation(db, run, examples.evaluation(), [])
    return run


def told(path: Path) -> dict[Hashable, str | None]:
    """What the board of a sound store says of each run; the run itself says the same."""
    with contextlib.closing(open_reader(path)) as con:
        assert integrity.faults(con) == []
        assert board_rows.wrong(con) == []
        rows = reads.leaderboard(con).set_index("run")["trained_on"]
        board = {run: said if isinstance(said, str) else None for run, said in rows.items()}
        assert board == {run: reads.run(con, run)["trained_on"] for run in board}
        view = dict(con.execute("SELECT run, trained_on FROM leaderboard"))
        assert view == board
    return board


def forgotten(path: Path) -> None:
    """Make a store one of before step m018."""
    with contextlib.closing(sqlite3.connect(path, isolation_level=None)) as con:
        con.execute("DROP VIEW leaderboard")
        con.execute("DROP TRIGGER stale_runs_trained_on")
        con.execute("ALTER TABLE runs DROP COLUMN trained_on")
        con.execute("DELETE FROM _sqlite_migrations WHERE name = 'm018_training_data'")


def sent(path: Path, run: str, target: Path) -> Path:
    """A bundle with one run of a store."""
    with contextlib.closing(open_reader(path)) as con:
        bundle.write_bundle(con, target, bundle.Selection((run,)), images=False)
    return target


def test_all_data_of_the_chain_is_named_once(db: Database, path: Path) -> None:
    first = start(db, "wflw")
    second = start(db, "300w", first)
    third = start(db, "300w", second)
    fourth = start(db, "own", third)
    assert told(path) == {
        first: "wflw",
        second: "300w, wflw",
        third: "300w, wflw",
        fourth: "own, 300w, wflw",
    }


def test_nothing_is_claimed_of_imported_predictions(db: Database, path: Path) -> None:
    run = start(db, "300w", family="external", params=0, macs=0)
    assert told(path) == {run: None}


def test_it_is_still_known_where_the_other_run_is_not(
    db: Database, path: Path, tmp_path: Path
) -> None:
    donor = start(db, "wflw")
    run = start(db, "300w", donor)
    file = sent(path, run, tmp_path / "sent.db")
    merge(tmp_path / "elsewhere.db", file)
    assert told(tmp_path / "elsewhere.db") == {run: "300w, wflw"}
    runs.delete_run(db, donor)
    assert told(path) == {run: "300w, wflw"}
    db.close()
    open_store(path).close()
    assert told(path) == {run: "300w, wflw"}


def test_an_older_store_tells_what_it_knows(db: Store, path: Path) -> None:
    donor = start(db, "wflw")
    run = start(db, "300w", donor)
    grandchild = start(db, "own", run)
    orphan = start(db, "300w", "f" * 32)
    imported = start(db, "300w", family="external", params=0, macs=0)
    db.close()
    forgotten(path)
    open_store(path).close()
    known = {donor: "wflw", run: "300w, wflw", grandchild: "own, 300w, wflw", imported: None}
    assert told(path) == known | {orphan: "300w, unknown data"}


@pytest.mark.parametrize("circle", [1, 2])
def test_runs_that_start_from_each_other_end_the_search(db: Store, path: Path, circle: int) -> None:
    made = [start(db, f"set{i}") for i in range(circle)]
    for run, other in zip(made, made[1:] + made[:1], strict=True):
        db.execute("UPDATE run_config SET value = ? WHERE run = ?", [json.dumps(other), run])
    db.close()
    forgotten(path)
    open_store(path).close()
    assert all(said and said.endswith("unknown data") for said in told(path).values())


@pytest.mark.parametrize("first", ["donor", "child"])
def test_what_older_bundles_lack_is_completed_from_each_other(
    db: Store, path: Path, tmp_path: Path, first: str
) -> None:
    donor = start(db, "wflw")
    child = start(db, "300w", donor)
    files = {"donor": sent(path, donor, tmp_path / "a.db")}
    files["child"] = sent(path, child, tmp_path / "b.db")
    forgotten(files["child"])
    here = tmp_path / "here.db"
    for name in sorted(files, key=lambda name: name != first):
        merge(here, files[name])
    assert told(here) == {donor: "wflw", child: "300w, wflw"}
    merge(here, files["child"])  # knows less, and takes nothing away
    assert told(here) == {donor: "wflw", child: "300w, wflw"}


def test_a_bundle_that_knows_more_completes_what_is_here(
    db: Store, path: Path, tmp_path: Path
) -> None:
    donor = start(db, "wflw")
    child = start(db, "300w", donor)
    full, here = sent(path, child, tmp_path / "full.db"), sent(path, child, tmp_path / "here.db")
    forgotten(here)
    open_store(here).close()
    assert told(here) == {child: "300w, unknown data"}
    merge(here, full)
    assert told(here) == {child: "300w, wflw"}


def test_an_older_record_takes_nothing_from_the_store(
    db: Store, path: Path, tmp_path: Path
) -> None:
    donor = start(db, "wflw")
    child = start(db, "300w", donor)
    folder = tmp_path / child
    folder.mkdir()
    open_record(folder, db, child).close()
    forgotten(folder / "record.db")
    runs.delete_run(db, donor)
    record, run = find_record(folder)
    recover(record, db, run)
    record.close()
    assert told(path) == {child: "300w, wflw"}


def test_a_change_is_on_the_board(path: Path) -> None:
    with contextlib.closing(open_store(path)) as db:
        run = start(db, "300w")
        db.execute("UPDATE runs SET trained_on = 'changed' WHERE id = ?", [run])
        assert reads.leaderboard(db.conn)["trained_on"].tolist() == ["changed"]


def test_a_run_that_started_from_another_says_so_and_is_no_equal_of_one_that_did_not(
    db: Database, path: Path
) -> None:
    first = start(db, "300w", name="first")
    second = start(db, "300w", first, name="second")
    third = start(db, "300w", first, name="third")
    with contextlib.closing(open_reader(path)) as con:
        rows = reads.leaderboard(con).set_index("run", drop=False)
        spent = reads.spent(con, [first, second])
    assert {run: one for run, one in rows["started_from"].items() if isinstance(one, str)} == {
        second: first,
        third: first,
    }
    said = comparability.starts(rows.loc[[first, second]])
    assert said == (
        f"Not all started from random weights: second from run {first[:8]}. What was spent on"
        " those weights is not counted here."
    )
    assert said in comparability.remarks(rows.loc[[first, second]])
    assert f"{second[:8]} from run {first[:8]}" in (comparability.starts(spent) or "")
    assert comparability.starts(rows.loc[[second, third]]) is None
    assert comparability.starts(rows.loc[[first]]) is None


def test_published_weights_learned_from_data_too(db: Database, path: Path) -> None:
    first = start(db, "300w", pretrained="imagenet", name="first")
    second = start(db, "wflw", first, name="second")
    plain = start(db, "300w", name="plain")
    other = start(db, "300w", pretrained="imagenet", name="other")
    assert told(path) == {
        first: "300w, imagenet",
        second: "wflw, 300w, imagenet",
        plain: "300w",
        other: "300w, imagenet",
    }
    with contextlib.closing(open_reader(path)) as con:
        rows = reads.leaderboard(con).set_index("run", drop=False)
        spent = reads.spent(con, [first, plain])
    said = comparability.starts(rows.loc[[first, plain]])
    assert said == (
        "Not all started from random weights: first from weights of imagenet. What was spent on"
        " those weights is not counted here."
    )
    assert not comparability.equal_budget(rows.loc[[first, plain]])
    assert f"{first[:8]} from weights of imagenet" in (comparability.starts(spent) or "")
    assert comparability.starts(rows.loc[[first, other]]) is None
    forgotten(path)
    with contextlib.closing(open_store(path)):
        pass
    assert told(path)[second] == "wflw, 300w, imagenet"
