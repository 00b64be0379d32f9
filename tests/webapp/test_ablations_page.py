"""The ablations page, through Streamlit's own test driver."""

from __future__ import annotations

from pathlib import Path
from urllib.parse import parse_qsl, urlsplit

import pandas as pd
import pytest

from db.connection import open_store
from db.recording import sweeps
from tests.db.examples import copied
from tests.webapp import ablation_examples, boards
from tests.webapp.conftest import opened, texts
from tests.webapp.examples import HOSTILE
from webapp.links import url_keys

PAGE = "views/ablations.py"


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("ablations") / "drf.db"
    return path, copied(ablation_examples.fill, path)


@pytest.fixture
def ids(filled, monkeypatch):
    monkeypatch.setenv("DRF_DB", str(filled[0]))
    return filled[1]


def chart_alts(app):
    return [chart.proto.alt for chart in app.get("plotly_chart")]


def test_the_page_opens_on_the_largest_ablation(ids):
    app = opened(PAGE)
    assert not app.exception
    assert not app.warning
    results, left_out = (frame.value for frame in app.dataframe)
    assert list(results["model.trees"]) == ["1", "2", "4"]
    assert list(results["verdict"]) == ["↑ worse", "baseline", "≈ not significant"]
    assert {"params_m", "macs_g", "wall_min"} <= set(results)
    assert len(left_out) == 9
    assert "3 settings, 7 runs, 30 faces" in texts(app)
    assert "95 % intervals are over faces and seeds" in texts(app)
    assert len(chart_alts(app)) == 2


def test_two_factors_make_a_pivot_of_scores_or_differences(ids):
    app = opened(PAGE, abl_factor="model.depth", abl_by="model.trees")
    assert len(app.dataframe[0].value) == 5
    assert chart_alts(app)[0].startswith("Ocular NME, %: model.depth 3, model.trees 1: 5.")
    app = opened(PAGE, abl_by="model.depth", abl_cell="Difference", norm="Pupil")
    assert chart_alts(app)[0].startswith("Difference to the baseline, %: ")


def test_another_baseline_has_other_factors_and_differences(ids):
    app = opened(PAGE, abl_base=ids["1-3-1"][:8])
    assert app.selectbox(key="abl_choice").value == ids["1-3-0"]
    assert app.selectbox(key="abl_factor").options == ["model.depth", "model.trees"]
    results = app.dataframe[0].value
    assert dict(results[["model.depth", "verdict"]].to_numpy())["3"] == "baseline"


def test_a_factor_that_was_the_second_one_leaves_none_in_one_entry_of_the_history(ids, sent):
    app = opened(PAGE, abl_factor="model.trees", abl_by="model.depth")
    assert not app.warning
    app.selectbox(key="abl_factor").select("model.depth").run()
    assert not app.warning
    assert sent == ["abl_factor=model.depth"]


def test_a_baseline_that_nothing_differs_from_in_one_key_lists_what_differs(ids):
    app = opened(PAGE, abl_base=ids["other family"][:8])
    assert "No other run on this board differs from the baseline in one key" in texts(app)
    assert len(app.dataframe[0].value) == len(ids) - 1


def test_that_a_setting_has_one_seed_is_said(ids):
    app = opened(PAGE, abl_base=ids["leaf"][:8])
    assert app.selectbox(key="abl_factor").value == "model.label_kind"
    assert "are over faces (and seeds if several)" in texts(app)  # the other value has two


def test_the_link_reopens_the_view_row_for_row(ids):
    app = opened(PAGE, abl_base=ids["1-3-1"][:8], norm="Pupil", abl_by="model.trees")
    app.context = {"url": "https://bench.example.org/drf/ablations"}
    app.run()
    (link,) = (code.value for code in app.code if code.value.startswith("https://bench"))
    parts = urlsplit(link)
    query = dict(parse_qsl(parts.query))
    assert parts.path == "/drf/ablations"
    assert query.keys() == {key.name for key in url_keys.of_page(url_keys.ABLATIONS)}
    assert len(link) < 300
    again = opened(PAGE, **query)
    assert not again.warning
    for mine, theirs in zip(again.dataframe, app.dataframe, strict=True):
        pd.testing.assert_frame_equal(mine.value, theirs.value)
    assert chart_alts(again) == chart_alts(app)


def test_every_control_is_named_in_the_one_table(ids):
    app = opened(PAGE, abl_by="model.depth")
    kinds = ("selectbox", "segmented_control")
    shown = {element.key for kind in kinds for element in app.get(kind)}
    # The chooser of the baseline is not bound: it writes the short ?abl_base= itself.
    assert shown - {"abl_choice"} <= {key.name for key in url_keys.of_page(url_keys.ABLATIONS)}


@pytest.mark.parametrize("key", ["abl_eval", "abl_base", "abl_factor", "abl_by", "abl_cell"])
def test_an_unknown_value_opens_the_default_with_a_notice_as_text(ids, key):
    known = {} if key == "abl_by" else {"abl_by": "model.depth"}
    app = opened(PAGE, **known, **{key: f"{HOSTILE[1]}!"})  # without the end it is a run's name
    assert not app.exception
    assert len(app.warning) == 1
    assert "owned" in app.warning[0].value
    assert HOSTILE[1] not in app.warning[0].value
    assert app.dataframe


def test_hostile_names_and_values_are_text(ids):
    app = opened(PAGE, abl_factor="model.label_kind")
    assert not app.exception
    for name in HOSTILE:
        assert name not in texts(app)
    assert f"↯ {HOSTILE[0]} (collapsed)" in list(app.dataframe[0].value["model.label_kind"])
    spec = "".join(chart.proto.spec for chart in app.get("plotly_chart"))
    assert "&lt;img" in spec
    assert "<img" not in spec
    assert "\\u003cimg" not in spec


def test_a_board_of_unfinished_runs_says_so(tmp_path, monkeypatch):
    store = open_store(tmp_path / "drf.db")
    ablation_examples.add(store, {}, seed=0, error=0.05, state="interrupted")
    store.close()
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    app = opened(PAGE)
    assert not app.exception
    assert "No run on this board ran to its end" in texts(app)


def test_a_store_without_evaluations_says_how_to_get_one(tmp_path, monkeypatch):
    open_store(tmp_path / "drf.db").close()
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    app = opened(PAGE)
    assert not app.exception
    assert "drf eval RUN" in [code.value for code in app.code]


def test_looking_changes_nothing(filled, ids):
    before = filled[0].read_bytes()
    opened(PAGE, abl_by="model.depth")
    assert filled[0].read_bytes() == before


def test_a_link_opens_the_page_on_the_runs_of_a_sweep(tmp_path, monkeypatch):
    path = tmp_path / "drf.db"
    ids = copied(ablation_examples.fill, path)
    monkeypatch.setenv("DRF_DB", str(path))
    mine = [ids[f"{trees}-5-{seed}"] for trees in (1, 2) for seed in (0, 1)]
    jobs = [sweeps.NewJob(run, "forest", seed % 2, {}) for seed, run in enumerate(mine)]
    store = open_store(path)
    sweeps.record_sweep(store, "mine", "common", jobs)
    store.close()
    app = opened(PAGE, sweep="mine")
    assert not app.exception
    assert "2 settings, 4 runs, 30 faces" in texts(app)
    assert "3 settings, 7 runs" in texts(opened(PAGE))


def test_a_baseline_may_be_named_as_the_leaderboard_names_its_method(tmp_path, monkeypatch):
    made = boards.store_with_seeds(tmp_path / "drf.db", faces=8)
    monkeypatch.setenv("DRF_DB", str(tmp_path / "drf.db"))
    for name in ("Wide", "WIDE-s1"):
        app = opened(PAGE, abl_base=name)
        assert not app.warning
        assert app.selectbox(key="abl_choice").value in made["wide"]
