"""Leaves as shown add up to what the model predicts, and a picture is the distribution it holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from drf import registry
from drf.config import from_flat
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData
from drf.models.heatmap_forest import HeatmapForest
from drf.pictures import FACES_PER_LEAF, LEAVES, MAP_SIDE, LeafPicture

N = 9
SMALL = {
    "data.input_size": 64,
    "model.width": 8,
    "model.features": 8,
    "model.trees": 2,
    "model.tree_depth": 2,
    "model.bins": 8,
    "model.window_half_width": 0.2,
    "model.steepness_first": 6.0,
}


def started(**changes: object) -> tuple[HeatmapForest, Any, list[LeafPicture]]:
    """A small forest that has seen its labels, what it says to N faces, and its gallery."""
    flat = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    config = from_flat("heatmap-forest", registry.family("heatmap-forest").config, flat)
    model = registry.build(config, IBUG68)
    assert isinstance(model, HeatmapForest)
    generator = torch.Generator().manual_seed(1)
    k = model.spec.n_points
    mean = torch.rand(k, 2, generator=generator) * 0.6 + 0.2
    faces = mean + 0.04 * torch.randn(64, k, 2, generator=generator)
    images = torch.rand(N, 3, 64, 64, generator=generator)
    torch.manual_seed(2)
    model.initialise(InitialData(faces, faces, images))
    model.eval()
    with torch.inference_mode():
        outputs = [model(images[:4]), model(images[4:])]
        return model, outputs, model.leaf_pictures(outputs, faces[:N])


@pytest.mark.parametrize(
    "changes",
    [
        {"model__target": "mean"},
        {"model__target": "mean", "model__leaf": "map", "model__pool": "group"},
        {"model__target": "absolute", "model__pool": "shared", "model__reach": 0.5},
        {"model__target": "mean", "model__pool": "face"},
        {"model__target": "current"},
        {"data__landmarks": "mouth", "model__target": "mean", "model__leaf_update": "gradient"},
    ],
    ids=lambda changes: "-".join(map(str, changes.values())),
)
def test_shares_times_points_are_the_mean_prediction(changes: dict[str, object]) -> None:
    """sum_l share_l point_l, averaged over trees, is the mean over faces: prediction is linear in
    the leaves, and of two trees of four leaves all are shown."""
    model, outputs, pictures = started(**changes)
    known = model.spec.indices
    with torch.inference_mode():
        predicted = torch.cat([model.points(o) for o in outputs])
    moved = torch.cat([o.centres for o in outputs]) - model._centres(1)  # of target current
    expected = (predicted - moved).mean(dim=0).numpy()
    for title in {picture.title for picture in pictures}:
        mine = [picture for picture in pictures if picture.title == title]
        assert {picture.tree for picture in mine} == {0, 1}
        assert sum(picture.share for picture in mine) == pytest.approx(2, abs=1e-5)
        total = sum(picture.share * picture.points for picture in mine) / 2
        positions = np.searchsorted(known, mine[0].landmarks)
        assert total == pytest.approx(expected[positions], abs=1e-5)


@pytest.mark.parametrize("kind", ["xy", "map"])
def test_a_picture_is_the_leaf_s_distribution_in_its_window(kind: str) -> None:
    model, _, pictures = started(model__target="mean", model__label_kind=kind)
    for picture in pictures[:12]:
        (landmark,) = picture.landmarks
        assert picture.title == f"landmark {landmark}"
        cells, extent = picture.distribution, picture.extent
        assert cells is not None
        assert extent is not None
        assert cells.sum() == pytest.approx(1, abs=1e-5)
        left, top, right, bottom = extent
        mean = model.mean[landmark].tolist()
        assert [(left + right) / 2, (top + bottom) / 2] == pytest.approx(mean, abs=1e-6)
        assert right - left == pytest.approx(0.4)
        centres = (np.arange(8) + 0.5) / 8
        x = (cells.sum(axis=0) * (left + centres * (right - left))).sum()
        y = (cells.sum(axis=1) * (top + centres * (bottom - top))).sum()
        assert picture.points[0] == pytest.approx([x, y], abs=1e-5)
        assert (picture.std >= 0).all()


def test_a_leaf_of_whole_faces_holds_every_landmark_and_no_single_map() -> None:
    _, _, pictures = started(model__target="mean", model__pool="face")
    assert len(pictures) == 8
    for picture in pictures:
        assert picture.title == "whole face"
        assert picture.points.shape == picture.std.shape == (68, 2)
        assert picture.distribution is None


def test_large_maps_are_reduced_and_large_forests_sampled() -> None:
    _, _, pictures = started(
        model__target="absolute",
        model__window_half_width=0.5,
        model__bins=128,
        model__tree_depth=6,
        model__trees=4,
    )
    assert len(pictures) == LEAVES
    for picture in pictures:
        assert picture.distribution is not None
        assert picture.distribution.shape == (MAP_SIDE, MAP_SIDE)


def test_least_squares_leaves_are_shown_as_distributions() -> None:
    model, outputs, _ = started(model__target="mean", model__leaf_update="ridge")
    model.forest.leaves.q.sub_(0.05)  # as a regression may leave them
    for picture in model.leaf_pictures(outputs, torch.empty(0)):
        assert picture.distribution is not None
        assert (picture.distribution >= 0).all()
        assert picture.distribution.sum() == pytest.approx(1, abs=1e-5)


def test_faces_are_positions_among_all_batches() -> None:
    _, outputs, pictures = started(model__target="mean")
    log_p = torch.cat([o.routed.log_p for o in outputs])
    picture = pictures[0]
    mine = log_p[:, picture.landmarks[0], picture.tree, picture.leaf].exp()
    assert list(picture.weights) == pytest.approx(mine[list(picture.faces)].tolist())
    assert len(picture.faces) == min(FACES_PER_LEAF, int((mine > 1 / 4).sum()))
    assert picture.share == pytest.approx(float(mine.mean()), abs=1e-6)
