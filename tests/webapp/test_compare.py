"""The page that compares runs: paired numbers, charts together, differing settings, links."""

import json
from urllib.parse import parse_qsl, urlsplit

import numpy as np
import pandas as pd
import pytest

from drf.landmarks.markup import IBUG68
from drf.scoring import scores, statistics
from tests.webapp import examples
from tests.webapp.conftest import opened, texts
from tests.webapp.examples import HOSTILE
from webapp.compare import figures, tables
from webapp.links import url_keys

EVALUATION = {"cmp_eval": "synthetic/common/gt"}
MADE = {"wide": (0.034, 1), "narrow": (0.041, 0), "floor": (0.16, 3)}


def compare(shop, *keys, **query):
    runs = ",".join(shop.ids[key][:8] for key in keys)
    return opened("views/compare.py", **(EVALUATION | query), cmp_runs=runs)


def errors_of(*keys, norm="ocular"):
    return np.stack([examples.evaluation("common", *MADE[key]).errors(norm) for key in keys])


def specs(app):
    return [json.loads(chart.proto.spec) for chart in app.get("plotly_chart")]


def titled(app, axis):
    """The one figure whose x axis is called so."""
    (found,) = (
        figure
        for figure in specs(app)
        if axis in figure["layout"]["xaxis"].get("title", {}).get("text", "")
    )
    return found


def signed(value):
    return f"{value:+.2f}".replace("-", "−")


@pytest.mark.parametrize("norm", ["Ocular", "Pupil"])
def test_scores_with_paired_intervals_and_the_share_of_faces_improved(shop, norm):
    app = compare(shop, "wide", "floor", "narrow", norm=norm)
    assert not app.exception
    table = app.dataframe[0].value
    assert list(table.columns) == ["hourglass-wide", "mean-shape", "hourglass"]
    first, floor, narrow = errors_of("wide", "floor", "narrow", norm=norm.lower())
    assert table.loc["NME ↓", "hourglass-wide"] == f"{100 * scores.nme(first):.2f}"
    (gap,) = statistics.mean_intervals((floor - first)[None])
    said = f"{100 * scores.nme(floor):.2f}  ({signed(100 * gap.estimate)}  "
    said += f"[{signed(100 * gap.low)}, {signed(100 * gap.high)}]) ✗"
    assert table.loc["NME ↓", "mean-shape"] == said
    share = statistics.share_improved(narrow, first)
    assert table.loc["Faces improved", "hourglass"] == f"{100 * share:.1f} %"
    assert table.loc["Faces improved", "hourglass-wide"] == "baseline"


def test_every_score_has_the_interval_of_its_own_images():
    errors = errors_of("wide", "floor")
    first, floor = tables.compare(errors)
    assert first.differences is None
    for t in scores.THRESHOLDS:
        key = f"{100 * t:.0f}"
        (failures,) = statistics.mean_intervals(1.0 * (errors[1:] > t) - (errors[:1] > t))
        assert floor.differences[f"fr{key}"].low == pytest.approx(failures.low)
        assert floor.scores[f"fr{key}"] == pytest.approx(scores.failure_rate(errors[1], t))
        assert floor.scores[f"auc{key}"] == pytest.approx(scores.auc(errors[1], t))
        gain = floor.differences[f"auc{key}"]
        assert gain.estimate == pytest.approx(scores.auc(errors[1], t) - scores.auc(errors[0], t))
        assert gain.low < gain.estimate < gain.high


def test_better_is_lower_for_errors_and_higher_for_areas():
    nme, auc = scores.score("nme"), scores.score("auc8")
    down, up = (statistics.Interval(s * 0.02, s * 0.02 - 0.01, s * 0.02 + 0.01) for s in (-1, 1))
    assert [tables.verdict(nme, gap) for gap in (down, up)] == ["✓", "✗"]
    assert [tables.verdict(auc, gap) for gap in (down, up)] == ["✗", "✓"]
    assert tables.verdict(nme, statistics.Interval(0.01, -0.01, 0.03)) == ""


def test_ced_and_curves_show_all_runs_together(shop):
    app = compare(shop, "wide", "narrow", "forest")
    gaps, _, regions, *landmarks, ced, curves, faces, cost = specs(app)
    assert len(landmarks) == 2
    assert [trace["name"] for trace in cost["data"]][2:] == [
        "hourglass-wide",
        "hourglass",
        "heatmap-forest",
    ]
    names = ["hourglass-wide", "hourglass", "heatmap-forest"]
    assert [trace["name"] for trace in ced["data"]] == names
    assert all(trace["line"]["shape"] == "hv" for trace in ced["data"])
    assert len({trace["line"]["color"] for trace in ced["data"]}) == 3
    assert len({trace["line"]["dash"] for trace in ced["data"]}) == 3
    assert [trace["name"] for trace in curves["data"]] == names
    assert len(faces["data"]) == 2
    assert len(gaps["data"]) == 2
    assert [trace["name"] for trace in regions["data"]] == names
    assert set(regions["data"][0]["y"]) == {"jaw", "brows", "nose", "eyes", "mouth"}
    assert all(chart.proto.alt for chart in app.get("plotly_chart"))


def test_another_curve_can_be_chosen_and_is_in_the_link(shop):
    curves = titled(compare(shop, "wide", "forest", cmp_curve="leaf_distance_px"), "epoch")
    assert [trace["name"] for trace in curves["data"]] == ["heatmap-forest"]
    told = compare(shop, "wide", "forest", cmp_curve="nothing")
    assert "nothing" in told.warning[0].value


def test_validation_is_what_the_page_measures_and_comes_first():
    names = ["lr", "val_nme_pupil", "loss", "val_nme_ocular"]
    frames = [pd.DataFrame({"metric": names}), pd.DataFrame({"metric": ["lr", "loss", "gate"]})]
    for norm in ("ocular", "pupil"):
        offered = tables.curves_on_offer(frames, norm)
        assert list(offered)[:3] == ["Validation NME", "Training loss", "lr"]
        assert offered["Validation NME"] == f"val_nme_{norm}"
        assert offered["gate"] == "gate"
    assert list(tables.curves_on_offer([frames[1]], "ocular")) == ["Training loss", "gate", "lr"]
    older = tables.curves_on_offer([pd.DataFrame({"metric": ["val_nme"]})], "ocular")
    assert older["Validation NME"] == "val_nme"
    assert not tables.curves_on_offer([pd.DataFrame({"metric": []})], "ocular")


def test_each_face_is_a_point_on_the_side_of_the_better_run(shop):
    faces = titled(compare(shop, "wide", "narrow"), "error of hourglass-wide")
    wide, narrow = errors_of("wide", "narrow")
    left, right = (set(trace["customdata"]) for trace in faces["data"])
    names = np.array(examples.evaluation("common", *MADE["wide"]).names)
    assert left == set(names[narrow >= wide])
    assert right == set(names[narrow < wide])
    assert f"hourglass better: {(narrow < wide).sum()} faces" == faces["data"][1]["name"]


def test_the_axes_of_the_scatter_are_chosen_among_the_runs(shop):
    floor, wide = shop.ids["floor"][:8], shop.ids["wide"][:8]
    app = compare(shop, "wide", "narrow", "floor", cmp_x=floor, cmp_y=wide)
    faces = titled(app, "error of mean-shape")
    assert "hourglass-wide" in faces["layout"]["yaxis"]["title"]["text"]
    told = compare(shop, "wide", "narrow", cmp_x=floor)
    assert floor in told.warning[0].value


def test_settings_that_differ_then_all_of_them(shop):
    app = compare(shop, "wide", "floor")
    differing, alone = (frame.value for frame in app.dataframe[2:])
    assert differing.loc["precision"].tolist() == ["bf16", "fp32"]
    assert "device" not in differing.index
    assert set(alone.index) == set(examples.HOURGLASS.config)  # the mean shape has no keys
    app.toggle(key="cmp_all").set_value(True).run()
    everything = pd.concat([frame.value for frame in app.dataframe[2:]])
    assert {"device", *examples.HOURGLASS.config} <= set(everything.index)
    n = len(differing) + len(alone)
    assert f"{n} of {len(everything)} configuration keys differ" in texts(app)


def test_settings_are_shown_as_they_were_written():
    settings = pd.DataFrame(
        {"a": ['"joint"', None], "b": ["4", "4"], "c": ["[1, 2]", "null"]}, dtype=object
    )
    shown, _ = tables.settings_tables(settings, ["one", "two"], everything=True)
    assert shown.loc["a"].tolist() == ["joint", "–"]
    assert shown.loc["b"].tolist() == ["4", "4"]
    assert shown.loc["c"].tolist() == ["[1, 2]", "null"]
    differing, _ = tables.settings_tables(settings, ["one", "two"], everything=False)
    assert list(differing.index) == ["a", "c"]


def test_keys_of_some_families_alone_are_folded_away():
    settings = pd.DataFrame(
        {
            "family": ['"forest"', '"forest"', '"hourglass"'],
            "lr": ["1", "2", "1"],
            "trees": ["4", "5", None],
            "stacks": [None, None, "2"],
            "new": ["1", None, None],  # of one run of a family: its drf had it, the other's not
            "same": ["1", "1", "1"],
        },
        dtype=object,
    )
    shared, alone = tables.settings_tables(settings, ["a", "b", "c"], everything=False)
    assert list(shared.index) == ["family", "lr", "new"]
    assert list(alone.index) == ["trees", "stacks"]


def test_the_verdict_stands_in_a_line_before_any_table(shop):
    said = texts(compare(shop, "wide", "floor"))
    first, floor = errors_of("wide", "floor")
    (gap,) = statistics.mean_intervals((floor - first)[None])
    nme, *ends = (f"{100 * v:.2f}" for v in (floor.mean(), gap.estimate, gap.low, gap.high))
    line = f"mean-shape {nme} %: +{ends[0]} [+{ends[1]}, +{ends[2]}], ✗ worse"
    assert line in said.replace("\\", "").replace("\u2060", "")


def test_a_difference_at_a_landmark_is_hollow_unless_it_is_significant(shop):
    app = compare(shop, "wide", "floor", "narrow")
    scales = [
        trace["marker"]
        for figure in specs(app)
        for trace in figure["data"]
        if trace.get("marker", {}).get("cmin") is not None
    ]
    assert len({(scale["cmin"], scale["cmax"]) for scale in scales}) == 1
    assert scales[0]["cmin"] == -scales[0]["cmax"]
    made = [examples.evaluation("common", *MADE[key]) for key in ("floor", "wide")]
    floor, wide = (
        scores.point_errors(one.predictions, one.ground_truth, "ocular", IBUG68) for one in made
    )
    from scipy import stats

    p_values = statistics.holm(stats.ttest_rel(floor, wide).pvalue)
    hollow = [symbol == "circle-open" for symbol in scales[0]["symbol"]]
    assert hollow == (p_values >= 0.05).tolist()
    assert scales[0]["color"]


def test_the_front_of_cost_and_error_is_of_the_ranked_runs_of_the_board(shop):
    figure = titled(compare(shop, "wide", "narrow", cmp_cost="Parameters"), "Parameters (log)")
    assert figure["data"][0]["name"] == "Pareto front"
    assert figure["layout"]["xaxis"]["type"] == "log"


def test_without_any_run_two_are_asked_for(shop):
    app = compare(shop)
    assert not app.exception
    assert "Choose 2 to 6 runs" in texts(app)


def test_a_link_with_one_run_compares_it_with_the_best_other_one(shop):
    app = compare(shop, "narrow")
    assert not app.exception
    assert list(app.dataframe[0].value.columns) == ["hourglass", "hourglass-wide"]


def test_more_than_six_runs_are_cut_to_six(shop):
    keys = ("wide", "narrow", "floor", "image", "script", "formula", "forest")
    app = compare(shop, *keys)
    assert not app.exception
    assert len(app.dataframe[0].value.columns) == 6
    assert "at most 6" in app.warning[0].value


def test_the_link_of_a_comparison_reopens_it_and_is_short(shop):
    keys = ("wide", "narrow", "floor", "image", "script", "forest")
    app = compare(shop, *keys, norm="Pupil", cmp_all="true", cmp_curve="loss")
    app.context = {"url": "https://bench.example.org/drf/compare"}
    app.run()
    (link,) = (code.value for code in app.code if code.value.startswith("https://bench"))
    assert len(link) < 2000
    query = dict(parse_qsl(urlsplit(link).query))
    assert query.keys() | {"card"} == {key.name for key in url_keys.of_page(url_keys.COMPARE)}
    again = opened("views/compare.py", **query)
    for one, other in zip(again.dataframe, app.dataframe, strict=True):
        pd.testing.assert_frame_equal(one.value, other.value)
    assert [c.proto.spec for c in again.get("plotly_chart")] == [
        c.proto.spec for c in app.get("plotly_chart")
    ]


def test_hostile_names_of_runs_are_text(shop):
    app = compare(shop, "image", "script", "formula")
    assert not app.exception
    for name in HOSTILE:
        assert name not in texts(app)
    for figure in specs(app):
        shown = json.dumps([figure["layout"], [trace.get("name") for trace in figure["data"]]])
        assert "<img" not in shown


def test_runs_of_one_name_are_told_apart(shop):
    app = compare(shop, "wide", "narrow")
    assert app.multiselect[0].value == [shop.ids["wide"], shop.ids["narrow"]]
    frames = pd.DataFrame(
        {
            "name": ["a", "a", "b"],
            "evaluation": [1, 2, 3],
            "flip_test": True,
            "condition": ["finished", "finished", "crashed"],
            "family": "hourglass",
            "dataset": "300w",
            "trained_on": ["300w", "300w", "wflw"],
            "started_from": None,
        },
        index=["0" * 32, "1" * 32, "2" * 32],
    )
    from webapp import selection

    labels = [one.label for one in selection.selected_runs(list(frames.index), frames)]
    assert labels == ["a · 00000000", "a · 11111111", "✗ b (trained on wflw, crashed)"]


def test_six_lines_differ_in_colour_dash_and_marker():
    errors = np.random.default_rng(0).gamma(4, 0.01, (6, 50))
    labels = [str(number) for number in range(6)]
    lines = figures.ceds(errors, labels, "ocular").figure.data
    assert len({line.line.color for line in lines}) == len({line.line.dash for line in lines}) == 6
    marks = figures.differences(tables.compare(errors), labels, "ocular").figure.data
    assert len({mark.marker.symbol for mark in marks}) == 5


def test_a_curve_over_decades_gets_a_log_axis_and_one_that_diverged_a_gap():
    frames = [
        pd.DataFrame({"epoch": [1, 2, 3], "metric": "loss", "value": [1.0, float("nan"), 0.01]}),
        pd.DataFrame({"epoch": [], "metric": [], "value": []}),
    ]
    chart = figures.curves(frames, ["a", "b"], "loss", "loss")
    assert chart.figure.layout.yaxis.type == "log"
    assert np.isnan(chart.figure.data[0].y[1])
    assert "b has none" in chart.alt
