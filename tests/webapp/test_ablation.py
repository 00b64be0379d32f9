"""Which runs are compared, what is left out and why, and the figures of what is compared."""

from __future__ import annotations

import contextlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from db import reads
from db.analysis import ablation, factors, paired
from db.analysis.configs import settings as settings_of
from db.connection import open_reader
from drf.scoring import statistics
from drf.text import json_as_written
from tests.db.examples import copied
from tests.webapp import ablation_examples
from tests.webapp.ablation_examples import DEPTHS, TREES
from tests.webapp.examples import HOSTILE
from webapp.ablation import figures
from webapp.ablation import results as shown_results
from webapp.ui import theme

KEYS = ["model.trees", "model.depth"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    path = tmp_path_factory.mktemp("ablation") / "drf.db"
    return path, copied(ablation_examples.fill, path)


@pytest.fixture(scope="module")
def compared(filled: tuple[Path, dict[str, str]]) -> factors.Settings:
    with contextlib.closing(open_reader(filled[0])) as reader:
        rows = reads.leaderboard(reader)
        return factors.compare(rows, settings_of(reader, list(rows["run"])))


def base_of(compared, ids, key="2-5-1"):
    (number,) = compared.runs.loc[compared.runs["run"] == ids[key], "setting"]
    return int(number)


def results(filled, compared, keys):
    base = base_of(compared, filled[1])
    rows = ablation.compared(compared, base, keys)
    with contextlib.closing(open_reader(filled[0])) as reader:
        errors = paired.errors(reader, list(rows["evaluation"]))["ocular"]
    return ablation.results(compared, base, keys, errors), rows, errors


def test_runs_that_differ_only_in_their_seed_are_one_setting(filled, compared):
    runs = compared.runs[compared.runs["setting"] == base_of(compared, filled[1])]
    assert set(runs["run"]) == {filled[1][key] for key in ("2-5-0", "again", "2-5-1")}
    assert sorted(runs["seed"]) == [0, 0, 1]
    assert "training.seed" not in compared.table


def test_the_baseline_without_a_choice_has_most_neighbours(filled, compared):
    assert factors.natural_baseline(compared) == base_of(compared, filled[1])


def test_factors_are_keys_that_alone_make_another_setting(filled, compared):
    base = base_of(compared, filled[1])
    # training.lr varies on the board, but never alone; family and faces are no keys.
    assert factors.factors(compared, base) == ["model.trees", "model.depth", "model.label_kind"]
    odd = base_of(compared, filled[1], "other family")
    assert factors.factors(compared, odd) == []


def test_a_second_factor_may_need_the_first(filled, compared):
    base = base_of(compared, filled[1])
    assert "training.lr" in factors.factors(compared, base, given="model.label_kind")
    assert "training.lr" not in factors.factors(compared, base, given="model.trees")
    assert "model.label_kind" not in factors.factors(compared, base, given="model.label_kind")


def test_only_the_factors_vary_among_what_is_compared(filled, compared):
    base = base_of(compared, filled[1])
    numbers = factors.chosen(compared, base, KEYS)
    pairs = {tuple(map(int, row)) for row in compared.table.loc[numbers, KEYS].to_numpy()}
    assert pairs == {(t, d) for t in TREES for d in DEPTHS} - {(4, 3)}
    assert base in numbers


def test_every_run_of_the_board_is_compared_or_left_out_with_what_differs(filled, compared):
    base = base_of(compared, filled[1])
    out = factors.left_out(compared, base, KEYS).set_index("run")["why"]
    used = set(compared.runs_of(factors.chosen(compared, base, KEYS))["run"])
    assert used | set(out.index) == set(filled[1].values())
    assert not used & set(out.index)
    why = {name: out[run] for name, run in filled[1].items() if run in out}
    assert why == {
        "leaf": f"model.label_kind: xy → {HOSTILE[0]}",
        "two changes": "model.label_kind: xy → map; training.lr: 0.001 → 0.003",
        "interrupted": "interrupted",
        "other faces": "evaluated faces: syntheti → others",
        "other family": "family: heatmap-forest → hourglass",
    }


def test_a_long_list_of_differences_is_cut_and_counted():
    rows = pd.DataFrame(
        {"run": ["a", "b"], "evaluation": [1, 2], "condition": "finished", "seed": 0, "name": "x"}
    ).assign(manifest_digest="d", flip_test=True)
    table = pd.DataFrame({f"k{i}": ["1", "2"] for i in range(9)}, index=["a", "b"], dtype=object)
    compared = factors.compare(rows, table)
    (why,) = factors.left_out(compared, 0, [])["why"]
    assert why.count("→") == 6
    assert why.endswith("; and 3 more")


def test_a_collapsed_run_is_a_result_and_a_crashed_one_is_not():
    rows = pd.DataFrame(
        {
            "run": ["a", "b", "c"],
            "evaluation": [1, 2, 3],
            "condition": ["finished", "collapsed", "crashed"],
            "seed": 0,
            "name": "x",
            "manifest_digest": "d",
            "flip_test": True,
        }
    )
    table = pd.DataFrame({"k": ["1", "2", "3"]}, index=["a", "b", "c"], dtype=object)
    compared = factors.compare(rows, table)
    assert set(compared.runs["run"]) == {"a", "b"}
    assert list(factors.left_out(compared, 0, ["k"])["why"]) == ["crashed"]


def test_values_come_in_their_order():
    values = ["10", "2", '"xy"', None, "2.5", '"map"', "true"]
    assert factors.in_order(values) == ["2", "2.5", "10", '"map"', '"xy"', "true", None]
    assert [json_as_written(v) for v in ('"xy"', "0.5", "true", None)] == ["xy", "0.5", "true", "–"]


def test_differences_are_those_of_the_paired_errors(filled, compared):
    frame, rows, errors = results(filled, compared, ["model.trees"])
    assert [json_as_written(value) for value in frame["value_0"]] == ["1", "2", "4"]
    percent = {}
    for number in frame["setting"]:
        of = (rows["setting"] == number).to_numpy()
        method = statistics.Method.of_runs(100 * errors[of], rows["seed"][of].tolist())
        percent[number] = method.errors
        assert method.seeds == (0, 1)
    base = percent[base_of(compared, filled[1])]
    others = [percent[n] for n in frame["setting"][frame["verdict"] != "baseline"]]
    methods = [statistics.Method(errors, (0, 1)) for errors in (*others, base)]
    expected = statistics.differences(methods[:-1], methods[-1])
    found = frame[frame["verdict"] != "baseline"]
    for (_, row), interval in zip(found.iterrows(), expected, strict=True):
        assert (row["difference"], row["low"], row["high"]) == pytest.approx(
            (interval.estimate, interval.low, interval.high)
        )
        assert row["nme"] - base.mean() == pytest.approx(interval.estimate)
    assert set(found["over"]) == {ablation.over(frame)} == {"faces and seeds"}
    assert list(found["improved"]) == pytest.approx(
        [(o.mean(axis=0) < base.mean(axis=0)).mean() for o in others]
    )


def test_cost_stands_beside_the_score(filled, compared):
    frame, *_ = results(filled, compared, KEYS)
    row = frame[(frame["value_0"] == "4") & (frame["value_1"] == "5")].iloc[0]
    assert row["params_m"] == pytest.approx(0.52)
    assert row["macs_g"] == pytest.approx(0.022)
    assert row["wall_min"] == pytest.approx(94 / 60)
    assert "ms_per_face" not in frame
    assert row["seeds"] == 2


def test_the_pivot_has_a_cell_for_each_pair_and_leaves_the_missing_one_empty(filled, compared):
    frame, *_ = results(filled, compared, KEYS)
    chart = figures.heat(frame, KEYS, "Ocular", differences=False)
    (cells,) = chart.figure.data
    z = np.array(cells.z, dtype=float)
    assert z.shape == (3, 2)
    assert np.isnan(z[2, 0])  # 4 trees, depth 3
    for row in frame.to_dict("records"):
        place = ["1", "2", "4"].index(row["value_0"]), ["3", "5"].index(row["value_1"])
        assert z[place] == pytest.approx(row["nme"])
    differences = figures.heat(frame, KEYS, "Ocular", differences=True)
    assert differences.figure.data[0].zmid == 0
    told = {(note.x, note.y): note.text for note in differences.figure.layout.annotations}
    assert told[1, 1] == "baseline"


@given(st.tuples(*[st.floats(0, 1)] * 3))
def test_a_text_reads_on_every_colour(surface):
    def luminance(colour):
        linear = [v / 12.92 if v <= 0.04045 else ((v + 0.055) / 1.055) ** 2.4 for v in colour]
        return sum(w * v for w, v in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    ink = {"#000000": 0.0, "#FFFFFF": 1.0}[theme.ink(surface)]
    light, dark = sorted((ink, luminance(surface)), reverse=True)
    assert (light + 0.05) / (dark + 0.05) >= 4.5


def test_hostile_values_are_text_in_charts(filled, compared):
    frame, *_ = results(filled, compared, ["model.label_kind"])
    charts = [
        figures.nme(frame, ["model.label_kind"], "Ocular"),
        figures.difference(frame, ["model.label_kind"], "Ocular"),
    ]
    for chart in charts:
        assert "<img" not in chart.figure.to_json().encode().decode("unicode_escape")
        assert chart.alt.endswith(".")
    (unsound,) = frame.loc[frame["unsound"] != ""].to_dict("records")
    assert unsound["verdict"] == "↯ collapsed"
    assert np.isnan(unsound["low"])
    assert (
        shown_results.table(frame, ["model.label_kind"])["model.label_kind"]
        .str.startswith("↯")
        .sum()
        == 1
    )


def test_a_spreadsheet_runs_no_value_of_a_key(filled, compared):
    frame, *_ = results(filled, compared, KEYS)
    frame = frame.assign(value_0='"=HYPERLINK(1)"', value_1="-0.5")
    lines = shown_results.csv(frame, ["=model", "model.depth"], "ocular").decode().splitlines()
    assert lines[0].startswith("'=model,model.depth,")
    assert all(line.split(",")[0].strip('"').startswith("'=HYPERLINK") for line in lines[1:])
    assert all(line.split(",")[1] == "-0.5" for line in lines[1:])  # a number stays one


def test_the_csv_has_every_row_with_its_runs(filled, compared):
    frame, *_ = results(filled, compared, KEYS)
    lines = shown_results.csv(frame, KEYS, "ocular").decode().splitlines()
    assert len(lines) == 1 + 5
    assert lines[0].startswith("model.trees,model.depth,ocular_nme_percent,ocular_nme_sd_percent")
    assert "difference,difference_low,difference_high,difference_over" in lines[0]
    assert filled[1]["4-5-1"][:8] in lines[-1]
