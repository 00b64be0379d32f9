"""The record beside a run's checkpoints: what the store has of the run, to and fro."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlite_utils import Database

from db import predictions, reads
from db.connection import open_store
from db.maintenance import bundle, integrity
from db.recording import evaluations, gallery, latencies, record, runs, words
from db.recording.latencies import Latency
from db.transactions import Store, StoreLost, writing
from drf.errors import DrfError, NotFoundError, UsageError
from tests.db import examples


@pytest.fixture
def run(db: Database) -> str:
    """A finished run with curves, watched faces, leaves, an evaluation, and words on it."""
    identity = examples.add_finished_run(db)
    crops = examples.crops(examples.evaluation(6))
    for epoch in (1, 2):
        shown = np.full((6, 68, 2), epoch, np.float32)
        gallery.record_predictions(db, identity, epoch, crops, shown)
    gallery.record_leaves(db, identity, examples.gallery(examples.leaf(), examples.whole_face()))
    words.write_note(db, identity, "a note", "somebody")
    words.add_tags(db, identity, ["for-paper", "short"])
    words.set_star(db, identity, starred=True)
    latencies.record_latency(
        db, identity, Latency(2.0, 3.0, "a CPU", 1, "2.6.0", "2026-11-29T00:00:00.000Z")
    )
    return identity


@pytest.fixture
def other(tmp_path: Path) -> Iterator[Store]:
    """Another store, in which all ids are other ones: a face with a small id comes last there."""
    store = open_store(tmp_path / "other" / "drf.db")
    of_late = examples.evaluation(6, names=tuple(f"common/{i:05d}" for i in range(6)))
    late = examples.add_finished_run(store, name="other")
    evaluations.record_evaluation(store, late, of_late, [])
    with writing(store):
        store.execute("UPDATE sqlite_sequence SET seq = 500")
        store.execute("UPDATE faces SET name = name || 'x' WHERE id % 2 = 0")
    yield store
    store.close()


def contents(con: sqlite3.Connection, run: str) -> dict[str, Any]:
    """All that is told of a run, without the ids that a store gives out."""
    facts = reads.run(con, run)
    evaluated = reads.evaluations(con, run)
    of = [predictions.image_errors(con, int(number)) for number in evaluated["evaluation"]]
    leaves, mean = gallery.leaves(con, run)
    return {
        "words": words.of_run(con, run),
        "facts": {k: v for k, v in facts.items() if k != "status"},
        "curves": reads.curves(con, run).to_dict("list"),
        "evaluations": evaluated.drop(columns=["evaluation", "revision"], errors="ignore").to_dict(
            "list"
        ),
        "errors": [f.drop(columns="face").sort_values("name").to_dict("list") for f in of],
        "faces": {
            (epoch, face.name): face.prediction.tobytes()
            for epoch in gallery.epochs(con, run)
            for face in gallery.predictions(con, run, epoch)
        },
        "leaves": [(leaf.title, leaf.weights, leaf.points.tobytes()) for leaf in leaves],
        "mean": None if mean is None else mean.tobytes(),
    }


def test_a_run_is_the_same_in_another_store(db: Database, other: Store, run: str) -> None:
    before = len(reads.runs(other.conn))
    for _ in range(2):  # once more changes nothing
        record.bring_run(db.conn, other, run)
        assert contents(other.conn, run) == contents(db.conn, run)
        assert integrity.faults(other.conn) == []
        assert len(reads.runs(other.conn)) == before + 1
    crops = "SELECT count(crop) FROM faces WHERE id IN (SELECT face FROM epoch_predictions)"
    assert other.execute(crops).fetchone() == (6,)


def test_every_table_that_belongs_to_a_run_is_brought(db: Database, other: Store, run: str) -> None:
    with writing(db):
        db.execute("INSERT INTO old_method_ids VALUES ('0123456789ab', ?)", [run])
    other.execute("PRAGMA foreign_keys = OFF")  # for tables are emptied in any order
    of_runs = bundle.CHOSEN.keys() - {"views", "deletions", "sweeps", "sweep_jobs"}
    for table in of_runs:
        assert db.table(table).count > 0, table
        other.execute(f"DELETE FROM {table}") if table != "markups" else None
    other.execute("PRAGMA foreign_keys = ON")
    record.bring_run(db.conn, other, run)
    for table in of_runs - {"markups"}:
        assert other.table(table).count == db.table(table).count, table


def test_a_store_that_is_further_keeps_what_it_has(db: Database, tmp_path: Path, run: str) -> None:
    """A copy of the folder from the time before the run was resumed."""
    kept = record.open_record(tmp_path / run, db, run)
    claim = runs.resume_run(db, run, {})
    with runs.claimed(db, run, claim):
        runs.record_epoch(db, run, 3, {"loss": 0.5})
    runs.end_run(db, run, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=3, kept_val_nme=0.01)
    expected = contents(db.conn, run)
    assert not record.recover(kept, db, run)
    assert contents(db.conn, run) == expected
    kept.close()


def test_what_people_say_of_a_run_is_not_put_back_to_its_record(
    db: Database, tmp_path: Path, run: str
) -> None:
    kept = record.open_record(tmp_path / run, db, run)
    words.rename_run(db, run, "renamed")
    words.write_note(db, run, "newer")
    words.set_star(db, run, starred=False)
    expected = contents(db.conn, run)
    assert record.recover(kept, db, run)
    assert contents(db.conn, run) == expected
    kept.close()
    record.bring_beside(tmp_path / run, db, run)
    with contextlib.closing(record.find_record(tmp_path / run)[0]) as again:
        assert words.of_run(again.conn, run) == expected["words"]
        assert reads.run(again.conn, run)["name"] == "renamed"


def test_a_box_file_keeps_the_name_that_the_store_knows_it_by(
    db: Database, other: Store, run: str
) -> None:
    """Two files in each store; one of them both know, by other names."""
    digests = {"shared": "ab" * 32, "theirs": "cd" * 32, "mine": "ef" * 32}

    def evaluate(store: Database, of: str, name: str, digest: str) -> None:
        manifest = {"faces": 6, "digest": "d", "box_file": digests[digest], "box_name": name}
        result = examples.evaluation(box="file", manifest=manifest)
        evaluations.record_evaluation(store, of, result, [])

    evaluate(db, run, "detector", "shared")
    evaluate(db, run, "theirs", "theirs")
    known = examples.add_finished_run(other, name="known")
    evaluate(other, known, "mtcnn", "shared")
    evaluate(other, known, "mine", "mine")
    for _ in range(2):  # once more brings nothing
        record.recover(db, other, run)
        boxes = sorted(reads.evaluations(other.conn, run)["box"])
        assert boxes == ["file-mtcnn-abababab", "file-theirs-cdcdcdcd", "gt"]


def test_words_on_a_run_without_a_record_make_none(db: Database, tmp_path: Path, run: str) -> None:
    record.bring_beside(tmp_path / run, db, run)
    assert not (tmp_path / run).exists()


def test_a_record_is_made_once_and_told_from_another_runs(
    db: Database, tmp_path: Path, run: str
) -> None:
    folder = tmp_path / run
    for _ in range(2):
        with contextlib.closing(record.open_record(folder, db, run)) as made:
            assert contents(made.conn, run) == contents(db.conn, run)
    second = examples.add_finished_run(db, seed=1)
    with pytest.raises(DrfError, match="record of another run"):
        record.open_record(folder, db, second)
    with pytest.raises(NotFoundError, match="name the folder of a run"):
        record.find_record(tmp_path)
    examples.filled_store(tmp_path / "many" / record.RECORD)
    with pytest.raises(DrfError, match="not the record of one run"):
        record.find_record(tmp_path / "many")
    with writing(db):
        db.execute("UPDATE runs SET seed = 99 WHERE id = ?", [run])
    found, of = record.find_record(folder)
    assert of == run
    with contextlib.closing(found), pytest.raises(UsageError, match="another run under the id"):
        record.recover(found, db, run)


def test_a_claim_that_is_not_the_newest_writes_nothing(
    db: Database, tmp_path: Path, run: str
) -> None:
    kept = record.open_record(tmp_path / run, db, run)
    first = runs.resume_run(db, run, {})
    record.pass_on(db, kept, run, first)
    with writing(db):
        db.execute("UPDATE runs SET host = 'elsewhere', heartbeat_at = '2026-01-01T00:00:00Z'")
    second = runs.resume_run(db, run, {})
    assert second == first + 1
    record.pass_on(db, kept, run, second)
    for of in (db, kept):
        with pytest.raises(runs.LostRun, match="was resumed there"), runs.claimed(of, run, first):
            raise AssertionError("not reached")
        with runs.claimed(of, run, second):
            runs.record_epoch(of, run, 7, {"loss": 1.0})
    with pytest.raises(runs.LostRun, match="at the same time"):
        record.pass_on(db, kept, run, first)
    runs.end_run(db, run, "failed", wall_s=1.0, faces_per_s=1.0, kept_epoch=None, kept_val_nme=None)
    assert runs.resume_run(db, run, {}, beyond=41) == 42  # the store was put back to earlier
    kept.close()


def test_epochs_after_a_checkpoint_are_forgotten(db: Database, run: str) -> None:
    record.forget_after(db, run, 1)
    assert set(reads.curves(db.conn, run)["epoch"]) == {1}
    assert gallery.epochs(db.conn, run) == [1]


@pytest.mark.parametrize("how", ["deleted", "moved", "replaced"])
def test_a_store_that_is_gone_is_told_at_the_next_write(tmp_path: Path, how: str) -> None:
    path = tmp_path / "drf.db"
    store = open_store(path)
    if how == "moved":
        path.rename(tmp_path / "moved.db")
    else:
        path.unlink()
    if how == "replaced":
        examples.filled_store(path)
    with pytest.raises(StoreLost, match="was deleted or replaced"):
        runs.start_run(store, examples.new_run())
    store.close()


def test_a_store_that_is_replaced_while_it_is_written_is_told(tmp_path: Path) -> None:
    path = tmp_path / "drf.db"
    store = open_store(path)

    def move_while_writing() -> None:
        with writing(store):
            path.rename(tmp_path / "moved.db")

    with pytest.raises(StoreLost):
        move_while_writing()
    store.close()
