"""Readings of a forest land in the chart that explains them, and no reading is lost."""

import numpy as np
import pandas as pd
import pytest

from drf.scoring.results import COLLAPSED_STD_RATIO
from webapp.run import diagnostics
from webapp.ui import charts

KNOWN = (
    *("excess_ce", "std_px", "l1_px", "usage_entropy", "information", "largest_share"),
    *("soft_hard_gap_px", "leaf_distance_px", "nll", "steepness", "prediction_std_ratio"),
    *("leaf_distance", "peaks"),
    *("coarse_px", "stage1_px", "stage2_px", "stage3_px", "stage4_px"),
)


def readings(**metrics: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"epoch": epoch, "metric": name, "value": value}
            for name, values in metrics.items()
            for epoch, value in enumerate(values)
        ]
    )


def titles(frame: pd.DataFrame) -> list[str]:
    return [chart.title for chart in diagnostics.charts(frame, None)]


def drawn(frame: pd.DataFrame, title: str, best: int | None = None) -> charts.Chart:
    (chart,) = [chart for chart in diagnostics.charts(frame, best) if chart.title == title]
    return chart


def test_every_known_reading_has_a_chart_with_help_and_alt_text():
    frame = readings(**{name: [2.0, 1.0] for name in KNOWN})
    made = diagnostics.charts(frame, 1)
    assert len({chart.title for chart in made}) == len(made)
    for chart in made:
        assert chart.help.endswith(".")
        assert "from" in chart.alt
        assert chart.alt.startswith(chart.title)
        assert [a.text for a in chart.figure.layout.annotations][-1] == "kept: epoch 1"
    assert diagnostics.other_curves(frame).empty


def test_kl_stands_above_the_coordinate_error_over_the_same_epochs():
    frame = readings(excess_ce=[2.0, 0.1, 0.05], l1_px=[8.0, 3.0, 4.0])
    chart = drawn(frame, "KL beside coordinate error")
    kl, error = chart.figure.data
    assert list(kl.y) == [2.0, 0.1, 0.05]
    assert list(error.y) == [8.0, 3.0, 4.0]
    assert (kl.yaxis, error.yaxis) == ("y", "y2")
    assert chart.figure.layout.xaxis.matches == "x2"
    assert chart.figure.layout.yaxis.type == "log"
    assert chart.figure.layout.yaxis2.type is None
    assert chart.alt.endswith("KL from 2 to 0.05; coordinate error from 8 to 4.")


def test_kl_alone_is_one_panel_and_an_error_alone_is_left_to_the_curves():
    assert len(drawn(readings(excess_ce=[1.0]), "KL beside coordinate error").figure.data) == 1
    frame = readings(l1_px=[8.0, 3.0])
    assert titles(frame) == []
    assert not diagnostics.of_forest(frame)
    assert set(diagnostics.other_curves(frame)["metric"]) == {"l1_px"}


def test_a_gaussian_forest_has_its_likelihood_in_that_place():
    assert titles(readings(nll=[-1.0, -3.0], l1_px=[8.0, 3.0])) == [
        "Likelihood beside coordinate error"
    ]


def test_collapse_is_a_line_to_compare_with():
    frame = readings(prediction_std_ratio=[0.02, 0.5, 0.9])
    (chart,) = diagnostics.std_ratio(frame, None)
    (line,) = chart.figure.layout.shapes
    assert line.y0 == line.y1 == COLLAPSED_STD_RATIO
    assert str(COLLAPSED_STD_RATIO) in chart.figure.layout.annotations[0].text
    axis = chart.figure.layout.yaxis
    assert axis.rangemode == "tozero"
    assert axis.autorangeoptions.include == 1  # a collapsed run fills no axis with its 0.03


def test_entropies_are_shown_as_numbers_of_leaves():
    frame = readings(usage_entropy=[0.0, np.log(30)], information=[0.0, np.log(12)])
    used, told_apart = drawn(frame, "Leaves in use").figure.data
    assert list(used.y) == pytest.approx([1, 30])
    assert list(told_apart.y) == pytest.approx([1, 12])


def test_shares_are_in_percent():
    (line,) = drawn(readings(largest_share=[1.0, 0.1]), "Largest leaf").figure.data
    assert list(line.y) == pytest.approx([100, 10])


def test_spread_alone_makes_no_forest_but_has_its_chart():
    frame = readings(loss=[2.0, 1.0], prediction_std_ratio=[0.5, 0.9])
    assert not diagnostics.of_forest(frame)
    assert [chart.title for chart in diagnostics.std_ratio(frame, None)] == [
        "Standard deviation of predictions over labels"
    ]
    assert set(diagnostics.other_curves(frame)["metric"]) == {"loss"}
    assert diagnostics.std_ratio(readings(loss=[1.0]), None) == []


def test_a_reading_that_nobody_knows_is_left_to_the_curves():
    frame = readings(excess_ce=[2.0, 1.0], gate_drift=[1.0, 0.5], information_per_px=[1.0, 2.0])
    left = diagnostics.other_curves(frame)
    assert set(left["metric"]) == {"gate_drift", "information_per_px"}
    assert [chart.title for chart in charts.curves(left, None)] == [
        "Gate drift",
        "Information per px",
    ]


@pytest.mark.parametrize("values", [[float("nan")] * 2, [float("nan"), 1.0], [0.0, 0.0]])
def test_readings_that_are_no_numbers_break_nothing(values):
    frame = readings(**dict.fromkeys(KNOWN, values))
    for chart in diagnostics.charts(frame, None):
        assert ("no finite value" in chart.alt) == bool(np.isnan(values).all())


def test_a_single_epoch_is_a_point():
    (trace,) = drawn(readings(steepness=[2.0]), "Steepness of the splits").figure.data
    assert trace.mode == "markers"


def test_a_cascade_of_two_stages_has_three_lines():
    frame = readings(coarse_px=[9.0, 3.0], stage1_px=[9.0, 2.0], stage2_px=[9.0, 1.9])
    chart = drawn(frame, "Stage by stage")
    assert [line.name for line in chart.figure.data] == ["coarse maps", "stage 1", "stage 2"]
    assert chart.alt.endswith("stage 2 from 9 to 1.9.")
