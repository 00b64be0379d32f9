from __future__ import annotations

import io
from pathlib import Path

import pytest
from rich.console import Console

from cli.leaderboard import board_table
from db import evaluations, reads, runs
from db.connection import open_reader, open_store
from tests.cli.conftest import Drf
from tests.db import examples

SCORES = {"nme", "fr8", "auc8", "fr10", "auc10"}
BOARD = {"dataset": "synthetic", "subset": "common", "points": "all", "box": "gt"}


@pytest.mark.usefixtures("filled")
def test_json_is_a_list_of_entries(drf: Drf) -> None:
    entries = drf("leaderboard", "--json").json
    assert [entry["name"] for entry in entries] == [
        *("hourglass-wide", "hourglass", "hourglass", "mean-shape")
    ]
    for entry in entries:
        assert entry.keys() >= {
            *("run", "name", "family", "dataset", "subset", "n", "box", "params", "macs")
        }
        assert entry["ocular"].keys() == entry["pupil"].keys() == SCORES
        assert entry["n"] == 6
        assert 0 < entry["ocular"]["nme"] < entry["pupil"]["nme"] < 100
    assert entries[-1]["ocular"]["fr10"] == 100


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("ocular_nme", "hourglass-wide"),
        ("pupil_auc8", "hourglass-wide"),  # higher is better
        ("params", "mean-shape"),
        ("name", "hourglass"),
    ],
)
def test_sorting(drf: Drf, tmp_path: Path, sort: str, first: str) -> None:
    db = open_store(tmp_path / "drf.db")
    for name, params, error_px in (
        ("hourglass", 5, 3.0),
        ("hourglass-wide", 9, 1.0),
        ("mean-shape", 0, 9.0),
    ):
        examples.add_finished_run(db, name=name, params=params, error_px=error_px)
    db.close()
    assert drf("leaderboard", "--json", "--sort", sort).json[0]["name"] == first


@pytest.mark.usefixtures("filled")
def test_filters(drf: Drf) -> None:
    same = ("--dataset", "synthetic", "--subset", "common", "--box", "gt", "--points", "all")
    assert len(drf("leaderboard", "--json", *same).json) == 4
    for other in (("--dataset", "300w"), ("--subset", "full"), ("--box", "file")):
        answer = drf("leaderboard", "--json", *other)
        assert (answer.code, answer.json) == (0, [])
        assert "the store has synthetic common (points all, box gt)" in answer.err


def test_an_empty_store_says_what_to_do(drf: Drf, tmp_path: Path) -> None:
    open_store(tmp_path / "drf.db").close()
    answer = drf("leaderboard")
    assert (answer.code, answer.out) == (0, "")
    assert "no evaluations yet" in answer.err


@pytest.mark.usefixtures("filled")
def test_mistyped_words_name_the_nearest(drf: Drf) -> None:
    assert "use ocular_nme" in drf("leaderboard", "--sort", "ocular_nne").err
    assert "use mouth" in drf("leaderboard", "--points", "mouht").err


@pytest.mark.usefixtures("filled")
def test_the_table_shows_both_normalisations_and_the_floor(drf: Drf) -> None:
    lines = drf("leaderboard").out.splitlines()
    assert "synthetic / common: 6 faces, all points, box gt, percent" in lines[0]
    rows = {line.split()[0]: line for line in lines if line.strip() and line.split()[0] != "─"}
    assert "hourglass-wide (seed 0)" in rows["1"]
    assert "mean-shape (seed 0)" in rows["floor"]
    entries = drf("leaderboard", "--json").json
    for norm in ("ocular", "pupil"):
        for score in SCORES:
            assert f"{entries[0][norm][score]:.2f}" in rows["1"]
            assert f"{entries[-1][norm][score]:.2f}" in rows["floor"]
    assert "4" not in rows  # the floor is not a competitor


def test_a_model_below_the_floor_is_seen_to_be_there(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    examples.add_finished_run(db, name="lost", error_px=20.0)
    examples.add_finished_run(db, name="mean-shape", family="mean-shape", error_px=9.0)
    db.close()
    text = drf("leaderboard").out
    assert text.index("floor") < text.index("1       lost")  # the floor takes no place
    assert "No floor" not in text


def test_a_board_without_the_floor_says_so(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    examples.add_finished_run(db)
    db.close()
    assert "No floor here: train and evaluate mean-shape" in drf("leaderboard").out


def test_what_limits_a_comparison_is_said(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    run = runs.start_run(db, examples.new_run(name="[bold]odd[/bold]"))
    evaluations.record_evaluation(db, run, examples.evaluation(5, flip_test=False), [])
    evaluations.record_evaluation(db, examples.add_finished_run(db), examples.evaluation(6), [])
    db.close()
    text = drf("leaderboard").out
    assert "[bold]odd[/bold] (seed 0, no flip test, running)" in text
    assert "5, 6 faces" in text
    assert "did not all see the same faces" in text


@pytest.mark.parametrize("width", [80, 92, 115, 155, 200])
def test_no_number_is_cut_in_any_width(filled: list[str], tmp_path: Path, width: int) -> None:
    con = open_reader(tmp_path / "drf.db")
    rows = reads.leaderboard(con)
    con.close()
    screen = io.StringIO()
    Console(file=screen, width=width).print(board_table(BOARD, rows, width))
    text = screen.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in rows.to_dict("records"):
        assert row["run"][:8] in text
        assert f"{row['ocular_nme']:.2f}" in text
        assert f"{row['pupil_auc8']:.2f}" in text
    assert ("AUC₁₀" in text) == (width >= 155)


def test_the_best_of_each_column_is_bold(filled: list[str], tmp_path: Path) -> None:
    con = open_reader(tmp_path / "drf.db")
    rows = reads.leaderboard(con)
    con.close()
    table = board_table(BOARD, rows, 200)
    best = {
        column.header.replace("\n", " "): [
            str(text) for text in column._cells if any("bold" in str(s.style) for s in text.spans)
        ]
        for column in table.columns
    }
    lowest, highest = rows["ocular_nme"].min(), rows["pupil_auc10"].max()
    assert best["ocular NME ↓"] == [f"{lowest:.2f}"]
    assert best["pupil AUC₁₀ ↑"] == [f"{highest:.2f}"]
    assert best["ocular FR₁₀ ↓"] == ["0.00"] * 3  # equal bests are all best
    assert best["name"] == best["params"] == []
