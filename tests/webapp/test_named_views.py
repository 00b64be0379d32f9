"""`?view=NAME` opens the link that the command line stored under the name."""

import shutil
import sqlite3

import pytest

from db.connection import open_store
from db.recording.saved_links import add_view
from tests.webapp.conftest import Shop, opened, texts
from tests.webapp.examples import HOSTILE


@pytest.fixture
def named(filled, tmp_path, monkeypatch):
    """The example store with views of a board, a run, odd values and an odd page."""
    path = tmp_path / "named.db"
    shutil.copy(filled.path, path)
    monkeypatch.setenv("DRF_DB", str(path))
    store = open_store(path)
    run = filled.ids["wide"][:8]
    for name, link in {
        "board": "?norm=Pupil&lb_subset=challenging",
        "run": f"run?run={run}&run_tab=Faces&run_segments=true",
        "odd": "?lb_subset=nowhere",
        "gone": "?norm=Pupil",
    }.items():
        add_view(store, name, link)
    store.execute("UPDATE views SET link = 'crystal-ball?norm=Pupil' WHERE name = 'gone'")
    store.close()
    return Shop(path, filled.ids)


@pytest.mark.parametrize("page", [None, "views/run.py", "views/about.py"])
def test_a_view_opens_from_any_page(named, page):
    app = opened(page, view="board")
    assert not app.exception
    assert not app.warning
    assert app.selectbox(key="lb_subset").value == "challenging"
    assert app.session_state["norm"] == "Pupil"


def test_a_view_of_a_run_opens_its_section(named):
    app = opened(view="run")
    assert not app.exception
    assert app.title[0].value == "hourglass\\-wide"
    assert app.toggle(key="run_segments").value is True


@pytest.mark.parametrize(
    ("name", "said"), [("nobody", "no view called"), ("gone", "does not have")]
)
def test_an_unknown_view_opens_the_page_with_a_notice(named, name, said):
    app = opened(view=name)
    assert said in app.warning[0].value
    assert app.title[0].value == "Leaderboard"
    assert said in app.run().warning[0].value


def test_a_damaged_view_opens_the_page_with_a_notice(named):
    con = sqlite3.connect(named.path)
    with con:
        con.execute("UPDATE views SET link = 'no link' WHERE name = 'board'")
    con.close()
    app = opened(view="board")
    assert "is damaged" in app.warning[0].value
    assert app.title[0].value == "Leaderboard"
    assert opened(view="run").title[0].value == "hourglass\\-wide"


def test_a_hostile_name_of_a_view_is_text(named):
    app = opened(view=HOSTILE[0])
    assert HOSTILE[0] not in texts(app)
    assert app.warning


def test_an_odd_value_of_a_view_is_told(named):
    assert "nowhere" in texts(opened(view="odd"))
