"""Which leaves are shown is what a loop over faces, routes, trees and leaves would say."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor

from drf.forest.routing import TREES, most_used_leaves
from drf.landmarks.markup import IBUG68
from drf.models.base import InputSpec
from drf.pictures import FACES_PER_LEAF, LEAVES


def log_routing(n: int, routes: int, trees: int, leaves: int) -> Tensor:
    generator = torch.Generator().manual_seed(4)
    logits = 3 * torch.randn(n, routes, trees, leaves, generator=generator)
    return logits.log_softmax(dim=-1)


def test_shares_and_faces_are_those_of_a_loop() -> None:
    log_p = log_routing(9, 3, 2, 4)
    shown = most_used_leaves(log_p, [2, 0])
    assert len(shown) == 2 * 2 * 4
    assert [s.route for s in shown] == [2] * 8 + [0] * 8
    for one in shown:
        p = [float(log_p[i, one.route, one.tree, one.leaf].exp()) for i in range(9)]
        assert one.share == pytest.approx(sum(p) / 9, rel=1e-5)
        strongest = sorted(range(9), key=lambda i: -p[i])[:FACES_PER_LEAF]
        assert list(one.faces) == [i for i in strongest if p[i] > 1 / 4]
        assert list(one.weights) == pytest.approx([p[i] for i in one.faces], rel=1e-5)


def test_the_fullest_come_first_in_every_tree() -> None:
    shown = most_used_leaves(log_routing(5, 4, 3, 64), range(4))
    assert len(shown) == LEAVES
    assert {s.tree for s in shown} == set(range(TREES))
    for route in range(4):
        for tree in range(TREES):
            shares = [s.share for s in shown if (s.route, s.tree) == (route, tree)]
            assert len(shares) == LEAVES // 8
            assert shares == sorted(shares, reverse=True)


def test_of_a_single_route_more_trees_are_shown() -> None:
    shown = most_used_leaves(log_routing(5, 1, 8, 4), [0])
    assert {s.tree for s in shown} == set(range(2 * TREES))


def test_routing_that_asks_nothing_attracts_nobody() -> None:
    shown = most_used_leaves(torch.full((7, 1, 1, 8), 1 / 8).log(), [0])
    assert len(shown) == 8
    assert all(s.faces == () and s.weights == () for s in shown)


@pytest.mark.parametrize(
    ("points", "chosen"),
    [("all", [36, 30, 48, 8]), ("eyes", [36]), ("mouth", [48]), ("brows", [17])],
)
def test_telling_landmarks_are_those_a_model_knows(points: str, chosen: list[int]) -> None:
    known = IBUG68.indices(points)
    assert np.array_equal(known[InputSpec(32, IBUG68, points).displayed], chosen)
