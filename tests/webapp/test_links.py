"""A link reopens the view it was copied from, and an odd one opens with a word about it."""

import ast
from urllib.parse import parse_qs, parse_qsl, urlsplit

import pandas as pd
import pytest

from tests.webapp.conftest import APP, board_table, chosen, opened, texts
from webapp.leaderboard import columns as board_columns
from webapp.links import url_keys

PAGES = [None, *(f"views/{page}.py" for page in url_keys.PAGES[1:])]
HOST = "https://bench.example.org/drf"


def widget_keys(app):
    kinds = ("selectbox", "segmented_control", "toggle", "text_input", "select_slider")
    return {element.key for kind in kinds for element in app.get(kind)}


def copied(app, page):
    """The link that the page offers when it is open at HOST."""
    app.context = {"url": f"{HOST}/{page}".rstrip("/")}
    app.run()
    return offered(app)


def offered(app):
    (link,) = (code.value for code in app.code if code.value.startswith(HOST))
    return link


def test_the_link_of_the_board_reopens_it_row_for_row(shop):
    app = shop.leaderboard()
    chosen(app, "norm", "Pupil")
    app.selectbox(key="lb_subset").select("challenging")
    app.selectbox(key="lb_sort").select("Training time")
    app.text_input(key="lb_text").set_value("hourglass").run()
    link = urlsplit(copied(app, url_keys.LEADERBOARD))
    again = opened(**parse_qs(link.query, keep_blank_values=True))
    assert not again.warning
    assert link.path == "/drf/"
    pd.testing.assert_frame_equal(board_table(again), board_table(app))


def test_the_link_of_a_run_reopens_section_and_evaluation(shop):
    app = shop.run("wide", run_tab="Faces", run_eval="synthetic/challenging/gt")
    app.toggle(key="run_segments").set_value(True).run()
    link = urlsplit(copied(app, url_keys.RUN))
    query = dict(parse_qsl(link.query))
    assert link.path == "/drf/run"
    assert query["run"] == shop.ids["wide"][:8]
    again = opened("views/run.py", **query)
    assert texts(again) == texts(app)
    assert again.toggle(key="run_segments").value is True


def test_a_link_is_of_the_view_that_stands_around_it(shop):
    """Controls below the link have their values of now, not those of before the last choice."""
    app = shop.run("wide", run_tab="Faces")
    assert "run_segments=false" in copied(app, url_keys.RUN)
    app.toggle(key="run_segments").set_value(True).run()
    assert "run_segments=true" in offered(app)


def test_a_link_names_the_run_that_the_page_chose_by_itself(shop):
    app = opened("views/run.py")
    query = dict(parse_qsl(urlsplit(copied(app, url_keys.RUN)).query))
    assert query["run"] == app.selectbox(key="run_choice").value[:8]


def test_the_link_of_a_board_with_every_control_set_reopens_it(shop):
    app = shop.leaderboard(
        norm="Pupil", lb_rows="Runs", lb_both="true", lb_base=shop.ids["narrow"][:8],
        lb_vary="false", lb_cols=["NME", "Difference", "Id"], lb_family="hourglass",
        lb_order="Worst first", lb_published="true",
    )  # fmt: skip
    again = opened(**parse_qs(urlsplit(copied(app, "")).query, keep_blank_values=True))
    assert not again.warning
    assert list(board_table(again))[2:4] == ["pupil_nme", "pupil_difference"]
    pd.testing.assert_frame_equal(board_table(again), board_table(app))


def test_a_link_without_any_column_keeps_none(shop):
    app = shop.leaderboard()
    app.multiselect(key="lb_cols").set_value([]).run()
    link = urlsplit(copied(app, ""))
    again = opened(**parse_qs(link.query, keep_blank_values=True))
    assert list(board_table(again)) == ["rank", "name"]


def test_a_full_link_spells_every_parameter_out(shop):
    narrow = shop.ids["narrow"][:8]
    of_visitors = {"since": "0", "card": "hourglass"}  # only in links that ask for them
    chosen = {"lb_base": narrow, "lb_open": narrow, "lb_ticked": narrow}
    app = shop.leaderboard(lb_text="a", **chosen, **of_visitors)
    board = dict(parse_qsl(urlsplit(copied(app, "")).query))
    assert board.keys() == {key.name for key in url_keys.of_page(url_keys.LEADERBOARD)}
    opened = shop.run("wide", card="hourglass")
    run = dict(parse_qsl(urlsplit(copied(opened, url_keys.RUN)).query))
    expected = {key.name for key in url_keys.of_page(url_keys.RUN)}
    assert expected - run.keys() <= {"img_face", "img_segments", "img_ellipses", "run_slice"}


def test_links_are_short(shop):
    everything = {"lb_text": "hourglass", "lb_base": shop.ids["wide"][:8], "lb_vary": "false"}
    columns = [column.name for column in board_columns.available()]
    assert len(copied(shop.leaderboard(**everything, lb_cols=columns), "")) < 900
    assert len(copied(shop.run("wide"), url_keys.RUN)) < 300


def test_every_control_is_named_in_the_one_table(shop):
    named = {key.name for key in url_keys.KEYS}
    # What is chosen by id is not bound: it writes the short parameter itself.
    assert widget_keys(shop.leaderboard()) - {"lb_base_choice"} <= named
    for tab in ("Results", "Faces", "Training", "Forest", "Leaves", "Configuration"):
        # The chooser of runs is not bound: it writes the short ?run= itself.
        assert widget_keys(shop.run("forest", run_tab=tab)) - {"run_choice"} <= named


def test_every_control_is_tied_to_the_address_in_one_way():
    for file in APP.parent.rglob("*.py"):
        given = {
            word.arg
            for word in ast.walk(ast.parse(file.read_text()))
            if word is not None and isinstance(word, ast.keyword)
        }
        assert "bind" not in given, file.name
        if file.parent.name != "links":
            assert "key=url_keys." not in file.read_text(), file.name


@pytest.mark.parametrize(
    ("key", "word"),
    [("lb_subset", "Subset"), ("lb_sort", "Sort by"), ("norm", "Normalised by"), ("lb_box", "Box")],
)
def test_an_unknown_value_opens_the_default_with_a_notice(shop, key, word):
    app = shop.leaderboard(**{key: "<b>nowhere</b>"})
    assert not app.exception
    (notice,) = (warning.value for warning in app.warning)
    assert word in notice
    assert "\\<b\\>nowhere" in notice
    assert len(board_table(app)) == 8


@pytest.mark.parametrize("value", ["9" * 5000, "[" * 10_000, "\x00-1e999"])
@pytest.mark.parametrize("page", PAGES)
def test_a_link_with_any_text_opens_every_page(shop, page, value):
    app = opened(page, **{key.name: value for key in url_keys.KEYS if key is not url_keys.VIEW})
    assert not app.exception
    assert "could not be shown" not in texts(app)
    lines = [line for warning in app.warning for line in warning.value.splitlines()]
    assert len(lines) < 10
    assert all(len(line) < 500 for line in lines)


def test_an_unknown_parameter_is_told(shop):
    app = shop.leaderboard(lb_colour="red")
    assert "lb\\_colour" in app.warning[0].value


def test_an_unknown_evaluation_of_a_run_is_told(shop):
    app = shop.run("wide", run_eval="300w/full/gt")
    assert "300w\\/full\\/gt" in app.warning[0].value
    assert app.selectbox(key="run_eval").value == "synthetic/common/gt"


def test_a_notice_stays_while_the_page_is_used(shop):
    app = shop.leaderboard(lb_subset="nowhere")
    app.selectbox(key="lb_sort").select("Name").run()
    assert "nowhere" in app.warning[0].value


def test_a_choice_made_on_the_page_is_no_odd_link(shop):
    app = shop.leaderboard(lb_subset="challenging")
    app.selectbox(key="lb_subset").select("common").run()
    assert not app.warning


def test_a_link_of_an_older_revision_says_that_the_board_moved_on(shop):
    assert "made at revision 1 " in texts(shop.leaderboard(rev="1"))
    assert "made at revision 1 " in texts(shop.run("wide", rev="1"))


def test_a_link_of_this_revision_says_nothing(shop):
    link = copied(shop.leaderboard(), "")
    assert "made at revision" not in texts(opened(**dict(parse_qsl(urlsplit(link).query))))


@pytest.mark.parametrize("rev", ["", "x", "-1", "1e9", "٣"])
def test_a_revision_that_is_no_number_is_ignored(shop, rev):
    app = shop.leaderboard(rev=rev)
    assert not app.exception
    assert "made at revision" not in texts(app)


def test_a_key_of_today_wins_over_the_old_one_beside_it():
    asked = {"lb_points": ["eyes"], "lb_landmarks": ["mouth"], "lb_sort": ["FR8"], "other": ["1"]}
    found = url_keys.up_to_date(asked)
    assert found == {"lb_landmarks": ["mouth"], "lb_sort": ["FR@8"], "other": ["1"]}
    assert url_keys.up_to_date(found) == found


def test_what_an_old_name_stands_for_is_a_name_of_today():
    today = {key.name for key in url_keys.KEYS}
    assert not today & set(url_keys.OLD_KEYS)
    assert {*url_keys.OLD_KEYS.values(), *url_keys.OLD_VALUES} <= today
    for values in url_keys.OLD_VALUES.values():
        assert not set(values) & set(values.values())
