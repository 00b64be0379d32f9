"""Walks through the app in headless Chromium and clocks it inside the page.

The clock starts with the visitor's own click or key, as the browser sees it, and stops when
Streamlit's last rerun has ended and what it sent is on the page; that of an overlay when the shapes
of the large face are drawn. What driving a browser costs is outside: looking at every frame whether
the page is at rest would make the browser draw as many.
"""

from __future__ import annotations

import os
import shutil
import socket
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import psutil

REPOSITORY = Path(__file__).parents[2]
FLAGS = (
    *("--no-sandbox", "--disable-gpu", "--disable-background-networking"),
    *("--disable-component-update", "--disable-sync", "--no-first-run"),
)
QUIET_MS = 250  # less than the charts below the leaderboard wait for (`webapp.ui.deferred`)
CHARTS_MS = 1500  # more than that
_CLOCK = """
window.clock = { asked: 0, done: 0, busy: false };
const state = () => document.querySelector('[data-test-script-state]')?.dataset.testScriptState;
for (const kind of ['click', 'keydown']) {
  addEventListener(kind, (event) => {
    if (kind === 'click' || event.key === 'Enter') clock.asked = performance.now();
  }, true);
}
new MutationObserver(() => {
  const busy = state() !== 'notRunning';
  if (clock.busy && !busy) requestAnimationFrame(() => { clock.done = performance.now(); });
  clock.busy = busy;
}).observe(document, { subtree: true, attributes: true, childList: true,
  attributeFilter: ['data-test-script-state'] });
"""
_DRAWN = """
clock.drawn = 0;
new MutationObserver(() => {
  if (!document.querySelector('[role=dialog]')) clock.drawn = 0;
  else if (!clock.drawn && document.querySelector('[role=dialog] .scatterlayer .trace'))
    clock.drawn = performance.now();
}).observe(document, { subtree: true, childList: true });
"""
_LOOK_MS = 100
_RESTS, _RESTS_WITH_CHARTS = (
    f"""() => !clock.busy && clock.done > clock.asked
    && performance.now() - clock.done > {quiet_ms}"""
    for quiet_ms in (QUIET_MS, CHARTS_MS)
)
_CALM = f"() => !clock.busy && performance.now() - clock.done > {CHARTS_MS}"
_USABLE = """() => clock.done > 0 && !clock.busy && performance.now() - clock.done > 250
    && document.querySelector('[data-testid=stBidiComponentIsolated]')
        ?.shadowRoot?.querySelector('tbody tr')"""


@contextmanager
def serving(store: Path, folder: Path | None = None) -> Iterator[tuple[str, psutil.Process]]:
    """Serve the app on a store, started in a folder; give its address and process."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, "-m", "streamlit", "run", str(REPOSITORY / "webapp/app.py")]
    server = subprocess.Popen(
        [*command, f"--server.port={port}"],
        cwd=folder,
        env=os.environ | {"DRF_DB": str(store), "PYTHONPATH": str(REPOSITORY)},
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    try:
        address = f"http://127.0.0.1:{port}"
        _once_healthy(address, server)
        yield address, psutil.Process(server.pid)
    finally:
        server.terminate()
        server.wait(timeout=20)


def _once_healthy(address: str, server: subprocess.Popen[bytes]) -> None:
    deadline = time.monotonic() + 120
    while server.poll() is None and time.monotonic() < deadline:
        try:
            urllib.request.urlopen(f"{address}/_stcore/health", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)
    raise RuntimeError("the app did not start within two minutes")


def measure(store: Path, runs: list[str], *, repeats: int, clicks: int) -> dict[str, float]:
    """Return medians in ms by name, the very first page of a new server, and MB after the clicks.

    runs: names of runs to look at
    """
    from playwright.sync_api import sync_playwright

    with serving(store) as (address, process), sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(FLAGS))
        found = {"first page of a new server": _first_page(browser, address)}
        found["first page"] = statistics.median(
            _first_page(browser, address) for _ in range(repeats)
        )
        page = _open(browser, address)
        _rest(page, _USABLE)
        subsets = _options(page, "Subset")
        turns = range(1, repeats + 1)
        first, others = range(1, len(subsets)), range(len(subsets), len(subsets) + repeats)

        def choose(i: int) -> None:
            _rest(page, _CALM)  # the charts of a board are drawn before another one is chosen
            _pick(page, "Subset", subsets[i % len(subsets)])

        for name, of in (("filter to a board nobody saw yet", first), ("filter", others)):
            found[name] = _median(page, of, choose)
        found["filter, until its charts are drawn"] = _median(
            page, others, choose, _RESTS_WITH_CHARTS
        )
        found["sort"] = _median(page, turns, lambda i: _sort(page, i))
        page = _open(browser, f"{address}/run")
        page.get_by_role("combobox", name="Run", exact=True).wait_for()  # rest comes before too
        _rest(page)
        found["run page"] = _median(page, turns, lambda i: _type(page, "Run", runs[i % len(runs)]))
        found |= _overlays(browser, address, repeats)
        page = _open(browser, address)
        _rest(page, _USABLE)
        for i in range(clicks):
            _sort(page, i)
            _rest(page)
        family = [process, *process.children(recursive=True)]
        found["memory, MB"] = sum(member.memory_info().rss for member in family) / 1e6
        browser.close()
    return found


def chromium() -> str | None:
    """Return the path of the system's Chromium, None for Playwright's own."""
    names = ("chromium", "chromium-browser", "google-chrome")
    return next((path for name in names if (path := shutil.which(name))), None)


def _open(browser: Any, url: str) -> Any:
    page = browser.new_page(viewport={"width": 1440, "height": 900})
    page.set_default_timeout(120_000)
    page.add_init_script(_CLOCK)
    page.goto(url)
    return page


def _first_page(browser: Any, address: str) -> float:
    """Return the ms from the request to a table that stands still, in a browser without cache."""
    page = _open(browser, address)
    _rest(page, _USABLE)
    took = page.evaluate("clock.done")
    page.close()
    return float(took)


def _overlays(browser: Any, address: str, repeats: int) -> dict[str, float]:
    """Return the ms from a click on a face to the shapes on its large picture: of the first, for
    which the browser loads Plotly, and the median of those after it."""
    page = _open(browser, f"{address}/images")
    faces = page.locator("[class*=st-key-img_open_] button:visible")
    faces.first.wait_for()
    _rest(page)
    page.evaluate(_DRAWN)
    taken = []
    for i in range(repeats + 1):
        faces.nth(i).click()
        page.wait_for_function("clock.drawn > clock.asked", polling=_LOOK_MS)
        taken.append(page.evaluate("clock.drawn - clock.asked"))
        _rest(page)
        page.keyboard.press("Escape")
        page.locator("[role=dialog]").wait_for(state="detached")
        _rest(page)
    page.close()
    return {"first overlay of a visit": taken[0], "overlay": statistics.median(taken[1:])}


def _median(page: Any, turns: range, act: Callable[[int], None], rests: str = _RESTS) -> float:
    taken = []
    for i in turns:
        act(i)
        _rest(page, rests)
        taken.append(page.evaluate("clock.done - clock.asked"))
    return statistics.median(taken)


def _rest(page: Any, condition: str = _RESTS) -> None:
    page.wait_for_function(condition, polling=_LOOK_MS)


def _options(page: Any, label: str) -> list[str]:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option").first.wait_for()
    names = page.get_by_role("option").all_inner_texts()
    page.keyboard.press("Escape")
    return names


def _pick(page: Any, label: str, option: str) -> None:
    page.get_by_role("combobox", name=label, exact=True).click()
    page.get_by_role("option", name=option, exact=True).click()


def _sort(page: Any, turn: int) -> None:
    """Click on one of the first five titles that sort, each time another one."""
    page.locator("table thead button").nth(turn % 5).click()


def _type(page: Any, label: str, text: str) -> None:
    box = page.get_by_role("combobox", name=label, exact=True)
    box.fill(text)
    # Of 2,000 names the first is there before they are filtered: Enter would choose that.
    page.get_by_role("option").filter(has_text=text).first.wait_for()
    page.wait_for_function("document.querySelectorAll('[role=option]').length === 1")
    box.press("Enter")
