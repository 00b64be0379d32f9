"""The forest over given features: against loops, what it refuses and what it shows."""

from __future__ import annotations

from dataclasses import replace
from typing import get_args

import numpy as np
import pytest
import torch
from torch import Tensor

from drf.errors import UsageError
from drf.forest import routing
from drf.forest.label_forest import LabelForest, Routed
from drf.forest.label_leaves import LabelLeaves
from drf.forest.leaf_updates import GradientLeaves, RidgeLabelLeaves, Update
from drf.forest.routing import hard_leaves
from tests.forest import oracles
from tests.forest.small_forest import (
    POOLS,
    SMALL,
    B,
    C,
    D,
    F,
    H,
    L,
    R,
    T,
    data,
    forest,
    started,
    step,
)


@pytest.mark.parametrize("per_route", [True, False])
@pytest.mark.parametrize("pool", ["landmark", "group", "shared", "face"])
def test_forward_is_a_loop_over_faces_routes_and_trees(pool: str, per_route: bool) -> None:
    model = started(pool=pool, per_route=per_route, dtype=torch.float64)
    model.set_progress(0.5)
    features, _, _ = data(model)
    routed = model(features)
    groups = POOLS.get(pool, [np.zeros(1, dtype=np.int64)])
    p = oracles.probabilities(routed.gates.flatten(0, 1)).view(B, model.routes, T, L)
    assert torch.allclose(routed.log_p.exp(), p)
    distributions = model.distributions(routed)
    assert distributions.shape == (B, model.routes, H, C)
    for g, group in enumerate(groups):
        for k in group:
            for b in range(B):
                mean = torch.zeros(H, C, dtype=torch.float64)
                for t in range(T):
                    for leaf in range(L):
                        mean += p[b, k, t, leaf] * model.leaves.q[g, t, leaf] / T
                assert torch.allclose(distributions[b, k], mean)


def gradients(model: LabelForest) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.gates.parameters() if p.grad is not None])


@pytest.mark.parametrize("update", get_args(Update))
@pytest.mark.parametrize("pool", ["landmark", "group", "shared"])
def test_identical_leaves_are_so_to_the_bit(pool: str, update: Update) -> None:
    model = started(replace(SMALL, leaf_init="identical", leaf_update=update), pool)
    q = model.leaves.q
    assert torch.equal(q, q[:, :1, :1].expand_as(q))
    _, labels, _ = data(model, seed=9, n=64)
    for g, group in enumerate(POOLS[pool]):
        assert torch.allclose(q[g, 0, 0], labels.weights[:, group].mean(dim=(0, 1)), atol=2e-4)


@pytest.mark.parametrize("gates", ["raw", "normalised"])
def test_identical_leaves_give_no_gradient_to_the_gates(gates: str) -> None:
    """Exactly none where every split is even: then all numbers on the way are powers of two, or
    the same for both branches; elsewhere what float64 rounds."""
    model = started(replace(SMALL, leaf_init="identical", gates=gates), dtype=torch.float64)
    step(model)
    assert gradients(model).abs().max() < 1e-14
    model = started(replace(SMALL, gates=gates), dtype=torch.float64)
    step(model)
    assert gradients(model).abs().max() > 1e-3


def test_even_splits_over_identical_leaves_get_exactly_none() -> None:
    model = started(replace(SMALL, leaf_init="identical", gates="raw"))
    with torch.no_grad():
        for parameter in model.gates.parameters():
            parameter.zero_()
    step(model)
    assert torch.count_nonzero(gradients(model)) == 0


def test_hard_routing_takes_the_leaf_to_which_the_turns_lead() -> None:
    soft, hard = started(), started(replace(SMALL, inference="hard"))
    features, _, _ = data(soft)
    soft.eval(), hard.eval()
    routed, decided = soft(features), hard(features)
    leaf = hard_leaves(routed.gates)
    for b, k, g in ((0, 0, 0), (2, 3, 0), (3, 4, 1)):
        expected = sum(soft.leaves.q[g, t, leaf[b, k, t]] for t in range(T)) / T
        assert torch.allclose(hard.distributions(decided)[b, k], expected)
    assert torch.equal(soft.hard(routed).routing, decided.routing)
    assert torch.equal(hard.train()(features).routing, soft.train()(features).routing)


def test_steep_gates_take_the_most_probable_leaf() -> None:
    config = replace(SMALL, steepness_first=100.0, steepness_last=100.0, inference="hard")
    model = started(config).eval()
    routed: Routed = model(data(model)[0])
    sure = routed.gates.abs().amin(dim=-1) > 3
    assert sure.float().mean() > 0.5
    assert torch.equal(hard_leaves(routed.gates)[sure], routed.log_p.argmax(dim=-1)[sure])


def test_steepness_follows_the_run() -> None:
    model = forest(replace(SMALL, steepness_first=1.0, steepness_last=9.0, annealing="linear"))
    model.set_progress(0.25)
    assert model.gates.gamma == 3.0


def test_balance_rewards_information() -> None:
    plain, balanced = started(), started(replace(SMALL, mutual_information_weight=0.5))
    features, labels, rows = data(plain)
    routed = plain(features)
    log_p = routed.log_p  # (B, R, T, L)
    usage = log_p.exp().mean(dim=0)
    information = -(usage * usage.log()).sum(-1) + (log_p.exp() * log_p).sum(-1).mean(dim=0)
    difference = plain.loss(routed, labels, rows)[0] - balanced.loss(routed, labels, rows)[0]
    assert difference.item() == pytest.approx(0.5 * information.mean().item(), rel=1e-3)


def test_diagnostics_of_trees_that_ignore_their_input() -> None:
    model = started(replace(SMALL, gates="raw"))
    with torch.no_grad():
        for parameter in model.gates.parameters():
            parameter.zero_()
    readings = model.diagnostics([model(data(model, seed)[0]) for seed in range(2)])
    assert readings["usage_entropy"] == pytest.approx(np.log(L), abs=1e-5)
    assert readings["information"] == pytest.approx(0, abs=1e-6)
    assert readings["largest_share"] == pytest.approx(1 / L)
    assert readings["steepness"] == 2.0


def test_enough_faces_are_64_for_each_leaf_of_the_smallest_pool() -> None:
    assert forest(pool="landmark").enough_faces() == 64 * L
    assert forest(pool="group").enough_faces() == 64 * L / 2
    assert forest(pool="shared").enough_faces() == np.ceil(64 * L / R)


@pytest.mark.parametrize(
    ("changes", "cells", "leaves"),
    [
        ({"tree_depth": 12, "trees": 64}, 65536, "2 x 64 trees of 4096 leaves of 131072 cells"),
        ({"tree_depth": 12, "leaf_update": "ridge"}, 4, "2 x 2 trees of 4096 leaves of 8 cells"),
        ({"tree_depth": 12, "trees": 64}, 4, "2 x 64 trees of 4096 leaves of 8 cells"),
    ],
)
def test_leaves_beyond_memory_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch, changes: dict[str, object], cells: int, leaves: str
) -> None:
    """Maps, the normal equations of least squares, the weights of gates: each may be too much."""
    monkeypatch.setattr(routing, "_free", lambda: 2**27)

    def made(*_: object, **__: object) -> None:
        raise AssertionError("something was made")

    monkeypatch.setattr(torch, "zeros", made)
    monkeypatch.setattr(torch, "full", made)
    monkeypatch.setattr(torch, "randn", made)
    config = replace(SMALL, **changes)
    with pytest.raises(UsageError, match=rf"{leaves} need [\d.]+ GiB \([\d,]+ bytes\), and 0\.1"):
        LabelForest(config, F, POOLS["group"], (H, cells), D, per_route=True)


def test_kinds_are_built_as_named() -> None:
    kinds = {"bounding": LabelLeaves, "ridge": RidgeLabelLeaves, "gradient": GradientLeaves}
    for update in get_args(Update):
        assert type(forest(replace(SMALL, leaf_update=update)).leaves) is kinds[update]
