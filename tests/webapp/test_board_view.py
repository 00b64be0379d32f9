"""What the leaderboard shows of a real store: intervals, differences, seeds, published figures."""

from pathlib import Path

import pandas as pd
import pytest

from db.analysis import paired
from db.connection import open_reader
from drf import literature
from drf.scoring import statistics
from tests.webapp.boards import store_with_seeds
from webapp.leaderboard import columns, grid
from webapp.leaderboard.rows import arrange, load_rows
from webapp.leaderboard.table import DisplayOptions, View, best_of_view, build, cells
from webapp.scores import sorts
from webapp.store import StoreVersion

WHERE = {"dataset": "300w", "subset": "full", "landmarks": "all", "box": "gt"}


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("seeds") / "drf.db"
    store_with_seeds(path)
    return path


@pytest.fixture
def current(path: Path) -> StoreVersion:
    return StoreVersion(str(path), 1)


def ranked(current: StoreVersion, *, as_runs: bool = False) -> pd.DataFrame:
    rows = load_rows(current, as_runs=as_runs, **WHERE)
    return arrange(rows, norm="Ocular", sort="NME", order="Best first")


def built(
    current: StoreVersion,
    *,
    names=None,
    hide=False,
    baseline=None,
    as_runs=False,
    both=False,
    **more,
) -> View:
    rows = ranked(current, as_runs=as_runs)
    base = None if baseline is None else rows[rows["name"] == baseline].iloc[0]
    norms = ("ocular", "pupil") if both else ("ocular",)
    return build(
        current,
        rows,
        DisplayOptions(norms, tuple(columns.default() if names is None else names), hide, base),
        **more,
    )


def method(path: Path, row: pd.Series, norm: str) -> statistics.Method:
    """The errors of a row: one line a run, each of a seed of its own."""
    con = open_reader(path)
    found = paired.errors(con, row["evaluations"])[norm]
    con.close()
    return statistics.Method(found, row["seeds"])


def test_a_method_is_one_row_with_mean_spread_and_seeds(current):
    table = built(current).table
    assert list(table["name"]) == ["forest", "wide", "floor & <i>co</i>_1"]
    assert list(table["rank"][:2]) == [1, 2]
    assert pd.isna(table["rank"][2])
    assert [row[0].text for row in cells(built(current))] == ["1", "2", "floor"]
    assert list(table["seeds"]) == [3, 2, 1]
    assert table["ocular_nme_sd"].notna().tolist() == [True, True, False]


@pytest.mark.parametrize("as_runs", [False, True])
def test_intervals_are_those_of_the_statistics(current, path, as_runs):
    view = built(current, as_runs=as_runs, both=True)
    for norm in view.norms:
        for _, row in view.rows.iterrows():
            (expected,) = statistics.intervals([method(path, row, norm)])
            assert row[f"{norm}_low"] == pytest.approx(100 * expected.low)
            assert row[f"{norm}_high"] == pytest.approx(100 * expected.high)


def test_differences_are_paired_and_marked_where_the_interval_excludes_0(current, path):
    view = built(current, baseline="wide")
    assert pd.isna(view.table["ocular_difference"].iloc[1])  # the baseline itself
    base = method(path, view.rows.iloc[1], "ocular")
    for place in (0, 2):
        row = view.rows.iloc[place]
        (expected,) = statistics.differences([method(path, row, "ocular")], base)
        assert row["ocular_difference"] == pytest.approx(100 * expected.estimate)
        assert row["ocular_difference_low"] == pytest.approx(100 * expected.low)
        assert row["ocular_difference_high"] == pytest.approx(100 * expected.high)
        marked = columns.MARK in view.table["ocular_difference"].iloc[place]
        assert marked == expected.excludes(0)
    assert view.table["ocular_difference"].iloc[0].startswith("−")
    assert view.table["ocular_difference"].iloc[2].startswith("+")


def test_a_difference_that_may_be_0_is_not_marked(current):
    runs = built(current, as_runs=True, baseline="forest-s0").table.set_index("name")
    assert not runs["ocular_difference"]["forest-s1"].endswith(columns.MARK)
    assert runs["ocular_difference"]["floor & <i>co</i>_1"].endswith(columns.MARK)


def test_only_a_page_of_rows_has_its_intervals_worked_out(current):
    view = built(current, page=slice(1, 2))
    assert list(view.table["name"]) == ["wide"]
    assert list(view.table["rank"]) == [2]


def test_only_columns_that_vary_are_shown_and_the_others_said(current):
    everything = built(current).table
    view = built(current, hide=True)
    hidden = set(everything) - set(view.table)
    assert {"flip_test", "track", "status", "wall_min"} <= hidden
    assert {"rank", "name", "ocular_nme", "ocular_interval", "family"} <= set(view.table)
    assert view.hidden["Flip"] == "yes"
    assert view.hidden["Status"] == "✓ finished"
    assert len(view.hidden) == len(hidden)


def test_of_a_single_row_nothing_is_hidden(current):
    rows = ranked(current).iloc[:1]
    how = DisplayOptions(("ocular",), columns.default(), True)
    assert "flip_test" in build(current, rows, how).table


def test_both_norms_stand_side_by_side(current):
    view = built(current, both=True)
    assert {"ocular_nme", "pupil_nme", "pupil_interval"} <= set(view.table)
    assert columns.title("pupil_nme", view.norms) == "NME ↓ pupil"
    assert (view.table["pupil_nme"] > view.table["ocular_nme"]).all()


def test_columns_are_those_chosen(current):
    assert list(built(current, names=("NME", "Parameters")).table) == [
        *("rank", "name", "ocular_nme", "params_m")
    ]


def test_an_opened_method_shows_its_runs_below_it_unranked(current):
    runs = ranked(current, as_runs=True)
    mine = runs[runs["name"].str.startswith("wide")]
    view = built(current, opened=mine)
    names = list(view.table["name"])
    assert [*names[:2], *sorted(names[2:4]), names[4]] == [
        *("forest", "wide", "↳ wide-s0", "↳ wide-s1", "floor & <i>co</i>_1")
    ]
    assert view.table["rank"].isna().tolist() == [False, False, True, True, True]
    assert [row[0].text for row in cells(view)] == ["1", "2", "–", "–", "floor"]
    assert view.rows["ocular_low"].notna().all()


def published(view_of=("ocular",)) -> list[literature.Figure]:
    return literature.figures(dataset="300w", subset="full", landmarks="all", norms=view_of)


def test_published_figures_are_grey_unranked_and_never_best(current):
    view = built(current, published=published())
    theirs = view.table[view.rows["kind"] == "published"]
    assert len(theirs) == len(published())
    assert theirs["rank"].isna().all()
    ours = view.table[view.rows["kind"] == "method"]
    lowest = view.table["ocular_nme"].idxmin()
    best, second = best_of_view(view, "ocular_nme")
    assert lowest in theirs.index  # or this test would show nothing
    assert set(best) | set(second) <= set(ours.index)
    marked = {place for place, row in enumerate(cells(view)) if any(c.emphasis for c in row)}
    assert marked <= set(ours.index)


def test_a_published_row_says_what_it_was_trained_on(current):
    """So that 1825 faces from nothing are not read beside 20 million."""
    view = built(current, published=published())
    said = view.table.set_index("name")["published_training"]
    assert said["STAR"] == "3148 faces, not pretrained"
    assert said["HRNetV2-W18"] == "3148 faces, pretrained on ImageNet"
    assert "20 million" in said["FaRL-B, 64 epochs"]
    assert any("20 million" in source for source in view.sources)
    assert "published_training" not in built(current).table  # nothing is said of our own rows


def test_a_method_published_under_both_norms_is_one_row(current):
    view = built(current, both=True, published=published(("ocular", "pupil")))
    star = view.table[view.table["name"] == "STAR"]
    assert star[["ocular_nme", "pupil_nme"]].to_numpy().tolist() == [[2.87, 4.03]]


ORDER = grid.Order("NME", "Best first")


def test_best_and_second_are_marked(current):
    view = built(current)
    place = list(view.table).index("ocular_nme")
    marks = [row[place].emphasis for row in cells(view)]
    assert marks == ["best", "second", ""]
    assert cells(view)[1][place].text == f"{view.table['ocular_nme'].iloc[1]:.2f}"


def test_what_is_not_ranked_has_its_condition_at_its_name(current):
    rows = ranked(current)
    rows["statuses"] = [("failed", "collapsed"), ("failed",), ("finished",)]
    rows["condition"] = ["failed, collapsed", "failed", "finished"]
    rows["ranked"] = [False, False, True]
    view = build(current, rows, DisplayOptions(("ocular",), columns.default(), False))
    assert list(view.table["name"])[:2] == ["✗ forest (failed, collapsed)", "✗ wide (failed)"]
    assert view.table["status"].iloc[0] == "1 ✗ failed · 1 ↯ collapsed"
    shown = grid.payload(view, ORDER, (), "", {}, {})["rows"]
    assert [row["ranked"] for row in shown] == [False, False, True]


def test_a_name_links_to_its_run_or_lists_the_runs_of_its_method(current):
    methods = built(current)
    here = {"lb_subset": ["common"]}
    shown = grid.payload(methods, ORDER, (), "", {"norm": "Ocular"}, here)["rows"]
    runs = [row["runs"] for row in methods.rows.to_dict("records")]
    assert shown[0]["target"] == {"lb_open": runs[0][0][:8]}
    assert shown[0]["href"] == f"?lb_subset=common&lb_open={runs[0][0][:8]}"  # of this board
    assert shown[0]["open"] is False
    expected = {"norm": "Ocular", "run": runs[2][0][:8], "run_eval": "300w/full/gt"}
    assert shown[2]["target"] == expected
    assert shown[2]["href"].startswith(f"run?norm=Ocular&run={runs[2][0][:8]}")
    again = grid.payload(methods, ORDER, (), runs[0][1][:8], {}, {})["rows"][0]
    assert again["open"] is True
    assert again["target"] == {"lb_open": ""}


def test_ids_of_a_row_are_those_of_its_runs(current):
    view = built(current)
    for text, runs in zip(view.table["short_id"], view.rows["runs"], strict=True):
        assert text.split() == [run[:8] for run in runs]


def test_a_click_on_a_title_sorts_and_another_turns_the_order():
    assert ORDER.turned("FR@8") == grid.Order("FR@8", "Best first")
    assert ORDER.turned("NME") == grid.Order("NME", "Worst first")
    assert ORDER.turned("NME").turned("NME") == ORDER


def test_titles_sort_by_what_the_control_offers_and_say_how_they_are_sorted(current):
    heads = grid.payload(built(current, both=True), ORDER, (), "", {}, {})["columns"]
    offered = {head["sort"] for head in heads if head["sort"]}
    assert offered <= set(sorts())
    assert {"NME", "FR@8", "AUC@8", "Name", "Family", "Parameters"} <= offered
    assert [head["key"] for head in heads if head["sorted"]] == ["ocular_nme"]


@pytest.mark.parametrize(
    ("sort", "order", "direction"),
    [
        ("NME", "Best first", "ascending"),
        ("NME", "Worst first", "descending"),
        ("AUC@8", "Best first", "descending"),
        ("AUC@8", "Worst first", "ascending"),
    ],
)
def test_a_sorted_title_says_so_in_words_and_screen_readers_hear_which_way(
    current, sort, order, direction
):
    heads = grid.payload(built(current), grid.Order(sort, order), (), "", {}, {})["columns"]
    (found,) = (head for head in heads if head["sorted"])
    assert (found["sort"], found["sorted"], found["direction"]) == (sort, order.lower(), direction)


def test_a_published_row_links_its_paper_and_says_which_note_is_its_own(current):
    view = built(current, published=published())
    for row, shown in zip(
        view.rows.to_dict("records"),
        grid.payload(view, ORDER, (), "", {}, {})["rows"],
        strict=True,
    ):
        if row["kind"] != "published":
            assert shown["note"] is None
            continue
        figure = row["figures"][0]
        assert shown["href"] == literature.papers()[figure.paper].url
        assert shown["href"].startswith("https://")
        assert figure.protocol in view.sources[shown["note"] - 1]
        assert shown["tick"] is None


def test_what_is_the_same_in_every_row_is_a_constant_and_so_is_what_no_row_knows():
    shown = pd.DataFrame(
        {
            "name": ["a", "a"],
            "ocular_nme": [3.0, 3.0],
            "params_m": [1.5, 1.5],
            "macs_g": [float("nan"), None],
            "wall_min": [float("nan"), 2.0],
            "family": ["hourglass", "cascade"],
        }
    )
    assert columns.constants(shown) == {"params_m": "1.50", "macs_g": "–"}
    assert columns.constants(shown.iloc[:1]) == {}
