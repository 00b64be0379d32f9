"""The leaderboard page, through Streamlit's own test driver."""

import pytest

from tests.webapp.conftest import texts
from tests.webapp.examples import HOSTILE


def names(app):
    return list(app.dataframe[0].value["name"])


def test_the_board_opens_ranked_by_nme_on_the_usual_subset(shop):
    app = shop.leaderboard()
    assert not app.exception
    assert app.selectbox(key="lb_subset").value == "common"
    table = app.dataframe[0].value
    assert names(app)[:2] == ["hourglass-wide", "hourglass"]
    assert names(app)[-1] == "mean-shape"
    assert list(table["rank"]) == list(range(1, 9))
    assert table["nme"].is_monotonic_increasing


def test_the_switch_shows_the_other_norm(shop):
    ocular, pupil = shop.leaderboard(), shop.leaderboard(norm="Pupil")
    assert list(ocular.dataframe[0].value["id"]) == list(pupil.dataframe[0].value["id"])
    assert (pupil.dataframe[0].value["nme"] > ocular.dataframe[0].value["nme"]).all()
    assert pupil.metric[0].value == f"{pupil.dataframe[0].value['nme'].min():.2f} %"


def test_the_subset_filter_shows_another_board(shop):
    app = shop.leaderboard()
    common = app.dataframe[0].value
    app.selectbox(key="lb_subset").select("challenging").run()
    assert set(app.dataframe[0].value["id"]) == set(common["id"])
    assert app.dataframe[0].value["nme"].min() > common["nme"].min()
    assert "26 faces of synthetic challenging" in texts(app)


def test_a_run_without_evaluation_is_not_on_the_board(shop):
    assert "untested" not in names(shop.leaderboard())


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ({"lb_sort": "Name"}, sorted),
        ({"lb_order": "Worst first"}, lambda given: given[::-1]),
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
    assert "No run on this board matches" in texts(app)


def test_status_is_in_words(shop):
    statuses = dict(zip(*shop.leaderboard().dataframe[0].value[["name", "status"]].to_numpy().T))  # noqa: B905
    assert statuses["hourglass"] == "✓ finished"
    assert statuses[HOSTILE[0]] == "■ interrupted"
    assert statuses[HOSTILE[1]] == "✗ crashed"
    assert statuses[HOSTILE[2]] == "✗ failed"


def test_the_table_and_the_link_have_an_accessible_name(shop):
    app = shop.leaderboard()
    assert "Leaderboard of 8 runs" in app.dataframe[0].proto.alt


def test_a_warning_tells_of_runs_that_saw_other_faces(shop, tmp_path, monkeypatch):
    from dataclasses import replace

    from db.connection import open_store
    from db.evaluations import record_evaluation
    from tests.webapp import examples

    path = tmp_path / "mixed.db"
    store = open_store(path)
    for digest in ("one", "two"):
        run = examples.add_run(store, replace(examples.HOURGLASS, name=digest, epochs=None), None)
        made = replace(examples.evaluation("common", 0.05, 0), manifest={"digest": digest})
        record_evaluation(store, run, made, [])
    store.close()
    monkeypatch.setenv("DRF_DB", str(path))
    assert "different sets of faces" in texts(shop.leaderboard())
