from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

import pytest

from db.connection import open_store
from db.file import run_folder
from db.recording import runs
from drf.text import signed
from tests.cli.conftest import Drf
from tests.db import examples
from tests.faults.hostile_stores import lawless


def test_list_shows_the_newest_first(drf: Drf, filled: list[str]) -> None:
    listed = drf("runs", "list", "--json").json
    assert {row["id"] for row in listed} == set(filled)
    assert [row["started_at"] for row in listed] == sorted(
        (row["started_at"] for row in listed), reverse=True
    )
    assert {row["status"] for row in listed} == {"finished"}
    text = drf("runs", "list").out
    assert all(run[:8] in text for run in filled)
    assert "2.50" in text  # best_val_nme is 0.025


def test_list_of_an_empty_store(drf: Drf, tmp_path: Path) -> None:
    open_store(tmp_path / "drf.db").close()
    assert drf("runs", "list", "--json").json == []
    answer = drf("runs", "list")
    assert (answer.out, answer.code) == ("", 0)
    assert "drf train" in answer.err


def test_a_run_whose_process_died_is_listed_as_crashed(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    runs.start_run(db, examples.new_run())
    assert drf("runs", "list", "--json").json[0]["status"] == "running"
    db.execute("UPDATE runs SET process_started = 1.0, heartbeat_at = '2026-01-01T00:00Z'")
    db.close()
    assert drf("runs", "list", "--json").json[0]["status"] == "crashed"


def test_show_tells_where_every_key_came_from(drf: Drf, filled: list[str]) -> None:
    shown = drf("runs", "show", filled[1][:8], "--json").json
    new = examples.new_run()
    assert shown["id"] == filled[1]
    assert shown["config"] == {
        key: {"value": value, "source": new.sources[key]} for key, value in new.config.items()
    }
    assert shown["provenance"] == new.provenance
    assert shown["manifest"] == new.manifest
    assert len(shown["evaluations"]) == 1
    assert shown["evaluations"][0]["checkpoint"] == "best.safetensors"
    text = drf("runs", "show", filled[1][:8]).out
    facts = ("training.lr", "0.001", "--set", "preset hourglass", "git_commit")
    for word in (*facts, "Ocular", "Box", "NME ↓"):
        assert word in text


def test_show_counts_the_lines_of_a_long_diff(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    diff = "\n".join(f"+ line {i}" for i in range(300))
    run = runs.start_run(db, examples.new_run(provenance={"git_diff": diff}))
    db.close()
    text = drf("runs", "show", run[:8]).out
    assert "300 lines; --json prints them" in text
    assert "line 299" not in text
    assert drf("runs", "show", run[:8], "--json").json["provenance"]["git_diff"] == diff


def test_diff_shows_what_differs_and_all_on_request(drf: Drf, filled: list[str]) -> None:
    compared = drf("runs", "diff", filled[1], filled[2], "--json").json
    assert (compared["a"], compared["b"]) == (filled[1], filled[2])
    assert [(row["key"], row["a"], row["b"]) for row in compared["settings"]] == [("seed", 0, 1)]
    everything = drf("runs", "diff", filled[1], filled[2], "--all", "--json").json["settings"]
    assert {"training.lr", "family", "seed"} <= {row["key"] for row in everything}
    (scores,) = compared["scores"]
    assert scores["ocular_nme_a"] < scores["ocular_nme_b"]
    text = drf("runs", "diff", filled[1], filled[2]).out
    difference = scores["ocular_nme_b"] - scores["ocular_nme_a"]
    assert signed(difference) in text
    assert "training.lr" not in text


def test_diff_shows_names_in_its_remark_as_they_are(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    learned = "UPDATE runs SET trained_on = 'synthetic, ' || ? WHERE id = ?"
    with contextlib.closing(sqlite3.connect(tmp_path / "drf.db")) as con, con:
        con.execute(learned, ["mine :smile: \x1b", filled[2]])
    answer = drf("runs", "diff", filled[1], filled[2])
    assert r"from weights of mine :smile: \x1b. What was spent" in answer.out


def test_delete_asks_for_yes_where_nobody_can_be_asked(
    drf: Drf, filled: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    answer = drf("runs", "delete", filled[0])
    assert answer.code == 2
    assert "--yes" in answer.err
    assert len(drf("runs", "list", "--json").json) == 4


@pytest.mark.parametrize(("reply", "left"), [("n\n", 4), ("y\n", 3)])
def test_delete_asks_at_a_terminal(
    drf: Drf, filled: list[str], monkeypatch: pytest.MonkeyPatch, reply: str, left: int
) -> None:
    import io

    class Terminal(io.StringIO):
        def isatty(self) -> bool:
            return True

    monkeypatch.setattr("sys.stdin", Terminal(reply))
    answer = drf("runs", "delete", filled[0])
    assert (answer.code == 0) == (left == 3)
    assert answer.out.strip() == ""
    assert f"Delete run {filled[0][:8]} (mean-shape, evaluations: 1)?" in answer.err
    assert len(drf("runs", "list", "--json").json) == left


def test_delete_keeps_the_checkpoints_and_says_where(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    folder = run_folder(tmp_path / "drf.db", filled[0])
    folder.mkdir()
    (folder / "best.safetensors").write_bytes(b"weights")
    answer = drf("runs", "delete", filled[0][:10], "--yes")
    assert answer.code == 0
    assert f"{folder} remains" in answer.err
    assert (folder / "best.safetensors").exists()
    assert len(drf("runs", "list", "--json").json) == 3


def test_delete_takes_the_checkpoints_along_on_request(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    mine, other = (run_folder(tmp_path / "drf.db", run) for run in filled[:2])
    mine.mkdir()
    other.mkdir()
    answer = drf("runs", "delete", filled[0], "--yes", "--checkpoints")
    assert answer.code == 0
    assert "remains" not in answer.err
    assert not mine.exists()
    assert other.exists()


def test_a_running_run_is_not_deleted(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    run = runs.start_run(db, examples.new_run())
    db.close()
    folder = run_folder(tmp_path / "drf.db", run)
    folder.mkdir()
    answer = drf("runs", "delete", run, "--yes", "--checkpoints")
    assert answer.code == 2
    assert "trains it; stop it first, then delete the run" in answer.err
    assert folder.exists()


def test_a_linked_folder_is_not_deleted(drf: Drf, filled: list[str], tmp_path: Path) -> None:
    (tmp_path / "precious").mkdir()
    (tmp_path / "precious/mine").write_text("mine")
    run_folder(tmp_path / "drf.db", filled[0]).symlink_to(tmp_path / "precious")
    answer = drf("runs", "delete", filled[0], "--yes", "--checkpoints")
    assert answer.code == 2
    assert "is a link to another place" in answer.err
    assert (tmp_path / "precious/mine").read_text() == "mine"
    assert len(drf("runs", "list", "--json").json) == 4
    assert drf("runs", "delete", filled[0], "--yes").code == 0
    assert (tmp_path / "precious/mine").exists()


def test_a_run_with_faulty_contents_can_be_deleted(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    with lawless(tmp_path / "drf.db") as con:
        con.execute("UPDATE runs SET provenance = '{', started_at = 'x' WHERE id = ?", [filled[0]])
    answer = drf("runs", "list")
    assert answer.code == 2
    assert f"runs {filled[0]}: provenance is not a JSON object" in answer.err
    answer = drf("db", "check")
    assert answer.code == 4
    assert f"runs {filled[0]}" in answer.out
    assert drf("runs", "delete", filled[0], "--yes").code == 0
    assert drf("db", "check").code == 0
    assert len(drf("runs", "list", "--json").json) == 3


def test_reap_makes_no_store(drf: Drf, tmp_path: Path) -> None:
    answer = drf("runs", "reap", "--db", tmp_path / "typo" / "x.db")
    assert answer.code == 3
    assert not (tmp_path / "typo").exists()
