"""One walk through the app in a real Chromium: what AppTest cannot see (URL, clicks, pixels)."""

from __future__ import annotations

import csv
from urllib.parse import parse_qs, urlsplit

import pytest

pytestmark = pytest.mark.browser


def opened(page, url: str, title: str) -> None:
    page.goto(url)
    page.get_by_role("heading", name=title, exact=True, level=1).wait_for()


def drawn(page) -> None:
    """Wait until all of the page is there. Streamlit loads the code of a kind of widget when the
    first one comes and fills the places of those that came meanwhile at the end of the run: until
    then the first tile with a button need not be the first tile of the page."""
    page.locator("[data-test-script-state=notRunning]").wait_for()
    waiting = "[data-testid=stSkeleton], [class*=st-key-img_open_]:not(:has(button))"
    page.wait_for_function("waiting => !document.querySelector(waiting)", arg=waiting)


def metric(page) -> str:
    return page.get_by_test_id("stMetricValue").first.inner_text()


def best_of_board(page) -> str:
    """The NME of the first row of the leaderboard, as the page of a run shows it."""
    page.locator("table tbody strong").first.wait_for()
    return f"{page.locator('table tbody strong').first.inner_text()} %"


def query(page) -> dict[str, list[str]]:
    """The parameters of the address, once the page has been shown: it sends them last."""
    page.locator("[data-test-script-state='notRunning']").wait_for()
    return parse_qs(urlsplit(page.url).query)


def test_a_visitor_filters_shares_downloads_and_opens_a_run(page, address, filled, tmp_path):
    opened(page, address, "Leaderboard")
    page.get_by_text("(ocular NME, paired over 30 faces)").wait_for()
    page.get_by_role("radio", name="Pupil").click()
    page.get_by_text("(pupil NME, paired over 30 faces)").wait_for()
    assert query(page) == {"norm": ["Pupil"]}

    page.get_by_role("combobox", name="Subset").click()
    page.get_by_role("option", name="challenging").click()
    page.get_by_text("26 faces of synthetic challenging").wait_for()
    assert query(page) == {"norm": ["Pupil"], "lb_subset": ["challenging"]}
    page.get_by_text("paired over 26 faces").wait_for()
    drawn(page)  # the headline comes before the link
    shown = best_of_board(page)

    page.get_by_role("button", name="Link to this view").click()
    link = page.get_by_test_id("stCode").inner_text().strip()
    assert link.startswith(f"{address}/?norm=Pupil&rev=")
    fresh = page.context.new_page()
    opened(fresh, link, "Leaderboard")
    fresh.get_by_text("26 faces of synthetic challenging").wait_for()
    assert best_of_board(fresh) == shown
    fresh.close()
    page.keyboard.press("Escape")

    page.get_by_role("button", name="Export this view").click()
    with page.expect_download() as download:
        page.get_by_role("button", name="CSV", exact=True).click()
    download.value.save_as(tmp_path / "board.csv")
    rows = list(csv.DictReader((tmp_path / "board.csv").open()))
    assert f"{float(rows[0]['pupil_nme_percent']):.2f} %" == shown
    page.keyboard.press("Escape")

    page.get_by_role("link", name="hourglass-wide", exact=True).click()
    page.get_by_role("heading", name="hourglass-wide", exact=True, level=1).wait_for()
    assert urlsplit(page.url).path == "/run"
    wanted = {"run": [filled.ids["wide"][:8]], "run_eval": ["synthetic/challenging/gt"]}
    assert query(page) == {"norm": ["Pupil"], **wanted}
    assert metric(page) == shown

    page.get_by_role("tab", name="Faces").click()
    page.get_by_role("heading", name="Best 9 of 26").wait_for()
    page.wait_for_function(
        "() => [...document.images].filter(i => i.alt.includes(' face ')).length === 26"
        " && [...document.images].every(i => i.complete && i.naturalWidth > 0)"
    )
    assert query(page)["run_tab"] == ["Faces"]


@pytest.mark.parametrize("key", ["image", "script", "formula"])
def test_a_hostile_name_does_nothing(page, address, filled, key):
    page.goto(f"{address}/run?run={filled.ids[key][:8]}&run_tab=Configuration")
    page.get_by_role("heading", name="Provenance").wait_for()
    assert page.title() == "Run · drf"
    assert not page.dialogs
    assert page.locator("img[src=x], a[href^=javascript]").count() == 0
    heading = page.get_by_role("heading", level=1)
    assert heading.locator("a[href^=http], .katex, [style*=color]").count() == 0


def test_nothing_is_asked_of_another_host(page, address, filled):
    opened(page, address, "Leaderboard")
    opened(page, f"{address}/run?run={filled.ids['wide'][:8]}", "hourglass-wide")
    page.locator(".js-plotly-plot").first.wait_for()
    opened(page, f"{address}/about", "About")
    elsewhere = {url for url in page.asked if not url.startswith((address, "data:", "blob:"))}
    assert not elsewhere


def test_what_is_chosen_inside_a_run_goes_into_the_link(page, address, filled):
    run = filled.ids["forest"][:8]
    opened(page, f"{address}/run?run={run}&run_tab=Training", "heatmap-forest")
    page.get_by_role("heading", name="Validation faces after epoch 40 of 40").wait_for()
    page.get_by_role("slider").press("ArrowLeft")
    page.get_by_role("heading", name="Validation faces after epoch 38 of 40").wait_for()
    assert query(page)["run_epoch"] == ["38"]
    page.get_by_role("tab", name="Leaves").click()
    leaves = page.locator("img[alt^='Leaf ']")
    page.wait_for_function("document.querySelectorAll(`img[alt^='Leaf ']`).length === 24")
    first = leaves.first.get_attribute("alt")
    page.get_by_test_id("stPagination").get_by_text("2", exact=True).click()
    page.wait_for_function("document.querySelectorAll(`img[alt^='Leaf ']`).length === 7")
    assert leaves.first.get_attribute("alt") != first
    assert query(page)["run_page"] == ["2"]
    assert page.evaluate("[...document.images].every(i => i.complete && i.naturalWidth > 0)")


# Where on the screen a point of a Plotly chart lies.
POINT = """(plot, [trace, point]) => {
    const {_fullLayout: {xaxis, yaxis}, _fullData} = plot;
    const {left, top} = plot.getBoundingClientRect();
    const {x, y} = _fullData[trace];
    return [left + xaxis._offset + xaxis.d2p(x[point]), top + yaxis._offset + yaxis.d2p(y[point])];
}"""


def large_face(page, title: str) -> None:
    """Wait until a face is open, large."""
    page.get_by_role("dialog").get_by_role("heading", name=title, exact=True).wait_for()
    page.locator("[role=dialog] .js-plotly-plot .scatterlayer .trace").first.wait_for()


def test_a_face_is_opened_looked_at_leafed_through_and_closed(page, address, filled):
    runs = ",".join(filled.ids[key][:8] for key in ("wide", "narrow"))
    opened(page, f"{address}/images?img_runs={runs}&img_eval=synthetic/common/gt", "Images")
    page.locator("label, button").get_by_text("Improvement", exact=True).click()
    page.get_by_role("combobox", name="Improvement over").wait_for()
    drawn(page)  # tiles are in the new order
    assert query(page)["img_sort"] == ["Improvement"]
    tiles = page.locator("[class*=st-key-img_open_] button")
    name = f"common/{tiles.first.inner_text().split()[-1]}"
    picture = page.locator("[class*=st-key-img_tile_] img").first.bounding_box()
    page.mouse.click(picture["x"] + picture["width"] / 2, picture["y"] + picture["height"] / 2)
    large_face(page, name)
    assert query(page)["img_face"] == [name]
    page.wait_for_timeout(500)  # the dialog slides in

    # The strip comes first. Traces of the first run: outlines, lines, landmarks.
    nose = page.locator(".js-plotly-plot").nth(1).evaluate(POINT, [2, 30])
    page.mouse.move(*nose)
    hover = page.locator("[role=dialog] .hoverlayer")
    hover.get_by_text("30 · nose bridge, tip").wait_for()
    assert "of the error of this face" in (hover.text_content() or "")

    page.keyboard.press("ArrowRight")
    page.get_by_role("dialog").get_by_text("2 of 30, by improvement").wait_for()
    second = query(page)["img_face"]
    assert second != [name]
    fresh = page.context.new_page()
    fresh.goto(page.url)
    large_face(fresh, second[0])
    fresh.close()
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
    page.wait_for_function("() => !location.search.includes('img_face')")


def test_a_click_on_a_point_of_a_comparison_opens_the_face(page, address, filled):
    runs = ",".join(filled.ids[key][:8] for key in ("wide", "narrow", "image"))
    opened(page, f"{address}/compare?cmp_runs={runs}&norm=Pupil", "Compare")
    page.get_by_role("heading", name="Face by face").scroll_into_view_if_needed()
    faces = page.locator(".st-key-cmp_scatter .js-plotly-plot")  # drawn once it comes into sight
    faces.locator(".scatterlayer .trace").first.wait_for()
    faces.scroll_into_view_if_needed()
    page.wait_for_timeout(1000)
    name = faces.evaluate("plot => plot.data[1].customdata[0]")
    page.mouse.click(*faces.evaluate(POINT, [1, 0]))
    large_face(page, name)
    assert urlsplit(page.url).path == "/images"
    wanted = {"norm": ["Pupil"], "img_face": [name], "img_runs": [runs]}
    assert query(page).items() >= wanted.items()
    assert not page.dialogs
    assert page.locator("img[src=x]").count() == 0


@pytest.mark.parametrize("scheme", ["light", pytest.param("dark", marks=pytest.mark.slow)])
@pytest.mark.parametrize(
    "where",
    [
        *("", "run?run_tab=Results", "run?run_tab=Faces", "about"),
        *("images", "images?img_face=common/00000", "compare"),
        *(f"run?run={{forest}}&run_tab={tab}" for tab in ("Training", "Forest", "Leaves")),
    ],
)
def test_nothing_is_wider_than_a_phone(page, address, filled, where, scheme):
    page.set_viewport_size({"width": 390, "height": 844})
    page.emulate_media(color_scheme=scheme)
    page.goto(f"{address}/{where.format(forest=filled.ids['forest'][:8])}")
    page.get_by_role("heading", level=1).wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        "() => [...document.querySelectorAll('[data-testid=stMain] [data-testid]')]"
        ".filter(e => !e.closest('[data-testid=stDataFrame], [data-testid=stBidiComponent]'))"
        ".filter(e => !e.closest('.st-key-pages, [class*=st-key-line_], [role=tablist]'))"  # scroll
        ".filter(e => e.getBoundingClientRect().right > 391).map(e => e.dataset.testid)"
    )
    assert not wide
    formulas = page.locator(".katex .base").all()
    assert all(box["x"] + box["width"] <= 391 for f in formulas if (box := f.bounding_box()))
