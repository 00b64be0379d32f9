"""Pools: rows and back for any partition, repeated rows that count nowhere, what is saved."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drf.forest import leaf_updates
from drf.forest.labels import Labels
from drf.forest.leaf_updates import Update
from drf.forest.pools import Pools

UNEVEN = [np.array([4, 0, 2]), np.array([5]), np.array([1, 3])]
B, T, L, H, C = 6, 2, 4, 2, 5


@st.composite
def partitions(draw: st.DrawFn) -> list[np.ndarray]:
    """Up to 9 landmarks in up to 5 groups, in any order."""
    order = draw(st.permutations(range(draw(st.integers(1, 9)))))
    inner = draw(st.sets(st.integers(1, max(1, len(order) - 1)), max_size=4))
    cuts = sorted(cut for cut in inner if cut < len(order))
    return [np.array(group) for group in np.split(np.array(order), cuts)]


@settings(deadline=None)
@given(partitions(), st.integers(1, 4))
def test_rows_and_landmarks_are_inverse(groups: list[np.ndarray], faces: int) -> None:
    pools = Pools(groups)
    k, most = sum(map(len, groups)), max(map(len, groups))
    x = torch.arange(faces * k * 2.0).view(faces, k, 2)
    rows = pools.rows(x)
    assert rows.shape == (len(groups), faces * most, 2)
    assert torch.equal(pools.landmarks(rows), x)
    for pool, group in enumerate(groups):
        mine = {tuple(pair) for pair in x[:, group].flatten(0, 1).tolist()}
        assert {tuple(pair) for pair in rows[pool].tolist()} == mine
    for face in range(faces):  # rows of a face stand together
        assert torch.equal(pools.rows(x[face : face + 1]), rows[:, face * most : (face + 1) * most])


@settings(deadline=None)
@given(partitions(), st.integers(1, 4))
def test_every_label_is_there_once(groups: list[np.ndarray], faces: int) -> None:
    pools = Pools(groups)
    k = sum(map(len, groups))
    labels = torch.rand(faces, k, 1, 3, generator=torch.Generator().manual_seed(0)) + 0.1
    masked = pools.masked(Labels(labels)).weights
    for pool, group in enumerate(groups):
        kept = masked[pool][masked[pool].sum(dim=(1, 2)) > 0]
        assert len(kept) == faces * len(group)
        mine = labels[:, group].flatten(0, 1)
        assert torch.equal(kept.flatten().sort().values, mine.flatten().sort().values)


def batch(seed: int) -> tuple[Tensor, Tensor]:
    """Routing (B, K, T, L) and labels (B, K, H, C)."""
    generator = torch.Generator().manual_seed(seed)
    p = torch.randn(B, 6, T, L, generator=generator).mul(2).softmax(dim=-1)
    return p, torch.randn(B, 6, H, C, generator=generator).mul(2).softmax(dim=-1)


@pytest.mark.parametrize("update", ["bounding", "ridge"])
@pytest.mark.parametrize("way", ["update", "fit"])
def test_leaves_learn_as_if_each_pool_were_alone(update: Update, way: str) -> None:
    pools = Pools(UNEVEN)
    together = leaf_updates.build(update, 3, T, L, H, C)
    alone = [leaf_updates.build(update, 1, T, L, H, C) for _ in UNEVEN]
    for seed in range(4):
        p, labels = batch(seed)
        routing, masked = pools.rows(p), pools.masked(Labels(labels))
        if way == "update":
            together.update(routing, masked, together(routing))
        else:
            together.fit([(routing, masked)], 3)
        for leaves, group in zip(alone, UNEVEN, strict=True):
            mine = p[:, group].flatten(0, 1)[None]
            label = Labels(labels[:, group].flatten(0, 1)[None])
            if way == "update":
                leaves.update(mine, label, leaves(mine))
            else:
                leaves.fit([(mine, label)], 3)
    for pool, leaves in enumerate(alone):
        assert torch.allclose(together.q[pool], leaves.q[0], atol=1e-5)


@pytest.mark.parametrize("update", ["bounding", "ridge", "gradient"])
def test_start_and_loss_as_if_each_pool_were_alone(update: Update) -> None:
    pools = Pools(UNEVEN)
    p, labels = batch(0)
    codes = p.argmax(dim=-1)
    together = leaf_updates.build(update, 3, T, L, H, C)
    masked = pools.masked(Labels(labels))
    together.initialise(pools.rows(codes), masked)
    total = 0.0
    for pool, group in enumerate(UNEVEN):
        leaves = leaf_updates.build(update, 1, T, L, H, C)
        label = Labels(labels[:, group].flatten(0, 1)[None])
        leaves.initialise(codes[:, group].flatten(0, 1)[None], label)
        assert torch.allclose(together.q[pool], leaves.q[0], atol=1e-5)
        mine = leaves(p[:, group].flatten(0, 1)[None])
        total += leaves.loss(mine, label).item() * len(group) / 6
    loss = together.loss(together(pools.rows(p)), masked)
    assert loss.item() == pytest.approx(total, rel=1e-4)


def test_the_partition_is_saved_and_rearranges_the_members() -> None:
    saved, loaded = Pools(UNEVEN), Pools([np.array([0, 1]), np.array([2, 3]), np.array([4, 5])])
    loaded.load_state_dict(saved.state_dict())
    x = torch.rand(2, 6, 3)
    assert torch.equal(loaded.rows(x), saved.rows(x))
    assert torch.equal(loaded.landmarks(loaded.rows(x)), x)
    assert list(saved.state_dict()) == ["pool_of"]


@pytest.mark.parametrize(
    ("groups", "sentence"),
    [
        ([[0, 1], [1, 2], [3, 4, 5]], "every landmark once"),
        ([[0, 1], [2], [3, 4, 6]], "every landmark once"),
        ([[0, 1, 2], [3, 4, 5]], "every landmark once"),
        ([[0, 1, 2], [], [3, 4, 5]], "without landmarks"),
    ],
)
def test_what_is_no_partition_is_refused(groups: list[list[int]], sentence: str) -> None:
    pools = Pools(UNEVEN)
    arrays = [np.array(group, dtype=np.int64) for group in groups]
    before = pools.pool_of.clone()
    with pytest.raises(ValueError, match=sentence):
        pools.assign(arrays)
    assert torch.equal(pools.pool_of, before)
    if len(groups) == 3:
        with pytest.raises(ValueError, match=sentence):
            Pools(arrays)
