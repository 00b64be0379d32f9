from __future__ import annotations

import functools
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import streamlit.config
from streamlit.components.v2 import manifest_scanner
from streamlit.runtime.scriptrunner import get_script_run_ctx
from streamlit.runtime.state.query_params import QueryParams
from streamlit.testing.v1 import AppTest

from benchmarks.app_load import browse
from tests.conftest import REPOSITORY
from tests.webapp import examples
from webapp.ui import error_pages

APP = REPOSITORY / "webapp/app.py"
GRID = "drf.leaderboard"
SHOW_UNEXPECTED = error_pages.show_unexpected
# As in the app's own configuration, which AppTest does not read: Streamlit rewrites no script.
streamlit.config.set_option("runner.magicEnabled", False)
# Every AppTest looks for components in all installed packages, which takes as long as a page.
manifest_scanner.scan_component_manifests = functools.cache(
    manifest_scanner.scan_component_manifests
)

TIMEOUT_MS = 60_000
"""Of what a test waits for in the browser."""


@pytest.fixture(autouse=True)
def faults_fail(monkeypatch: pytest.MonkeyPatch) -> None:
    """What visitors would read as a sentence fails the test that meets it."""

    def fail(error: Exception) -> None:
        raise error

    monkeypatch.setattr(error_pages, "show_unexpected", fail)


@dataclass(frozen=True)
class Shop:
    """The example store: its path and the ids of its runs (see `examples.fill`)."""

    path: Path
    ids: dict[str, str]

    def leaderboard(self, **query: str) -> AppTest:
        """The leaderboard page, opened by a link with these parameters."""
        return opened(**query)

    def run(self, key: str, **query: str) -> AppTest:
        """The page of a run, opened by a link."""
        return opened("views/run.py", run=self.ids[key][:8], **query)


def opened(page: str | None = None, **query: str) -> AppTest:
    """Open a link in a fresh session, as a browser does: no other page was seen before."""
    app = AppTest.from_file(str(APP), default_timeout=30)
    if page is not None:
        app._page_hash = _page_hash(page)  # AppTest itself can only start at the first page
    for name, value in query.items():
        app.query_params[name] = value
    return app.run()


@functools.cache
def _page_hash(page: str) -> str:
    known = AppTest.from_file(str(APP), default_timeout=30).run()
    return known.switch_page(page)._page_hash


@pytest.fixture
def sent(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The addresses that the app sends to the browser from now on: each is an entry of its history
    (the part after the question mark)."""
    found: list[str] = []
    send = QueryParams._send_query_param_msg

    def noted(self: QueryParams) -> None:
        send(self)
        found.append(get_script_run_ctx().query_string)

    monkeypatch.setattr(QueryParams, "_send_query_param_msg", noted)
    return found


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    path = tmp_path_factory.mktemp("store") / "drf.db"
    return Shop(path, examples.fill(path))


@pytest.fixture
def shop(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The app reads the example store, which no test changes."""
    monkeypatch.setenv("DRF_DB", str(filled.path))
    return filled


@contextmanager
def served(store: Path, folder: Path) -> Iterator[str]:
    """The app on a store, served from another folder, as a user may start it. Skips without a
    browser to look at it with."""
    chromium()
    with browse.serving(store, folder) as (url, _):
        yield url


def chromium() -> str:
    if path := browse.chromium():
        return path
    pytest.skip("no Chromium on this machine; on Debian: apt-get install chromium")


@pytest.fixture(scope="session")
def address(filled: Shop, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of the app on the example store."""
    with served(filled.path, tmp_path_factory.mktemp("elsewhere")) as url:
        yield url


@pytest.fixture(scope="module")
def visitor() -> Iterator:
    """A browser whose pages share what they have fetched. Of a module: as long as Playwright drives
    a browser, nothing else can run an event loop in this process."""
    playwright = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
    with playwright.sync_playwright() as driver:
        browser = driver.chromium.launch(executable_path=chromium(), args=list(browse.FLAGS))
        context = browser.new_context(viewport={"width": 1440, "height": 900})
        context.set_default_timeout(TIMEOUT_MS)
        yield context
        browser.close()


@pytest.fixture
def page(visitor) -> Iterator:
    """A new page that notes every address it asks for, every dialog and every error of a script."""
    page = visitor.new_page()
    page.asked, page.dialogs, page.faults = [], [], []
    page.on("request", lambda request: page.asked.append(request.url))
    page.on("dialog", lambda dialog: (page.dialogs.append(dialog.message), dialog.dismiss()))
    page.on("pageerror", lambda error: page.faults.append(str(error)))
    yield page
    for one in visitor.pages:
        one.close()


def chosen(app: AppTest, key: str, value: str) -> None:
    """Choose an option of a segmented control."""
    (control,) = (one for one in app.get("segmented_control") if one.key == key)
    control.set_value(value).run()


def board_payload(app: AppTest) -> dict[str, Any]:
    """What the page gives to the script of the leaderboard's table."""
    (table,) = (one for one in app.get("bidi_component") if one.proto.component_name == GRID)
    return json.loads(table.proto.json)


def board_table(app: AppTest) -> pd.DataFrame:
    """The table of the leaderboard as it is shown: numbers where all that is known is a number,
    "–" as missing."""
    shown = board_payload(app)
    keys = [column["key"] for column in shown["columns"]]
    rows = [[cell["text"] for cell in row["cells"]] for row in shown["rows"]]
    frame = pd.DataFrame(rows, columns=keys).replace("–", None)
    for key in keys:
        numbers = pd.to_numeric(frame[key], errors="coerce")
        if numbers.notna().equals(frame[key].notna()) and key not in ("name", "short_id"):
            frame[key] = numbers
    return frame


def verdict(app: AppTest) -> str:
    """The sentence above the leaderboard's table, as Markdown shows it."""
    return re.sub(r"\\([!-/:-@\[-`{-~])", r"\1", app.markdown[0].value).strip("*")


def texts(app: AppTest) -> str:
    """Everything the page says, one element a line."""
    kinds = ("title", "header", "subheader", "markdown", "caption", "info", "warning", "error")
    said = [str(element.value) for kind in kinds for element in app.get(kind)]
    bodies = [element.proto.body for element in app.get("html")]
    said += [body for body in bodies if not body.startswith("<script>")]
    return "\n".join([*said, *(metric.delta for metric in app.metric)])
