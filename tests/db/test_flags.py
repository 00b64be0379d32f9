"""Flags say what went wrong in a training, and since which epoch."""

from __future__ import annotations

import pandas as pd
import pytest

from db.analysis.flags import flags, floor_of


def curves(**metrics):
    return pd.DataFrame(
        [
            {"epoch": epoch, "metric": name, "value": value}
            for name, values in metrics.items()
            for epoch, value in enumerate(values)
        ]
    )


@pytest.mark.parametrize(
    ("metrics", "floor", "name", "epoch"),
    [
        ({"val_nme_ocular": [0.2, 0.1, 0.3, 0.3, 0.3]}, 0.18, "worse than the mean shape", 2),
        ({"val_nme_ocular": [0.2, 0.05, 0.06, 0.07, 0.08]}, 0.18, "best epoch is the first", 1),
        ({"val_nme_ocular": [0.2, 0.1, 0.05, 0.055, 0.08]}, 0.18, "validation rising", 2),
        ({"val_nme_ocular": [0.2, 0.1, 0.08, 0.07, 0.06]}, 0.18, "best epoch is the last", 4),
        ({"loss": [2.0, 1.0, None, None]}, None, "not finite", 2),
        (
            {"prediction_std_ratio": [0.9, 0.05, 0.5, 0.01, 0.0]},
            None,
            "one shape for every face",
            3,
        ),
        ({"largest_share": [0.2, 0.99, 0.99]}, None, "routing collapsed", 1),
    ],
)
def test_a_flag_names_what_happened_and_since_when(metrics, floor, name, epoch):
    (flag,) = flags(curves(**metrics), floor)
    assert (flag.name, flag.epoch) == (name, epoch)
    assert str(epoch) in flag.sentence


def test_a_sound_run_has_no_flag_and_a_running_one_may_still_improve():
    sound = curves(val_nme_ocular=[0.2, 0.1, 0.06, 0.0505, 0.0500], loss=[5, 4, 3, 2, 1])
    assert flags(sound, 0.18) == []
    falling = curves(val_nme_ocular=[0.2, 0.1, 0.08, 0.07, 0.06])
    assert flags(falling, 0.18, ended=False) == []


def test_the_floor_of_a_run_is_the_mean_shape_on_the_same_data():
    made = [
        ("mean-shape", "300w", 0.18),
        ("mean-shape", "300w", 0.17),
        ("mean-shape", "synthetic", 0.05),
        ("hourglass", "300w", 0.04),
    ]
    runs = pd.DataFrame(made, columns=["family", "dataset", "kept_val_nme"])
    runs = runs.assign(markup="ibug68", landmarks="all")
    assert floor_of(runs.iloc[3], runs) == 0.17
    assert floor_of(runs.iloc[0], runs) is None
