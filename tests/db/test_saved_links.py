from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from sqlite_utils import Database

from db import reads
from db.recording import saved_links
from drf.errors import NotFoundError, UsageError

LINK = "https://bench.example.org/drf/run?norm=Pupil&rev=7&run=3f2a9c1e"


def test_a_view_keeps_page_and_parameters_and_forgets_the_host(db: Database) -> None:
    saved_links.add_view(db, "tall", LINK)
    view = saved_links.find_view(db.conn, "tall")
    assert view.page == "run"
    assert view.parameters == (("norm", "Pupil"), ("rev", "7"), ("run", "3f2a9c1e"))
    assert view.link == "run?norm=Pupil&rev=7&run=3f2a9c1e"


@pytest.mark.parametrize(
    "link", ["https://a.org/?a=b", "http://a.org:8501/x/?a=b", "/?a=b", "?a=b"]
)
def test_a_link_of_the_board_has_an_empty_page(db: Database, link: str) -> None:
    assert saved_links.add_view(db, "board", link).page == ""


@given(
    st.lists(st.tuples(st.text(min_size=1, max_size=9), st.text()), min_size=1).filter(
        lambda pairs: "view" not in dict(pairs)
    )
)
def test_any_parameters_come_back_as_they_were(pairs: list[tuple[str, str]]) -> None:
    view = saved_links.View("any", "compare", tuple(pairs), created_at="")
    assert saved_links.parse_link(view.link) == ("compare", tuple(pairs))


def test_that_nothing_is_chosen_is_kept(db: Database) -> None:
    saved_links.add_view(db, "bare", "?lb_cols=&norm=Pupil")
    view = saved_links.find_view(db.conn, "bare")
    assert view.parameters == (("lb_cols", ""), ("norm", "Pupil"))
    assert saved_links.add_view(db, "alone", "?lb_cols=").link == "?lb_cols="


def test_a_name_never_changes_its_meaning(db: Database) -> None:
    saved_links.add_view(db, "tall", LINK)
    with pytest.raises(UsageError, match="drf views remove tall"):
        saved_links.add_view(db, "tall", "?norm=Ocular")
    assert [view.name for view in saved_links.views(db.conn)] == ["tall"]


def test_a_removed_name_is_gone(db: Database) -> None:
    saved_links.add_view(db, "tall", LINK)
    saved_links.remove_view(db, "tall")
    for lookup in (saved_links.remove_view, lambda db, name: saved_links.find_view(db.conn, name)):
        with pytest.raises(NotFoundError, match="no view 'tall'"):
            lookup(db, "tall")


@pytest.mark.parametrize("name", ["", "a b", "a/b", "-x", "ä", "x" * 65, "a\n"])
def test_a_name_must_be_a_word_of_a_link(db: Database, name: str) -> None:
    with pytest.raises(UsageError, match="cannot name a view"):
        saved_links.add_view(db, name, LINK)


@pytest.mark.parametrize(
    ("link", "complaint"),
    [
        ("https://a.org/run", "no parameters"),
        ("https://a.org/run?", "no parameters"),
        ("https://a.org/run?run", "no parameters"),
        ("https://a.org/run?run=a&", "no parameters"),
        ("http://[a.org/?a=b", "no parameters"),
        ("javascript:alert(1)?a=b", "no link of the app"),
        ("https://a.org/?view=other", "named view itself"),
        ("?a=" + "x" * 40_000, "longer than"),
        ("nopage?a=b", "no page 'nopage'"),
        ("https://a.org/drf/runs?run=3f2a9c1e", "did you mean 'run'"),
        ("https://a.org/drf?a=b", "no page 'drf'"),
    ],
)
def test_an_odd_link_is_refused(db: Database, link: str, complaint: str) -> None:
    with pytest.raises(UsageError, match=complaint):
        saved_links.add_view(db, "odd", link)
    assert saved_links.views(db.conn) == []


def test_naming_a_link_does_not_make_it_look_outdated(db: Database) -> None:
    before = reads.revision(db.conn)
    saved_links.add_view(db, "tall", LINK)
    assert reads.revision(db.conn) == before
