"""What one choice decides is one entry of the browser's history, without what it made invalid."""

from __future__ import annotations

import ast
import shutil
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from db.connection import open_store
from db.recording import saved_links
from tests.conftest import REPOSITORY
from tests.webapp.conftest import APP, chosen, opened


@pytest.fixture(scope="module")
def golden(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The golden store, migrated: evaluations of eyes have no box gt_jitter."""
    path: Path = tmp_path_factory.mktemp("golden") / "drf.db"
    shutil.copy(REPOSITORY / "tests/golden/store/drf.db", path)
    open_store(path).close()
    return path


@pytest.fixture
def of_golden(golden: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("DRF_DB", str(golden))
    return golden


def test_a_choice_that_makes_others_invalid_sends_one_address(of_golden, sent):
    app = opened(lb_base="87b7b76e", lb_box="gt_jitter", lb_landmarks="all")
    assert not sent
    app.selectbox(key="lb_landmarks").select("eyes").run()
    assert not app.exception
    assert not app.warning
    (address,) = map(parse_qs, sent)
    assert address["lb_landmarks"] == ["eyes"]
    assert "lb_box" not in address
    board = opened(**address)
    assert not board.warning
    assert board.selectbox(key="lb_box").value == app.selectbox(key="lb_box").value
    assert board.selectbox(key="lb_base_choice").value == app.selectbox(key="lb_base_choice").value


def test_a_link_with_an_invalid_value_says_so_and_sends_nothing_by_itself(of_golden, sent):
    app = opened(lb_base="ffffffff", lb_box="gt_jitter", lb_landmarks="eyes")
    assert {"gt\\_jitter", "ffffffff"} <= {
        word for word in ("gt\\_jitter", "ffffffff") if word in app.warning[0].value
    }
    app.run()
    assert not sent
    chosen(app, "norm", "Pupil")
    (address,) = map(parse_qs, sent)
    assert address == {"lb_landmarks": ["eyes"], "norm": ["Pupil"]}


def test_a_choice_is_in_the_history_without_what_it_made_invalid_on_other_pages(shop, sent):
    runs = f"{shop.ids['wide'][:8]},{shop.ids['narrow'][:8]}"
    images = opened("views/images.py", img_runs=runs, img_a=shop.ids["narrow"][:8])
    images.multiselect[0].set_value([shop.ids["wide"]]).run()
    assert not images.warning
    assert list(map(parse_qs, sent)) == [{"img_runs": [shop.ids["wide"][:8]]}]
    sent.clear()
    of_run = shop.run("forest", run_tab="Leaves", run_tree="1", run_page="2")
    of_run.selectbox(key="run_choice").select(shop.ids["wide"]).run()
    assert not of_run.warning
    assert list(map(parse_qs, sent)) == [{"run": [shop.ids["wide"][:8]], "run_tree": ["1"]}]


@pytest.mark.parametrize("key", ["lb_text", "lb_family"])
def test_a_filter_without_the_opened_method_closes_it_and_blames_no_link(shop, sent, key):
    app = shop.leaderboard(lb_open=shop.ids["wide"][:8])
    assert not app.warning
    if key == "lb_text":
        app.text_input(key=key).set_value("forest").run()
    else:
        app.selectbox(key=key).select("mean-shape").run()
    assert not app.warning
    (address,) = map(parse_qs, sent)
    assert address.keys() == {key}


def test_runs_that_another_board_has_not_leave_the_link_without_a_word(of_golden, sent):
    board = "synthetic/challenging/gt"
    app = opened("views/images.py", img_eval=board, img_runs="afd43d79,23bb6ee0")
    app.selectbox(key="img_eval").select(f"{board}/eyes").run()
    assert not app.warning
    (address,) = map(parse_qs, sent)
    shown = app.multiselect[0].value
    assert address.get("img_runs", [""])[0] == ",".join(run[:8] for run in shown)


@pytest.mark.parametrize("key", ["run_leaves", "run_tree", "run_order"])
def test_leaves_chosen_or_ordered_anew_begin_at_the_first_page(shop, sent, key):
    app = shop.run("forest", run_tab="Leaves", run_page="2")
    if key == "run_order":
        chosen(app, key, "Distance from the mean")
    else:
        box = app.selectbox(key=key)
        box.select(box.options[1]).run()
    (address,) = map(parse_qs, sent)
    assert key in address
    assert "run_page" not in address


def test_a_view_of_an_earlier_version_opens_what_it_names(golden, tmp_path, monkeypatch, sent):
    path = shutil.copy(golden, tmp_path / "drf.db")
    store = open_store(path)
    link = "?lb_points=eyes&lb_subset=challenging&lb_rows=Runs&lb_sort=FR8"
    saved_links.add_view(store, "eyes", link)
    store.close()
    monkeypatch.setenv("DRF_DB", str(path))
    app = opened(view="eyes")
    assert not app.warning
    assert app.selectbox(key="lb_landmarks").value == "eyes"
    assert app.session_state["lb_sort"] == "FR@8"
    assert parse_qs(sent[-1]) == {
        "lb_landmarks": ["eyes"], "lb_subset": ["challenging"], "lb_rows": ["Runs"],
        "lb_sort": ["FR@8"], "from_view": ["eyes"],
    }  # fmt: skip


def test_a_view_without_any_column_shows_none(golden, tmp_path, monkeypatch):
    path = shutil.copy(golden, tmp_path / "drf.db")
    store = open_store(path)
    saved_links.add_view(store, "bare", "?lb_cols=")
    store.close()
    monkeypatch.setenv("DRF_DB", str(path))
    assert opened(view="bare").multiselect(key="lb_cols").value == []


def test_a_run_that_is_broken_off_leaves_its_choice_to_the_next_one(sent):
    def script() -> None:
        import streamlit as st

        from webapp.links import address

        address.arrive("")
        with address.one_entry():
            if "begun" not in st.session_state:
                st.session_state["begun"] = True
                address.write("lb_subset", ["helen"])
                st.rerun()
            with address.one_entry():  # a fragment within its page
                address.amend("lb_box", [])
            address.write("lb_rows", ["Runs"])

    app = AppTest.from_function(script)
    app.query_params["lb_box"] = "gt"
    app.run()
    assert not app.exception
    assert list(map(parse_qs, sent)) == [{"lb_subset": ["helen"], "lb_rows": ["Runs"]}]
    app.run()  # nothing is chosen
    assert len(sent) == 1


def test_whatever_runs_by_itself_sends_what_was_chosen_in_it():
    """A fragment or a dialog, which Streamlit runs without the page around it."""
    found = [
        node
        for file in APP.parent.rglob("*.py")
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.With) and "error_pages.boundary" in ast.unparse(node.items[-1])
    ]
    assert len(found) >= 7
    for node in found:
        assert ast.unparse(node.items[0]) == "address.one_entry()"
