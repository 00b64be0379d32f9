from __future__ import annotations

import sqlite3
from pathlib import Path

from tests.cli.conftest import Drf


def research_only(path: Path) -> None:
    """Make the example store one of faces that may not be passed on."""
    con = sqlite3.connect(path)
    con.execute("UPDATE faces SET dataset = '300w'")
    con.execute("UPDATE evaluations SET dataset = '300w'")
    con.commit()
    con.close()


def test_both_exports_at_once_and_the_bundle_is_sound(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    answer = drf("export", "--static", tmp_path / "site", "--bundle", tmp_path / "b.db")
    assert (answer.code, answer.out) == (0, "")
    assert "Wrote 4 runs to" in answer.err
    assert "WARNING" not in answer.err  # synthetic faces are free
    assert (tmp_path / "site/index.html").is_file()
    assert drf("db", "check", "--db", tmp_path / "b.db").code == 0
    assert {row["run"] for row in drf("leaderboard", "--json", "--db", tmp_path / "b.db").json} == {
        *filled
    }


def test_pictures_for_research_only_are_told_on_stderr_and_left_out_on_request(
    drf: Drf, filled: list[str], tmp_path: Path
) -> None:
    research_only(tmp_path / "drf.db")
    static, bundle = tmp_path / "site", tmp_path / "b.db"
    answer = drf("export", "--static", static, "--bundle", bundle)
    assert answer.err.count("WARNING") == 2
    assert "pictures of 300w, a dataset for research only" in answer.err
    assert list(static.rglob("*.jpg"))
    without = tmp_path / "without.db"
    answer = drf("export", "--static", static, "--bundle", without, "--no-images")
    assert "WARNING" not in answer.err
    assert not list(static.rglob("*.jpg"))
    con = sqlite3.connect(without)
    assert con.execute("SELECT count(crop) FROM faces").fetchone() == (0,)
    con.close()


def test_chosen_runs_alone(drf: Drf, filled: list[str], tmp_path: Path) -> None:
    answer = drf(
        *("export", "--static", tmp_path / "site", "--run", filled[0][:8], "--run", filled[3])
    )
    assert answer.code == 0
    assert {page.stem for page in (tmp_path / "site/runs").iterdir()} == {filled[0], filled[3]}


def test_mistakes_are_one_sentence(drf: Drf, filled: list[str], tmp_path: Path) -> None:
    assert drf("export").code == 2
    assert drf("export", "--static", tmp_path / "site", "--run", "nobody").code == 3
    assert drf("export", "--static", tmp_path / "site", "--subset", "ibug").code == 3
    assert drf("export", "--static", tmp_path).code == 2  # holds the store
    (tmp_path / "b.db").write_text("precious")
    assert drf("export", "--bundle", tmp_path / "b.db").code == 2
    assert (tmp_path / "b.db").read_text() == "precious"
