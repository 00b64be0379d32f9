"""A walk through the app in a real browser: the address one returns to shows what it showed."""

from __future__ import annotations

import pytest

from tests.webapp.test_browser import drawn, opened, query

pytestmark = pytest.mark.browser


def table(page) -> list[str]:
    """The rows of the board."""
    rows = page.locator(".board tbody tr")
    rows.first.wait_for()
    return rows.all_inner_texts()


def follow(page, name: str) -> None:
    page.get_by_role("link", name=name, exact=True).first.click()  # the bar comes first
    page.get_by_role("heading", name=name, exact=True, level=1).wait_for()
    drawn(page)


def test_back_shows_what_was_left_and_links_carry_it_on(page, address, filled):
    opened(page, f"{address}/?lb_subset=challenging&norm=Pupil&lb_sort=AUC%408", "Leaderboard")
    drawn(page)
    left = table(page)
    page.locator(".board").get_by_role("link", name="hourglass-wide").click()
    page.get_by_role("heading", name="hourglass-wide", exact=True, level=1).wait_for()
    drawn(page)
    assert page.get_by_role("radio", name="Pupil").is_checked()
    page.go_back()
    page.get_by_role("heading", name="Leaderboard", exact=True, level=1).wait_for()
    drawn(page)
    assert table(page) == left
    assert query(page)["lb_sort"] == ["AUC@8"]

    for name, key in (("Images", "img_eval"), ("Compare", "cmp_eval"), ("Ablations", "abl_eval")):
        follow(page, name)
        assert query(page)[key] == ["synthetic/challenging/gt"]
        assert query(page)["norm"] == ["Pupil"]
        assert page.get_by_role("radio", name="Pupil").is_checked()
    page.go_back()
    page.get_by_role("heading", name="Compare", exact=True, level=1).wait_for()
    page.go_back()
    page.get_by_role("heading", name="Images", exact=True, level=1).wait_for()
    drawn(page)
    assert query(page)["img_eval"] == ["synthetic/challenging/gt"]
    follow(page, "Leaderboard")
    assert table(page) == left
