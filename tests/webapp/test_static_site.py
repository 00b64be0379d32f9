"""`drf export --static`: the folder is whole, keeps to itself, and says what the store says."""

from __future__ import annotations

import json
import re
import shutil
import sqlite3
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from benchmarks.app_load import fill
from db import reads
from db.connection import open_reader, open_store
from db.maintenance import bundle
from db.recording.evaluations import record_evaluation
from db.recording.runs import start_run
from drf import presets
from drf.errors import UsageError
from drf.landmarks.markup import IBUG68
from drf.scoring import scores
from tests.db import examples
from tests.webapp.boards import store_with_seeds
from tests.webapp.conftest import Shop
from tests.webapp.examples import HOURGLASS, evaluation
from webapp.leaderboard.rows import load_rows
from webapp.static_site import face_svg, folder
from webapp.static_site.site import Site, write_site
from webapp.store import StoreVersion

FACES = 2


@pytest.fixture(scope="module")
def exported(filled, tmp_path_factory) -> tuple[Path, Site]:
    target = tmp_path_factory.mktemp("static") / "board"
    return target, export(filled, target)


def export(shop, target: Path, *, keys=None, subset=None, images=True) -> Site:
    con = open_reader(shop.path)
    runs = [shop.ids[key] for key in keys or shop.ids]
    chosen = bundle.select(con, runs=runs, subset=subset)
    site = write_site(con, target, chosen, faces=FACES, images=images)
    con.close()
    return site


PAPERS = {presets.load(name).paper_url for name in presets.names()} - {None}


class Addresses(HTMLParser):
    """Everything that a page points to."""

    def __init__(self, page: Path) -> None:
        super().__init__()
        self.found: list[str] = []
        self.feed(page.read_text())

    def handle_starttag(self, tag, attrs):
        self.found += [
            v for k, v in attrs if k in ("href", "src", "xlink:href", "srcset", "action")
        ]


def pages(target: Path) -> list[Path]:
    return sorted(target.rglob("*.html"))


def test_every_address_is_a_file_of_the_folder(exported):
    target, site = exported
    assert len(pages(target)) == site.runs + 1 == 11
    for page in pages(target):
        for address in Addresses(page).found:
            if address in PAPERS:  # a link to follow, nothing that the page loads
                continue
            assert not urlsplit(address).scheme, address
            assert (page.parent / address).resolve().relative_to(target.resolve())
            assert (page.parent / address).is_file(), address


def test_no_page_of_ours_names_a_host(exported):
    target, _ = exported
    own = [f for f in target.glob("assets/*") if f.name not in ("plotly.min.js", "icon.svg")]
    assert len(own) == 4
    for file in own:
        assert not re.search(r"https?:|//[a-z]|@import|fetch\(", file.read_text()), file.name


def test_the_board_holds_the_scores_of_the_store(exported, filled):
    target, _ = exported
    con = open_reader(filled.path)
    expected = reads.leaderboard(con).set_index("evaluation")
    con.close()
    boards = json.loads((target / "data/leaderboard.json").read_text())
    assert [board["id"] for board in boards] == [
        "synthetic/common/gt",
        "synthetic/challenging/gt",
    ]
    rows = [row for board in boards for row in board["runs"]]
    assert {row["evaluation"] for row in rows} == set(expected.index)
    for row in rows:
        for column in scores.COLUMNS:
            assert row[column] == expected.loc[row["evaluation"], column]
    assert (target / "data/leaderboard.csv").read_text().count("\n") == len(rows) + 1


def test_a_spreadsheet_runs_no_name(exported):
    table = (exported[0] / "data/leaderboard.csv").read_text()
    assert "'=HYPERLINK" in table
    assert not re.search(r"(?m)(^|,)\"?=", table)


def test_a_spreadsheet_runs_no_name_of_a_face(tmp_path):
    names = ("=HYPERLINK(1)", "@SUM(1)", "+1+cmd", "-1+cmd", "plain/00004")
    made = evaluation("common", 0.04, 0)
    few = replace(
        made, names=names, ground_truth=made.ground_truth[:5], predictions=made.predictions[:5]
    )
    db = open_store(tmp_path / "drf.db")
    run = start_run(db, HOURGLASS)
    record_evaluation(db, run, few, [])
    db.close()
    con = open_reader(tmp_path / "drf.db")
    chosen = bundle.select(con, runs=[run], subset=None)
    write_site(con, tmp_path / "site", chosen, faces=0, images=False)
    con.close()
    table = pd.read_csv(tmp_path / f"site/data/{run}-errors.csv", index_col="name")
    assert sorted(table.index) == sorted([*(f"'{name}" for name in names[:4]), names[4]])


def test_seeds_of_a_method_are_one_row_with_their_spread(tmp_path):
    runs = store_with_seeds(tmp_path / "drf.db")
    ids = {run: run for of_method in runs.values() for run in of_method}
    export(Shop(tmp_path / "drf.db", ids), tmp_path / "board", images=False)
    boards = json.loads((tmp_path / "board/data/leaderboard.json").read_text())
    for board in boards:
        assert sum(row["seeds"] for row in board["methods"]) == len(board["runs"])
        for row in board["methods"]:
            of = [r["ocular_nme"] for r in board["runs"] if r["method"] == row["method"]]
            assert row["ocular_nme"] == pytest.approx(np.mean(of))
            if len(of) > 1:
                assert row["sd"]["ocular"] == pytest.approx(np.std(of, ddof=1))
            else:
                assert row["sd"]["ocular"] is None
    assert max(row["seeds"] for board in boards for row in board["methods"]) > 1


def test_methods_are_the_rows_of_the_app_where_seeds_were_evaluated_on_different_faces(
    tmp_path,
):
    path = tmp_path / "drf.db"
    runs = store_with_seeds(path)
    db = open_store(path)
    fewer = examples.evaluation(30, 1.0, seed=7, dataset="300w", subset="full")
    record_evaluation(db, runs["forest"][1], fewer, [], checkpoint="best.safetensors")
    db.close()
    ids = {run: run for of_method in runs.values() for run in of_method}
    export(Shop(path, ids), tmp_path / "board", images=False)
    (board,) = json.loads((tmp_path / "board/data/leaderboard.json").read_text())
    current = StoreVersion(str(path), 0)
    where = {key: board[key] for key in reads.BOARD}
    shown = load_rows(current, as_runs=False, **where).to_dict("records")
    of_forest = [row["seeds"] for row in shown if set(row["runs"]) <= set(runs["forest"])]
    assert sorted(map(sorted, of_forest)) == [[0, 2], [1]]
    assert len(board["methods"]) == len(shown) == 4
    for ours, row in zip(board["methods"], shown, strict=True):
        for key in (
            "name",
            "n",
            "manifest_digest",
            "params",
            "macs",
            *scores.COLUMNS,
        ):
            assert ours[key] == row[key], key
        for norm in scores.NORMALISER_KEYS:
            sd = row[f"{norm}_nme_sd"]
            assert ours["sd"][norm] == (None if len(row["seeds"]) == 1 else sd)
        assert ours["seeds"] == len(row["seeds"])
        assert ours["run"] in row["runs"]


def test_a_run_page_holds_scores_config_provenance_curves_and_faces(exported, filled):
    target, _ = exported
    page = (target / f"runs/{filled.ids['wide']}.html").read_text()
    con = open_reader(filled.path)
    for _, row in reads.evaluations(con, filled.ids["wide"]).iterrows():
        for column in scores.COLUMNS:
            assert f"<td>{row[column]:.2f}</td>" in page
    con.close()
    for words in (
        "training.lr",
        "track ten-minutes",
        "3f2a9c1e",
        "drf train hourglass",
        "Validation",
    ):
        assert words in page
    assert "-    return 1" in page  # the uncommitted change
    assert "Throughput during this evaluation" in page
    assert "ms/face, on a machine that is not recorded" in page
    assert (
        page.count('class="plot"') == 2 * 2 * len(scores.NORMALISERS) + 3
    )  # two charts a norm and evaluation; curves
    assert page.count("<svg viewBox") == 2 * FACES
    figures = re.findall(r'<script type="application/json">(.*?)</script>', page, re.DOTALL)
    assert all(json.loads(figure)["data"] for figure in figures)


def test_what_anybody_wrote_is_text(exported):
    for page in pages(exported[0]):
        source = page.read_text()
        assert "<img src=x" not in source
        assert 'href="javascript' not in source


def test_a_face_without_a_picture_is_told(filled, tmp_path):
    store = tmp_path / "copy.db"
    shutil.copy(filled.path, store)
    con = sqlite3.connect(store)
    con.execute("UPDATE faces SET crop = NULL, to_picture = NULL WHERE id % 2")
    con.commit()
    con.close()
    export(Shop(store, filled.ids), tmp_path / "board", keys=["wide"])
    page = (tmp_path / f"board/runs/{filled.ids['wide']}.html").read_text()
    assert 0 < page.count("No picture of this face") == 2 * FACES - page.count("<svg viewBox")


def test_without_images_there_is_no_face(filled, tmp_path):
    export(filled, tmp_path / "board", keys=["wide"], images=False)
    page = (tmp_path / f"board/runs/{filled.ids['wide']}.html").read_text()
    assert "<svg viewBox" not in page
    assert "Worst" not in page
    assert not list((tmp_path / "board").rglob("*.jpg"))


def test_a_subset_leaves_the_other_evaluations_out(filled, tmp_path):
    site = export(filled, tmp_path / "board", keys=["wide", "narrow"], subset="challenging")
    assert site.runs == 2
    (board,) = json.loads((tmp_path / "board/data/leaderboard.json").read_text())
    assert board["id"] == "synthetic/challenging/gt"
    assert (
        "synthetic/common" not in (tmp_path / f"board/runs/{filled.ids['wide']}.html").read_text()
    )


def test_pictures_are_counted_by_dataset(exported):
    target, site = exported
    assert site.pictures == {"synthetic": len(list(target.glob("faces/*.jpg")))}
    assert bundle.restricted({"synthetic": 3, "300w": 2, "wflw": 0}) == {"300w": 2}


def test_an_export_of_ours_is_replaced_and_nothing_is_left_of_it(filled, tmp_path):
    target = tmp_path / "board"
    target.mkdir()  # an empty folder will do
    export(filled, target, keys=["wide", "narrow"])
    export(filled, target, keys=["wide"])
    assert len(pages(target)) == 2
    assert [path.name for path in tmp_path.iterdir()] == ["board"]


@pytest.mark.parametrize("kind", ["file", "foreign", "guest"])
def test_what_is_not_ours_is_not_overwritten(filled, tmp_path, kind):
    target = tmp_path / "board"
    if kind == "file":
        target.write_text("precious")
    elif kind == "foreign":
        target.mkdir()
        (target / "thesis.tex").write_text("precious")
    else:
        export(filled, target, keys=["floor"])
        (target / "CNAME").write_text("bench.example.org")
    before = sorted(path for path in tmp_path.rglob("*"))
    with pytest.raises(UsageError, match="board"):
        export(filled, target, keys=["wide"])
    assert sorted(path for path in tmp_path.rglob("*")) == before


def test_an_export_that_fails_leaves_the_former_one(tmp_path):
    target = tmp_path / "board"
    with folder.replaced(target, {}) as fresh:
        (fresh / "index.html").write_text("former")

    def fail_half_way() -> None:
        with folder.replaced(target, {}) as fresh:
            (fresh / "index.html").write_text("half")
            raise OSError("disk full")

    with pytest.raises(OSError, match="full"):
        fail_half_way()
    assert (target / "index.html").read_text() == "former"
    assert [path.name for path in tmp_path.iterdir()] == ["board"]


points = st.floats(-50, 300).map(lambda value: round(value, 3))


@given(st.lists(st.tuples(points, points), min_size=68, max_size=68), st.sets(st.integers(0, 67)))
def test_paths_lead_through_the_predicted_points(places, unknown):
    truth = np.array(places)
    predicted = truth + 3.0
    predicted[list(unknown)] = np.nan
    if len(unknown) == 68:
        return
    to_picture = np.array([[2.0, 0, 10], [0, 2.0, 20]])
    drawn = face_svg.face_paths(truth, predicted, IBUG68, to_picture, side_px=128)
    starts = re.findall(r"M(\S+) (\S+?)h0", drawn.predicted_points)
    known = [k for k in range(68) if k not in unknown]
    crop = (predicted[known] - [10, 20]) / 2
    assert np.allclose(np.array(starts, float), (crop + 0.5) * 2, atol=0.051)
    assert drawn.errors.count("M") == len(known)
    assert "nan" not in "".join(vars(drawn).values())


@pytest.mark.slow
def test_fifty_runs_on_330_faces_take_at_most_25_mb(tmp_path):
    """Crops of noise, near as large as those of photographs; every run shows its own faces."""
    fill.fill(tmp_path / "drf.db", fill.Size(runs=50, evaluations=1, faces=330))
    con = open_reader(tmp_path / "drf.db")
    chosen = bundle.select(con, runs=(), subset=None)
    site = write_site(con, tmp_path / "board", chosen, faces=6, images=True)
    con.close()
    assert site.runs == 50
    assert site.size_bytes <= 25e6
