"""A score and a normaliser are one entry each: leaderboard, exports and exported site follow.

So do boards whose markup lacks a normaliser: they offer nothing of it.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from db.connection import open_reader, open_store
from db.maintenance import bundle
from drf.landmarks.markup import Markup
from drf.scoring import scores
from tests.webapp.boards import store_with_seeds, store_with_two_markups
from tests.webapp.conftest import board_table, opened, texts
from webapp.leaderboard import columns, export, typeset
from webapp.leaderboard.rows import arrange, load_rows
from webapp.leaderboard.table import DisplayOptions, View, build
from webapp.scores import known_norms, norms, sorts
from webapp.static_site.site import write_site
from webapp.store import StoreVersion

WHERE = {"dataset": "300w", "subset": "full", "landmarks": "all", "box": "gt"}


def height(gt: np.ndarray, markup: Markup) -> np.ndarray:
    return np.ptp(gt[:, :, 1], axis=1)


@contextmanager
def one_entry_more() -> Iterator[None]:
    """drf with one score and one normaliser more: the worst error; the height of the landmarks."""
    worst = scores.Score("worst", "Worst", "lower", "The largest error.", lambda e: float(e.max()))
    tall = scores.Normaliser("face_height", "Height", "Height of the landmarks.", height, False)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(scores, "SCORES", (*scores.SCORES, worst))
        patch.setattr(scores, "NORMALISERS", (*scores.NORMALISERS, tall))
        patch.setattr(scores, "SCORE_KEYS", (*scores.SCORE_KEYS, "worst"))
        patch.setattr(scores, "NORMALISER_KEYS", (*scores.NORMALISER_KEYS, "face_height"))
        made = tuple(f"{n}_{s}" for n in scores.NORMALISER_KEYS for s in scores.SCORE_KEYS)
        patch.setattr(scores, "COLUMNS", made)
        yield


@pytest.fixture(scope="module")
def stored(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("tables") / "drf.db"
    with one_entry_more():
        store_with_seeds(path)
    return path


@pytest.fixture
def path(stored: Path) -> Iterator[Path]:
    """A store that drf with one entry more has written, and that it reads."""
    with one_entry_more():
        yield stored


def expected_worst(path: Path) -> pd.Series:
    """The largest error of every run over the height of its face, percent, by name."""
    con = open_reader(path)
    query = "SELECT r.name, e.id FROM evaluations AS e JOIN runs AS r ON r.id = e.run"
    found = {}
    for name, number in con.execute(query).fetchall():
        rows = con.execute(
            "SELECT points, prediction FROM predictions JOIN faces ON id = face"
            " WHERE evaluation = ?",
            [number],
        ).fetchall()
        truth, predicted = (
            np.stack([np.frombuffer(row[i], "<f4").reshape(-1, 2) for row in rows]).astype(float)
            for i in (0, 1)
        )
        tall = truth[:, :, 1].max(axis=1) - truth[:, :, 1].min(axis=1)
        apart = np.hypot(*np.moveaxis(predicted - truth, -1, 0)).mean(axis=1)
        found[name] = 100 * float((apart / tall).max())
    con.close()
    return pd.Series(found)


@pytest.fixture
def view(path: Path) -> View:
    current = StoreVersion(str(path), 1)
    rows = load_rows(current, as_runs=True, **WHERE)
    rows = arrange(rows, norm="Height", sort="Worst", order="Worst first")
    shown = DisplayOptions(("face_height",), ("NME", "Interval", "Worst"), False)
    return build(current, rows, shown)


def test_they_are_columns_and_orders_of_the_board(view, path):
    assert {"Median", "Worst"} <= {column.name for column in columns.available()}
    assert norms()["Height"] == "face_height"
    assert sorts()["Worst"] == ("worst", True)
    expected = expected_worst(path).sort_values(ascending=False)
    assert list(view.table["name"]) == list(expected.index)
    assert view.table["face_height_worst"].to_numpy() == pytest.approx(expected.to_numpy())
    assert view.rows["face_height_low"].notna().all()
    assert columns.title("face_height_worst", view.norms) == "Worst ↓"
    assert "The largest error." in columns.meaning("face_height_worst")


def test_they_are_in_every_export(view, path):
    expected = expected_worst(path).sort_values(ascending=False)
    rows = json.loads(export.as_json(view, {}, {}))["rows"]
    assert [row["name"] for row in rows] == list(expected.index)
    for row in rows:
        assert row["face_height_worst_percent"] == pytest.approx(expected[row["name"]])
        assert row["face_height_nme_low_percent"] < row["face_height_nme_percent"]
    lines = list(csv.DictReader(io.StringIO(export.as_csv(view).decode())))
    for line in lines:
        assert float(line["face_height_worst_percent"]) == pytest.approx(expected[line["name"]])
    for text in (
        typeset.as_markdown(view, "c").decode(),
        typeset.as_latex(view, "c", "l").decode(),
    ):
        assert "Worst" in text
        assert all(f"{value:.2f}" in text for value in expected)


def test_the_page_offers_and_sorts_by_them(path, monkeypatch):
    monkeypatch.setenv("DRF_DB", str(path))
    app = opened(norm="Height", lb_sort="Worst", lb_rows="Runs", lb_cols=["Worst", "Median"])
    assert not app.exception
    assert not app.warning
    table = board_table(app)
    assert list(table) == ["rank", "name", "face_height_median", "face_height_worst"]
    assert list(table["name"]) == list(expected_worst(path).sort_values().index)
    everything = board_table(opened(lb_both="true"))
    assert {f"{key}_nme" for key in scores.NORMALISER_KEYS} <= set(everything)
    about = texts(opened("views/about.py"))
    assert "The largest error." in about
    assert "Height of the landmarks." in about


def exported(path: Path, target: Path) -> Path:
    con = open_reader(path)
    write_site(con, target, bundle.select(con, runs=(), subset=None), faces=1, images=True)
    con.close()
    return target


def test_they_are_in_the_exported_site(path, tmp_path):
    site = exported(path, tmp_path / "site")
    expected = expected_worst(path)
    (board,) = json.loads((site / "data/leaderboard.json").read_text())
    assert board["norms"] == list(scores.NORMALISER_KEYS)
    for row in board["runs"]:
        assert row["face_height_worst"] == pytest.approx(expected[row["name"]])
        page = (site / row["page"]).read_text()
        assert f"<td>{row['face_height_worst']:.2f}</td>" in page
        assert '<option value="face_height">Height</option>' in page
    assert "face_height_worst" in (site / "data/leaderboard.csv").read_text().split("\n")[0]
    index = (site / "index.html").read_text()
    tables = json.loads(re.search(r'id="tables">(.*?)</script>', index)[1])
    assert {"key": "worst", "title": "Worst ↓", "low": True} in tables["scores"]
    assert {"key": "face_height", "title": "Height"} in tables["norms"]
    assert "The largest error." in index
    errors = (site / f"data/{board['runs'][0]['run']}-errors.csv").read_text()
    assert "face_height 300w/full/gt" in errors


@pytest.fixture
def two_markups(tmp_path: Path) -> Path:
    store_with_two_markups(tmp_path / "two.db")
    return tmp_path / "two.db"


def test_a_board_offers_the_normalisers_of_its_markup_alone(two_markups, monkeypatch):
    monkeypatch.setenv("DRF_DB", str(two_markups))
    app = opened(lb_dataset="five", lb_both="true", lb_vary="false", lb_rows="Runs")
    assert not app.exception
    assert app.segmented_control(key="norm").options == ["Pupil", "Box"]
    table = board_table(app)
    assert not [key for key in table if key.startswith("ocular")]
    assert list(table["rank"]) == [1]
    assert table[["pupil_interval", "box_interval"]].notna().all(axis=None)
    asked = opened(lb_dataset="five", norm="Ocular")
    assert "which does not exist here" in asked.warning[0].value
    app.selectbox(key="lb_dataset").select("usual").run()
    assert not app.exception
    assert app.segmented_control(key="norm").options == ["Ocular", "Pupil", "Box"]
    assert "ocular_nme" in board_table(app)


def test_the_exported_site_shows_the_normalisers_of_each_markup_alone(two_markups, tmp_path):
    site = exported(two_markups, tmp_path / "site")
    boards = {b["dataset"]: b for b in json.loads((site / "data/leaderboard.json").read_text())}
    assert boards["usual"]["norms"] == ["ocular", "pupil", "box"]
    assert boards["five"]["norms"] == ["pupil", "box"]
    (row,) = boards["five"]["runs"]
    assert not [key for key in row if key.startswith("ocular")]
    page = (site / row["page"]).read_text()
    assert 'value="ocular"' not in page
    assert "by pupil error" in page
    assert page.count("<svg viewBox") == 2
    errors = (site / f"data/{row['run']}-errors.csv").read_text()
    assert "ocular" not in errors


def test_rows_without_any_score_have_all_normalisers():
    rows = pd.DataFrame({column: [np.nan] for column in scores.COLUMNS})
    assert known_norms(rows) == norms()


def test_a_link_names_a_method_by_its_id_in_an_earlier_version(tmp_path, monkeypatch):
    path = tmp_path / "seeds.db"
    made = store_with_seeds(path)
    db = open_store(path)
    db.table("old_method_ids").insert_all(
        {"method": "0ld0ld0ld0ld", "run": run} for run in made["wide"]
    )
    db.close()
    monkeypatch.setenv("DRF_DB", str(path))
    app = opened(lb_base="0ld0ld0l", lb_open="0ld0ld0ld0ld")
    assert not app.warning
    table = board_table(app)
    assert table["name"].iloc[1] == "wide"
    assert sorted(table["name"].iloc[2:4]) == ["↳ wide-s0", "↳ wide-s1"]
    assert pd.isna(table["ocular_difference"].iloc[1])
    assert table["ocular_difference"].iloc[[0, 4]].notna().all()
