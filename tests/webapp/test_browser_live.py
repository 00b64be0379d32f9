"""What only a browser shows of ablations and live runs: a page that ticks, an address that follows,
and what fits on a phone."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest
from sqlite_utils import Database

from db.connection import open_store
from db.recording.runs import record_epoch, record_heartbeat, start_run
from tests.db.examples import copied
from tests.webapp import ablation_examples
from tests.webapp.conftest import TIMEOUT_MS, served
from tests.webapp.examples import HOSTILE, HOURGLASS
from tests.webapp.test_browser import opened, query
from webapp.ui import deferred

pytestmark = pytest.mark.browser


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Database, str]]:
    """The app on a store with an ablation and a run under way: its address, the store, the run."""
    path: Path = tmp_path_factory.mktemp("training") / "drf.db"
    copied(ablation_examples.fill, path)
    store = open_store(path)
    run = start_run(store, replace(HOURGLASS, name=HOSTILE[0]))
    with served(path, tmp_path_factory.mktemp("elsewhere")) as url:
        yield url, store, run
    store.close()


def test_the_live_page_follows_a_run_without_a_click(page, training):
    address, store, run = training
    # The server took its time to start.
    record_heartbeat(store, run, epoch=0, progress=0.0, faces_per_s=300.0)
    opened(page, f"{address}/live?live_refresh=2+s", "Live")
    page.get_by_text("Validation NME: no value yet").wait_for()
    record_heartbeat(store, run, epoch=1, progress=0.1, faces_per_s=300.0)
    record_epoch(store, run, 1, {"val_nme_ocular": 0.08})
    page.get_by_text("10 % done · epoch 1 of 40").wait_for()
    page.locator("[aria-label*='now 8, lowest 8']").wait_for()
    record_heartbeat(store, run, epoch=2, progress=0.2, faces_per_s=300.0)
    record_epoch(store, run, 2, {"val_nme_ocular": 0.05})
    page.get_by_text("20 % done · epoch 2 of 40").wait_for()
    page.locator("[aria-label*='now 5, lowest 5']").wait_for()
    assert query(page) == {"live_refresh": ["2 s"]}
    assert page.locator("img[src=x]").count() == 0
    page.get_by_role("link", name=HOSTILE[0]).click()
    page.get_by_role("heading", name=HOSTILE[0], exact=True, level=1).wait_for()
    assert query(page)["run"] == [run[:8]]


LEAVES = """(() => {
    const real = window.setTimeout;
    const leave = () => {
        const link = [...document.querySelectorAll("a")].find((a) => a.textContent === "Compare");
        if (link) { link.click(); window.left = true; }
        else real(leave, 20);  // the bar of a busy machine comes later
    };
    window.setTimeout = (then, ms, ...more) => {
        if (ms === DELAY && !window.left) real(leave, ms - 5);
        return real(then, ms, ...more);
    };
})()"""


def test_who_leaves_as_the_charts_become_due_sees_the_next_page(page, training):
    """The server took a request for a part of the old page that came just after the click for a way
    back, and the new page was cleared."""
    address, *_ = training
    page.add_init_script(LEAVES.replace("DELAY", str(deferred.DELAY_MS)))
    page.goto(address)
    page.wait_for_function("() => window.left")
    title = page.get_by_role("heading", name="Compare", exact=True, level=1)
    title.wait_for()
    page.wait_for_timeout(1000)
    assert title.is_visible()


def test_the_choices_of_an_ablation_go_into_the_link(page, training):
    address, *_ = training
    opened(page, f"{address}/ablations", "Ablations")
    page.get_by_role("combobox", name="Second factor").click()
    page.get_by_role("option", name="model.depth").click()
    page.get_by_role("heading", name="Pivot").wait_for()
    assert query(page) == {"abl_by": ["model.depth"]}
    page.get_by_role("radio", name="Difference").click()
    page.locator("[aria-label^='Difference to the baseline, %']").wait_for()
    page.get_by_role("combobox", name="Baseline").click()
    page.get_by_role("option", name="forest").last.click()
    page.wait_for_function("() => location.search.includes('abl_base=')", timeout=TIMEOUT_MS)
    assert query(page).keys() == {"abl_by", "abl_cell", "abl_base", "abl_factor"}
    page.go_back()  # one choice is one entry of the history, whatever it writes into the link
    page.wait_for_function("() => !location.search.includes('abl_base=')", timeout=TIMEOUT_MS)
    assert query(page) == {"abl_by": ["model.depth"], "abl_cell": ["Difference"]}


@pytest.mark.parametrize("where", ["ablations?abl_by=model.depth", "live"])
def test_nothing_is_wider_than_a_phone(page, training, where):
    page.set_viewport_size({"width": 390, "height": 844})
    page.goto(f"{training[0]}/{where}")
    page.get_by_role("heading", level=3).last.wait_for()
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= 390
    wide = page.evaluate(
        "() => [...document.querySelectorAll('[data-testid=stMain] [data-testid]')]"
        ".filter(e => !e.closest('[data-testid=stDataFrame]'))"
        ".filter(e => !e.closest('.st-key-pages, [role=tablist]'))"  # these scroll
        ".filter(e => e.getBoundingClientRect().right > 391).map(e => e.dataset.testid)"
    )
    assert not wide
