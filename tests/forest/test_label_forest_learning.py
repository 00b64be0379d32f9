"""Who learns when: trees in turn, rounds that open and close, the warm-up, all three updates."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from drf.errors import UsageError
from drf.forest import label_leaves
from drf.forest.label_forest import LabelForest
from drf.forest.label_leaves import LabelLeaves, bounding_step, predict
from drf.forest.labels import Labels
from drf.forest.leaf_updates import Update
from tests.forest.small_forest import (
    POOLS,
    SMALL,
    B,
    C,
    D,
    H,
    L,
    T,
    data,
    forest,
    started,
    step,
)


def trees_with_gradients(model: LabelForest) -> list[bool]:
    """Of weights (sites, T S, F)."""
    gradient = model.gates.weight.grad
    assert gradient is not None
    return (gradient.unflatten(1, (T, -1)) != 0).flatten(2).any(dim=2).any(dim=0).tolist()


@pytest.mark.parametrize("statistics", ["stepwise", "round", "restart"])
def test_one_tree_an_epoch_learns_alone(statistics: str) -> None:
    config = replace(SMALL, tree_update="sequential", statistics=statistics)
    model = started(config)
    for epoch in range(2 * T):
        before = model.leaves.q.clone()
        for seed in range(3):
            step(model, 3 * epoch + seed)
            assert trees_with_gradients(model) == [tree == epoch % T for tree in range(T)]
        model.finish_epoch()
        moved = (model.leaves.q != before).flatten(2).any(dim=2)  # (G, T)
        assert moved.all(dim=0).tolist() == [tree == epoch % T for tree in range(T)]
        assert moved.any(dim=0).tolist() == moved.all(dim=0).tolist()


def test_what_is_read_of_a_lone_tree_leaves_the_others_without_a_gradient() -> None:
    """The expectation of the forest's mean is part of the loss too: only one tree may follow it."""
    model = started(replace(SMALL, tree_update="sequential"))
    model.finish_epoch()
    routed = model(data(model)[0])
    joint = started()(data(model)[0])
    assert torch.equal(model.distributions(routed), model.distributions(joint))
    (model.distributions(routed) * torch.arange(C)).sum().backward()
    assert trees_with_gradients(model) == [False, True]


def test_the_turn_goes_on_after_loading() -> None:
    model = started(replace(SMALL, tree_update="sequential"))
    model.finish_epoch()
    other = forest(model.config)
    other.load_state_dict(model.state_dict())
    before = other.leaves.q.clone()
    step(other)
    assert torch.equal(other.leaves.q[:, 0], before[:, 0])
    assert not torch.equal(other.leaves.q[:, 1], before[:, 1])


def literal_mean(predictions: Tensor) -> Tensor:
    return torch.stack([sum(predictions[:, :, t] for t in range(T)) / T for _ in range(T)], dim=2)


def test_averaged_trees_have_one_loss_and_one_bound() -> None:
    model = started(replace(SMALL, tree_update="averaged"), dtype=torch.float64)
    features, labels, rows = data(model)
    routed = model(features)
    mean = literal_mean(model.leaves(routed.routing))
    masked = model.pools.masked(labels)
    expected = label_leaves.divergence(mean, masked)
    assert torch.allclose(model.loss(routed, labels, rows)[0], expected)
    leaves = LabelLeaves(2, T, L, H, C).double()
    leaves.load_state_dict(model.leaves.state_dict())
    leaves.update(routed.routing, masked, mean)
    model.leaf_step(routed, labels)
    assert torch.allclose(model.leaves.q, leaves.q)


@pytest.mark.parametrize("averaged", [False, True])
def test_a_round_is_all_its_batches_at_once(averaged: bool) -> None:
    tree_update = "averaged" if averaged else "joint"
    config = replace(SMALL, statistics="round", cnn_steps=3, leaf_iterations=4)
    model = started(replace(config, tree_update=tree_update), dtype=torch.float64)
    q, batches = model.leaves.q.clone(), []
    for seed in range(3):
        features, labels, _ = data(model, seed)
        routed = model(features)
        batches.append((routed.routing, model.pools.masked(labels)))
        assert torch.equal(model.leaves.q, q)
        model.leaf_step(routed, labels)
    routing = torch.cat([p for p, _ in batches], dim=1)
    labels = Labels(torch.cat([d.weights for _, d in batches], dim=1))
    for _ in range(4):
        predictions = predict(routing, q)
        if averaged:
            predictions = literal_mean(predictions)
        q = label_leaves.bounding_sums(routing, q, labels, predictions)
        q = q / q.sum(dim=-1, keepdim=True)
    assert torch.allclose(model.leaves.q, q, atol=1e-6)


def test_restart_starts_again_on_each_batch() -> None:
    config = replace(SMALL, statistics="restart", leaf_iterations=2)
    model = started(config, dtype=torch.float64)
    total = torch.zeros_like(model.leaves.q)
    for seed in range(2):
        features, labels, _ = data(model, seed)
        routed = model(features)
        model.leaf_step(routed, labels)
        q = torch.full_like(total, 1 / C)
        for _ in range(2):
            q = bounding_step(routed.routing, q, model.pools.masked(labels))
        total += q / 2
    model.finish_epoch()
    assert torch.allclose(model.leaves.q, total, atol=1e-7)


def test_rounds_close_after_their_steps_and_with_the_epoch() -> None:
    model = started(replace(SMALL, statistics="round", cnn_steps=2))
    seen = []
    for seed in range(5):
        before = model.leaves.q.clone()
        step(model, seed)
        seen.append(not torch.equal(model.leaves.q, before))
    assert seen == [False, True, False, True, False]
    before = model.leaves.q.clone()
    model.finish_epoch()  # with the fifth batch
    assert not torch.equal(model.leaves.q, before)
    before = model.leaves.q.clone()
    model.finish_epoch()  # nothing is left over
    assert torch.equal(model.leaves.q, before)


@pytest.mark.parametrize("update", ["ridge", "gradient"])
def test_restart_is_for_leaves_that_learn_by_bounding(update: Update) -> None:
    with pytest.raises(UsageError, match='"restart" is a way of leaves that learn by bounding'):
        forest(replace(SMALL, statistics="restart", leaf_update=update))


@pytest.mark.parametrize("statistics", ["stepwise", "round"])
@pytest.mark.parametrize("update", ["bounding", "ridge"])
def test_leaves_stay_in_the_warm_up(update: Update, statistics: str) -> None:
    config = replace(SMALL, leaf_update=update, statistics=statistics, routing_warmup=0.5)
    model = started(config)
    before = {name: value.clone() for name, value in model.leaves.state_dict().items()}
    model.set_progress(0.49)
    assert "codes" in step(model)
    model.finish_epoch()
    for name, value in model.leaves.state_dict().items():
        assert torch.equal(value, before[name]), name
    model.set_progress(0.5)
    assert "codes" not in step(model)
    model.finish_epoch()
    assert not torch.equal(model.leaves.q, before["q" if update == "bounding" else "sets.q"])


def test_the_warm_up_costs_what_the_codes_are_improbable() -> None:
    model = started(replace(SMALL, routing_warmup=1.0), dtype=torch.float64)
    model.set_progress(0.0)
    features, labels, rows = data(model)
    routed = model(features)
    _, parts = model.loss(routed, labels, rows)
    total = []
    for g, group in enumerate(POOLS["group"]):
        for k in group:
            for b in range(B):
                codes = model.codes(rows[b, k].expand(2, 1, D))[g, 0]
                total += [-routed.log_p[b, k, t, codes[t]] for t in range(T)]
    assert torch.allclose(parts["codes"], torch.stack(total).mean())


def test_a_warm_up_teaches_the_codes() -> None:
    model = started(replace(SMALL, routing_warmup=1.0))
    model.set_progress(0.0)
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    costs = []
    for seed in range(40):
        costs.append(float(step(model, seed, n=64)["codes"].detach()))
        optimiser.step()
    assert np.mean(costs[-5:]) < 0.6 * costs[0]


@pytest.mark.parametrize("update", get_args(Update))
def test_all_trees_learn_and_training_lowers_the_divergence(update: Update) -> None:
    """Joint training, soft routing, stepwise leaves: a problem that the features decide."""
    model = started(replace(SMALL, leaf_update=update, tree_depth=4))
    features, labels, _ = data(model, 99, 50)
    before = float(model.eval().excess(model(features), labels).detach())
    optimiser = torch.optim.Adam(model.parameters(), lr=0.05)
    model.train()
    for seed in range(40):
        model.set_progress(seed / 40)
        step(model, seed, n=64)
        optimiser.step()
    after = float(model.eval().excess(model(features), labels).detach())
    assert after < 0.6 * before
