"""Milliseconds for one face wherever a board is shown, with the hardware that they are of."""

from __future__ import annotations

import contextlib
import csv
import io
import json
from pathlib import Path

import pytest

from db.connection import open_reader, open_store
from db.maintenance import bundle
from db.recording.latencies import Latency, record_latency
from tests.webapp.boards import store_with_seeds
from tests.webapp.conftest import board_payload, board_table, opened, texts
from tests.webapp.test_board_view import built
from webapp.leaderboard import columns, export, typeset
from webapp.static_site.site import write_site
from webapp.store import StoreVersion

HERE, ELSEWHERE, FLOOR = "Some CPU, AVX2", "Another <b>CPU</b>", "floor & <i>co</i>_1"


def measured(p50: float, hardware: str = HERE) -> Latency:
    return Latency(p50, 2 * p50, hardware, 1, "2.6.0", "2026-11-29T00:00:00.000Z")


def unescaped(markdown: str) -> str:
    return markdown.replace("\\", "")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two seeds of `forest` are measured, the floor on other hardware alone, `wide` never."""
    path = tmp_path_factory.mktemp("latency") / "drf.db"
    runs = store_with_seeds(path)
    with contextlib.closing(open_store(path)) as store:
        for run, one in (
            *zip(runs["forest"], (measured(3.0), measured(5.0)), strict=False),
            (runs[FLOOR][0], measured(0.1, ELSEWHERE)),
        ):
            record_latency(store, run, one)
    return path


@pytest.fixture
def app(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DRF_DB", str(path))


@pytest.mark.usefixtures("app")
def test_the_board_has_one_column_of_one_hardware_and_names_it() -> None:
    page = opened(lb_vary="false")
    assert not page.exception
    shown = board_payload(page)
    keys = [column["key"] for column in shown["columns"]]
    place = keys.index(columns.LATENCY)
    assert shown["columns"][place]["title"] == "p50 ms, 1 face, 1 thread"
    forest, wide, floor = (row["cells"][place] for row in shown["rows"])
    assert (forest["text"], wide["text"], floor["text"]) == ("4.00", "–", "–")
    assert forest["hover"] == f"p90 8.00 ms, on {HERE}"
    assert "not measured" in wide["hover"]
    assert ELSEWHERE in floor["hover"]
    said = unescaped(texts(page))
    assert f"on {HERE}." in said
    assert "other hardware alone: floor" in said
    assert "<b>CPU" not in texts(page)


@pytest.mark.usefixtures("app")
def test_it_orders_the_rows_and_what_is_not_known_comes_last() -> None:
    table = board_table(opened(lb_sort="Milliseconds", lb_cols="Milliseconds", lb_rows="Runs"))
    assert table[columns.LATENCY].dropna().tolist() == [3.0, 5.0]
    assert table[columns.LATENCY].notna().tolist()[:2] == [True, True]


@pytest.mark.usefixtures("app")
def test_a_board_without_a_measurement_has_no_such_column(path: Path, tmp_path: Path) -> None:
    bare = tmp_path / "drf.db"
    store_with_seeds(bare)
    view = built(StoreVersion(str(bare), 1))
    assert columns.LATENCY not in view.table
    assert not any("Milliseconds" in note for note in view.notes)


def test_files_have_it_with_its_hardware(path: Path) -> None:
    view = built(StoreVersion(str(path), 1))
    forest, _, floor = json.loads(export.as_json(view, {}, {}))["rows"]
    assert [forest[key] for key in ("latency_ms", "latency_p90_ms", "latency_on")] == [4, 8, HERE]
    assert (floor["latency_ms"], floor["latency_on"]) == (None, ELSEWHERE)
    rows = list(csv.DictReader(io.StringIO(export.as_csv(view).decode())))
    assert [row["latency_ms"] for row in rows] == ["4.0", "", ""]
    board = {"dataset": "300w", "subset": "full", "landmarks": "all", "box": "gt"}
    said = typeset.caption(board, view)
    assert HERE in said
    for text in (typeset.as_latex(view, said, "l"), typeset.as_markdown(view, said)):
        assert "p50 ms, 1 face, 1 thread" in text.decode()


@pytest.mark.usefixtures("app")
def test_the_page_of_a_run_and_the_costs_of_compare_have_it() -> None:
    run = unescaped(texts(opened("views/run.py", run="forest-s0")))
    assert f"p50 3.00, p90 6.00 on {HERE}" in run
    compared = opened(
        "views/compare.py", cmp_runs="forest-s0,forest-s1", cmp_cost="Milliseconds",
        cmp_eval="300w/full/gt",
    )  # fmt: skip
    assert not compared.exception
    assert "NME against Milliseconds" in texts(compared)
    assert f"on {HERE}" in unescaped(texts(compared))


def test_the_exported_pages_have_it(path: Path, tmp_path: Path) -> None:
    with contextlib.closing(open_reader(path)) as con:
        write_site(con, tmp_path / "site", bundle.select(con), faces=1, images=False)
    (board,) = json.loads((tmp_path / "site/data/leaderboard.json").read_text())
    assert [row["latency_ms"] for row in board["methods"]] == [4.0, None, None]
    assert any(HERE in remark for remark in board["remarks"])
    assert any(
        f"p50 3.00, p90 6.00 on {HERE}" in page.read_text()
        for page in (tmp_path / "site").rglob("*.html")
    )
