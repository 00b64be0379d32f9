"""The forest of Gaussians over given features: against loops, who learns when, and that it does."""

from __future__ import annotations

import copy
import itertools
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from drf.errors import UsageError
from drf.forest import routing
from drf.forest.mixture_forest import (
    RECENT,
    MixtureForest,
    MixtureForestConfig,
    Routed,
    bytes_needed,
    joined,
)
from drf.forest.routing import hard_leaves
from tests.forest import oracles

B, F, D, T, DEPTH = 6, 5, 3, 3, 3
L = 2**DEPTH
SMALL = MixtureForestConfig(trees=T, tree_depth=DEPTH, steepness_first=2.0, steepness_last=4.0)


def problem(n: int = 400) -> tuple[Tensor, Tensor]:
    """Features (n, F), and labels (n, D) of unit variance that follow from them by a bend."""
    x = torch.randn(n, F, generator=torch.Generator().manual_seed(1))
    y = torch.stack([(x[:, 0] + x[:, 1]).tanh(), x[:, 2], x[:, 1] * x[:, 3]], dim=1)
    return x, (y - y.mean(dim=0)) / y.std(dim=0, correction=0)


def started(**changes: object) -> MixtureForest:
    x, y = problem()
    torch.manual_seed(0)
    forest = MixtureForest(replace(SMALL, **changes), F, D)
    forest.initialise(x, y, torch.ones(D))
    return forest


def held(forest: MixtureForest) -> dict[str, Tensor]:
    """What the leaves hold, as a copy."""
    return copy.deepcopy(forest.leaves.state_dict())


def same(a: dict[str, Tensor], b: dict[str, Tensor]) -> bool:
    return all(torch.equal(a[name], b[name]) for name in a)


def batches(forest: MixtureForest, n: int) -> list[tuple[Routed, Tensor]]:
    x, y = problem(n * B)
    pairs = zip(x.split(B), y.split(B), strict=True)
    with torch.no_grad():
        return [(forest(rows), labels) for rows, labels in pairs]


@pytest.mark.parametrize("hard", [False, True])
def test_prediction_is_a_loop_over_faces_trees_and_leaves(hard: bool) -> None:
    forest = started().eval()
    routed = forest(problem()[0][:B])
    p = oracles.probabilities(routed.gates)
    assert torch.allclose(routed.log_p.exp(), p, atol=1e-6)
    chosen = hard_leaves(routed.gates)
    for b, row in enumerate(forest.predict(routed, hard=hard)):
        expected = torch.zeros(D)
        for tree in range(T):
            for leaf in range(L):
                share = (chosen[b, tree] == leaf) if hard else p[b, tree, leaf]
                expected += share * forest.leaves.mean[tree, leaf] / T
        assert torch.allclose(row, expected, atol=1e-5)


def test_loss_is_the_formula() -> None:
    forest = started(
        nll_weight=0.5, mutual_information_weight=0.25, shrinkage=0.0, routing_warmup=0.2
    ).eval()
    x, y = problem()
    forest.set_progress(0.5)
    routed, leaves = forest(x[:B]), forest.leaves
    p = routed.log_p.exp()
    covariance = leaves.factor @ leaves.factor.mT
    density = torch.zeros(B, T, L)
    for b, t, leaf in itertools.product(range(B), range(T), range(L)):
        density[b, t, leaf] = oracles.log_normal(y[b], leaves.mean[t, leaf], covariance[t, leaf])
    nll = -(p * density.exp()).sum(dim=-1).log().mean() / D
    usage = p.mean(dim=0)
    information = (p * p.log()).sum(dim=-1).mean(dim=0) - (usage * usage.log()).sum(dim=-1)
    total, parts = forest.loss(routed, y[:B])
    assert torch.allclose(parts["nll"], nll, rtol=1e-4)
    assert torch.allclose(total, 0.5 * nll - 0.25 * information.mean(), rtol=1e-4)

    forest.set_progress(0.1)
    joint = leaves.log_prior().exp() * density.exp()
    z = joint / joint.sum(dim=-1, keepdim=True)
    routed = forest(x[:B])
    _, parts = forest.loss(routed, y[:B])
    expected = -(z * routed.log_p).sum(dim=-1).mean()
    assert torch.allclose(parts["responsibilities"], expected, rtol=1e-4)


def test_the_first_leaves_are_distinct_and_differ_between_trees() -> None:
    mean = started(init_iterations=0).leaves.mean
    for tree in mean:
        assert torch.pdist(tree).min() > 0.1
    assert not torch.allclose(mean[0].sort(dim=0).values, mean[1].sort(dim=0).values, atol=0.05)


def test_em_on_the_labels_alone_raises_their_likelihood() -> None:
    _, y = problem()
    readings = []
    for iterations in (0, 1, 5, 25):
        leaves = started(init_iterations=iterations, shrinkage=0.0).leaves
        prior = leaves.log_prior().expand(len(y), T, L)
        readings.append(float(leaves.log_likelihood(y, prior).mean()))
    assert readings == sorted(readings)
    assert readings[-1] > readings[0] + 0.05


@pytest.mark.parametrize("schedule", ["sequential", "alternating", "joint"])
def test_leaves_wait_until_the_routing_has_learned_what_they_say(schedule: str) -> None:
    forest = started(schedule=schedule, routing_warmup=0.3, cnn_steps=2)
    before = held(forest)
    for share in (0.0, 0.29):
        forest.set_progress(share)
        for routed, y in batches(forest, 4):
            forest.leaf_step(routed, y)
        forest.finish_epoch()
    assert same(held(forest), before)
    forest.set_progress(0.31)
    for routed, y in batches(forest, 4):
        forest.leaf_step(routed, y)
    forest.finish_epoch()
    assert same(held(forest), before) == (schedule == "sequential")


def test_joint_takes_every_batch_into_the_statistics() -> None:
    forest = started(schedule="joint", routing_warmup=0.0)
    expected = copy.deepcopy(forest.leaves)
    for routed, y in batches(forest, 3):
        forest.leaf_step(routed, y)
        expected.update(y, routed.log_p)
        assert same(held(forest), expected.state_dict())


def test_alternating_fits_the_leaves_to_all_faces_of_a_round() -> None:
    forest = started(schedule="alternating", routing_warmup=0.0, cnn_steps=3, em_iterations=2)
    before, expected = held(forest), copy.deepcopy(forest.leaves)
    seen = batches(forest, 4)
    for routed, y in seen[:2]:
        forest.leaf_step(routed, y)
    assert same(held(forest), before)
    forest.leaf_step(*seen[2])
    log_p = joined([routed for routed, _ in seen[:3]]).log_p
    for _ in range(2):
        expected.em_step(torch.cat([y for _, y in seen[:3]]), log_p)
    assert same(held(forest), expected.state_dict())


def test_every_phase_takes_the_steps_of_its_own_round(monkeypatch: pytest.MonkeyPatch) -> None:
    forest = started(schedule="alternating", routing_warmup=0.0, cnn_steps=5, em_iterations=1)
    taken: list[Tensor] = []
    monkeypatch.setattr(forest.leaves, "em_step", lambda y, log_p: taken.append(y))
    seen = batches(forest, 15)
    for routed, y in seen:
        forest.leaf_step(routed, y)
    assert [len(y) // B for y in taken] == [5, 5, 5]
    for number, y in enumerate(taken):
        of_round = seen[5 * number : 5 * number + 5]
        assert torch.equal(y, torch.cat([labels for _, labels in of_round]))


def test_an_epoch_ends_with_no_fewer_faces_than_a_round() -> None:
    """Leaves fitted to the one batch that is left over would forget all others."""
    forest = started(schedule="alternating", routing_warmup=0.0, cnn_steps=3, em_iterations=1)
    forest.leaves.mass.zero_()  # what a phase leaves behind is then its own
    seen = batches(forest, 4)
    for routed, y in seen:
        forest.leaf_step(routed, y)
    expected = copy.deepcopy(forest.leaves)
    log_p = joined([routed for routed, _ in seen[1:]]).log_p
    y = torch.cat([y for _, y in seen[1:]])
    expected.em_step(y, log_p)
    forest.finish_epoch()
    alive = expected.mass > 0.1 / L
    assert alive.any()
    assert torch.equal(forest.leaves.mean[alive], expected.mean[alive])


@pytest.mark.parametrize("schedule", ["alternating", "joint"])
def test_nothing_collected_outlives_an_epoch(schedule: str) -> None:
    forest = started(schedule=schedule, routing_warmup=0.0, cnn_steps=50)
    for routed, y in batches(forest, RECENT + 5):
        forest.leaf_step(routed, y)
    forest.finish_epoch()
    again = MixtureForest(forest.config, F, D)
    again.load_state_dict(forest.state_dict())
    for one in (forest, again):
        for routed, y in batches(forest, 3):
            one.leaf_step(routed, y)
        one.finish_epoch()
    assert same(held(forest), held(again))


def test_starved_leaves_are_moved_to_faces_of_the_epoch() -> None:
    forest = started(schedule="joint", routing_warmup=0.0)
    seen = batches(forest, 3)
    for routed, y in seen:
        forest.leaf_step(routed, y)
    forest.leaves.mass[:, 0] = 0
    forest.finish_epoch()
    faces = torch.cat([y for _, y in seen])
    for tree in range(T):
        assert (forest.leaves.mean[tree, 0] == faces).all(dim=-1).any()


@pytest.mark.parametrize("schedule", ["sequential", "alternating", "joint"])
def test_every_schedule_learns(schedule: str) -> None:
    x, y = problem()
    forest = started(schedule=schedule, cnn_steps=10, nll_weight=1.0)
    optimiser = torch.optim.Adam(forest.parameters(), lr=0.02)
    steps = 200
    for step in range(steps):
        forest.set_progress(step / steps)
        rows = torch.randint(len(x), (32,))
        routed = forest(x[rows])
        loss, _ = forest.loss(routed, y[rows])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        forest.leaf_step(routed, y[rows])
        if step % 50 == 49:
            forest.finish_epoch()
    forest.eval()
    with torch.no_grad():
        routed = forest(x)
        explained = 1 - (forest.predict(routed) - y).var(dim=0) / y.var(dim=0)
        readings = forest.diagnostics(routed, y)
    assert explained.mean() > 0.5, explained
    assert readings["information"] > 0.5  # of log 8 = 2.08 nats
    assert readings["steepness"] == pytest.approx(4.0, rel=0.02)


def test_leaves_beyond_memory_are_refused_with_the_bytes_they_need(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    config = replace(SMALL, trees=4, tree_depth=5)
    needed = bytes_needed(config, 16, 40)
    assert needed > 4 * 4 * 32 * 40 * 40 * 4  # two covariances, two factors, with the average
    monkeypatch.setattr(routing, "_free", lambda: needed)
    MixtureForest(config, 16, 40)
    monkeypatch.setattr(routing, "_free", lambda: needed - 1)
    with pytest.raises(UsageError, match=rf"4 trees of 32 Gaussian leaves .*\({needed:,} bytes\)"):
        MixtureForest(config, 16, 40)
