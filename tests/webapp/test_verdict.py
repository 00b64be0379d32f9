"""The verdict of a board is the same sentence wherever it is read, and stands with what explains
it."""

from __future__ import annotations

import json
from pathlib import Path
from urllib.parse import parse_qs

import pandas as pd
import pytest

from db.connection import open_reader
from db.maintenance import bundle
from drf import presets
from tests.cli.conftest import Drf
from tests.cli.conftest import drf as drf
from tests.db.examples import copied
from tests.webapp.boards import store_with_seeds
from tests.webapp.conftest import board_table, opened, texts, verdict
from webapp.leaderboard import export, headline
from webapp.leaderboard.rows import arrange, load_rows
from webapp.leaderboard.table import DisplayOptions, View, build
from webapp.static_site.site import write_site
from webapp.store import StoreVersion
from webapp.ui import deferred

SENTENCE = "forest is best: 3.08 %, 0.92 below wide"
WHERE = {"dataset": "300w", "subset": "full", "landmarks": "all", "box": "gt"}
HOW = "(ocular NME, paired over 40 faces), 3 seeds against 2."


@pytest.fixture
def runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[str]]:
    """The runs of `boards.store_with_seeds`, in the store that app and command line read."""
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    return copied(store_with_seeds, tmp_path / "drf.db")


def built(path: str) -> View:
    current = StoreVersion(path, 0)
    rows = load_rows(current, as_runs=False, **WHERE)
    rows = arrange(rows, norm="Ocular", sort="NME", order="Best first")
    return build(current, rows, DisplayOptions(("ocular",), ("NME",), False))


def exported(tmp_path: Path) -> dict:
    con = open_reader(tmp_path / "drf.db")
    chosen = bundle.select(con, runs=(), subset=None)
    write_site(con, tmp_path / "site", chosen, faces=0, images=False)
    con.close()
    (board,) = json.loads((tmp_path / "site/data/leaderboard.json").read_text())
    return board


def test_app_command_line_exported_site_and_json_give_one_verdict(runs, tmp_path, drf: Drf):
    said = verdict(opened())
    assert said.startswith(SENTENCE)
    assert said.endswith(HOW)
    lines = " ".join(drf("leaderboard").out.split())
    assert said in lines
    assert said in " ".join(drf("leaderboard", "--methods").out.split())
    of_site = exported(tmp_path)["verdicts"]["ocular"]
    assert said == " ".join([of_site["sentence"], *of_site["caveats"]])
    path = str(tmp_path / "drf.db")
    found = headline.verdict(StoreVersion(path, 0), WHERE, "ocular", None, None)
    document = json.loads(export.as_json(built(path), {}, found.record()))
    assert document["verdict"]["sentence"] == said
    assert said == verdict(opened(lb_rows="Runs"))  # of methods, whatever the rows are


def test_the_second_row_is_the_baseline_unless_one_is_chosen(runs, drf: Drf):
    table = board_table(opened())
    assert table["ocular_difference"].isna().tolist() == [False, True, False]
    chosen = opened(lb_base=runs["floor & <i>co</i>_1"][0][:8])
    assert board_table(chosen)["ocular_difference"].isna().tolist() == [False, False, True]
    assert "forest leads: 3.08 %" in verdict(chosen)
    said = " ".join(drf("leaderboard", "--baseline", runs["floor & <i>co</i>_1"][0]).out.split())
    assert verdict(chosen) in said


def test_the_verdict_links_to_where_it_fails_and_how_it_was_made(runs):
    links = {one.proto.label.replace("\\", ""): one.proto for one in opened().get("page_link")}
    labels = [label for label in links if label.startswith("Its worst region: ")]
    assert len(labels) == 1
    run = runs["forest"][0][:8]
    for label, wanted in (
        ("Its worst faces", {"img_runs": [run], "img_eval": ["300w/full/gt"]}),
        (labels[0], {"run": [run], "run_eval": ["300w/full/gt"]}),
        ("How it was made", {"run": [run], "run_tab": ["Configuration"]}),
    ):
        asked = parse_qs(links[label].query_string)
        assert asked.items() >= wanted.items()


def test_the_card_of_the_best_method_opens_beside_the_verdict(filled, monkeypatch):
    monkeypatch.setenv("DRF_DB", str(filled.path))
    app = opened()
    best = presets.load("hourglass")  # of hourglass-wide, which leads
    (button,) = (one for one in app.button if one.key and one.key.startswith("lb_best_card_"))
    assert button.label == "About this method"
    button.click().run()
    assert app.query_params["card"] == best.name
    said = texts(app)
    assert f"**{best.name}**" in said
    assert best.description[:40] in said.replace("\\", "")


def test_ticked_rows_go_to_compare_images_and_the_charts(runs, monkeypatch):
    monkeypatch.setattr(deferred, "due", lambda key, content: True)
    ticked = [runs["wide"][0][:8], runs["floor & <i>co</i>_1"][0][:8]]
    app = opened(lb_ticked=",".join(ticked))
    links = {one.proto.label: parse_qs(one.proto.query_string) for one in app.get("page_link")}
    assert links["Compare"]["cmp_runs"] == [",".join(ticked)]
    assert links["Images"]["img_runs"] == [",".join(ticked)]
    chart = app.get("plotly_chart")[0].proto
    names = [one["name"] for one in json.loads(chart.spec)["data"] if one.get("name")]
    assert names[0] == "wide"
    assert names[1].startswith("floor")
    first = opened().get("plotly_chart")[0].proto
    leading = [one["name"] for one in json.loads(first.spec)["data"] if one.get("name")]
    assert leading == ["forest", "wide"]  # beside the floor all others look alike


def test_the_exported_site_opens_on_the_board_of_the_app(filled, tmp_path, monkeypatch):
    monkeypatch.setenv("DRF_DB", str(filled.path))
    app = opened()
    con = open_reader(filled.path)
    chosen = bundle.select(con, runs=list(filled.ids.values()), subset=None)
    write_site(con, tmp_path / "site", chosen, faces=0, images=False)
    con.close()
    boards = json.loads((tmp_path / "site/data/leaderboard.json").read_text())
    assert boards[0]["dataset"] == app.selectbox(key="lb_dataset").value
    assert boards[0]["subset"] == app.selectbox(key="lb_subset").value
    index = (tmp_path / "site/index.html").read_text()
    assert 'name="methods" type="checkbox" checked' in index
    assert "Cumulative error distributions" in index
    assert boards[0]["verdicts"]["ocular"]["sentence"] == verdict(app)
    assert "hourglass" in texts(app)


def test_charts_are_those_of_the_runs_and_not_of_numbers_that_a_new_file_counts_again() -> None:
    rows = pd.DataFrame({
        "name": ["forest"], "runs": [("a" * 32,)], "evaluations": [(1,)], "seeds": [(0,)],
        "ocular_nme": [3.0],
    })  # fmt: skip
    again = rows.assign(runs=[("b" * 32,)])
    later = rows.assign(ocular_nme=float("nan"))
    asked = [headline.ChartsOfRows(one, one, "ocular", None) for one in (rows, again, later)]
    assert len({one.key for one in asked}) == 3
    assert headline.ChartsOfRows(rows.copy(), rows.copy(), "ocular", None).key == asked[0].key
