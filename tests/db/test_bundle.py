"""A bundle is a store of its own with the chosen runs."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pandas as pd
import pytest

from db import reads
from db.connection import in_wal_mode, open_reader, open_store
from db.maintenance import bundle, integrity
from db.recording import gallery, runs, saved_links
from db.tables import board_rows
from drf.errors import NotFoundError, StoreError, UsageError
from tests.db import examples
from tests.faults.hostile_stores import lawless

Bundle = Callable[..., sqlite3.Connection]


@pytest.fixture
def bundled(filled: list[str], path: Path, tmp_path: Path) -> Iterator[Bundle]:
    """Write a bundle of the filled store, to which a run with leaves was added, and open it."""
    db = open_store(path)
    forest = examples.add_finished_run(db, name="forest")
    gallery.record_leaves(db, forest, examples.gallery(examples.leaf(), examples.whole_face()))
    untested = runs.start_run(db, examples.new_run(name="going-on"))
    saved_links.add_view(db, "tall", "?norm=Pupil")
    db.close()
    source, opened = open_reader(path), []

    def write(*, images: bool = True, **wanted: object) -> sqlite3.Connection:
        target = tmp_path / f"bundle{len(opened)}.db"
        selection = bundle.select(source, **wanted)
        assert untested not in selection.runs
        bundle.write_bundle(source, target, selection, images=images)
        opened.append(open_reader(target))
        return opened[-1]

    yield write
    for connection in (source, *opened):
        connection.close()


def rows(con: sqlite3.Connection, table: str) -> list[tuple[object, ...]]:
    return sorted(con.execute(f"SELECT * FROM {table}").fetchall(), key=repr)


def test_every_table_has_its_place_in_a_bundle(con: sqlite3.Connection) -> None:
    tables = {name for _, name, kind, *_ in con.execute("PRAGMA table_list") if kind == "table"}
    ours = {name for name in tables if not name.startswith(("sqlite_", "_"))}
    assert bundle.CHOSEN.keys() | {"meta", *board_rows.TABLES} == ours


def test_all_finished_runs_go_along_as_they_are(bundled: Bundle, con: sqlite3.Connection) -> None:
    copy = bundled()
    assert integrity.faults(copy) == []
    assert len(reads.runs(copy)) == 5
    pd.testing.assert_frame_equal(reads.leaderboard(copy), reads.leaderboard(con))
    for table in bundle.CHOSEN.keys() - {"runs", "run_config"}:
        assert rows(copy, table) == rows(con, table), table
    assert reads.revision(copy) == reads.revision(con)


def test_a_bundle_is_one_sound_file_that_drf_can_go_on_writing(
    bundled: Bundle, tmp_path: Path
) -> None:
    bundled().close()
    target = tmp_path / "bundle0.db"
    assert not in_wal_mode(target)
    assert [file.name for file in tmp_path.glob("*bundle*")] == [target.name]
    db = open_store(target)
    examples.add_finished_run(db, name="later")
    db.close()
    con = open_reader(target)
    assert integrity.faults(con) == []
    con.close()


def test_chosen_runs_go_along_with_their_faces_only(bundled: Bundle, filled: list[str]) -> None:
    copy = bundled(runs=[filled[0][:8], "hourglass-wide"])
    assert integrity.faults(copy) == []
    assert set(reads.runs(copy)["id"]) == {filled[0], filled[3]}
    assert reads.leaderboard(copy)["name"].tolist() == ["hourglass-wide", "mean-shape"]
    assert rows(copy, "leaves") == []
    assert {name for (name,) in copy.execute("SELECT DISTINCT name FROM faces")} == {
        f"common/{number:05d}" for number in range(6)
    }


def test_a_subset_chooses_runs_and_evaluations(
    bundled: Bundle, filled: list[str], path: Path
) -> None:
    db = open_store(path)
    result = examples.evaluation(subset="challenging")
    examples.evaluations.record_evaluation(db, filled[1], result, [])
    db.close()
    copy = bundled(subset="challenging")
    assert reads.runs(copy)["id"].tolist() == [filled[1]]
    assert reads.evaluations(copy, filled[1])["subset"].tolist() == ["challenging"]
    assert integrity.faults(copy) == []


def test_without_images_no_crop_goes_along(bundled: Bundle) -> None:
    copy = bundled(images=False)
    assert integrity.faults(copy) == []
    (pictures,) = copy.execute("SELECT count(crop) + count(to_picture) FROM faces").fetchone()
    assert pictures == 0
    assert len(rows(copy, "predictions")) == 30
    (with_pictures,) = bundled().execute("SELECT count(crop) FROM faces").fetchone()
    assert with_pictures > 0


def test_what_is_not_there_is_told(con: sqlite3.Connection) -> None:
    with pytest.raises(NotFoundError, match="nobody"):
        bundle.select(con, runs=["nobody"])
    with pytest.raises(NotFoundError, match="evaluated on 'ibug'"):
        bundle.select(con, subset="ibug")


def test_nothing_is_overwritten_and_nothing_half_written(
    con: sqlite3.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    target = tmp_path / "bundle.db"
    chosen = bundle.select(con)
    monkeypatch.setitem(bundle.CHOSEN, "views", "WHERE no such column")
    with pytest.raises(sqlite3.OperationalError):
        bundle.write_bundle(con, target, chosen, images=True)
    assert not list(tmp_path.glob("*bundle*"))
    target.write_text("precious")
    with pytest.raises(UsageError, match="overwrite nothing"):
        bundle.write_bundle(con, target, chosen, images=True)
    assert target.read_text() == "precious"


def test_what_nobody_could_read_is_not_bundled(
    filled: list[str], path: Path, tmp_path: Path
) -> None:
    with lawless(path) as spoilt:
        spoilt.execute("UPDATE faces SET to_picture = zeroblob(48) WHERE id = 1")
    target = tmp_path / "bundle.db"
    with closing(open_reader(path)) as con:
        chosen = bundle.select(con)
        with pytest.raises(StoreError, match="faces 1: to_picture is not a map"):
            bundle.write_bundle(con, target, chosen, images=True)
        assert not target.exists()
        bundle.write_bundle(con, target, chosen, images=False)  # goes without what is faulty
    assert target.exists()
