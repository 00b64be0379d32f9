"""Whoever cannot see hears what is shown, and whoever has no mouse reaches every control."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.webapp.conftest import APP
from tests.webapp.test_browser import drawn, large_face, query
from tests.webapp.test_sentences import contrast

SHOWN = {"image", "plotly_chart", "dataframe"}

# Of a group of radio buttons or tabs the Tab key reaches one, and arrow keys the others: the group
# is the control. So is a box to choose from, which opens by an arrow key and gives its last choice
# back by the Backspace key. Toolbars come when what they belong to has the focus.
NUMBERED = """() => {
    const composed = '[data-testid=stButtonGroup], [role=tablist], [data-testid=stSelectbox],'
        + '[data-testid=stMultiSelect]';
    const simple = [...document.querySelectorAll('button, a[href], input, summary')].filter(e =>
        !e.disabled && e.checkVisibility() && !e.closest('details:not([open]) > :not(summary)')
        && !e.matches('[data-testid=stBaseButton-elementToolbar]') && !e.closest(composed));
    const controls = [...simple, ...document.querySelectorAll(composed)];
    controls.forEach((element, number) => { element.dataset.number = number; });
    document.activeElement.blur();
    return controls.length;
}"""
FOCUSED = """() => document.activeElement.closest('[data-number]')?.dataset.number
    ?? document.activeElement.tagName"""


def calls(source: str) -> Iterator[ast.Call]:
    """What the source calls of Streamlit that shows a picture, a chart or a table."""
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            owner = node.func.value
            if isinstance(owner, ast.Name) and owner.id == "st" and node.func.attr in SHOWN:
                yield node


def test_every_picture_chart_and_table_has_an_alt_text():
    found = [
        (file.name, call)
        for file in APP.parent.rglob("*.py")
        for call in calls(file.read_text(encoding="utf-8"))
    ]
    assert len(found) > 12
    for name, call in found:
        assert any(keyword.arg == "alt" for keyword in call.keywords), (name, call.lineno)


@pytest.mark.browser
@pytest.mark.parametrize(
    "where",
    [
        *("", "run", "images"),  # a table of our own, tabs, and pictures that are buttons
        *(
            pytest.param(where, marks=pytest.mark.slow)
            for where in ("run?run_tab=Training", "compare", "ablations", "live", "about")
        ),
    ],
)
def test_the_keyboard_reaches_every_control(page, address, where):
    page.goto(f"{address}/{where}")
    page.get_by_role("heading", level=1).wait_for()
    drawn(page)
    expected = page.evaluate(NUMBERED)
    assert expected > 10
    reached = set()
    for _ in range(4 * expected + 100):  # every cell of a table is a stop as well
        page.keyboard.press("Tab")
        reached.add(page.evaluate(FOCUSED))
        if "BODY" in reached:
            break
    missed = {str(number) for number in range(expected)} - reached
    missing = "n => document.querySelector(`[data-number='${n}']`)?.outerHTML"
    assert not [page.evaluate(missing, number) for number in missed]


# The colours of words in charts as they are seen: what is transparent is mixed with its surface.
SEEN = """() => {
    const context = Object.assign(document.createElement('canvas'), {width: 1, height: 1})
        .getContext('2d', {willReadFrequently: true});
    const mixed = (...layers) => {
        for (const [colour, opacity] of layers) {
            context.globalAlpha = opacity;
            context.fillStyle = colour;
            context.fillRect(0, 0, 1, 1);
        }
        return [...context.getImageData(0, 0, 1, 1).data].slice(0, 3).map(one => one / 255);
    };
    const surface = getComputedStyle(document.querySelector('.stApp')).backgroundColor;
    return [...document.querySelectorAll('.stPlotlyChart svg text')]
        .filter(text => text.textContent.trim() && text.getBoundingClientRect().width)
        .map(text => {
            const {fill, fillOpacity, opacity} = getComputedStyle(text);
            return [text.textContent, mixed([surface, 1], [fill, fillOpacity * opacity]),
                mixed([surface, 1])];
        });
}"""


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_words_in_charts_have_the_contrast_of_wcag_aa(page, address, scheme):
    page.emulate_media(color_scheme=scheme)
    page.set_viewport_size({"width": 1440, "height": 4000})  # charts are drawn where they are seen
    page.goto(f"{address}/compare")
    page.get_by_role("heading", level=1).wait_for()
    drawn(page)
    for chart in page.locator(".stPlotlyChart").all():
        chart.locator("svg text").first.wait_for(state="attached")
    seen = page.evaluate(SEEN)
    assert len(seen) > 50
    assert not [word for word, colour, surface in seen if contrast(colour, surface) < 4.5]


@pytest.mark.browser
def test_keys_choose_what_a_page_shows_and_leaf_through_faces(page, address):
    page.goto(address)
    page.get_by_role("heading", level=1).wait_for()
    drawn(page)
    ocular = page.locator("table tbody strong").first.inner_text()
    page.get_by_role("radio", name="Ocular").press("ArrowRight")
    page.get_by_role("radio", name="Pupil").and_(page.locator(":focus")).wait_for()
    page.keyboard.press("Space")
    page.wait_for_function("() => location.search.includes('norm=Pupil')")
    page.wait_for_function("seen => !document.body.innerText.includes(seen)", arg=ocular)
    drawn(page)
    subset = page.get_by_role("combobox", name="Subset")
    subset.focus()
    page.keyboard.press("ArrowDown")
    page.get_by_role("option", name="challenging").wait_for()
    page.keyboard.press("ArrowDown")
    page.keyboard.press("Enter")
    page.get_by_text("26 faces of synthetic challenging").wait_for()
    drawn(page)

    page.locator("table tbody a").first.press("Enter")
    page.wait_for_url(f"{address}/run?*")
    page.wait_for_function("() => location.search.includes(`norm=Pupil`)")

    page.goto(f"{address}/images?img_eval=synthetic/common/gt")
    page.get_by_role("heading", level=1).wait_for()
    tile = page.locator("[class*=st-key-img_open_] button").first
    tile.wait_for()
    drawn(page)
    tile.press("Enter")
    page.wait_for_function("() => location.search.includes('img_face')")
    first = query(page)["img_face"][0]
    large_face(page, first)
    drawn(page)
    # Focus and key in one: on a slow machine the dialog is drawn again between the two.
    page.get_by_role("dialog").get_by_role("button", name=re.compile("^Next")).press("Enter")
    page.get_by_role("dialog").get_by_text("2 of 30, by the error of").wait_for()
    drawn(page)
    page.keyboard.press("Escape")
    page.get_by_role("dialog").wait_for(state="detached")
