"""The leaderboard in a real Chromium: its links, sort, ticks, first screen, pop-ups and print."""

from __future__ import annotations

import pytest

from benchmarks.app_load import browse
from tests.webapp.test_browser import drawn, opened, query

pytestmark = pytest.mark.browser


def names(page) -> list[str]:
    return page.locator("table tbody th a").all_inner_texts()


def test_a_title_sorts_a_tick_chooses_and_both_are_in_the_link(page, address, filled):
    opened(page, address, "Leaderboard")
    drawn(page)
    before = names(page)
    page.get_by_role("button", name="Params, M", exact=True).click()
    page.wait_for_function("location.search.includes('lb_sort=Parameters')")
    page.locator("th[aria-sort=ascending]", has_text="Params").wait_for()
    by_size = names(page)
    assert by_size != before
    page.get_by_role("button", name="Params, M").click()
    page.locator("th[aria-sort=descending]", has_text="Params").wait_for()
    assert query(page)["lb_order"] == ["Worst first"]
    title = page.locator("th[aria-sort=descending]").inner_text()
    assert title.split("\n") == ["Params, M", "worst first"]  # no arrow beside that of a score
    entries = page.evaluate("history.length")
    page.get_by_role("button", name="Name", exact=True).click()
    page.locator("th[aria-sort=ascending]", has_text="Name").wait_for()
    assert {"lb_sort": ["Name"]}.items() <= query(page).items()
    assert "lb_order" not in query(page)
    assert page.evaluate("history.length") == entries + 1  # a column and a direction, by one click
    page.go_back()
    page.locator("th[aria-sort=descending]", has_text="Params").wait_for()
    page.get_by_role("checkbox", name="Compare hourglass-wide").check()
    page.wait_for_function("location.search.includes('lb_ticked')")
    assert query(page)["lb_ticked"] == [filled.ids["wide"][:8]]
    page.get_by_role("checkbox", name="Compare heatmap-forest").check()
    page.wait_for_function("location.search.includes('%2C') || location.search.includes(',')")
    shown, link = names(page), page.url
    fresh = page.context.new_page()
    opened(fresh, link, "Leaderboard")
    fresh.locator("th[aria-sort=descending]", has_text="Params").wait_for()
    assert names(fresh) == shown
    assert fresh.locator("table input:checked").count() == 2
    fresh.close()
    page.get_by_role("link", name="Compare", exact=True).last.click()
    page.get_by_role("heading", name="Compare", exact=True, level=1).wait_for()
    compared = {filled.ids[key][:8] for key in ("wide", "forest")}
    assert set(query(page)["cmp_runs"][0].split(",")) == compared


def test_a_tick_stays_while_a_filter_hides_its_row(page, address, filled):
    wide, forest = (filled.ids[key][:8] for key in ("wide", "forest"))
    opened(page, f"{address}/?lb_ticked={wide}&lb_text=heatmap-forest", "Leaderboard")
    page.get_by_role("checkbox", name="Compare heatmap-forest").check()
    page.wait_for_function(f"location.search.includes('{forest}')")
    assert set(query(page)["lb_ticked"][0].split(",")) == {wide, forest}


def test_charts_follow_the_table_and_show_the_rows_that_are_ticked(page, address, filled):
    opened(page, address, "Leaderboard")
    drawn(page)
    legend = page.locator(".js-plotly-plot").first.locator(".legendtext")
    legend.nth(2).wait_for()
    for name in ("hourglass-wide", "heatmap-forest"):
        page.get_by_role("checkbox", name=f"Compare {name}").check()
    legend.nth(2).wait_for(state="detached")
    legend.nth(1).wait_for()
    assert set(legend.all_text_contents()) == {"hourglass-wide", "heatmap-forest"}


def test_the_benchmark_of_the_app_sees_when_the_table_stands(page, address):
    fresh = browse._open(page.context.browser, address)
    fresh.set_default_timeout(60_000)
    browse._rest(fresh, browse._USABLE)
    assert browse._median(fresh, range(1, 2), lambda turn: browse._sort(fresh, turn)) > 0
    fresh.close()


def test_a_name_is_a_link_that_another_tab_can_open(page, address, filled):
    opened(page, address, "Leaderboard")
    link = page.get_by_role("link", name="hourglass-wide", exact=True)
    link.wait_for()
    href = link.get_attribute("href")
    fresh = page.context.new_page()
    opened(fresh, f"{address}/{href}", "hourglass-wide")
    assert query(fresh)["run"] == [filled.ids["wide"][:8]]
    fresh.close()


@pytest.mark.parametrize("size", [(1440, 900), (390, 844), (720, 450)])  # the last: at 200 %
def test_the_table_begins_on_the_first_screen(page, address, size):
    page.set_viewport_size(dict(zip(("width", "height"), size, strict=True)))
    opened(page, address, "Leaderboard")
    drawn(page)
    row = page.locator("table tbody tr").first
    row.wait_for()
    box = row.bounding_box()
    assert box["y"] + box["height"] < size[1]


def test_no_column_of_the_table_is_cut_at_1440(page, address):
    opened(page, address, "Leaderboard")
    drawn(page)
    page.locator("table tbody tr").first.wait_for()
    shown, whole = page.locator(".scroller").evaluate("e => [e.clientWidth, e.scrollWidth]")
    assert whole <= shown


def test_the_first_face_begins_on_the_first_screen_of_a_phone(page, address):
    page.set_viewport_size({"width": 390, "height": 844})
    opened(page, f"{address}/images", "Images")
    drawn(page)
    picture = page.locator("[class*=st-key-img_tile_] img").first
    assert picture.bounding_box()["y"] < 800


def test_a_link_to_a_section_of_a_run_has_it_in_sight(page, address, filled):
    page.set_viewport_size({"width": 390, "height": 844})
    run = filled.ids["forest"][:8]
    opened(page, f"{address}/run?run={run}&run_tab=Leaves", "heatmap-forest")
    page.wait_for_function(
        "() => { const tab = document.querySelector('[role=tab][aria-selected=true]');"
        " if (!tab || tab.textContent !== 'Leaves') return false;"
        " const {top, left, right} = tab.getBoundingClientRect();"
        " return top >= 50 && top < innerHeight / 2 && left >= 0 && right <= innerWidth; }"
    )


def test_the_pop_up_of_the_link_is_whole_and_its_copy_button_in_sight(page, address):
    opened(page, address, "Leaderboard")
    drawn(page)
    page.get_by_role("button", name="Link to this view").click()
    code = page.get_by_test_id("stCode")
    code.wait_for()
    page.wait_for_timeout(300)  # the pop-up slides in
    box = page.get_by_test_id("stPopoverBody").bounding_box()
    assert box["y"] >= 0
    assert box["y"] + box["height"] <= 900
    copy = page.locator("[data-testid=stCode] button").first
    opacity = "e => [e, e.parentElement].map(one => getComputedStyle(one).opacity).join()"
    assert copy.evaluate(opacity) == "1,1"


@pytest.mark.parametrize("where", ["", "run?run={wide}", "compare"])
def test_printing_gives_the_whole_page(page, address, filled, where):
    page.goto(f"{address}/{where.format(wide=filled.ids['wide'][:8])}")
    page.get_by_role("heading", level=1).first.wait_for()
    drawn(page)
    page.emulate_media(media="print")
    whole, shown = page.evaluate(
        "() => [document.querySelector('[data-testid=stMainBlockContainer]')"
        ".getBoundingClientRect().bottom, document.documentElement.scrollHeight]"
    )
    assert shown >= whole - 1  # the document, which is printed, holds all of it
    clipped = page.evaluate(
        "() => [...document.querySelectorAll('.stApp, [data-testid=stAppViewContainer],"
        " [data-testid=stMain]')].filter(e => getComputedStyle(e).overflowY !== 'visible')"
        ".map(e => e.dataset.testid)"
    )
    assert not clipped
    assert not page.get_by_test_id("stPopover").first.is_visible()
