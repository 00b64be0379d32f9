"""What people say of runs: notes, tags, stars and names."""

from __future__ import annotations

import sqlite3
from pathlib import Path

import pytest
from sqlite_utils import Database

from db import reads
from db.connection import open_reader, open_store
from db.maintenance import bundle, integrity
from db.recording import runs, words
from drf.errors import DrfError, NotFoundError, UsageError
from tests.db import examples


@pytest.fixture
def run(db: Database) -> str:
    return examples.add_finished_run(db)


def test_what_is_said_of_a_run_is_read_with_all_others(db: Database, run: str) -> None:
    other = examples.add_finished_run(db, seed=1)
    assert words.of_runs(db.conn) == {}
    assert words.of_run(db.conn, run) == words.NOTHING
    words.write_note(db, run, "Muon.\n\n  Twice as fast.  \n", "Ada")
    words.add_tags(db, run, ["short", "For-Paper", "größe"])
    words.set_star(db, other, starred=True)
    said = words.of_runs(db.conn)
    assert said == {one: words.of_run(db.conn, one) for one in (run, other)}
    assert said[run].note is not None
    assert (said[run].note.text, said[run].note.author) == ("Muon.\n\n  Twice as fast.", "Ada")
    assert said[run].tags == ("For-Paper", "größe", "short")
    assert (said[run].starred, said[other].starred) == (False, True)
    assert integrity.faults(db.conn) == []


def test_every_word_counts_the_revision_so_that_pages_show_it(db: Database, run: str) -> None:
    before = reads.revision(db.conn)
    words.write_note(db, run, "a")
    words.add_tags(db, run, ["a"])
    words.set_star(db, run, starred=True)
    words.rename_run(db, run, "b")
    assert reads.revision(db.conn) == before + 4


def test_a_note_that_is_replaced_or_removed_comes_back_to_who_does_so(
    db: Database, run: str
) -> None:
    assert words.write_note(db, run, "first", "Ada") is None
    replaced = words.write_note(db, run, "second")
    assert replaced is not None
    assert (replaced.text, replaced.author) == ("first", "Ada")
    assert words.remove_note(db, run).text == "second"
    with pytest.raises(NotFoundError, match="has no note"):
        words.remove_note(db, run)


def test_a_tag_is_one_whatever_its_case(db: Database, run: str) -> None:
    words.add_tags(db, run, ["Paper", "paper", "PAPER"])
    words.add_tags(db, run, ["paper"])
    assert words.of_run(db.conn, run).tags == ("Paper",)
    words.remove_tags(db, run, ["pAPER"])
    assert words.of_run(db.conn, run).tags == ()


def test_tags_are_removed_all_or_none(db: Database, run: str) -> None:
    words.add_tags(db, run, ["a", "b"])
    with pytest.raises(NotFoundError, match="has no tag 'c'; it has"):
        words.remove_tags(db, run, ["a", "c"])
    assert words.of_run(db.conn, run).tags == ("a", "b")


def test_a_run_keeps_id_and_results_under_another_name(db: Database, run: str) -> None:
    board = reads.leaderboard(db.conn).drop(columns="name")
    assert words.rename_run(db, run, "  better name ") == "hourglass"
    assert reads.find_run(db.conn, "better name") == run
    assert reads.leaderboard(db.conn).drop(columns="name").equals(board)


@pytest.mark.parametrize(
    "text", ["", " \n\t ", "a\x1b[31mb", "right\u202eleft", "half \udc80", "x" * 10_001]
)
def test_a_note_that_cannot_be_shown_is_refused(db: Database, run: str, text: str) -> None:
    with pytest.raises(UsageError):
        words.write_note(db, run, text)
    assert words.of_run(db.conn, run) == words.NOTHING


@pytest.mark.parametrize(
    "tag", ["", " ", "two words", "a,b", "a\nb", "-x", "\x07", "x" * 65, "\udc80"]
)
def test_a_tag_that_no_link_could_name_is_refused(db: Database, run: str, tag: str) -> None:
    with pytest.raises(UsageError, match="cannot be a tag"):
        words.add_tags(db, run, ["good", tag])
    assert words.of_run(db.conn, run) == words.NOTHING


@pytest.mark.parametrize("name", ["", "  ", "x" * 501, "\udc80"])
def test_a_name_that_no_board_could_show_is_refused(db: Database, run: str, name: str) -> None:
    with pytest.raises(UsageError):
        words.rename_run(db, run, name)


def test_a_run_that_is_gone_takes_its_words_along(db: Database, run: str) -> None:
    words.write_note(db, run, "a")
    words.add_tags(db, run, ["a"])
    words.set_star(db, run, starred=True)
    runs.delete_run(db, run)
    assert words.of_runs(db.conn) == {}
    for write in (
        lambda: words.write_note(db, run, "a"),
        lambda: words.add_tags(db, run, ["a"]),
        lambda: words.set_star(db, run, starred=True),
        lambda: words.rename_run(db, run, "a"),
    ):
        with pytest.raises(NotFoundError, match="not in the store any more"):
            write()


def test_a_bundle_holds_the_words_on_its_runs_and_no_trace_of_deleted_ones(
    path: Path, tmp_path: Path
) -> None:
    db = open_store(path)
    one, other = (examples.add_finished_run(db, seed=seed) for seed in (0, 1))
    runs.delete_run(db, examples.add_finished_run(db, seed=2))
    for run in (one, other):
        words.add_tags(db, run, [f"of-{run[:8]}"])
    bundle.write_bundle(
        db.conn, tmp_path / "b.db", bundle.select(db.conn, runs=[one]), images=False
    )
    db.close()
    con = open_reader(tmp_path / "b.db")
    assert list(words.of_runs(con)) == [one]
    assert con.execute("SELECT count(*) FROM deletions").fetchone() == (0,)
    con.close()


def test_words_that_no_drf_writes_are_told_in_one_sentence(path: Path) -> None:
    (run, *_) = examples.filled_store(path)
    db = open_store(path)
    words.write_note(db, run, "a note")
    db.execute("UPDATE notes SET text = CAST(x'ff' AS TEXT)")
    db.close()
    con = open_reader(path)
    with pytest.raises(sqlite3.OperationalError):
        words.of_runs(con)
    con.close()
    explained = integrity.explain(path)
    assert isinstance(explained, DrfError)
    assert "notes" in str(explained)
