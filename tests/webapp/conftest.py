from __future__ import annotations

import functools
import json
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from streamlit.testing.v1 import AppTest

from tests.conftest import REPOSITORY
from tests.webapp import examples
from webapp.ui import error_pages

APP = REPOSITORY / "webapp/app.py"
GRID = "drf.leaderboard"
SHOW_UNEXPECTED = error_pages.show_unexpected


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


@pytest.fixture(scope="session")
def filled(tmp_path_factory: pytest.TempPathFactory) -> Shop:
    path = tmp_path_factory.mktemp("store") / "drf.db"
    return Shop(path, examples.fill(path))


@pytest.fixture
def shop(filled: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The app reads the example store, which no test changes."""
    monkeypatch.setenv("DRF_DB", str(filled.path))
    return filled


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
    said += [element.proto.body for element in app.get("html")]
    return "\n".join([*said, *(metric.delta for metric in app.metric)])
