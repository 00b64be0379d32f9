"""Tree codes: equal leaves at every depth, a recursion written out, distinct means."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from torch import Tensor

from drf.forest.gates import SplitGates, TreeCodes, turns
from drf.forest.routing import hard_leaves

POOLS, DIMS, TREES = 3, 2, 4


def rows(n: int) -> Tensor:
    """Offsets as the forest sees them: small, off centre, wider in one direction."""
    noise = torch.randn(POOLS, n, DIMS, generator=torch.Generator().manual_seed(0))
    return noise * torch.tensor([0.04, 0.01]) + 0.02


def grown(depth: int, n: int, seed: int = 0) -> tuple[TreeCodes, Tensor]:
    torch.manual_seed(seed)
    codes = TreeCodes(POOLS, DIMS, TREES, depth)
    codes.initialise(rows(n))
    return codes, codes(rows(n))


@pytest.mark.parametrize("n", [256, 1000])
@pytest.mark.parametrize("depth", range(1, 9))
def test_leaves_hold_equal_shares(depth: int, n: int) -> None:
    _, leaf = grown(depth, n)
    assert leaf.shape == (POOLS, n, TREES)
    for column in leaf.transpose(1, 2).flatten(0, 1):
        counts = column.bincount(minlength=2**depth)
        assert counts.min() >= n // 2**depth
        assert counts.max() <= -(-n // 2**depth)


def recursion(values: np.ndarray, directions: np.ndarray, depth: int) -> np.ndarray:
    """Leaves of (n, D) values: halve along a split's direction, the odd row to the left; then both
    halves, with the next splits."""
    leaf = np.zeros(len(values), dtype=np.int64)

    def split(here: np.ndarray, level: int, prefix: int) -> None:
        if level == depth:
            leaf[here] = prefix
            return
        order = here[np.argsort(values[here] @ directions[2**level - 1 + prefix])]
        half = (len(order) + 1) // 2
        split(order[:half], level + 1, prefix)
        split(order[half:], level + 1, prefix + 2**level)

    split(np.arange(len(values)), 0, 0)
    return leaf


@pytest.mark.parametrize("depth", [1, 2, 5])
def test_codes_are_a_recursion(depth: int) -> None:
    codes, leaf = grown(depth, 300)
    values, directions = rows(300).double().numpy(), codes.direction.double().numpy()
    for pool in range(POOLS):
        for tree in range(TREES):
            expected = recursion(values[pool], directions[pool, tree], depth)
            assert np.array_equal(leaf[pool, :, tree].numpy(), expected)


def test_leaves_that_start_from_codes_are_distinct() -> None:
    _, leaf = grown(4, 512)
    for pool in range(POOLS):
        for column in leaf[pool].T:
            places = torch.stack([rows(512)[pool, column == k].mean(dim=0) for k in range(16)])
            assert torch.pdist(places).min() > 1e-4


def test_codes_follow_from_the_seed_alone() -> None:
    (first, a), (second, b) = grown(5, 400, seed=3), grown(5, 400, seed=3)
    assert torch.equal(a, b)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name
    assert not torch.equal(a, grown(5, 400, seed=4)[1])


def test_a_row_takes_its_code_whatever_stands_beside_it() -> None:
    codes, leaf = grown(5, 400)
    assert torch.equal(codes(rows(400)[:, 7:9]), leaf[:, 7:9])


def test_equal_labels_have_codes_too() -> None:
    codes = TreeCodes(1, DIMS, 2, 3)
    codes.initialise(torch.full((1, 20, DIMS), 0.3))
    assert codes.threshold.isfinite().all()
    assert len(codes(torch.full((1, 20, DIMS), 0.3)).unique(dim=1)) == 1


def test_turns_are_counted_split_by_split() -> None:
    """Literally: walk every row down its path and count which way it turns."""
    depth, leaves = 3, 8
    codes = torch.randint(leaves, (40, 2, 3), generator=torch.Generator().manual_seed(5))
    codes[:, 1, 2] = 5  # one leaf alone: splits off its path are never reached
    seen = torch.zeros(2, 3, leaves - 1)
    right = torch.zeros_like(seen)
    for n, r, t in itertools.product(range(40), range(2), range(3)):
        leaf = int(codes[n, r, t])
        for k in range(depth):
            split = 2**k - 1 + leaf % 2**k
            seen[r, t, split] += 1
            right[r, t, split] += leaf >> k & 1
    expected = torch.where(seen > 0, right / seen.clamp(min=1), 0.5)
    assert torch.allclose(turns(codes, leaves), expected)


def test_gates_start_with_the_turns_that_are_asked_for() -> None:
    """Hard routing of the rows they start from spreads over leaves as the codes do."""
    generator = torch.Generator().manual_seed(6)
    torch.manual_seed(6)
    codes = torch.tensor([0, 0, 0, 0, 0, 1, 2, 2, 5, 5]).repeat(20)[:, None, None]
    gates = SplitGates(4, trees=1, depth=3)
    features = torch.randn(len(codes), 4, generator=generator)
    gates.initialise(features, turns(codes, 8))
    leaf = hard_leaves(gates.eval()(features)).flatten()
    assert torch.equal(leaf.bincount(minlength=8), codes.flatten().bincount(minlength=8))
