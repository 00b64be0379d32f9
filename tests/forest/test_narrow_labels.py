"""Labels that name their cells: whatever is computed from them is what the dense formulas say."""

from __future__ import annotations

import copy
from typing import get_args

import pytest
import torch
from torch import Tensor

from drf.forest import label_leaves, leaf_updates
from drf.forest.label_leaves import FLOOR, LabelLeaves
from drf.forest.labels import LabelGrid, Labels, LeafKind
from drf.forest.leaf_updates import GradientLeaves
from drf.forest.routing import log_routing
from tests.forest import oracles

G, N, T, DEPTH, H, C, J = 2, 40, 3, 2, 2, 30, 4
L = 2**DEPTH


def draw(seed: int = 0) -> tuple[Tensor, Tensor, Labels]:
    """Routing, leaves and labels, float64, nowhere in the order that memory has by default; the
    last rows of the second pool have no label."""
    generator = torch.Generator().manual_seed(seed)
    f = 2 * torch.randn(G, T, N, L - 1, generator=generator, dtype=torch.float64).transpose(1, 2)
    q = torch.randn(G, T, L, H, C, generator=generator, dtype=torch.float64).softmax(dim=-1)
    d = torch.randn(N, G, H, J, generator=generator, dtype=torch.float64).softmax(dim=-1)
    cells = torch.rand(N, G, H, C, generator=generator).argsort(dim=-1)[..., :J]
    d[-5:, 1] = 0
    return log_routing(f).exp(), q, Labels(d.transpose(0, 1), cells.transpose(0, 1))


def literal_predictions(routing: Tensor, q: Tensor) -> Tensor:
    return torch.einsum("gntl,gtlhc->gnthc", routing, q)


def literal_divergence(routing: Tensor, q: Tensor, labels: Tensor) -> Tensor:
    """sum_c d_c log(d_c / g_c) of every tree, row and head with a label, averaged."""
    g, d = literal_predictions(routing, q), labels.unsqueeze(2)
    each = (torch.xlogy(d, d) - d * g.log()).sum(dim=-1)
    return each.sum() / (T * labels.sum())


@pytest.mark.parametrize("block", [1, 7 * J * L, label_leaves.BLOCK])
def test_loss_and_gradients_are_those_of_all_cells(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(label_leaves, "BLOCK", block)
    routing, q, labels = draw()
    slopes = []
    for narrow in (True, False):
        p, leaves = routing.clone().requires_grad_(), q.clone().requires_grad_()
        if narrow:
            predictions = label_leaves.predict(p, leaves, labels.cells)
            assert predictions.shape == (G, N, T, H, J)
            loss = label_leaves.divergence(predictions, labels)
        else:
            loss = literal_divergence(p, leaves, labels.dense(C).weights)
        slopes.append((loss, *torch.autograd.grad(loss, (p, leaves))))
    for ours, expected in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-10, atol=1e-14)


def test_an_iteration_is_the_triple_loop() -> None:
    routing, q, labels = draw()
    result = label_leaves.bounding_step(routing, q, labels)
    d = labels.dense(C).weights
    for g, t, h in ((0, 0, 1), (1, 2, 0)):
        known = d[g, :, h].sum(dim=-1) > 0
        expected = oracles.bounding_step(routing[g, known, t], q[g, t, :, h], d[g, known, h])
        torch.testing.assert_close(result[g, t, :, h], expected, rtol=1e-10, atol=1e-14)


@pytest.mark.parametrize("block", [1, label_leaves.BLOCK])
def test_a_stepwise_update_is_the_recursion_over_all_cells(
    monkeypatch: pytest.MonkeyPatch, block: int
) -> None:
    monkeypatch.setattr(label_leaves, "BLOCK", block)
    leaves = LabelLeaves(G, T, L, H, C).double()
    statistics = leaves.q * leaves.mass.unsqueeze(-1)
    for step in range(4):
        routing, _, labels = draw(step)
        d = labels.dense(C).weights
        q = statistics / statistics.sum(dim=-1, keepdim=True)
        ratio = d[:, :, None] / literal_predictions(routing, q)
        rows = (d.sum(dim=(-2, -1)) > 0).sum(dim=1).view(G, 1, 1, 1, 1)
        batch = torch.einsum("gntl,gtlhc,gnthc->gtlhc", routing, q, ratio) / rows
        eta = (step + 2) ** -0.6
        statistics = (1 - eta) * statistics + eta * batch
        leaves.update(routing, labels, leaves(routing, labels.cells))
        expected = statistics / statistics.sum(dim=-1, keepdim=True)
        torch.testing.assert_close(leaves.q, expected, rtol=1e-6, atol=2 * C * FLOOR)
        torch.testing.assert_close(leaves.mass, statistics.sum(dim=-1), rtol=1e-6, atol=1e-7)


@pytest.mark.parametrize("trees", [label_leaves.ALL, slice(1, 2)])
@pytest.mark.parametrize("averaged", [False, True])
@pytest.mark.parametrize("way", ["update", "fit", "fit_and_average"])
def test_every_way_of_learning_is_that_of_all_cells(way: str, averaged: bool, trees: slice) -> None:
    routing, q, narrow = draw(1)
    learned = []
    for labels in (narrow, narrow.dense(C)):
        leaves = LabelLeaves(G, T, L, H, C).double()
        leaves.q.copy_(q)
        if way == "update":
            seen = leaves(routing, labels.cells)
            leaves.update(routing, labels, label_leaves.mixed(seen) if averaged else seen, trees)
        else:
            getattr(leaves, way)([(routing, labels)] * 2, 3, trees, averaged=averaged)
        learned.append(leaves.q)
    torch.testing.assert_close(*learned, rtol=1e-9, atol=1e-13)
    assert not torch.equal(learned[0], q)


@pytest.mark.parametrize("kind", get_args(leaf_updates.Update))
def test_leaves_start_from_the_same_means(kind: leaf_updates.Update) -> None:
    routing, _, labels = draw()
    codes = routing.argmax(dim=-1).clamp(max=L - 2)  # nobody in the last leaf
    mean = label_leaves.mean_labels(codes, labels, (G, T, L, H, C))
    torch.testing.assert_close(
        mean, label_leaves.mean_labels(codes, labels.dense(C), (G, T, L, H, C))
    )
    leaves = leaf_updates.build(kind, G, T, L, H, C)
    leaves.initialise(codes, labels.dense(C).map(lambda x: x.float()))
    torch.testing.assert_close(leaves.q.double(), mean, rtol=1e-3, atol=2e-3)


def test_leaves_by_gradient_learn_from_few_cells_as_from_all() -> None:
    routing, _, narrow = draw()
    slopes = []
    for labels in (narrow, narrow.dense(C)):
        torch.manual_seed(0)
        leaves = GradientLeaves(G, T, L, H, C).double()
        with torch.no_grad():
            leaves.logits.normal_()
        leaves.loss(leaves(routing, labels.cells), labels).backward()
        slopes.append(leaves.logits.grad)
    torch.testing.assert_close(*slopes, rtol=1e-9, atol=1e-14)


def test_the_mean_of_a_mixture_is_the_mixture_of_the_leaves_means() -> None:
    routing, q, _ = draw()
    values = torch.randn(C, 2, dtype=torch.float64)
    expected = literal_predictions(routing, q) @ values
    ours = label_leaves.predict(routing, label_leaves.expectation(q, values))
    torch.testing.assert_close(ours, expected)


def test_what_stands_together_in_memory_does_so_in_copies() -> None:
    """Looking cells up is fast because the leaves of a cell stand together."""
    leaves = LabelLeaves(G, T, L, H, C)
    copied = copy.deepcopy(leaves)
    copied.load_state_dict({name: x.contiguous() for name, x in leaves.state_dict().items()})
    for q in (leaves.q, copied.q, leaves.double().q):
        assert q.stride(2) == 1
        assert q.shape == (G, T, L, H, C)


@pytest.mark.parametrize(
    ("kind", "bins", "sigma", "named"),
    [
        ("map", 64, 0.433, 36),  # the earlier designs'
        ("map", 32, 0.2, 16),
        ("xy", 256, 0.5, 8),
        ("map", 16, 0.433, 256),  # too few to be worth it
        ("xy", 32, 1.0, 32),
    ],
)
def test_labels_are_the_gaussian_over_all_cells(
    kind: LeafKind, bins: int, sigma: float, named: int
) -> None:
    grid = LabelGrid(kind, bins, sigma, 0.5)
    places = 1.2 * torch.rand(300, 2, generator=torch.Generator().manual_seed(0)) - 0.6
    places[0] = torch.nan
    places[1] = torch.tensor([torch.nan, 0.1])
    labels = grid.encode(places)
    assert labels.weights.shape == (300, grid.heads, named)
    assert (labels.cells is None) == (named == grid.cells)
    cells = (torch.arange(bins) + 0.5) / bins - 0.5
    edge = 0.5 - 0.5 / bins
    z = (places.clamp(-edge, edge).nan_to_num()[..., None] - cells) * bins / sigma
    x, y = (-0.5 * z.double() ** 2).softmax(dim=-1).unbind(dim=1)
    expected = torch.stack([x, y], dim=1)
    if kind == "map":
        expected = torch.einsum("nr,nc->nrc", y, x).flatten(1).unsqueeze(1)
    expected[:2] = 0
    dense = labels.dense(grid.cells).weights
    torch.testing.assert_close(dense.double(), expected, rtol=1e-4, atol=2e-9)
    if labels.cells is not None:
        assert labels.cells.min() >= 0
        assert labels.cells.max() < grid.cells
        assert (labels.cells.sort(dim=-1).values.diff(dim=-1) > 0).all()  # no cell twice
