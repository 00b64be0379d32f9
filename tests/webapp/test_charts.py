"""Charts draw the numbers they are given, and say them in their alt text."""

import numpy as np
import pandas as pd
import plotly.graph_objects as go
import pytest

from drf.scoring import scores
from webapp.ui import charts, theme

ERRORS = np.array([0.01, 0.02, 0.05, 0.09])  # NME 4.25 %, FR_8 25 %, AUC_8 50 %, AUC_10 57.5 %


def test_ced_is_the_exact_step_function():
    (trace,) = charts.ced(ERRORS, "ocular").figure.data
    assert trace.line.shape == "hv"
    for x, y in zip(trace.x[1:-1], trace.y[1:-1], strict=True):
        assert y == pytest.approx(100 * scores.ced(ERRORS, np.array([x / 100 + 1e-12]))[0])
    assert (trace.x[0], trace.y[0]) == (0, 0)
    assert trace.x[-1] == pytest.approx(100 * charts.axis_end([ERRORS]))
    assert trace.y[-1] == 100


def test_ced_marks_both_thresholds_with_fr_and_auc():
    chart = charts.ced(np.array([*ERRORS[:3], 0.12]), "pupil")
    written = [annotation.text for annotation in chart.figure.layout.annotations]
    assert written == ["<b>8 %</b><br>FR 25.0<br>AUC 50.0", "<b>10 %</b><br>FR 25.0<br>AUC 55.0"]
    assert [line.x0 for line in chart.figure.layout.shapes] == [pytest.approx(8), pytest.approx(10)]
    assert "pupil" in chart.figure.layout.xaxis.title.text
    assert "at 8% FR 25.00 % and AUC 50.00 %" in chart.alt


def test_the_axis_of_a_ced_fits_its_curves():
    good, bad = np.full(100, 0.03), np.linspace(0, 0.6, 100)
    assert charts.axis_end([good]) == pytest.approx(1.08 * 0.03)  # not half empty
    assert charts.axis_end([bad]) > 0.59  # nor cut where most faces are beyond
    assert charts.axis_end([good, bad]) == pytest.approx(3 * 1.08 * 0.03)  # one does not squeeze
    (trace,) = charts.ced(np.array([0.5, 0.9]), "ocular").figure.data
    assert list(trace.y) == [0, 50, 100, 100]


def test_labels_of_a_ced_stand_above_the_plot_where_no_curve_is():
    figure = charts.ced(np.geomspace(0.02, 0.5, 50), "ocular").figure
    assert len(figure.layout.annotations) == 2
    for label in figure.layout.annotations:
        assert (label.y, label.yref, label.yanchor) == (1, "paper", "bottom")
    assert figure.layout.margin.t >= 3 * 16  # room for three lines


@pytest.mark.parametrize(
    "errors", [ERRORS, np.array([0.03]), np.zeros(3), np.geomspace(1e-3, 5, 90)]
)
def test_histogram_counts_every_face(errors):
    chart = charts.histogram(errors, "ocular")
    assert sum(chart.figure.data[0].y) == len(errors)
    assert f"mean {100 * errors.mean():.2f} %" in chart.alt
    assert chart.figure.data[0].customdata[-1].endswith(" % or more")  # it has no upper end


def epochs(**metrics_: list[float]) -> pd.DataFrame:
    return pd.DataFrame(
        [
            {"epoch": epoch, "metric": name, "value": value}
            for name, values in metrics_.items()
            for epoch, value in enumerate(values, start=1)
        ]
    )


def test_any_metric_has_its_place_losses_and_validation_first():
    frame = epochs(
        gate_entropy=[1.0, 0.9], gate_max=[0.2, 0.3], loss=[2.0, 1.0], loss_leaf=[1.0, 0.5],
        lr=[1e-3, 1e-4], val_nme=[0.05, 0.04],
    )  # fmt: skip
    drawn = charts.curves(frame, kept_epoch=2)
    titles = ["Training loss", "Validation", "gate", "Learning rate"]
    assert [chart.title for chart in drawn] == titles
    assert [[trace.name for trace in chart.figure.data] for chart in drawn] == [
        ["total loss", "loss: leaf"],
        ["val nme"],
        ["gate entropy", "gate max"],
        ["learning rate"],
    ]


def test_nme_is_drawn_in_percent_and_the_kept_epoch_marked():
    (chart,) = charts.curves(epochs(val_nme=[0.05, 0.04, 0.045]), kept_epoch=2)
    assert list(chart.figure.data[0].y) == [5, 4, 4.5]
    assert chart.figure.layout.yaxis.title.text == "NME, %"
    assert chart.figure.layout.shapes[0].x0 == 2
    assert chart.figure.layout.annotations[0].text == "kept: epoch 2"


def test_a_diverged_loss_leaves_a_gap_and_no_log_axis():
    (chart,) = charts.curves(epochs(loss=[1.0, float("nan"), 2.0]), kept_epoch=None)
    assert np.isnan(chart.figure.data[0].y[1])
    assert chart.figure.layout.yaxis.type is None
    assert "ends at 2" in chart.alt


def test_a_loss_over_decades_gets_a_log_axis():
    (chart,) = charts.curves(epochs(loss=[1.0, 0.1, 0.01]), kept_epoch=None)
    assert chart.figure.layout.yaxis.type == "log"
    assert chart.figure.layout.yaxis.title.text == "total loss (log scale)"


def test_logarithmic_axes_label_whole_numbers():
    def labels(*values: float) -> list[str]:
        figure = go.Figure(layout=theme.layout(x="epoch", y="loss"))
        charts.log_axis(figure, pd.Series(values))
        return list(figure.layout.yaxis.ticktext)

    assert labels(3.4, 106.0, np.nan) == ["1", "2", "5", "10", "20", "50", "100", "200", "500"]
    assert labels(0.002, 30.0) == ["0.001", "0.01", "0.1", "1", "10"]


def test_a_legend_stands_above_the_word_of_the_best_epoch():
    (chart,) = charts.curves(epochs(loss=[2.0, 1.0], loss_leaf=[1.0, 0.5]), kept_epoch=1)
    (word,) = chart.figure.layout.annotations
    room = chart.figure.layout.height - 100  # px of the axes
    assert (chart.figure.layout.legend.y - word.y) * room >= word.font.size


def test_the_strip_colours_the_bars_that_hold_a_chosen_face():
    errors = np.array([0.01, 0.02, 0.03, 0.04, 0.05])
    chart = charts.strip(errors, errors > 0.035)
    (bars,) = chart.figure.data
    assert sum(bars.y) == len(errors)  # what lies far beyond is in the last bar
    colours = np.array(bars.marker.color)
    assert bars.y[colours == theme.BLUE].sum() == 2
    assert "2 of them are chosen" in chart.alt
    assert theme.BLUE not in charts.strip(errors, errors > 1).figure.data[0].marker.color


def test_what_stands_at_a_threshold_near_the_end_of_the_axis_has_room_on_a_phone():
    far, near = go.Figure(layout=theme.layout(x="", y="")), charts.ced(np.full(50, 0.0935), "")
    charts.ced_axes(far, 0.4)
    assert far.layout.margin.r == theme.layout(x="", y="")["margin"]["r"]
    assert near.figure.layout.xaxis.range[1] == pytest.approx(10.1, abs=0.01)
    assert near.figure.layout.margin.r >= 60  # "AUC 12.3" is 60 px wide


def test_a_long_title_of_an_axis_has_lines_that_a_phone_shows():
    title = f"error of {'heatmap-forest-s0'}, % of the ocular distance"
    figure = go.Figure(layout=theme.layout(x=title, y=title))
    charts.log_axis(figure, pd.Series([1.0, 100.0]), x_too=True)
    for axis in (figure.layout.xaxis, figure.layout.yaxis):
        lines = axis.title.text.split("<br>")
        assert " ".join(lines) == f"{title} (log scale)"
        assert max(map(len, lines)) <= 46
    beside_names = theme.layout(x="difference in NME, % of the ocular distance", y="")
    assert "<br>" in beside_names["xaxis"]["title"]["text"]
