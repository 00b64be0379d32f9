"""`drf runs note|tag|star|rename`, `drf train --note --tag`, and what shows it."""

from __future__ import annotations

import contextlib
import io
import sqlite3
from pathlib import Path

import pytest

from db.connection import open_reader, open_store
from db.recording import runs
from db.recording.record import open_record
from db.recording.words import of_run
from drf.errors import DrfError
from experiments import train
from tests.cli.conftest import Drf
from tests.db import examples

TRAINING = ("train", "mean-shape", "--set", "data.synthetic_train_size=10")


def test_what_is_said_of_a_run_is_listed_shown_and_found(drf: Drf, filled: list[str]) -> None:
    run = filled[3]
    assert drf("runs", "note", run[:8], "Twice as wide.", "--by", "Ada").code == 0
    assert "has the tags for-paper, wide" in drf("runs", "tag", run[:8], "wide", "for-paper").err
    assert drf("runs", "star", run[:8]).code == 0
    shown = drf("runs", "show", run[:8], "--json").json
    assert (shown["note"]["text"], shown["note"]["author"]) == ("Twice as wide.", "Ada")
    assert (shown["tags"], shown["starred"]) == (["for-paper", "wide"], True)
    text = drf("runs", "show", run[:8]).out
    assert all(word in text for word in ("Twice as wide.", "Ada", "for-paper, wide"))
    assert "★ for-paper, wide" in drf("runs", "list").out
    for options in (("--tag", "FOR-paper", "--tag", "wide"), ("--starred",)):
        listed = drf("runs", "list", "--json", *options).json
        assert [(row["id"], row["tags"]) for row in listed] == [(run, ["for-paper", "wide"])]
    none = drf("runs", "list", "--tag", "other")
    assert (none.out, none.code) == ("", 0)
    assert "for-paper, wide" in none.err


def test_a_note_comes_from_stdin_and_the_one_before_is_printed(
    drf: Drf, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DRF_AUTHOR", "Grace")
    drf("runs", "note", filled[0], "first\nline")
    stdin = io.TextIOWrapper(io.BytesIO("größer\n".encode()), encoding="ascii")
    monkeypatch.setattr("sys.stdin", stdin)
    answer = drf("runs", "note", filled[0], "-")
    assert answer.out == "first\nline\n"
    note = drf("runs", "show", filled[0], "--json").json["note"]
    assert (note["text"], note["author"]) == ("größer", "Grace")
    assert drf("runs", "note", filled[0], "--remove").out == "größer\n"
    assert drf("runs", "show", filled[0], "--json").json["note"] is None
    assert drf("runs", "note", filled[0], "--remove").code == 3
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(b"\xff")))
    assert "not UTF-8" in drf("runs", "note", filled[0], "-").err


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("note",), 2, "or --remove"),
        (("note", "text", "--remove"), 2, "or --remove"),
        (("note", " "), 2, "cannot be blank"),
        (("tag", "two words"), 2, "cannot be a tag"),
        (("tag", "missing", "--remove"), 3, "has no tag"),
        (("rename", " "), 2, "blank name"),
    ],
)
def test_words_that_cannot_be_kept_are_refused(
    drf: Drf, filled: list[str], words: tuple[str, ...], code: int, said: str
) -> None:
    command, *rest = words
    answer = drf("runs", command, filled[1], *rest)
    assert answer.code == code
    assert said in answer.err
    assert drf("runs", "show", filled[1], "--json").json["tags"] == []


def test_a_renamed_run_is_found_by_its_new_name_and_its_id(drf: Drf, filled: list[str]) -> None:
    assert "formerly mean-shape" in drf("runs", "rename", "mean-shape", "floor").err
    for text in ("floor", filled[0][:8]):
        assert drf("runs", "show", text, "--json").json["id"] == filled[0]
    assert drf("runs", "show", "mean-shape").code == 3


def test_the_record_beside_the_checkpoints_has_the_same_words(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    store = open_store(tmp_path / "drf.db")
    open_record(tmp_path / filled[1], store, filled[1]).close()
    store.close()
    drf("runs", "tag", filled[1], "kept")
    (tmp_path / "drf.db").unlink()
    drf("runs", "recover", tmp_path / filled[1])
    assert drf("runs", "show", filled[1], "--json").json["tags"] == ["kept"]


def test_a_folder_of_no_run_does_not_keep_the_others_from_the_store(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    with contextlib.closing(open_store(tmp_path / "drf.db")) as store:
        open_record(tmp_path / filled[1], store, filled[1]).close()
    (tmp_path / "drf.db").unlink()
    answer = drf("runs", "recover", tmp_path / "cache", tmp_path / filled[1])
    assert answer.code == 3
    assert f"drf: there is no record.db in {tmp_path / 'cache'}" in answer.err
    assert [row["id"] for row in drf("runs", "list", "--json").json] == [filled[1]]


def test_a_record_that_is_locked_costs_no_words(
    drf: Drf, filled: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("db.connection.BUSY_TIMEOUT_S", 0.05)
    with contextlib.closing(open_store(tmp_path / "drf.db")) as store:
        kept = open_record(tmp_path / filled[1], store, filled[1])
    monkeypatch.setattr("db.recording.record.open_record", lambda *_: kept)
    with contextlib.closing(sqlite3.connect(kept.path, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        answer = drf("runs", "tag", filled[1], "kept")
    assert answer.code == 0
    assert f"record beside the checkpoints is not: {kept.path} stayed locked" in answer.err
    assert drf("runs", "show", filled[1], "--json").json["tags"] == ["kept"]


def test_a_run_has_its_first_words_also_where_it_fails(
    drf: Drf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise DrfError("killed")

    monkeypatch.setattr(train.Trainer, "run", fail)
    cache = ("--cache", tmp_path / "cache")
    said = ("--note", "the floor", "--tag", "first", "--tag", "again")
    assert drf(*TRAINING, *cache, *said).code == 1
    (run,) = drf("runs", "list", "--json").json
    assert (run["status"], run["note"]["text"], run["tags"]) == (
        "failed",
        "the floor",
        ["again", "first"],
    )
    with_record = tmp_path / run["id"] / "record.db"
    con = open_reader(with_record)
    assert of_run(con, run["id"]).tags == ("again", "first")
    con.close()
    refused = drf(*TRAINING, *cache, "--tag", "a b")
    assert (refused.code, len(drf("runs", "list", "--json").json)) == (2, 1)


def test_what_is_new_on_the_boards_is_listed(drf: Drf, filled: list[str], tmp_path: Path) -> None:
    store = open_store(tmp_path / "drf.db")
    (revision,) = store.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()
    added = examples.add_finished_run(store, name="newest", error_px=1.5)
    runs.delete_run(store, filled[2])
    store.close()
    (board,) = drf("leaderboard", "--since", revision, "--json").json["boards"]
    assert [one["id"] for one in board["added"]] == [added]
    assert [(one["id"], one["place_before"], one["place"]) for one in board["moved"]] == [
        (filled[1], 2, 3),  # the mean shape is the floor, which takes no place
    ]
    assert [(one["run"], one["name"]) for one in board["deleted"]] == [(filled[2], "hourglass")]
    text = drf("leaderboard", "--since", revision).out
    assert all(word in text for word in ("newest", "2 → 3", "deleted"))
    assert "Nothing is new" in drf("leaderboard", "--since", "2100-01-01").err
    assert drf("leaderboard", "--since", revision, "--subset", "other").out == ""
    for wrong in (("banana",), ("99999",), ("0001-01-01T00:00+05:00",), ("1", "--sort", "params")):
        assert drf("leaderboard", "--since", *wrong).code == 2
