"""The exported folder in a real Chromium, from file://: sort, filter, charts, and no network."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from drf.scoring import scores
from tests.webapp import boards
from tests.webapp.boards import store_with_two_markups
from tests.webapp.conftest import Shop
from tests.webapp.test_static_site import export

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def site(filled, tmp_path_factory) -> Path:
    target = tmp_path_factory.mktemp("static") / "board"
    export(filled, target)
    return target


@pytest.fixture(autouse=True)
def nothing_goes_wrong(page) -> Iterator[None]:
    """No test meets an error of a script, a dialog, or a request to the network."""
    yield
    assert not page.faults
    assert not page.dialogs
    assert all(url.startswith(("file://", "data:", "blob:")) for url in page.asked)


def names(page) -> list[str]:
    return page.locator("#board tbody th").all_inner_texts()


def column(page, title: str) -> list[float]:
    titles = page.locator("#board thead th").all_inner_texts()
    at = next(i for i, text in enumerate(titles) if text.startswith(title))
    cells = page.locator(f"#board tbody tr > :nth-child({at + 1})").all_inner_texts()
    return [float(text.split(" ")[0]) for text in cells]


def ranked(page, title: str, whether: bool = True) -> list[float]:
    """The column of the rows that have a rank, or have none: a word in brackets says why."""
    pairs = zip(names(page), column(page, title), strict=True)
    return [value for name, value in pairs if whether != name.endswith(")")]


def test_the_board_sorts_by_a_click_on_any_title(page, site):
    page.goto((site / "index.html").as_uri())
    (values, others) = (ranked(page, "NME", whether) for whether in (True, False))
    assert column(page, "NME") == sorted(values) + others  # what has no rank comes last
    page.get_by_role("button", name="AUC@8 ↑").click()
    assert ranked(page, "AUC@8") == sorted(ranked(page, "AUC@8"), reverse=True)
    page.get_by_role("button", name="AUC@8 ↑").click()
    assert ranked(page, "AUC@8") == sorted(ranked(page, "AUC@8"))
    title = page.locator("th[aria-sort=ascending]").inner_text()
    assert title.split("\n") == ["AUC@8 ↑", "worst first"]  # one arrow
    page.get_by_role("button", name="Name", exact=True).click()
    found = [name for name in names(page) if not name.endswith(")")]
    plain = [name for name in found if name[0].isalpha()]  # signs sort by locale
    assert plain == sorted(plain, key=str.casefold)


def test_what_says_the_same_in_every_row_has_no_column(page, site):
    page.goto((site / "index.html").as_uri())
    titles = page.locator("#board thead").inner_text()
    assert "Status" in titles  # runs of the example ended in many ways
    assert "Flip test" not in titles  # all with it


def test_the_board_filters_and_the_address_reopens_the_view(page, site):
    page.goto((site / "index.html").as_uri())
    everything = names(page)
    ocular = column(page, "NME")
    page.locator("select[name=board]").select_option("synthetic/challenging/gt")
    page.locator("select[name=norm]").select_option("all")
    page.locator("select[name=family]").select_option("heatmap-forest")
    page.get_by_label("Find").fill("HISTORICAL")
    assert names(page) == ["↯ historical/eyes (collapsed)"]
    assert page.locator("thead small").count() == len(scores.COLUMNS) + len(scores.NORMALISERS)
    assert "1 of 8 methods" in page.locator("#headline").inner_text()
    fresh = page.context.new_page()
    fresh.goto(page.url)
    assert fresh.locator("#board").inner_html() == page.locator("#board").inner_html()
    fresh.close()
    page.goto((site / "index.html").as_uri() + "#board=nowhere&norm=x&family=y")
    assert names(page) == everything
    assert column(page, "NME") == ocular


def test_a_row_opens_the_evaluation_and_the_normaliser_of_its_board(page, site):
    page.goto((site / "index.html").as_uri() + "#board=synthetic/challenging/gt&norm=pupil")
    page.locator("#board tbody th a").first.click()
    page.wait_for_url("**/runs/*")
    assert page.locator("select[name=eval]").input_value() == "synthetic/challenging/gt"
    assert page.locator("select[name=norm]").input_value() == "pupil"


def test_a_link_of_an_earlier_version_shows_all_normalisers(page, site):
    page.goto((site / "index.html").as_uri() + "#norm=both")
    assert page.locator("select[name=norm]").input_value() == "all"
    assert page.locator("thead small").count() == len(scores.COLUMNS) + len(scores.NORMALISERS)


def test_a_board_offers_the_normalisers_of_its_markup(page, tmp_path):
    store_with_two_markups(tmp_path / "drf.db")
    export(Shop(tmp_path / "drf.db", {}), tmp_path / "site")
    page.goto((tmp_path / "site/index.html").as_uri() + "#board=five/common/gt&norm=ocular")
    norms = page.locator("select[name=norm]")
    assert norms.locator("option").all_inner_texts() == ["Pupil", "Box", "All"]
    assert norms.input_value() == "pupil"
    assert column(page, "NME")[0] > 0
    page.locator("select[name=board]").select_option("usual/common/gt")
    assert norms.locator("option").all_inner_texts() == ["Ocular", "Pupil", "Box", "All"]


def test_methods_are_ranked_with_verdict_and_curves_and_runs_on_request(page, tmp_path):
    made = boards.store_with_seeds(tmp_path / "drf.db", faces=12)
    export(Shop(tmp_path / "drf.db", {}), tmp_path / "site")
    page.goto((tmp_path / "site/index.html").as_uri())
    assert len(names(page)) == len(made)
    assert page.locator("td", has_text="±").count() >= 1
    assert page.locator("#verdict").inner_text().startswith("forest is best: ")
    page.locator("[data-board]:visible .main-svg").first.wait_for()
    page.get_by_label("One row per method").uncheck()
    assert len(names(page)) == sum(map(len, made.values()))
    address = page.url
    page.goto("about:blank")
    page.goto(address)  # the choice is in the link
    assert len(names(page)) == sum(map(len, made.values()))


def test_printing_draws_every_chart(page, site, filled):
    page.set_viewport_size({"width": 1440, "height": 500})
    page.goto((site / f"runs/{filled.ids['forest']}.html").as_uri())
    shown = page.locator(".chart:not([hidden])")
    drawn = page.locator(".chart:not([hidden])[data-drawn]")
    assert drawn.count() < shown.count()  # those that were not scrolled to
    page.evaluate("window.dispatchEvent(new Event('beforeprint'))")
    visible = [one for one in shown.all() if one.is_visible()]
    assert visible
    for chart in visible:
        assert chart.locator(".main-svg").count() > 0


def test_a_run_page_draws_its_charts_and_faces(page, site):
    page.goto((site / "index.html").as_uri())
    page.get_by_role("link", name="hourglass-wide").click()
    page.get_by_role("heading", name="hourglass-wide", level=1).wait_for()
    page.locator(".chart:visible .js-line, .chart:visible .main-svg").first.wait_for()
    page.wait_for_function(
        "[...document.querySelectorAll('svg image')].length === 4"
        " && document.querySelectorAll('.chart[data-drawn]').length > 1"
    )
    assert page.get_by_text("% of the ocular distance").first.is_visible()
    page.locator("select[name=norm]").select_option("pupil")
    page.get_by_text("% of the pupil distance").first.wait_for()
    errors = page.locator("svg path.errors").first
    assert not errors.is_visible()
    page.get_by_label("error of each landmark").check()
    assert errors.is_visible()


def test_a_hostile_name_does_nothing(page, site, filled):
    page.goto((site / "index.html").as_uri())
    page.goto((site / f"runs/{filled.ids['image']}.html").as_uri())
    page.get_by_role("heading", name="Provenance").wait_for()
    assert page.title().endswith(" · drf")
    assert page.locator("img[src=x], a[href^=javascript]").count() == 0


def test_nothing_is_wider_than_the_window(page, site, filled):
    for where in ("index.html", f"runs/{filled.ids['forest']}.html"):
        page.goto((site / where).as_uri())
        for width in (1440, 390):
            page.set_viewport_size({"width": width, "height": 844})
            assert page.evaluate("document.documentElement.scrollWidth") <= width
