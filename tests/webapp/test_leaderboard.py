"""The leaderboard page, through Streamlit's own test driver."""

from types import SimpleNamespace

import pandas as pd
import pytest

from tests.db.examples import copied
from tests.webapp import boards
from tests.webapp.conftest import board_payload, board_table, chosen, opened, texts, verdict
from tests.webapp.examples import HOSTILE
from webapp.links import address

RANKED = 4  # of the eight methods of `shop`; the others come last in any order


def names(app):
    return list(board_table(app)["name"])


def test_the_board_opens_ranked_by_nme_on_the_usual_subset(shop):
    app = shop.leaderboard()
    assert not app.exception
    assert app.selectbox(key="lb_subset").value == "common"
    table = board_table(app)
    assert names(app)[:4] == ["hourglass-wide", "hourglass", "heatmap-forest", "mean-shape"]
    assert list(table["rank"][:4]) == ["1", "2", "3", "floor"]
    assert table["rank"][4:].isna().all()  # interrupted, crashed, failed, collapsed
    assert table["ocular_nme"][:4].is_monotonic_increasing
    assert table["ocular_nme"][4:].is_monotonic_increasing


def test_the_switch_shows_the_other_norm(shop):
    ocular, pupil = shop.leaderboard(), shop.leaderboard(norm="Pupil")
    ocular, pupil_table, said = board_table(ocular), board_table(pupil), verdict(pupil)
    assert set(ocular["short_id"]) == set(pupil_table["short_id"])
    assert "ocular_nme" not in pupil_table
    assert pupil_table["pupil_nme"].min() > ocular["ocular_nme"].min()
    assert f"{pupil_table['pupil_nme'].min():.2f} %" in said
    assert "pupil NME" in said


def test_the_subset_filter_shows_another_board(shop):
    app = shop.leaderboard()
    common = board_table(app)
    app.selectbox(key="lb_subset").select("challenging").run()
    assert set(board_table(app)["short_id"]) == set(common["short_id"])
    assert board_table(app)["ocular_nme"].min() > common["ocular_nme"].min()
    assert "26 faces of synthetic challenging" in texts(app)


def test_a_run_without_evaluation_is_not_on_the_board(shop):
    assert "untested" not in names(shop.leaderboard())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        (
            {"lb_sort": "Name"},
            lambda given: [
                *sorted(given[:RANKED]),
                *sorted(given[RANKED:], key=lambda name: name.lstrip("✗↯■ ")),
            ],
        ),
        (
            {"lb_order": "Worst first"},
            lambda given: [*given[:RANKED][::-1], *given[RANKED:][::-1]],
        ),
        ({"lb_text": "wide"}, lambda given: ["hourglass-wide"]),
    ],
)
def test_a_link_reopens_sort_order_and_text(shop, query, expected):
    plain_view = names(shop.leaderboard())
    app = shop.leaderboard(**query)
    assert not app.warning
    expected_names = expected(plain_view)
    assert [n.casefold() for n in names(app)] == [n.casefold() for n in expected_names]


def test_text_that_matches_nothing_says_so(shop):
    app = shop.leaderboard(lb_text="no such run")
    assert not app.exception
    assert "No row of this board matches" in texts(app)


def test_status_is_in_words(shop):
    statuses = dict(zip(*board_table(shop.leaderboard())[["name", "status"]].to_numpy().T))  # noqa: B905
    assert statuses["hourglass"] == "✓ finished"
    assert statuses[f"■ {HOSTILE[0]} (interrupted)"] == "■ interrupted"
    assert statuses[f"✗ {HOSTILE[1]} (crashed)"] == "✗ crashed"
    assert statuses[f"✗ {HOSTILE[2]} (failed)"] == "✗ failed"


def test_the_table_and_the_link_have_an_accessible_name(shop):
    app = shop.leaderboard()
    assert board_payload(app)["name"] == "Leaderboard of 8 methods"


@pytest.fixture
def seeds(tmp_path, monkeypatch):
    """A store with three seeds of `forest`, two of `wide` and a floor; the ids of its runs."""
    path = tmp_path / "seeds.db"
    monkeypatch.setenv("DRF_DB", str(path))
    return copied(boards.store_with_seeds, path)


def test_rows_are_methods_or_runs(seeds):
    methods, runs = opened(), opened(lb_rows="Runs")
    assert list(board_table(methods)["seeds"]) == [3, 2, 1]
    assert len(board_table(runs)) == 6
    assert "3 methods, 40 faces of 300w full" in texts(methods).replace("\\", "")
    column = [one["key"] for one in board_payload(methods)["columns"]].index("seeds")
    seeds_of = [row["cells"][column]["hover"] for row in board_payload(methods)["rows"]]
    assert seeds_of == ["seeds 0, 1, 2", "seeds 0, 1", "seeds 0"]


def test_a_link_opens_the_runs_of_a_method(seeds):
    app = opened(lb_open=seeds["wide"][1][:8])
    assert sorted(names(app)[2:4]) == ["↳ wide-s0", "↳ wide-s1"]
    assert not app.warning
    assert "is not in this view" in opened(lb_open="ffffffff").warning[0].value


def test_a_link_compares_with_a_baseline_by_method_or_run(seeds):
    run = seeds["wide"][0][:8]
    by_run = opened(lb_base=run)  # rows are methods: the run's method
    assert list(board_table(by_run)["ocular_difference"].isna()) == [False, True, False]
    runs = board_table(opened(lb_base=run, lb_rows="Runs")).set_index("short_id")
    assert runs.index[runs["ocular_difference"].isna()].tolist() == [run]
    assert "does not exist here" in opened(lb_base="ffffffff").warning[0].value


@pytest.mark.parametrize("name", ["WIDE-s0", "Wide"])
def test_names_of_runs_and_methods_work_in_any_case_where_rows_are_methods(seeds, name):
    compared = opened(lb_base=name)
    assert not compared.warning
    assert list(board_table(compared)["ocular_difference"].isna()) == [False, True, False]
    unfolded = opened(lb_open=name)
    assert not unfolded.warning
    assert sorted(names(unfolded)[2:4]) == ["↳ wide-s0", "↳ wide-s1"]


def test_a_baseline_that_is_chosen_goes_into_the_link(seeds):
    app = opened()
    chosen = app.selectbox(key="lb_base_choice")
    chosen.select_index(1).run()
    assert app.query_params["lb_base"] == seeds["wide"][0][:8]
    assert board_table(app)["ocular_difference"].isna().tolist() == [False, True, False]


def test_a_link_filters_by_family_and_shows_both_norms(seeds):
    app = opened(lb_family="hourglass", lb_both="true")
    assert names(app) == ["wide"]
    assert {"ocular_interval", "pupil_interval"} <= set(board_table(app))


def test_a_link_chooses_columns_and_says_what_it_does_not_know(seeds):
    app = opened(lb_cols=["NME", "MACs", "Colour"], lb_vary="false")
    assert list(board_table(app)) == ["rank", "name", "ocular_nme", "macs_g"]
    assert "Colour" in app.warning[0].value


def test_columns_that_do_not_vary_are_hidden_and_said_until_asked_for(seeds):
    app = opened()
    assert "flip_test" not in board_table(app)
    assert "The same in every row" in texts(app)
    app.toggle(key="lb_vary").set_value(False).run()
    assert "flip_test" in board_table(app)
    assert "The same in every row" not in texts(app)


def test_published_figures_are_shown_when_asked_for_with_their_source(seeds):
    assert "STAR" not in names(opened())
    app = opened(lb_published="true")
    star = board_table(app).set_index("name").loc["STAR"]
    assert star["ocular_nme"] == 2.87
    assert pd.isna(star["rank"])
    assert "not ranked" in texts(app)
    assert verdict(app) == verdict(opened())  # the best is one of ours


def test_a_board_without_published_figures_says_so(shop):
    assert "No published results" in texts(shop.leaderboard(lb_published="true"))


def test_a_long_board_has_pages(seeds, monkeypatch):
    monkeypatch.setattr("webapp.leaderboard.controls.ROWS_A_PAGE", 2)
    assert names(opened()) == ["forest", "wide"]
    second = opened(lb_page="2")
    assert names(second) == ["floor & <i>co</i>_1"]
    chosen(second, "lb_order", "Worst first")
    assert names(second) == ["floor & <i>co</i>_1", "wide"]  # the first page of another order


def test_a_pinned_link_shows_the_board_as_it_was(seeds, tmp_path, monkeypatch):
    from db.connection import open_store
    from db.recording import evaluations, runs
    from tests.db import examples

    before = opened()
    store = open_store(tmp_path / "seeds.db")
    then = store.execute("SELECT value FROM meta WHERE key = 'revision'").fetchone()[0]
    late = runs.start_run(store, examples.new_run(name="late", dataset="300w"))
    made = examples.evaluation(40, 0.5, dataset="300w", subset="full")
    evaluations.record_evaluation(store, late, made, [])
    runs.end_run(
        store, late, "finished", wall_s=1.0, faces_per_s=1.0, kept_epoch=1, kept_val_nme=0.01
    )
    store.close()
    moved = opened(rev=str(then))
    assert names(moved)[0] == "late"
    assert "made at revision" in texts(moved)
    moved.toggle(key="pinned").set_value(True).run()
    as_it_was = opened(rev=str(then), pinned="true")
    for app in (moved, as_it_was):
        pd.testing.assert_frame_equal(board_table(app), board_table(before))
        assert f"as it was at revision {then}" in texts(app)
    by_history = SimpleNamespace(is_history_navigation=True, fragment_ids_this_run=None)
    monkeypatch.setattr(address, "get_script_run_ctx", lambda: by_history)
    moved.query_params.clear()
    moved.query_params["rev"] = str(then)
    moved.run()  # Back
    assert names(moved)[0] == "late"
    assert not moved.toggle(key="pinned").value


def test_a_warning_tells_of_runs_that_saw_other_faces(shop, tmp_path, monkeypatch):
    from dataclasses import replace

    from db.connection import open_store
    from db.recording.evaluations import record_evaluation
    from tests.webapp import examples

    path = tmp_path / "mixed.db"
    store = open_store(path)
    for digest in ("one", "two"):
        run = examples.add_run(store, replace(examples.HOURGLASS, name=digest, epochs=None), None)
        made = replace(examples.evaluation("common", 0.05, 0), manifest={"digest": digest})
        record_evaluation(store, run, made, [])
    store.close()
    monkeypatch.setenv("DRF_DB", str(path))
    assert "not all evaluated on the same faces" in texts(shop.leaderboard())
