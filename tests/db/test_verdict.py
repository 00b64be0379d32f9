"""The verdict of a board: one sentence that says which is best, by how much and how sure."""

from __future__ import annotations

import contextlib

import numpy as np
import pandas as pd
import pytest

from db import method_ids, reads
from db.analysis import intervals
from db.boards import board, verdict
from db.connection import open_reader, open_store
from db.recording.evaluations import record_evaluation
from drf.scoring.verdict import NOTHING_RANKED, Entrant, Gap, sentence
from tests.db import examples
from tests.webapp.boards import store_with_seeds

A, B = Entrant("cascade-forest", 2.861, 1), Entrant("heatmap-forest", 3.04, 1)
CLEAR = Gap(-0.18, -0.22, -0.14, 330)


def said(best=A, other=B, gap=CLEAR, **more) -> str:
    return sentence(best, other, gap, norm="Ocular", faces=330, **more)


def test_the_verdict_says_who_is_best_by_how_much_and_how_sure():
    assert said() == (
        "cascade-forest is best: 2.86 %, 0.18 below heatmap-forest [0.14, 0.22]"
        " (ocular NME, paired over 330 faces), 1 seed each."
    )


def test_where_nothing_can_be_told_apart_the_verdict_says_so():
    assert said(gap=Gap(-0.04, -0.1, 0.02, 330)) == (
        "cascade-forest and heatmap-forest cannot be told apart: 2.86 % and 3.04 %, difference"
        " −0.04 [−0.10, +0.02] (ocular NME, paired over 330 faces), 1 seed each."
    )


def test_a_verdict_on_a_chosen_baseline_says_nothing_of_the_rows_between():
    assert said(chosen=True).startswith("cascade-forest leads: 2.86 %, 0.18 below heatmap-forest")


def test_seeds_are_counted_of_both():
    assert ", 3 seeds each." in said(Entrant("a", 1, 3), Entrant("b", 2, 3))
    assert ", 3 seeds against 1." in said(Entrant("a", 1, 3))


def test_one_row_none_and_no_face_in_common_have_their_sentence():
    assert said(None) == NOTHING_RANKED
    assert said(other=None, gap=None) == (
        "cascade-forest is the only ranked method: 2.86 % (ocular NME over 330 faces), 1 seed."
    )
    assert "shares no face with heatmap-forest (3.04 %)" in said(gap=None)


@pytest.fixture
def rows(tmp_path):
    """Rows of the methods of a store, and what compares them."""
    store_with_seeds(tmp_path / "drf.db")
    con = open_reader(tmp_path / "drf.db")
    methods = board.by_method(reads.leaderboard(con), method_ids.method_of_runs(con))
    yield methods, lambda *of: intervals.of_board(con, *of)
    con.close()


def test_the_gap_of_a_verdict_is_the_interval_of_the_board(rows):
    methods, compare = rows
    found = verdict.of_board(methods, "ocular", compare)
    assert found.best is not None
    assert found.other is not None
    assert (found.best["name"], found.other["name"]) == ("forest", "wide")
    of_board = compare(methods, ["ocular"], found.other).set_index("name").loc["forest"]
    assert found.gap == Gap(
        *(pytest.approx(of_board[f"ocular_difference{end}"]) for end in ("", "_low", "_high")),
        faces=40,
    )
    assert found.record()["difference"]["excludes_0"]
    assert found.record()["best"]["runs"] == list(found.best["runs"])


def test_the_best_method_is_not_compared_with_itself_without_the_flip_test(tmp_path):
    made = store_with_seeds(tmp_path / "drf.db")
    with contextlib.closing(open_store(tmp_path / "drf.db")) as store:
        for seed, run in enumerate(made["forest"]):
            same_faces = {"dataset": "300w", "subset": "full", "seed": seed}
            single = examples.evaluation(40, 2.1, flip_test=False, **same_faces)
            record_evaluation(store, run, single, [])
    with contextlib.closing(open_reader(tmp_path / "drf.db")) as con:
        methods = board.by_method(reads.leaderboard(con), method_ids.method_of_runs(con))
        found = verdict.of_board(methods, "ocular", lambda *of: intervals.of_board(con, *of))
    assert methods["name"].tolist()[:3] == ["forest", "forest", "wide"]
    assert found.sentence.startswith("forest is best: ")
    assert " below wide [" in found.sentence


def test_a_baseline_without_a_rank_decides_nothing(rows):
    methods, compare = rows
    floor = methods.iloc[2]
    assert verdict.of_board(methods, "ocular", compare, floor).other["id"] == floor["id"]
    crashed = floor.copy()
    crashed["ranked"] = False
    assert verdict.of_board(methods, "ocular", compare, crashed).other["name"] == "wide"


def test_a_verdict_says_what_else_differs(rows):
    methods, compare = rows
    methods["params"] = 5
    for key, values in (("epochs_trained", (30, 7, 30)), ("steps", (30, 7, 30))):
        for end in ("_low", "_high"):
            methods[f"{key}{end}"] = np.array(values, dtype=float)
    found = verdict.of_board(methods, "ocular", compare)
    assert found.caveats
    assert "differences may come from the budget" in found.text


def test_of_no_ranked_row_the_verdict_says_that(rows):
    methods, compare = rows
    found = verdict.of_board(methods.assign(ranked=False), "ocular", compare)
    assert found.text == NOTHING_RANKED
    assert found.record()["best"] is None
    assert verdict.second(pd.DataFrame(methods.iloc[:1]), "ocular") is None
