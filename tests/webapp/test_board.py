"""The table: ranks, order, filter, what is bold and underlined, and the CSV of the same rows."""

import csv
import io

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from webapp import board

NAMES = ("beta", "Alpha", "gamma", "delta")


@pytest.fixture
def entries() -> pd.DataFrame:
    """Four runs of one board; the order under pupil is the reverse of that under ocular."""
    n = len(NAMES)
    frame = pd.DataFrame(
        {"name": NAMES, "family": "hourglass", "run": [f"{i}" * 32 for i in range(n)]}
    )
    for place, score in enumerate(board.SCORES):
        up = [float(10 * place + i) for i in range(n)]
        frame[f"ocular_{score.key}"], frame[f"pupil_{score.key}"] = up, up[::-1]
    return frame.assign(
        preset=[None, "small", None, "small"], track=None, precision="fp32", seed=0,
        params=[4, 3, 2, 1], macs=1, ms_per_face=1.0, wall_s=[60.0, None, 30.0, 90.0],
        status="finished", dataset="synthetic", subset="common", points="all", box="gt",
        flip_test=True, n=30, evaluation=range(1, n + 1), checkpoint="best.safetensors",
        manifest_digest="d", created_at=[f"2026-01-0{i + 1}T00:00:00.000Z" for i in range(n)],
    )  # fmt: skip


def shown(entries: pd.DataFrame, norm="Ocular", sort="NME", order="Best first", text=""):
    return board.arrange(entries, norm=norm, sort=sort, order=order, text=text)


def test_the_norm_decides_scores_and_ranks(entries):
    assert list(shown(entries, "Ocular")["name"]) == ["beta", "Alpha", "gamma", "delta"]
    pupil = shown(entries, "Pupil")
    assert list(pupil["name"]) == ["delta", "gamma", "Alpha", "beta"]
    assert list(pupil["rank"]) == [1, 2, 3, 4]
    assert list(pupil["nme"]) == [0.0, 1.0, 2.0, 3.0]


@pytest.mark.parametrize(
    ("sort", "first"),
    [
        ("NME", "beta"),
        ("FR8", "beta"),
        ("AUC8", "delta"),  # higher is better
        ("Parameters", "delta"),
        ("Name", "Alpha"),  # whatever the case
        ("Newest", "delta"),
        ("Training time", "gamma"),
    ],
)
def test_best_first_knows_which_end_is_best(entries, sort, first):
    assert shown(entries, sort=sort)["name"].iloc[0] == first


@pytest.mark.parametrize("order", board.ORDERS)
def test_unknown_values_come_last_in_either_order(entries, order):
    assert shown(entries, sort="Training time", order=order)["name"].iloc[-1] == "Alpha"


@pytest.mark.parametrize("sort", board.SORTS)
def test_every_sort_keeps_every_row(entries, sort):
    assert set(shown(entries, sort=sort, order="Worst first")["name"]) == set(NAMES)


def test_text_finds_name_preset_and_id_in_any_case_and_leaves_ranks(entries):
    assert list(shown(entries, text="ALPHA")["rank"]) == [2]
    assert set(shown(entries, text=" small ")["name"]) == {"Alpha", "delta"}
    assert list(shown(entries, text="2222")["name"]) == ["gamma"]
    assert shown(entries, text="(.*").empty  # text, not a pattern


def test_equal_errors_share_a_rank(entries):
    entries["ocular_nme"] = [5.0, 4.0, 5.0, 6.0]
    assert dict(zip(*shown(entries)[["name", "rank"]].to_numpy().T, strict=True)) == {
        "Alpha": 1,
        "beta": 2,
        "gamma": 2,
        "delta": 4,
    }


@given(st.lists(st.sampled_from([1.0, 2.0, 3.0, float("nan")]), min_size=1), st.booleans())
def test_best_and_second_are_the_two_best_distinct_values(values, lower):
    series = pd.Series(values)
    best, second = board.best_and_second(series, "lower" if lower else "higher")
    distinct = sorted({v for v in values if v == v}, reverse=not lower)
    assert {series[i] for i in best} == set(distinct[:1])
    assert {series[i] for i in second} == set(distinct[1:2])
    assert len(best) == (values.count(distinct[0]) if distinct else 0)


def test_best_is_bold_and_second_underlined(entries):
    html = board.styled(board.table(shown(entries))).to_html()
    assert html.count("font-weight: 700") == 1  # one rule, shared by the best cells
    assert "0.00" in html
    assert "1\u035f.\u035f0\u035f0" in html


def test_the_flip_column_stands_only_where_it_tells_rows_apart(entries):
    assert "flip_test" not in board.table(shown(entries))
    entries.loc[0, "flip_test"] = False
    assert "flip_test" in board.table(shown(entries))


def test_csv_holds_the_rows_of_the_view_with_what_traces_them(entries):
    rows = shown(entries, "Pupil", sort="Parameters", text="a")
    read = list(csv.DictReader(io.StringIO(board.csv(rows, "Pupil").decode())))
    assert [row["name"] for row in read] == list(rows["name"])
    assert [float(row["pupil_nme_percent"]) for row in read] == list(rows["nme"])
    assert all(len(row["run"]) == 32 and row["checkpoint"] and row["evaluation"] for row in read)


@pytest.mark.parametrize("name", ["=1+1", "+cmd", "-2", "@SUM(A1)"])
def test_a_spreadsheet_does_not_run_a_name(entries, name):
    entries.loc[0, "name"] = name
    read = csv.DictReader(io.StringIO(board.csv(shown(entries), "Ocular").decode()))
    assert next(read)["name"] == f"'{name}"


def test_usual_order_lists_common_before_challenging_and_strangers_last():
    names = ["zebra", "challenging", "common", "aardvark"]
    assert sorted(names, key=board.usual_order) == ["common", "challenging", "aardvark", "zebra"]


def test_an_evaluation_is_labelled_by_what_is_unusual(entries):
    row = entries.iloc[0]
    assert board.evaluation_label(row) == "synthetic/common/gt"
    odd = row.copy()
    odd[["points", "flip_test"]] = ["eyes", False]
    assert board.evaluation_label(odd) == "synthetic/common/gt/eyes/no-flip"


def test_a_collapsed_run_has_its_sign_before_its_name_and_the_colour_of_a_fault(entries):
    entries["status"] = ["finished", "collapsed", "failed", "finished"]
    table = board.table(shown(entries))
    assert list(table["name"]) == ["beta", "↯ Alpha", "gamma", "delta"]
    styles = board.styled(table)._compute().ctx
    column = list(table.columns).index("name")
    coloured = [row for row in range(4) if any(k == "color" for k, _ in styles[row, column])]
    assert coloured == [1]
