"""Missing landmarks (NaN) count in no loss, no gradient and no leaf, whatever the family."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from drf import registry
from drf.config import from_flat
from drf.forest.label_leaves import LabelLeaves, bounding_sums
from drf.forest.labels import Labels
from drf.forest.routing import stepwise_rate
from drf.forest.vector_forest import VectorForest, VectorForestConfig
from drf.landmarks import shapes
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData, LandmarkModel, mean_distance, mean_l1, present
from drf.models.cascade_forest import CascadeForest
from drf.models.shape_space import ShapeSpace
from drf.training.optimiser import Optimisers

SIZE = 64
TREES = {"model.trees": 2, "model.tree_depth": 3, "model.routing_warmup": 0.0}
LABELS = TREES | {"model.width": 8, "model.features": 16, "model.bins": 8}
GAUSSIAN = TREES | {"model.width": 8, "model.features": 16, "model.dims": 4}
CASCADE = TREES | {"model.width": 8, "model.features": 8}
CASES: dict[str, tuple[str, dict[str, object]]] = {
    "mean-shape": ("mean-shape", {}),
    "hourglass": ("hourglass", {"model.width": 8, "model.depth": 2, "model.growth": 4}),
    "cnn-heatmap": ("cnn-heatmap", {"model.width": 8, "model.features": 16, "model.map_size": 8}),
    "cascade": ("cascade-forest", CASCADE | {"model.stages": 2}),
    "cascade, warm-up": ("cascade-forest", CASCADE | {"model.routing_warmup": 1.0}),
    "cascade, mlp": ("cascade-forest", CASCADE | {"model.head": "mlp"}),
    "committee": ("cascade-committee", CASCADE | {"model.members": 2}),
    "committee, aligned": (
        "cascade-committee",
        CASCADE | {"model.members": 2, "model.aligned_members": 1},
    ),
    "single map": (
        "heatmap-forest-single-map",
        TREES | {"model.backbone": "cnn", "model.width": 8, "model.map_size": 16},
    ),
    "gaussian": ("gaussian-forest", GAUSSIAN),
    "gaussian, residuals": ("gaussian-forest", GAUSSIAN | {"model.target": "current"}),
    "landmark": ("heatmap-forest", LABELS),
    "landmark, warm-up": ("heatmap-forest", LABELS | {"model.routing_warmup": 1.0}),
    "landmark, maps": (
        "heatmap-forest",
        LABELS | {"model.label_kind": "map", "model.label_threshold": 0.3},
    ),
    "group": ("heatmap-forest", LABELS | {"model.pool": "group", "model.target": "mean"}),
    "shared": ("heatmap-forest", LABELS | {"model.pool": "shared"}),
    "face": ("heatmap-forest", LABELS | {"model.pool": "face", "model.target": "mean"}),
    "ridge": ("heatmap-forest", LABELS | {"model.leaf_update": "ridge", "model.pool": "group"}),
    "ridge, face": (
        "heatmap-forest",
        LABELS | {"model.leaf_update": "ridge", "model.pool": "face", "model.target": "mean"},
    ),
    "gradient": ("heatmap-forest", LABELS | {"model.leaf_update": "gradient"}),
    "rounds": ("heatmap-forest", LABELS | {"model.statistics": "round", "model.cnn_steps": 1}),
}
WHOLE = {"gaussian", "gaussian, residuals"}
"""Families whose labels are whole shapes: there missing landmarks are filled in as a code."""


def faces(n: int) -> Tensor:
    """Shapes of 68 landmarks that vary in size, place and form: (n, 68, 2) unit box."""
    generator = torch.Generator().manual_seed(1)
    mean = torch.rand(68, 2, generator=generator) * 0.5 + 0.25
    modes = torch.randn(6, 68, 2, generator=generator)
    b = torch.randn(n, 6, generator=generator) * 0.01
    place = torch.randn(n, 1, 2, generator=generator) * 0.03
    return mean + torch.einsum("nd,dkc->nkc", b, modes) + place


def with_gaps(points: Tensor) -> Tensor:
    """Some landmarks are missing in some faces; landmark 5 in all, in face 1 all landmarks."""
    points = points.clone()
    generator = torch.Generator().manual_seed(3)
    points[torch.rand(points.shape[:2], generator=generator) < 0.2] = math.nan
    points[:, 5] = math.nan
    points[1] = math.nan
    return points


def started(case: str, sample: Tensor) -> LandmarkModel:
    family, flat = CASES[case]
    config = from_flat(family, registry.family(family).config, {"data.input_size": SIZE} | flat)
    model = registry.build(config, IBUG68)
    torch.manual_seed(0)
    model.initialise(InitialData(sample, sample, images(16)))
    return model


def images(n: int) -> Tensor:
    return torch.rand(n, 3, SIZE, SIZE, generator=torch.Generator().manual_seed(4))


def gradients(
    model: LandmarkModel, pictures: Tensor, points: Tensor
) -> tuple[Tensor, list[Tensor]]:
    model.zero_grad()
    outputs = model(pictures)
    loss, _ = model.loss(outputs, points)
    learned = [p for p in model.parameters() if p.requires_grad]
    if learned:
        loss.backward()
    model.leaf_step(outputs, points)
    return loss.detach(), [torch.zeros(()) if p.grad is None else p.grad.clone() for p in learned]


@pytest.mark.parametrize("case", CASES)
def test_a_step_on_faces_with_gaps_is_finite(case: str) -> None:
    model = started(case, with_gaps(faces(80))).train()
    for name, value in model.state_dict().items():
        assert torch.isfinite(value).all(), name
    points = with_gaps(faces(8))
    model.set_progress(0.5)
    loss, slopes = gradients(model, images(8), points)
    model.finish_epoch()
    assert torch.isfinite(loss)
    assert all(torch.isfinite(slope).all() for slope in slopes)
    for name, value in model.state_dict().items():
        assert torch.isfinite(value).all(), name
    model.eval()
    with torch.no_grad():
        outputs = model(images(8))
        read = model.diagnostics([outputs], points)
    assert all(math.isfinite(value) for value in read.values()), read
    assert torch.isfinite(model.points(outputs)).all()


@pytest.mark.parametrize("case", [case for case in CASES if case not in WHOLE])
def test_a_face_without_landmarks_counts_as_if_it_were_not_there(case: str) -> None:
    """Loss, gradients and leaves; in evaluation mode, for batch norm sees it all the same."""
    points = faces(8)
    points[:, 5] = math.nan
    kept = [0, 2, 3, 4, 5, 6, 7]
    gaps = points.clone()
    gaps[1] = math.nan
    one, other = started(case, faces(80)).eval(), started(case, faces(80)).eval()
    for model in (one, other):
        model.set_progress(0.5)
    loss, slopes = gradients(one, images(8), gaps)
    expected, expected_slopes = gradients(other, images(8)[kept], points[kept])
    for model in (one, other):
        model.finish_epoch()
    torch.testing.assert_close(loss, expected)
    for slope, wanted in zip(slopes, expected_slopes, strict=True):
        torch.testing.assert_close(slope, wanted, rtol=1e-3, atol=1e-4)
    if case == "single map" or case.startswith("ridge"):
        return  # rounding: a matrix product of other rows
    before = other.state_dict()
    for name, value in one.state_dict().items():
        torch.testing.assert_close(value, before[name], rtol=1e-3, atol=1e-4, msg=name)


@pytest.mark.parametrize("case", [case for case in CASES if case != "mean-shape"])
def test_it_learns_from_faces_with_gaps(case: str) -> None:
    model = started(case, with_gaps(faces(80))).train()
    optimiser = Optimisers(model, "adamw", 0.0)
    optimiser.set_rate(5e-3)
    pictures, points = images(8), with_gaps(faces(8))
    losses = []
    for step in range(24):
        model.set_progress(step / 24)
        outputs = model(pictures)
        loss, _ = model.loss(outputs, points)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.leaf_step(outputs, points)
        losses.append(float(loss.detach()))
    assert sum(losses[-3:]) < 0.9 * sum(losses[:3])


def test_with_nothing_missing_means_are_the_plain_ones_to_the_last_digit() -> None:
    predicted, points = faces(7), faces(9)[2:]
    plain = predicted - points
    assert torch.equal(mean_l1(predicted, points), plain.abs().mean())
    assert torch.equal(mean_distance(predicted, points), plain.norm(dim=-1).mean())
    assert torch.equal(InitialData(points, points, images(1)).mean, points.mean(dim=0))
    assert shapes.complete(points) is points
    model = started("cascade", faces(80)).train()
    assert isinstance(model, CascadeForest)
    outputs = model(images(7))
    _, parts = model.loss(outputs, points)
    assert torch.equal(parts["stage2"], (outputs.shapes[2] - points).abs().mean() * SIZE)


def test_with_nothing_missing_leaves_learn_the_same_to_the_last_digit() -> None:
    torch.manual_seed(5)
    forest = VectorForest(VectorForestConfig(trees=2, tree_depth=2), 4, 3, 2, 0.1).train()
    forest.initialise(torch.randn(20, 3, 4), torch.randn(20, 3, 2))
    routed, errors = forest(torch.randn(6, 3, 4)), torch.randn(6, 3, 2)
    moments, mass = forest.moments.clone(), forest.mass.clone()
    eta = stepwise_rate(forest.steps)
    p = routed.p.flatten(2).transpose(0, 1)
    outer = (errors.unsqueeze(-1) * errors.unsqueeze(-2)).flatten(-2).transpose(0, 1)
    forest.leaf_step(routed, errors)
    assert torch.equal(forest.moments, moments.lerp(p.mT @ outer / 6, eta))
    assert torch.equal(forest.mass, mass.lerp(p.mean(dim=1), eta))
    leaves = LabelLeaves(2, 1, 4, 1, 5)
    routing, labels = torch.rand(2, 6, 1, 4).softmax(-1), torch.rand(2, 6, 1, 5).softmax(-1)
    predictions = leaves(routing)
    sums = (
        bounding_sums(routing, leaves.q, Labels(labels), predictions)
        / labels.sum((1, 2, 3))[:, None, None, None, None]
    )
    mass = leaves.mass.lerp(sums.sum(dim=-1), stepwise_rate(leaves.steps))
    leaves.update(routing, Labels(labels), predictions)
    torch.testing.assert_close(leaves.mass, mass)


def test_a_route_without_labels_keeps_its_leaves() -> None:
    torch.manual_seed(5)
    forest = VectorForest(VectorForestConfig(trees=2, tree_depth=2), 4, 3, 2, 0.1).train()
    forest.initialise(torch.randn(20, 3, 4), torch.randn(20, 3, 2))
    routed, errors = forest(torch.randn(6, 3, 4)), torch.randn(6, 3, 2)
    errors[:, 1, 0] = math.nan
    before = forest.moments.clone()
    forest.leaf_step(routed, errors)
    changed = (forest.moments != before).flatten(1).any(dim=1)
    assert changed.tolist() == [True, False, True]
    leaves = LabelLeaves(2, 1, 4, 1, 5)
    labels = torch.rand(2, 6, 1, 5).softmax(-1)
    labels[1] = 0
    routing = torch.rand(2, 6, 1, 4).softmax(-1)
    leaves.update(routing, Labels(labels), leaves(routing))
    torch.testing.assert_close(leaves.q[1], torch.full((1, 4, 1, 5), 0.2))
    torch.testing.assert_close(leaves.mass[1], torch.full((1, 4, 1), 0.25))
    assert (leaves.q[0] - 0.2).abs().max() > 1e-3


def test_codes_of_faces_with_gaps_are_near_those_of_the_whole_faces() -> None:
    whole = faces(200)
    space = ShapeSpace(68, 6)
    space.initialise(whole)
    gaps = whole.clone()
    hidden = torch.rand(200, 68, generator=torch.Generator().manual_seed(6)) < 0.3
    gaps[hidden] = math.nan
    assert torch.equal(
        space.coefficients(whole), (whole - space.mean).flatten(-2) @ space.components.T / space.sd
    )
    error = (space.coefficients(gaps) - space.coefficients(whole)).abs().mean()
    naive = torch.where(gaps.isnan(), space.mean, gaps)
    assert error < 0.2 * (space.coefficients(naive) - space.coefficients(whole)).abs().mean()


def test_completed_faces_follow_the_pose_of_what_is_there() -> None:
    mean = faces(1)[0].double()
    angles = torch.linspace(-0.4, 0.4, 30, dtype=torch.float64)
    cos, sin = angles.cos(), angles.sin()
    turns = torch.stack([torch.stack([cos, -sin], -1), torch.stack([sin, cos], -1)], dim=1)
    whole = (mean - 0.5) @ turns.mT + 0.5
    gaps = whole.clone()
    gaps[torch.rand(30, 68, generator=torch.Generator().manual_seed(6)) < 0.2] = math.nan
    complete = shapes.complete(gaps)
    known = present(gaps)
    assert torch.equal(complete[known], whole[known])
    assert float((complete - whole).norm(dim=-1).max()) < 0.03
    gaps[3, 1:] = math.nan  # a single landmark has no pose
    assert torch.isfinite(shapes.complete(gaps)).all()
