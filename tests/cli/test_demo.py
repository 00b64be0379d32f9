"""The demo trains what README promises, within its minutes."""

from __future__ import annotations

import pytest

from cli.demo import FACES, METHODS, MINUTES, demo_request
from drf import registry
from drf.landmarks.markup import IBUG68
from drf.models.base import LandmarkModel
from experiments.request import configure


def test_the_minutes_are_shared_out_whole() -> None:
    assert sum(METHODS.values()) == pytest.approx(1)
    assert MINUTES <= 1.5  # with installation, `make demo` stays below five


@pytest.mark.parametrize("preset", METHODS)
def test_every_method_can_be_trained_within_its_share(preset: str) -> None:
    config = configure(demo_request(preset, METHODS[preset] * MINUTES)).config
    assert config.data.dataset == "synthetic"
    assert config.data.synthetic_train_size == FACES
    trained = registry.count_params(registry.build(config, IBUG68)) > 0
    assert trained == (METHODS[preset] > 0)
    if trained:
        assert config.training.epochs == 0
        assert config.training.max_minutes == METHODS[preset] * MINUTES


def test_the_last_method_is_a_forest_whose_leaves_the_app_shows() -> None:
    preset = [*METHODS][-1]
    config = configure(demo_request(preset, MINUTES)).config
    model = type(registry.build(config, IBUG68))
    assert model.leaf_pictures is not LandmarkModel.leaf_pictures
    assert model.covariances is not LandmarkModel.covariances
