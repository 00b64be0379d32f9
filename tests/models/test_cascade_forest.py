"""The cascade: stages correct each other's places, each answers for itself; and its control."""

from __future__ import annotations

import itertools

import pytest
import torch

from drf import registry
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData
from drf.models.cascade_forest import CascadeForest, whitening
from drf.models.landmark_heads import Dropout
from drf.pictures import LEAVES
from experiments.request import Request, configure

TINY = {
    "data.input_size": 64,
    "model.width": 8,
    "model.features": 8,
    "model.trees": 2,
    "model.tree_depth": 3,
    "model.stages": 2,
    "model.global_context_dim": 8,
}


def cascade(**changes: object) -> CascadeForest:
    options = TINY | {f"model.{name}": value for name, value in changes.items()}
    model = registry.build(configure(Request("cascade-forest", options=options)).config, IBUG68)
    assert isinstance(model, CascadeForest)
    generator = torch.Generator().manual_seed(1)
    faces = torch.rand(40, 68, 2, generator=generator) * 0.8 + 0.1
    torch.manual_seed(1)
    model.initialise(InitialData(faces, faces, torch.rand(12, 3, 64, 64, generator=generator)))
    return model


def batch() -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    return torch.rand(3, 3, 64, 64, generator=generator), torch.rand(3, 68, 2, generator=generator)


def test_each_stage_adds_its_vectors_to_the_shape_before() -> None:
    model = cascade().eval()
    outputs = model(batch()[0])
    assert len(outputs.shapes) == 3
    steps = itertools.pairwise(outputs.shapes)
    for (before, after), routed in zip(steps, outputs.routed, strict=True):
        torch.testing.assert_close(after, before + routed.vectors)
    assert torch.equal(model.points(outputs), outputs.shapes[-1])


def test_no_stage_learns_through_the_places_at_which_the_next_one_looks() -> None:
    model = cascade().train()
    images, points = batch()
    (model(images).shapes[2] - points).abs().mean().backward()
    first, last = (stage.head.values.grad for stage in model.stages)
    assert first is None
    assert last.abs().sum() > 0


def test_the_control_multiplies_as_often_as_the_forests() -> None:
    costs = [
        registry.count_macs(cascade(head=head, tree_depth=4, trees=8)) for head in ("forest", "mlp")
    ]
    bare = registry.count_macs(cascade(stages=1, head="mlp", trees=1, tree_depth=1))
    assert abs(costs[0] - costs[1]) < 0.02 * (costs[0] - bare)


@pytest.mark.parametrize("head", ["forest", "mlp"])
def test_a_step_lowers_the_error_of_its_batch(head: str) -> None:
    model = cascade(head=head).train()
    images, points = batch()
    optimiser = torch.optim.Adam(model.parameters(), lr=3e-3)
    errors = []
    for _ in range(30):
        outputs = model(images)
        loss, parts = model.loss(outputs, points)
        assert {"coarse", "stage1", "stage2"} <= parts.keys()
        errors.append(parts["stage2"].item())
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.leaf_step(outputs, points)
    assert errors[-1] < 0.85 * errors[0]


def test_covariances_come_with_forests_and_diagnostics_with_stages() -> None:
    model = cascade()
    images, points = batch()
    outputs = model.train()(images)
    model.leaf_step(outputs, points)
    model.eval()
    outputs = model(images)
    covariances = model.covariances(outputs)
    assert covariances.shape == (3, 68, 2, 2)
    assert torch.linalg.eigvalsh(covariances.detach()).min() > -1e-9
    readings = model.diagnostics([outputs], points)
    assert readings["l1_px"] == readings["stage2_px"]
    assert readings["coarse_px"] == pytest.approx(
        64 * (outputs.shapes[0] - points).norm(dim=-1).mean().item()
    )
    assert {"information", "soft_hard_gap_px", "leaf_distance_px"} <= readings.keys()
    plain = cascade(head="mlp").eval()
    outputs = plain(images)
    assert plain.covariances(outputs) is None
    assert plain.diagnostics([outputs], points).keys() == {
        "coarse_px", "stage1_px", "stage2_px", "l1_px"
    }  # fmt: skip
    assert plain.leaf_pictures([outputs], points) == []


def test_the_gallery_shows_leaves_around_the_mean_place_of_their_landmark() -> None:
    model = cascade().eval()
    images, points = batch()
    outputs = model(images)
    pictures = model.leaf_pictures([outputs], points)
    assert 0 < len(pictures) <= LEAVES
    for picture in pictures:
        (landmark,) = picture.landmarks
        held, covariance = model.stages[1].head.leaf(landmark, picture.tree, picture.leaf)
        expected = outputs.shapes[1][:, landmark].mean(dim=0) + held
        torch.testing.assert_close(torch.from_numpy(picture.points[0]), expected.detach())
        spread = covariance.diagonal().sqrt()
        torch.testing.assert_close(torch.from_numpy(picture.std[0]), spread)


def test_hard_last_decides_in_the_last_stage_alone() -> None:
    model = cascade().eval()
    images, _ = batch()
    soft = model(images)
    model.set_inference("hard-last")
    found = model(images)
    torch.testing.assert_close(found.shapes[1], soft.shapes[1])
    decided = soft.shapes[1] + model.stages[1].head.hard(soft.routed[1])
    torch.testing.assert_close(found.shapes[2], decided)
    assert not torch.equal(found.shapes[2], soft.shapes[2])
    same = cascade(inference="hard-last").eval()
    torch.testing.assert_close(same(images).shapes[2], decided)


def test_a_share_of_the_loss_is_that_of_each_tree_alone() -> None:
    """L1 of each tree's own shape, (1 - b) of their mean and b of the trees, literally."""
    model, (images, points) = cascade(tree_loss=0.25).train(), batch()
    points[0, 3] = torch.nan
    with torch.no_grad():
        outputs = model(images)
        loss, parts = model.loss(outputs, points)
    known, size = ~points.isnan(), 64
    expected = parts["coarse"] + parts["codes"]
    for stage, routed in enumerate(outputs.routed, start=1):
        before, forest = outputs.shapes[stage - 1], model.stages[stage - 1].head
        trees = []
        for t in range(2):
            leaves = forest.values.unflatten(1, (2, 8))[:, t] * 0.1  # (K, L, 2)
            shape = before + torch.einsum("bkl,kld->bkd", routed.p[:, :, t], leaves)
            trees.append((shape - points)[known].abs().mean() * size)
        mean = (outputs.shapes[stage] - points)[known].abs().mean() * size
        torch.testing.assert_close(parts[f"trees{stage}"], (trees[0] + trees[1]) / 2)
        torch.testing.assert_close(parts[f"stage{stage}"], mean)
        expected = expected + 0.75 * mean + 0.25 * (trees[0] + trees[1]) / 2
    torch.testing.assert_close(loss, expected)


def test_whitening_is_the_inverse_square_root_of_the_covariances_shape() -> None:
    """C^(-1/2) by its eigenvectors, of the rounder covariance scaled to determinant 1."""
    torch.manual_seed(0)
    factor = torch.randn(50, 2, 2, dtype=torch.float64)
    given = (factor @ factor.mT) * 1e-3
    given[0] = torch.tensor([[1.0, 0.0], [0.0, 0.0]])  # certain in one direction
    found = whitening(given)
    for c, w in zip(given, found, strict=True):
        rounder = 0.6 * c + 0.4 * c.trace() / 2 * torch.eye(2)
        values, vectors = torch.linalg.eigh(rounder / rounder.det().sqrt())
        torch.testing.assert_close(w, vectors @ torch.diag(values**-0.5) @ vectors.T)
        assert values[1] / values[0] <= 4 + 1e-9
        torch.testing.assert_close(w.det(), torch.ones_like(w.det()))
    torch.testing.assert_close(whitening(torch.eye(2) * 0.3), torch.eye(2))


def test_a_whitened_loss_weighs_errors_by_the_covariances_of_the_leaves() -> None:
    model, (images, points) = cascade(whitened_loss=True).train(), batch()
    points[0, 3] = torch.nan
    model.stages[0].head.moments[..., 0].mul_(9)  # x errs three times as much as y
    outputs = model(images)
    loss, parts = model.loss(outputs, points)
    known = ~points.isnan()
    expected = parts["coarse"] + parts["codes"]
    for stage, routed in enumerate(outputs.routed, start=1):
        w = whitening(model.stages[stage - 1].head.covariances(routed))
        error = torch.einsum("bkij,bkj->bki", w, outputs.shapes[stage] - points)
        torch.testing.assert_close(parts[f"stage{stage}"], error[known].abs().mean() * 64)
        expected = expected + parts[f"stage{stage}"]
    torch.testing.assert_close(loss, expected)
    assert loss.isfinite()


def test_the_control_has_no_trees_with_a_loss_of_their_own() -> None:
    model, (images, points) = cascade(tree_loss=0.5, head="mlp").train(), batch()
    loss, parts = model.loss(model(images), points)
    torch.testing.assert_close(loss, parts["coarse"] + parts["stage1"] + parts["stage2"])


def test_dropout_draws_from_the_generator_that_it_was_given() -> None:
    model, (images, _) = cascade(dropout=0.5).train(), batch()
    features = model.backbone(images)

    def drawn(seed: int) -> torch.Tensor:
        model.draw_from(torch.Generator().manual_seed(seed))
        return model.stages[0].drop(features.context)

    torch.manual_seed(0)
    expected = torch.rand(1)
    torch.manual_seed(0)
    assert torch.equal(drawn(1), drawn(1))
    assert not torch.equal(drawn(1), drawn(2))
    assert torch.equal(torch.rand(1), expected)


def test_dropout_of_a_generator_is_torchs() -> None:
    ours, theirs, x = Dropout(0.2), torch.nn.Dropout(0.2), torch.randn(50, 8)
    ours.generator = torch.Generator().manual_seed(3)
    torch.manual_seed(3)
    assert torch.equal(ours(x), theirs(x))
    assert torch.equal(ours.eval()(x), x)
