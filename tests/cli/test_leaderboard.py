from __future__ import annotations

import io
import itertools
from pathlib import Path

import pandas as pd
import pytest
from rich.console import Console

from cli.leaderboard import board_table
from db import reads
from db.connection import open_reader, open_store
from db.recording import evaluations, latencies, runs
from drf.scoring import scores
from tests.cli.conftest import Drf
from tests.db import examples

BOARD = {"dataset": "synthetic", "subset": "common", "landmarks": "all", "box": "gt"}


def board_rows(folder: Path) -> pd.DataFrame:
    con = open_reader(folder / "drf.db")
    rows = latencies.on_boards(con, reads.leaderboard(con))
    con.close()
    return rows


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
        for norm in scores.NORMALISER_KEYS:
            assert tuple(entry["scores"][norm]) == scores.SCORE_KEYS
        assert entry["box"] == "gt"  # the box protocol, not the normaliser
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
    same = ("--dataset", "synthetic", "--subset", "common", "--box", "gt", "--landmarks", "all")
    assert len(drf("leaderboard", "--json", *same).json) == 4
    for other in (("--dataset", "300w"), ("--subset", "full"), ("--box", "file")):
        answer = drf("leaderboard", "--json", *other)
        assert (answer.code, answer.json) == (0, [])
        assert "the store has synthetic common (landmarks all, box gt)" in answer.err


def test_an_empty_store_says_what_to_do(drf: Drf, tmp_path: Path) -> None:
    open_store(tmp_path / "drf.db").close()
    answer = drf("leaderboard")
    assert (answer.code, answer.out) == (0, "")
    assert "no evaluations yet" in answer.err


@pytest.mark.usefixtures("filled")
def test_mistyped_words_name_the_nearest(drf: Drf) -> None:
    assert "did you mean 'ocular_nme'" in drf("leaderboard", "--sort", "ocular_nne").err
    assert "did you mean 'mouth'" in drf("leaderboard", "--landmarks", "mouht").err
    assert "ocular, pupil, box" in drf("leaderboard", "--norm", "pupils").err


@pytest.mark.usefixtures("filled")
def test_the_table_shows_both_normalisations_and_the_floor(drf: Drf) -> None:
    lines = drf("leaderboard").out.splitlines()
    assert "synthetic / common: 6 faces, landmarks all, box gt, errors in percent" in lines[0]
    rows = {line.split()[0]: line for line in lines if line.strip() and line.split()[0] != "─"}
    assert "hourglass-wide (seed 0)" in rows["1"]
    assert "mean-shape (seed 0)" in rows["floor"]
    entries = drf("leaderboard", "--json").json
    for norm in ("ocular", "pupil"):
        for score in scores.SCORE_KEYS:
            assert f"{entries[0]['scores'][norm][score]:.2f}" in rows["1"]
            assert f"{entries[-1]['scores'][norm][score]:.2f}" in rows["floor"]
    assert f"{entries[0]['scores']['box']['nme']:.2f}" in rows["1"]
    assert "4" not in rows  # the floor is not a competitor


@pytest.mark.usefixtures("filled")
def test_one_normaliser_alone_ranks_and_shows_every_score(drf: Drf) -> None:
    lines = drf("leaderboard", "--norm", "box").out.splitlines()
    head = next(line.split() for line in lines if line.split() and set(line.split()) == {"box"})
    assert len(head) == len(scores.SCORES)
    entries = drf("leaderboard", "--norm", "box", "--json").json
    errors = [entry["scores"]["box"]["nme"] for entry in entries]
    assert errors == sorted(errors)


def test_a_model_below_the_floor_is_seen_to_be_there(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    examples.add_finished_run(db, name="lost", error_px=20.0)
    examples.add_finished_run(db, name="mean-shape", family="mean-shape", error_px=9.0)
    db.close()
    text = drf("leaderboard").out
    assert text.index("floor") < text.index("–      lost (seed 0, worse than floor)")
    assert "1      " not in text  # neither takes a place
    assert "no floor" not in text


@pytest.mark.usefixtures("filled")
def test_the_mean_shape_takes_no_place_in_the_table_of_methods_either(drf: Drf) -> None:
    lines = [line.split() for line in drf("leaderboard", "--methods").out.splitlines()]
    places = {words[1]: words[0] for words in lines if len(words) > 3}
    assert places["mean-shape"] == "floor"
    records = drf("leaderboard", "--methods", "--json").json
    assert [one["rank"] for one in records if one["name"] == "mean-shape"] == [None]
    others = [one["rank"] for one in records if one["name"] != "mean-shape"]
    assert others == list(range(1, len(others) + 1))


def test_beside_a_baseline_rows_in_another_order_keep_their_places_by_nme(
    drf: Drf, filled: list[str]
) -> None:
    rows = drf("leaderboard", "--baseline", filled[1], "--sort", "params", "--json").json
    assert [row["params"] for row in rows] == sorted(row["params"] for row in rows)
    places = {row["runs"][0]: row["rank"] for row in rows}
    assert places == {filled[3]: 1, filled[1]: 2, filled[2]: 3, filled[0]: None}
    assert [row["rank"] for row in rows] != [1, 2, 3, None]


def test_a_board_without_the_floor_says_so(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    examples.add_finished_run(db)
    db.close()
    assert "no floor: train and evaluate mean-shape" in drf("leaderboard").out


def test_what_limits_a_comparison_is_said(drf: Drf, tmp_path: Path) -> None:
    db = open_store(tmp_path / "drf.db")
    run = runs.start_run(db, examples.new_run(name="[bold]odd[/bold]"))
    evaluations.record_evaluation(db, run, examples.evaluation(5, flip_test=False), [])
    evaluations.record_evaluation(db, examples.add_finished_run(db), examples.evaluation(6), [])
    db.close()
    text = drf("leaderboard").out
    assert "[bold]odd[/bold] (seed 0, no flip test, running)" in text
    assert "5, 6 faces" in text
    assert "not all evaluated on the same faces" in text


@pytest.mark.parametrize("options", [(), ("--methods",)])
def test_a_name_in_a_remark_is_no_markup(
    drf: Drf, tmp_path: Path, options: tuple[str, ...]
) -> None:
    db = open_store(tmp_path / "drf.db")
    external = {"family": "external", "params": 0, "macs": 0}
    examples.add_finished_run(db, name="HRNet [w18] [/b]", **external)
    db.close()
    answer = drf("leaderboard", *options)
    assert answer.code == 0
    assert "imported: HRNet [w18] [/b]." in " ".join(answer.out.split())


@pytest.mark.parametrize("width", [80, 100, 120, 160, 200, 300])
def test_no_number_is_cut_in_any_width(filled: list[str], tmp_path: Path, width: int) -> None:
    rows = board_rows(tmp_path)
    screen = io.StringIO()
    Console(file=screen, width=width).print(board_table(BOARD, rows, width))
    text = screen.getvalue()
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    for row in rows.to_dict("records"):
        assert row["run"][:8] in text
        for norm in scores.NORMALISER_KEYS:
            assert f"{row[f'{norm}_nme']:.2f}" in text
    assert ("More scores" in text) == (width < 300)


@pytest.mark.usefixtures("filled")
def test_a_wider_table_shows_more_and_keeps_what_it_had(tmp_path: Path) -> None:
    rows = board_rows(tmp_path)
    shown = [
        {str(column.header) for column in board_table(BOARD, rows, width).columns}
        for width in (80, 100, 120, 160, 200, 300)
    ]
    for narrow, wide in itertools.pairwise(shown):
        assert narrow < wide
    first_in_full = {f"ocular\n{score.heading}" for score in scores.SCORES}
    assert first_in_full <= shown[2]
    assert {"params", "MACs"} <= shown[3]
    assert "ms/face" not in shown[3]  # measured beside whatever else ran
    everything = {
        f"{norm.key}\n{score.heading}" for norm in scores.NORMALISERS for score in scores.SCORES
    }
    assert everything <= shown[-1]


@pytest.mark.usefixtures("filled")
def test_a_normaliser_that_the_markup_does_not_define_has_no_column(tmp_path: Path) -> None:
    rows = board_rows(tmp_path)
    rows[[column for column in rows.columns if column.startswith("pupil_")]] = float("nan")
    headings = [str(column.header) for column in board_table(BOARD, rows, 300).columns]
    assert "ocular\nNME ↓" in headings
    assert not [heading for heading in headings if heading.startswith("pupil")]


def test_the_best_of_each_column_is_bold(filled: list[str], tmp_path: Path) -> None:
    rows = board_rows(tmp_path)
    table = board_table(BOARD, rows, 200)
    best = {
        str(column.header).replace("\n", " "): [
            str(text) for text in column._cells if any("bold" in str(s.style) for s in text.spans)
        ]
        for column in table.columns
    }
    lowest, highest = rows["ocular_nme"].min(), rows["pupil_auc10"].max()
    assert best["ocular NME ↓"] == [f"{lowest:.2f}"]
    assert best["pupil AUC@10 ↑"] == [f"{highest:.2f}"]
    assert best["ocular FR@10 ↓"] == ["0.00"] * 3  # equal bests are all best
    assert best["name"] == best["params"] == []
