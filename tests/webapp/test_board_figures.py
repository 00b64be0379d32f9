"""The charts below the leaderboard draw the numbers that they are given."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from drf.scoring import scores
from webapp.leaderboard import figures
from webapp.leaderboard.figures import Difference, RowErrors

SEEDS = np.array([[0.01, 0.02, 0.03, 0.06], [0.02, 0.03, 0.04, 0.05], [0.01, 0.03, 0.04, 0.08]])


def test_a_curve_is_the_mean_over_seeds_and_its_band_their_range():
    chart = figures.ced([RowErrors("a <b>", SEEDS), RowErrors("b", SEEDS[:1])], "ocular")
    low, high, mean, single = chart.figure.data
    for at, *values in zip(mean.x, low.y, high.y, mean.y, strict=True):
        shares = [100 * scores.ced(row, np.array([at / 100 + 1e-12]))[0] for row in SEEDS]
        assert values == pytest.approx([min(shares), max(shares), np.mean(shares)])
    assert high.fill == "tonexty"
    assert mean.name == "a &lt;b&gt;"
    assert single.name == "b"  # one seed: no band
    assert "range over seeds" in chart.help
    assert "a <b>: AUC at 8%" in chart.alt


def test_very_many_faces_are_drawn_at_some_of_their_errors():
    errors = np.random.default_rng(0).random((2, 3000)) / 20
    x, shares = figures.steps(errors, 1.0)
    assert len(x) <= 402
    assert (shares[:, 0].max(), shares[:, -1].tolist()) == (0, [100, 100])
    assert (np.diff(shares, axis=1) >= 0).all()


def test_differences_stand_with_their_intervals():
    chart = figures.forest_plot(
        [Difference("a", -0.18, -0.22, -0.14), Difference("b", 0.1, -0.1, 0.4)],
        "base", "ocular", "faces, 1 seed",
    )  # fmt: skip
    (points,) = chart.figure.data
    assert list(points.x) == [-0.18, 0.1]
    assert points.error_x.array == pytest.approx((0.04, 0.3))
    assert points.error_x.arrayminus == pytest.approx((0.04, 0.2))
    assert "a −0.18 [−0.22, −0.14]" in chart.alt
    assert "over faces, 1 seed, paired" in chart.help


def test_the_floor_is_drawn_only_on_request():
    """Beside it all others look alike."""
    rows = pd.DataFrame(
        {
            "family": ["hourglass", "mean-shape", "hourglass"],
            "ranked": [True, True, False],
            "runs": [("a1", "a0"), ("f",), ("c",)],
            "seeds": [(1, 0), (0,), (0,)],
        }
    )
    assert list(figures.leading(rows)["family"]) == ["hourglass"]
    assert figures.leading(rows, ["f", "a0"])["family"].tolist() == ["hourglass", "mean-shape"]
    assert figures.leading(rows.iloc[1:2])["family"].tolist() == ["mean-shape"]
