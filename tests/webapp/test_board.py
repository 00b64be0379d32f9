"""Rows of the leaderboard: ranks, order, filters, and which values are best."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db.boards import board as rows_of
from tests.webapp.boards import NAMES, entries_of_a_board
from webapp.leaderboard.rows import arrange
from webapp.scores import (
    ALL,
    ORDERS,
    best_and_second,
    evaluation_label,
    filter_order,
    sorts,
    usual_order,
)


@pytest.fixture
def entries() -> pd.DataFrame:
    return entries_of_a_board()


def shown(entries: pd.DataFrame, norm="Ocular", sort="NME", order="Best first", **more):
    methods = pd.Series({run: run[:12] for run in entries["run"]})
    rows = rows_of.by_run(entries, methods)
    return arrange(rows, norm=norm, sort=sort, order=order, **more)


def test_the_norm_decides_ranks(entries):
    assert list(shown(entries, "Ocular")["name"]) == ["beta", "Alpha", "gamma", "delta"]
    pupil = shown(entries, "Pupil")
    assert list(pupil["name"]) == ["delta", "gamma", "Alpha", "beta"]
    assert list(pupil["rank"]) == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("NME", "beta"),
        ("FR@8", "beta"),
        ("AUC@8", "delta"),  # higher is better
        ("Parameters", "delta"),
        ("Name", "Alpha"),  # whatever the case
        ("Newest", "delta"),
        ("Training time", "gamma"),
    ],
)
def test_best_first_knows_which_end_is_best(entries, sort, first):
    assert shown(entries, sort=sort)["name"].iloc[0] == first


@pytest.mark.parametrize("order", ORDERS)
def test_unknown_values_come_last_in_either_order(entries, order):
    assert shown(entries, sort="Training time", order=order)["name"].iloc[-1] == "Alpha"


@pytest.mark.parametrize("sort", sorts())
def test_every_sort_keeps_every_row(entries, sort):
    assert set(shown(entries, sort=sort, order="Worst first")["name"]) == set(NAMES)


def test_text_finds_name_preset_and_id_in_any_case_and_leaves_ranks(entries):
    assert list(shown(entries, text="ALPHA")["rank"]) == [2]
    assert set(shown(entries, text=" small ")["name"]) == {"Alpha", "delta"}
    assert list(shown(entries, text="2222")["name"]) == ["gamma"]
    assert shown(entries, text="(.*").empty  # text, not a pattern


def test_a_family_is_a_filter_and_leaves_ranks(entries):
    entries.loc[2, "family"] = "heatmap-forest"
    assert list(shown(entries, family="heatmap-forest")["rank"]) == [3]
    assert len(shown(entries, family=ALL)) == 4


def test_the_mean_shape_takes_no_place_as_on_the_command_line(entries):
    entries.loc[1, "family"] = "mean-shape"
    found = shown(entries)
    assert found["rank"].isna().tolist() == [False, True, False, False]
    assert found["rank"].dropna().tolist() == [1, 2, 3]


def test_equal_errors_share_a_rank(entries):
    entries["ocular_nme"] = [5.0, 4.0, 5.0, 6.0]
    assert dict(zip(*shown(entries)[["name", "rank"]].to_numpy().T, strict=True)) == {
        "Alpha": 1,
        "beta": 2,
        "gamma": 2,
        "delta": 4,
    }


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, float("nan")]), min_size=1), st.booleans())
def test_the_second_is_who_comes_after_a_single_best(values, lower):
    series = pd.Series(values)
    best, second = best_and_second(series, "lower" if lower else "higher")
    known = sorted((v for v in values if v == v), reverse=not lower)
    assert {series[i] for i in best} == set(known[:1])
    assert len(best) == (known.count(known[0]) if known else 0)
    assert {series[i] for i in second} == (set(known[1:2]) if len(best) == 1 else set())
    assert len(second) == (known.count(known[1]) if len(best) == 1 and len(known) > 1 else 0)


def test_usual_order_lists_common_before_challenging_and_strangers_last():
    names = ["zebra", "challenging", "common", "aardvark"]
    assert sorted(names, key=usual_order) == ["common", "challenging", "aardvark", "zebra"]


def test_a_filter_offers_the_fullest_first_but_never_what_runs_were_chosen_by():
    rows = {"val": 40, "lfpw": 3, "common": 3, "helen": 5, "train": 9}
    offered = sorted(rows, key=lambda name: filter_order(name, rows[name]))
    assert offered == ["helen", "common", "lfpw", "val", "train"]


def test_an_evaluation_is_labelled_by_what_is_unusual(entries):
    row = entries.iloc[0]
    assert evaluation_label(row) == "synthetic/common/gt"
    odd = row.copy()
    odd[["landmarks", "flip_test"]] = ["eyes", False]
    assert evaluation_label(odd) == "synthetic/common/gt/eyes/no-flip"
