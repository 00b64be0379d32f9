from __future__ import annotations

import contextlib
import re
import sqlite3
from pathlib import Path

import pytest

from db.tables import migrations
from tests.cli.conftest import Drf
from tests.db.examples import older_store


def test_path_names_the_store_that_is_used(
    drf: Drf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert drf("db", "path").out == f"{tmp_path / 'drf.db'}\n"
    assert drf("db", "path", "--db", tmp_path / "x.db").out == f"{tmp_path / 'x.db'}\n"
    monkeypatch.delenv("DRF_DB")
    monkeypatch.chdir(tmp_path)
    assert drf("db", "path").out == f"{tmp_path / 'runs' / 'drf.db'}\n"
    assert drf("db", "path", "--json").json == {
        "path": str(tmp_path / "runs" / "drf.db"),
        "exists": False,
    }


@pytest.mark.usefixtures("filled")
def test_check_of_a_sound_store(drf: Drf) -> None:
    answer = drf("db", "check")
    assert answer.code == 0
    assert "has no faults" in answer.out
    document = drf("db", "check", "--json").json
    assert (document["ok"], document["faults"]) == (True, [])


@pytest.mark.usefixtures("filled")
def test_check_lists_faults_and_exits_with_4(drf: Drf, tmp_path: Path) -> None:
    con = sqlite3.connect(tmp_path / "drf.db")
    con.execute("UPDATE scores SET value = 0.01 WHERE evaluation = 3 AND score = 'nme'")
    con.commit()
    con.close()
    answer = drf("db", "check", "--json")
    assert answer.code == 4
    assert answer.json["ok"] is False
    assert [(fault["check"], fault["subject"]) for fault in answer.json["faults"]] == [
        ("scores", "evaluation 3"),
        ("scores", "evaluation 3"),
        ("scores", "evaluation 3"),
    ]
    answer = drf("db", "check")
    assert answer.code == 4
    assert "pupil nme do not follow from the errors" in answer.out
    assert "has 3 faults" in answer.err


@pytest.mark.usefixtures("filled")
def test_doctor_shows_its_facts_beside_a_damaged_store(
    drf: Drf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("DRF_DATA", raising=False)
    path = tmp_path / "drf.db"
    roots = "SELECT rootpage FROM sqlite_master WHERE tbl_name = 'epochs' AND rootpage > 0"
    with contextlib.closing(sqlite3.connect(path)) as con:
        (size,) = con.execute("PRAGMA page_size").fetchone()
        pages = con.execute(roots).fetchall()
    with path.open("r+b") as file:
        for (page,) in pages:
            file.seek((page - 1) * size)
            file.write(b"\xff" * size)
    answer = drf("doctor", "--json")
    assert answer.code == 4
    assert answer.json["facts"]["device"]
    (fault,) = answer.json["faults"]
    assert fault.startswith(f"store: {path} is damaged")


@pytest.mark.usefixtures("filled")
def test_backup_copies_and_overwrites_nothing(drf: Drf, tmp_path: Path) -> None:
    copy = tmp_path / "copy.db"
    answer = drf("db", "backup", copy)
    assert (answer.code, answer.out) == (0, "")
    assert len(drf("leaderboard", "--json", "--db", copy).json) == 4
    again = drf("db", "backup", copy)
    assert again.code == 2
    assert "overwrite nothing" in again.err


def test_an_older_store_is_backed_up_as_it_is_and_migrated(drf: Drf, tmp_path: Path) -> None:
    older_store(tmp_path / "drf.db")
    refused = drf("leaderboard")
    assert refused.code == 2
    assert "drf db migrate" in refused.err
    assert drf("db", "backup", tmp_path / "before.db").code == 0
    answer = drf("db", "migrate")
    assert answer.code == 0
    assert "applied m002_evaluations" in answer.err
    assert drf("leaderboard", "--json").json == []
    assert "nothing to migrate" in drf("db", "migrate").err
    assert drf("leaderboard", "--db", tmp_path / "before.db").code == 2


def test_migrate_says_before_how_long_the_schema_takes(
    drf: Drf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the step that makes every table anew takes long, about a second for 10 MB."""
    older_store(tmp_path / "drf.db")
    size = (tmp_path / "drf.db").stat().st_size
    monkeypatch.setattr("db.tables.migrations.BYTES_A_SECOND", size / 277)
    said = drf("db", "migrate").err
    assert said.index("takes about 277 s") < said.index("applied m002_evaluations")
    assert migrations.seconds_for(["m012_claims"], 10**12) == 0


@pytest.mark.usefixtures("filled")
def test_migrate_says_how_long_new_scores_take_and_computes_them(
    drf: Drf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    con = sqlite3.connect(tmp_path / "drf.db")
    con.execute("DELETE FROM meta WHERE key = 'scores'")
    con.execute("DELETE FROM error_vectors WHERE norm = 'box'")
    con.execute("DELETE FROM scores WHERE norm = 'box'")
    con.commit()
    monkeypatch.setattr("db.tables.derived.TIMED", 1)
    answer = drf("db", "migrate")
    assert answer.code == 0
    assert re.search(r"takes about \d+ s for 3 evaluations", answer.err)
    assert "computed the new scores of 4 evaluations" in answer.err
    assert con.execute("SELECT count(*) FROM scores WHERE norm = 'box'").fetchone() == (24,)
    assert drf("db", "check").code == 0
    con.close()


def test_migrate_makes_no_store(drf: Drf, tmp_path: Path) -> None:
    assert drf("db", "migrate").code == 3
    assert not list(tmp_path.iterdir())


@pytest.mark.usefixtures("filled")
def test_prune_asks_one_question(drf: Drf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.stdin.isatty", lambda: False, raising=False)
    answer = drf("db", "prune", "crops")
    assert answer.code == 2
    assert f"whether to remove crops from {tmp_path / 'drf.db'}: add --yes" in answer.err
