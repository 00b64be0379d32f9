"""Runs of another store come in whole, once, and whatever contradicts is refused."""

from __future__ import annotations

import contextlib
import os
import shutil
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from db import predictions, reads
from db.connection import open_reader, open_store
from db.maintenance import bundle, integrity
from db.maintenance import merge as merging
from db.maintenance.merge import OF_EVALUATION, OF_TRAINING, RECOGNISED, merge
from db.recording import evaluations, gallery, runs, saved_links, sweeps, words
from db.tables.migrations import migrations
from drf.errors import DrfError, StoreError, UsageError
from tests.db import examples
from tests.faults.hostile_stores import lawless

GOLDEN = Path(__file__).parent.parent / "golden" / "store" / "drf.db"


def held(path: Path) -> dict[str, list[tuple[object, ...]]]:
    """What a store tells of runs, whatever the ids of its faces and evaluations are."""
    with contextlib.closing(open_reader(path)) as con:
        assert integrity.faults(con) == []
        board = reads.leaderboard(con, landmarks=None)
        faces = {}
        for row in board.to_dict("records"):
            shown = predictions.image_errors(con, row["evaluation"])
            key = (row["run"], row["subset"], row["box"])
            faces[key] = sorted(shown.drop(columns="face").itertuples(index=False, name=None))
        rows = sorted(
            board.drop(columns="evaluation").astype(str).itertuples(index=False, name=None)
        )
        tables = {
            table: sorted(con.execute(f"SELECT * FROM {table}").fetchall(), key=repr)
            for table in ("runs", "run_config", "epochs", "markups", "views", "old_method_ids")
        }
        pictures = con.execute("SELECT count(*), count(crop) FROM faces").fetchall()
    return tables | {"board": rows, "faces": sorted(faces.items()), "pictures": pictures}


@pytest.fixture
def other(tmp_path: Path) -> Path:
    """A store whose faces have other ids: its first run was evaluated on them in another order."""
    path = tmp_path / "other.db"
    db = open_store(path)
    run = examples.add_finished_run(db, name="theirs", seed=3)
    result = examples.evaluation(subset="challenging")
    turned = examples.dataclasses.replace(
        result,
        names=tuple(f"ibug/{name}" for name in result.names[::-1]),
        ground_truth=result.ground_truth[::-1],
        predictions=result.predictions[::-1],
    )
    evaluations.record_evaluation(db, run, turned, examples.crops(turned))
    gallery.record_leaves(db, run, examples.gallery(examples.leaf(), examples.whole_face()))
    examples.add_finished_run(db, name="wide", seed=4, error_px=1.5)
    saved_links.add_view(db, "tall", "?norm=Pupil")
    db.close()
    return path


def test_every_table_has_its_place_in_a_merge(con: sqlite3.Connection) -> None:
    """Rows that are added where there is none of their key need a key that two stores share."""
    others = bundle.CHOSEN.keys() - {*RECOGNISED, *OF_TRAINING, *OF_EVALUATION}
    for table in others:
        columns = con.execute(f"PRAGMA table_info({table})").fetchall()
        key = {name for _, name, *_, place in columns if place}
        assert key, table
        assert not key & {"id", "face", "evaluation", "face_set"}, table


def test_two_stores_merged_both_ways_are_equal(
    filled: list[str], path: Path, other: Path, tmp_path: Path
) -> None:
    one, two = tmp_path / "one.db", tmp_path / "two.db"
    shutil.copy(path, one)
    shutil.copy(other, two)
    merged = merge(one, other)
    assert (len(merged.runs), len(merged.evaluations)) == (2, 3)
    assert len(merge(two, path).runs) == 4
    assert held(one) == held(two)
    assert len(held(one)["board"]) == 7
    with contextlib.closing(open_reader(one)) as con:  # another order of the faces' ids
        (stored,) = con.execute(
            "SELECT evaluations.id FROM evaluations WHERE subset = 'challenging'"
        ).fetchall()
        assert len(predictions.image_errors(con, stored[0])) == 6


def test_the_second_time_nothing_is_new(path: Path, filled: list[str], other: Path) -> None:
    merge(path, other)
    before = held(path)
    with contextlib.closing(open_reader(path)) as con:
        revision = reads.revision(con)
    merged = merge(path, other)
    assert merged.is_empty
    assert held(path) == before
    with contextlib.closing(open_reader(path)) as con:
        assert reads.revision(con) == revision


def test_a_store_brought_into_itself_changes_nothing(path: Path, filled: list[str]) -> None:
    before = held(path)
    assert merge(path, path).is_empty
    assert held(path) == before


def test_a_bundle_without_pictures_gets_them_from_the_next_one(
    path: Path, filled: list[str], tmp_path: Path
) -> None:
    with contextlib.closing(open_reader(path)) as con:
        for name, images in (("bare.db", False), ("whole.db", True)):
            bundle.write_bundle(con, tmp_path / name, bundle.select(con), images=images)
    mine = tmp_path / "mine.db"
    assert len(merge(mine, tmp_path / "bare.db").runs) == 4
    assert held(mine)["pictures"][0][1] == 0
    assert merge(mine, tmp_path / "whole.db").is_empty
    assert held(mine) == held(path)


def test_what_was_evaluated_later_comes_and_what_was_superseded_does_not(
    path: Path, filled: list[str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    db = open_store(copy)
    again = examples.evaluation(error_px=1.7)
    evaluations.record_evaluation(db, filled[1], again, [])
    db.close()
    older = tmp_path / "older.db"
    shutil.copy(path, older)
    with lawless(older) as con:  # one of the same board that this store never saw
        con.execute("UPDATE evaluations SET created_at = '2020-01-01T00:00:00.000Z' WHERE id = 2")
    merged = merge(path, copy)
    assert (merged.runs, len(merged.evaluations)) == ((), 1)
    assert held(path)["board"] == held(copy)["board"]
    superseded = merge(path, older)
    assert superseded.is_empty
    assert superseded.superseded == 1


def test_a_run_that_was_trained_further_there_is_continued(path: Path, tmp_path: Path) -> None:
    db = open_store(path)
    run = runs.start_run(db, examples.new_run())
    runs.record_epoch(db, run, 1, {"train_loss": 1.0})
    db.close()
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    db = open_store(copy)
    runs.record_heartbeat(db, run, epoch=2, progress=0.5, faces_per_s=200.0)
    db.execute("UPDATE runs SET heartbeat_at = '2999-01-01T00:00:00.000Z'")
    runs.record_epoch(db, run, 2, {"train_loss": 0.5})
    db.close()
    assert merge(path, copy).continued == (run,)
    with contextlib.closing(open_reader(path)) as con:
        found = con.execute("SELECT epoch, value FROM epochs ORDER BY epoch").fetchall()
    assert found == [(1, 1.0), (2, 0.5)]
    assert merge(path, copy).is_empty
    assert merge(copy, path).is_empty


def test_boards_of_one_box_file_are_one_board(path: Path, tmp_path: Path) -> None:
    """Each store keeps the name that it knows a box file by; other files are other boards."""
    other = tmp_path / "other.db"
    for store, name, digest in ((path, "mtcnn", "ab" * 32), (other, "theirs", "ab" * 32)):
        db = open_store(store)
        run = runs.start_run(db, examples.new_run(name=name))
        for digits in (digest, "cd" * 32 if store == other else digest):
            manifest = {"faces": 6, "digest": "d", "box_file": digits, "box_name": name}
            result = examples.evaluation(box="file", manifest=manifest)
            evaluations.record_evaluation(db, run, result, [])
        db.close()
    merge(path, other)
    with contextlib.closing(open_reader(path)) as con:
        boards = set(con.execute("SELECT name, box FROM evaluations JOIN runs ON runs.id = run"))
    assert boards == {
        ("mtcnn", "file-mtcnn-abababab"),
        ("theirs", "file-mtcnn-abababab"),
        ("theirs", "file-theirs-cdcdcdcd"),
    }


CONFLICTS = {
    "another seed": "UPDATE runs SET seed = 77 WHERE name = 'mean-shape'",
    "another manifest": "UPDATE runs SET manifest = json_set(manifest, '$.digest', 'x')",
    "other rows of run_config": "UPDATE run_config SET value = '7' WHERE key = 'model.width'",
    "other rows of epochs": "UPDATE epochs SET value = value / 2",
}


@pytest.mark.parametrize("difference", CONFLICTS)
def test_a_run_with_other_contents_is_refused(
    path: Path, filled: list[str], tmp_path: Path, difference: str
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with lawless(copy) as con:
        con.execute(CONFLICTS[difference])
    before = held(path)
    with pytest.raises(StoreError, match=f"has {difference} there than"):
        merge(path, copy)
    assert held(path) == before


def test_other_predictions_of_one_evaluation_are_refused(
    path: Path, filled: list[str], tmp_path: Path
) -> None:
    """Every score of the forged store follows from its predictions, which are not those here."""
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with lawless(copy) as con:
        (stored,) = con.execute(
            "SELECT p.prediction FROM predictions AS p WHERE evaluation = 2 LIMIT 1"
        ).fetchone()
        better = np.frombuffer(stored, "<f4") + np.float32(0.25)
        con.execute(
            "UPDATE predictions SET prediction = ? WHERE evaluation = 2", [better.tobytes()]
        )
        for table in ("scores", "error_vectors"):
            con.execute(f"DELETE FROM {table} WHERE evaluation = 2")
        con.execute("DELETE FROM meta WHERE key = 'scores'")
    with pytest.raises(StoreError, match="has other predictions for common there than"):
        merge(path, copy)


SPOILED: dict[str, tuple[str, str]] = {
    "score": ("UPDATE scores SET value = value / 2", "do not follow from the errors"),
    "id": ("UPDATE runs SET id = '../../../../etc/passwd' WHERE name = 'wide'", "32 hex"),
    "crop": ("UPDATE faces SET crop = x'00'", "is not a readable JPEG"),
    "trigger": (
        "CREATE TRIGGER t AFTER INSERT ON runs BEGIN DELETE FROM runs; END",
        "trigger 't' is not drf's",
    ),
}


@pytest.mark.parametrize("kind", SPOILED)
def test_a_strangers_store_with_a_fault_is_refused(
    path: Path, filled: list[str], other: Path, kind: str
) -> None:
    statement, sentence = SPOILED[kind]
    with lawless(other) as con:
        con.execute(statement)
    before = held(path)
    with pytest.raises(StoreError, match=sentence):
        merge(path, other)
    assert held(path) == before


@pytest.mark.parametrize("kind", ["missing", "text", "empty", "foreign"])
def test_what_is_no_store_is_refused(path: Path, tmp_path: Path, kind: str) -> None:
    file = tmp_path / "given"
    if kind == "text":
        file.write_text("no store " * 200)
    elif kind == "empty":
        file.touch()
    elif kind == "foreign":
        with contextlib.closing(sqlite3.connect(file)) as con:
            con.execute("CREATE TABLE mine (x)")
    with pytest.raises(DrfError) as refused:
        merge(path, file)
    assert "given" in str(refused.value)


def test_the_disk_that_is_full_is_that_of_the_copy(
    path: Path, other: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connect = sqlite3.connect

    def with_little_room(file: str | Path, *rest: object, **options: object) -> sqlite3.Connection:
        con = connect(file, *rest, **options)
        if Path(file).name == "copy.db":
            con.execute("PRAGMA max_page_count = 5")
        return con

    monkeypatch.setattr(sqlite3, "connect", with_little_room)
    with pytest.raises(DrfError, match=r"drf-import-.*copy\.db is full"):
        merge(path, other)
    assert not path.exists()


def test_another_definition_of_a_markup_is_refused(
    path: Path, filled: list[str], other: Path
) -> None:
    with lawless(other) as con:
        (text,) = con.execute("SELECT definition FROM markups").fetchone()
        changed = text.replace('"chin"', '"tip of the chin"')
        con.execute("UPDATE markups SET definition = ?", [changed])
    with pytest.raises((UsageError, StoreError), match="markup"):
        merge(path, other)


def test_a_store_of_the_first_version_comes_too_and_stays_as_it_is(tmp_path: Path) -> None:
    golden = tmp_path / "golden.db"
    shutil.copy(GOLDEN, golden)
    before = golden.read_bytes()
    mine = tmp_path / "mine.db"
    merged = merge(mine, golden)
    assert merged.runs
    assert golden.read_bytes() == before
    with contextlib.closing(sqlite3.connect(golden)) as con:
        assert migrations.pending(examples.Database(con))
    db = open_store(golden, at_once=1000)
    db.close()
    with (
        contextlib.closing(open_reader(golden)) as one,
        contextlib.closing(open_reader(mine)) as two,
    ):
        boards = [
            reads.leaderboard(con, landmarks=None).drop(columns="evaluation") for con in (one, two)
        ]
    pd.testing.assert_frame_equal(*boards)


def test_links_keep_the_meaning_that_they_have_here(
    path: Path, filled: list[str], other: Path
) -> None:
    with contextlib.closing(open_store(path)) as db:
        saved_links.add_view(db, "tall", "?norm=Box")
    assert merge(path, other).kept_views == ("tall",)
    assert ("tall", "?norm=Box") in [row[:2] for row in held(path)["views"]]


def add_sweep(path: Path, name: str, factor: str, n: int) -> None:
    jobs = [sweeps.NewJob(f"{factor}{i}".ljust(32, "0"), "job", i, {factor: i}) for i in range(n)]
    with contextlib.closing(open_store(path)) as db:
        sweeps.record_sweep(db, name, "val", jobs)


@pytest.mark.parametrize("seed", ["0", "1", "2"])
def test_a_store_with_sweeps_comes_in_whatever_order_texts_are_hashed(
    other: Path, tmp_path: Path, seed: str
) -> None:
    add_sweep(other, "theirs", "a", 2)
    command = [sys.executable, "-c", "from cli.main import main; main()", "import", "bundle"]
    ended = subprocess.run(
        [*command, str(other), "--db", str(tmp_path / "mine.db")],
        env=os.environ | {"PYTHONHASHSEED": seed},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    assert "Sweeps that are new here: theirs" in ended.stderr


def test_a_sweep_has_the_jobs_of_one_store(other: Path, tmp_path: Path) -> None:
    """Of one name: other jobs there, of another factor; and the same ones in both."""
    mine = tmp_path / "mine.db"
    for path, factor, n in ((mine, "a", 2), (other, "b", 3)):
        add_sweep(path, "of both", factor, n)
        add_sweep(path, "the same", "c", 1)
    add_sweep(other, "theirs", "d", 4)
    merged = merge(mine, other)
    assert (merged.sweeps, merged.kept_sweeps) == (("theirs",), ("of both",))
    for _ in range(2):
        with contextlib.closing(open_reader(mine)) as con:
            factors = {
                name: sweeps.jobs(con, name)["factors"].tolist()
                for name in ("of both", "the same", "theirs")
            }
        assert factors == {
            "of both": [{"a": 0}, {"a": 1}],
            "the same": [{"c": 0}],
            "theirs": [{"d": 0}, {"d": 1}, {"d": 2}, {"d": 3}],
        }
        merged = merge(mine, other)
        assert (merged.sweeps, merged.kept_sweeps) == ((), ("of both",))


def test_what_another_store_deleted_is_no_news_of_this_one(
    path: Path, filled: list[str], tmp_path: Path
) -> None:
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with contextlib.closing(open_store(copy)) as db:
        examples.add_finished_run(db, name="came", seed=9)
        runs.delete_run(db, filled[3])
    merge(path, copy)
    with contextlib.closing(open_reader(path)) as con:
        assert con.execute("SELECT count(*) FROM deletions").fetchone() == (0,)


def test_an_import_that_fails_leaves_no_empty_store(
    path: Path, filled: list[str], other: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise sqlite3.IntegrityError("as a fault of ours would")

    before = held(path)
    monkeypatch.setattr(merging, "_bring", fail)
    for store in (path, tmp_path / "new.db"):
        with pytest.raises(sqlite3.IntegrityError):
            merge(store, other)
    assert not list(tmp_path.glob("new.db*"))
    assert held(path) == before


def test_what_people_said_of_a_run_here_stays_when_it_is_continued(
    path: Path, tmp_path: Path
) -> None:
    with contextlib.closing(open_store(path)) as db:
        run = runs.start_run(db, examples.new_run())
    copy = tmp_path / "copy.db"
    shutil.copy(path, copy)
    with contextlib.closing(open_store(path)) as db:
        words.rename_run(db, run, "renamed here")
        words.write_note(db, run, "noted here")
        words.add_tags(db, run, ["here"])
    with contextlib.closing(open_store(copy)) as db:
        words.write_note(db, run, "noted there")
        words.add_tags(db, run, ["there"])
        db.execute("UPDATE runs SET heartbeat_at = '2999-01-01T00:00:00.000Z'")
    assert merge(path, copy).continued == (run,)
    with contextlib.closing(open_reader(path)) as con:
        said = words.of_run(con, run)
        assert reads.run(con, run)["name"] == "renamed here"
    assert said.note is not None
    assert (said.note.text, said.tags) == ("noted here", ("here", "there"))
