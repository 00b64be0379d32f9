"""The three ways in which leaves learn: each against its formula, and which trees it touches."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drf.forest import label_leaves, leaf_updates
from drf.forest.label_leaves import (
    FLOOR,
    Batch,
    LabelLeaves,
    bounding_step,
    cross_entropy,
    entropy,
    predict,
)
from drf.forest.labels import Labels
from drf.forest.leaf_updates import GradientLeaves, RidgeLabelLeaves, Update
from drf.forest.routing import log_routing
from tests.forest import oracles

G, N, T, DEPTH, H, C = 2, 24, 3, 2, 2, 5
L = 2**DEPTH
KINDS = get_args(Update)
ONE = slice(1, 2)


def draw(seed: int = 0) -> tuple[Tensor, Tensor]:
    """Routing and labels, float64; the last rows of the second pool have no label."""
    generator = torch.Generator().manual_seed(seed)
    f = 2 * torch.randn(G, N, T, L - 1, generator=generator, dtype=torch.float64)
    labels = 3 * torch.randn(G, N, H, C, generator=generator, dtype=torch.float64)
    labels = labels.softmax(dim=-1)
    labels[1, -5:] = 0
    return log_routing(f).exp(), labels


def started(kind: Update, seed: int = 0) -> leaf_updates.Leaves:
    """Leaves, float64, at the mean labels of the most probable leaves."""
    leaves = leaf_updates.build(kind, G, T, L, H, C)
    assert isinstance(leaves, LabelLeaves | GradientLeaves | RidgeLabelLeaves)
    leaves.double()
    routing, labels = draw(seed)
    leaves.initialise(routing.argmax(dim=-1), Labels(labels))
    return leaves


def halves(seed: int = 0) -> list[Batch]:
    """The rows in three batches of unlike size."""
    routing, labels = draw(seed)
    parts = zip(routing.split([5, 12, 7], 1), labels.split([5, 12, 7], 1), strict=True)
    return [(p, Labels(d)) for p, d in parts]


@pytest.mark.parametrize("kind", KINDS)
def test_all_kinds_start_from_the_same_means(kind: Update) -> None:
    routing, labels = draw()
    codes = routing.argmax(dim=-1).clamp(max=L - 2)  # nobody in the last leaf
    leaves = leaf_updates.build(kind, G, T, L, H, C)
    leaves.initialise(codes, Labels(labels.float()))
    for g in range(G):
        known = labels[g].sum(dim=(1, 2)) > 0
        for t in range(T):
            for leaf in range(L):
                mine = known & (codes[g, :, t] == leaf) if leaf < L - 1 else known
                expected = labels[g, mine].mean(dim=0)
                assert torch.allclose(leaves.q[g, t, leaf].double(), expected, atol=2e-4)


def test_gradient_leaves_learn_by_gradient_alone() -> None:
    leaves = started("gradient")
    assert isinstance(leaves, GradientLeaves)
    routing, labels = draw()
    before = leaves.q.detach().clone()
    leaves.update(routing, Labels(labels), leaves(routing))
    leaves.fit([(routing, Labels(labels))], 5)
    assert torch.equal(leaves.q, before)
    loss = leaves.loss(leaves(routing), Labels(labels))
    loss.backward()
    gradient = leaves.logits.grad
    assert gradient is not None
    assert (gradient.abs().amax(dim=-1) > 1e-6).all()  # every distribution of every leaf
    with torch.no_grad():
        leaves.logits -= 0.5 * gradient
    assert leaves.loss(leaves(routing), Labels(labels)) < loss
    assert torch.allclose(leaves.q.sum(dim=-1), torch.ones(()).double())


def literal_ridge(p: Tensor, d: Tensor, ridge: float) -> Tensor:
    """Argmin over Q of mean_i |p_i Q - d_i|^2 + ridge |Q|^2, through the augmented system."""
    n, leaves = p.shape
    a = torch.cat([p / n**0.5, ridge**0.5 * torch.eye(leaves).to(p)])
    b = torch.cat([d / n**0.5, torch.zeros(leaves, d.shape[1]).to(d)])
    return torch.linalg.lstsq(a, b).solution


def test_ridge_leaves_are_a_literal_solution_per_tree() -> None:
    leaves = started("ridge")
    assert isinstance(leaves, RidgeLabelLeaves)
    leaves.fit(halves(), 1)
    routing, labels = draw()
    for g in range(G):
        known = labels[g].sum(dim=(1, 2)) > 0
        for t in range(T):
            expected = literal_ridge(
                routing[g, known, t], labels[g, known].flatten(1), leaves.sets.ridge
            )
            assert torch.allclose(leaves.q[g, t].flatten(1), expected, atol=1e-9)


def test_the_loss_of_ridge_leaves_is_the_mean_squared_error() -> None:
    leaves = started("ridge")
    routing, labels = draw()
    predictions = leaves(routing)
    errors = []
    for g in range(G):
        for i in range(N):
            if labels[g, i].sum() > 0:
                for t in range(T):
                    for h in range(H):
                        errors.append(((predictions[g, i, t, h] - labels[g, i, h]) ** 2).sum())
    assert leaves.loss(predictions, Labels(labels)).item() == pytest.approx(
        torch.stack(errors).mean()
    )


@pytest.mark.parametrize("kind", ["bounding", "ridge"])
@pytest.mark.parametrize("way", ["update", "fit", "fit_and_average"])
def test_only_the_trees_that_learn_change(kind: Update, way: str) -> None:
    some, every = started(kind), started(kind)
    before = some.q.clone()
    routing, labels = draw(1)
    for leaves, trees in ((some, ONE), (every, label_leaves.ALL)):
        if way == "update":
            leaves.update(routing, Labels(labels), leaves(routing), trees)
        elif way == "fit":
            leaves.fit(halves(1), 2, trees)
        elif isinstance(leaves, LabelLeaves):
            leaves.fit_and_average(halves(1), 2, trees)
        else:
            return
    assert torch.equal(some.q[:, [0, 2]], before[:, [0, 2]])
    assert torch.equal(some.q[:, ONE], every.q[:, ONE])
    assert not torch.allclose(every.q, before)


def divergence(leaves: LabelLeaves, routing: Tensor, labels: Tensor, averaged: bool) -> float:
    predictions = leaves(routing)
    if averaged:
        predictions = predictions.mean(dim=2, keepdim=True)
    return float(cross_entropy(predictions, labels) - entropy(labels))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6), st.booleans(), st.sampled_from([label_leaves.ALL, ONE]))
def test_kl_never_rises_over_iterations_of_fit(seed: int, averaged: bool, trees: slice) -> None:
    leaves = started("bounding", seed)
    assert isinstance(leaves, LabelLeaves)
    routing, labels = draw(seed)
    previous = divergence(leaves, routing, labels, averaged)
    for _ in range(8):
        leaves.fit(halves(seed), 1, trees, averaged=averaged)
        current = divergence(leaves, routing, labels, averaged)
        assert current <= previous + 20 * FLOOR  # no cell is left at 0: that may cost as much
        previous = current
    assert previous >= 0


def test_the_mean_of_trees_is_fitted_better_as_such() -> None:
    """What `averaged` is for: each tree then fits what the others leave over."""
    routing, labels = draw()
    reached = []
    for averaged in (False, True):
        leaves = started("bounding")
        assert isinstance(leaves, LabelLeaves)
        leaves.fit([(routing, Labels(labels))], 40, averaged=averaged)
        reached.append(divergence(leaves, routing, labels, averaged=True))
    assert reached[1] < reached[0] - 0.03


def test_fit_over_batches_is_a_bounding_step_on_all_rows() -> None:
    leaves = started("bounding")
    routing, labels = draw()
    expected = leaves.q.clone()
    for _ in range(3):
        expected = bounding_step(routing, expected, Labels(labels))
    leaves.fit(halves(), 3)
    assert torch.allclose(leaves.q, expected, atol=1e-7)


def test_the_notes_restart_is_the_loop_written_out() -> None:
    leaves = LabelLeaves(G, T, L, H, C).double()
    leaves.fit_and_average(halves(), 2)
    for g, t, h in ((0, 0, 1), (1, 2, 0)):
        total = torch.zeros(L, C).double()
        for routing, labels in halves():
            q = torch.full((L, C), 1 / C).double()
            d = labels.weights[g, :, h]
            known = d.sum(dim=-1) > 0
            for _ in range(2):
                q = oracles.bounding_step(routing[g, known, t], q, d[known])
            total += q / 3
        assert torch.allclose(leaves.q[g, t, :, h], total, atol=1e-7)


def test_a_step_on_the_mean_of_trees_is_one_tree_of_all_leaves() -> None:
    """A mixture over trees and leaves: P(t, l | x) = P(l | x) / T, bounded as any other."""
    routing, labels = draw()
    q = started("bounding").q[:1]
    known, routing = Labels(labels[:1]), routing[:1]
    result = bounding_step(routing, q, known, averaged=True)
    merged = bounding_step(routing.flatten(2).unsqueeze(2) / T, q.flatten(1, 2)[:, None], known)
    assert torch.allclose(result.flatten(1, 2), merged[:, 0], rtol=1e-10)
    assert torch.allclose(
        predict(routing, q).mean(dim=2),
        predict(routing.flatten(2).unsqueeze(2) / T, q.flatten(1, 2)[:, None]).squeeze(2),
    )
