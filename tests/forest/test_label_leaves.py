"""Bounding against triple loops, its monotony, the stepwise statistics, and the saddle."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drf.forest import label_leaves
from drf.forest.label_leaves import LabelLeaves, bounding_step, cross_entropy, entropy, predict
from drf.forest.labels import Labels, without_near_empty
from drf.forest.routing import log_routing
from tests.forest import oracles

G, N, T, DEPTH, H, C = 2, 9, 3, 2, 2, 6
L = 2**DEPTH


def draw(seed: int = 0, rows: int = N) -> tuple[Tensor, Tensor, Tensor]:
    """Routing, leaves and labels, float64."""
    generator = torch.Generator().manual_seed(seed)
    f = 2 * torch.randn(G, rows, T, L - 1, generator=generator, dtype=torch.float64)
    q = torch.randn(G, T, L, H, C, generator=generator, dtype=torch.float64).softmax(dim=-1)
    d = 3 * torch.randn(G, rows, H, C, generator=generator, dtype=torch.float64)
    return log_routing(f).exp(), q, d.softmax(dim=-1)


def test_one_step_is_the_triple_loop() -> None:
    routing, q, labels = draw()
    result = bounding_step(routing, q, Labels(labels))
    for g in range(G):
        for t in range(T):
            for h in range(H):
                expected = oracles.bounding_step(routing[g, :, t], q[g, t, :, h], labels[g, :, h])
                assert torch.allclose(result[g, t, :, h], expected, rtol=1e-12)


def test_predictions_and_cross_entropy_as_sums() -> None:
    routing, q, labels = draw()
    predictions = predict(routing, q)
    total = 0.0
    for g in range(G):
        for i in range(N):
            for t in range(T):
                for h in range(H):
                    mixture = sum(routing[g, i, t, leaf] * q[g, t, leaf, h] for leaf in range(L))
                    assert torch.allclose(predictions[g, i, t, h], mixture)
                    total -= float((labels[g, i, h] * mixture.log()).sum())
    mean = total / (G * N * T * H)
    assert cross_entropy(predictions, labels).item() == pytest.approx(mean)
    floor = -float((labels * labels.log()).sum()) / (G * N * H)
    assert entropy(labels).item() == pytest.approx(floor)
    assert mean > floor


@settings(deadline=None, max_examples=30)
@given(st.integers(0, 10**6), st.booleans())
def test_cross_entropy_never_rises_over_iterations(seed: int, masked: bool) -> None:
    routing, q, labels = draw(seed)
    if masked:
        labels = without_near_empty(labels, 0.3)
    previous = cross_entropy(predict(routing, q), labels)
    for _ in range(15):
        q = bounding_step(routing, q, Labels(labels))
        current = cross_entropy(predict(routing, q), labels)
        assert current <= previous + 1e-12
        previous = current
    assert torch.allclose(q.sum(dim=-1), torch.ones(()).double())


def test_rows_without_labels_count_nowhere() -> None:
    routing, q, labels = draw()
    masked = labels.clone()
    masked[:, 5:] = 0
    alone = bounding_step(routing[:, :5], q, Labels(labels[:, :5]))
    assert torch.allclose(bounding_step(routing, q, Labels(masked)), alone)
    predictions = predict(routing, q)
    assert torch.allclose(
        cross_entropy(predictions, masked), cross_entropy(predictions[:, :5], labels[:, :5])
    )
    ours, theirs = LabelLeaves(G, T, L, H, C), LabelLeaves(G, T, L, H, C)
    ours.update(routing.float(), Labels(masked.float()), ours(routing.float()))
    few = routing[:, :5].float()
    theirs.update(few, Labels(labels[:, :5].float()), theirs(few))
    assert torch.allclose(ours.q, theirs.q, atol=1e-6)
    assert torch.allclose(ours.mass, theirs.mass, atol=1e-6)


def test_without_near_empty_drops_what_lies_under_the_share_of_the_peak() -> None:
    labels = torch.tensor([[0.5, 0.3, 0.14, 0.06], [0.0, 0.0, 0.0, 0.0]])
    result = without_near_empty(labels, 0.3)
    assert torch.allclose(result, torch.tensor([[0.5, 0.3, 0, 0], [0, 0, 0, 0]]) / 0.8)


def split_gradient(gates: Tensor, leaves: Tensor) -> Tensor:
    """dR/df for labels that are all on one cell."""
    f = gates.clone().requires_grad_()
    labels = torch.eye(4, dtype=leaves.dtype)[:1].expand(1, N, 1, 4)
    cross_entropy(predict(log_routing(f).exp(), leaves), labels).backward()
    assert f.grad is not None
    return f.grad


def test_identical_leaves_give_exactly_no_gradient_to_the_splits() -> None:
    """The first cause of the collapse in the notes: gates trained against uniform leaves.

    At f = 0 every number on the way is a power of two, so the zero is one to the last bit; gates
    anywhere else add the rounding of float64.
    """
    random = torch.randn(1, N, T, L - 1, generator=torch.Generator().manual_seed(0)).double()
    uniform = torch.full((1, T, L, 1, 4), 0.25, dtype=torch.float64)
    distinct = torch.eye(4, dtype=torch.float64).mul(0.5).add(0.125).expand(1, T, 4, 4)
    assert torch.count_nonzero(split_gradient(torch.zeros_like(random), uniform)) == 0
    assert split_gradient(random, uniform).abs().max() < 1e-16
    for gates in (torch.zeros_like(random), random):
        assert split_gradient(gates, distinct.unsqueeze(3)).abs().max() > 1e-3


def test_stepwise_update_is_the_recursion_of_the_statistics() -> None:
    leaves = LabelLeaves(G, T, L, H, C).double()
    statistics = leaves.q * leaves.mass.unsqueeze(-1)
    for t in range(5):
        routing, _, labels = draw(t)
        q = statistics / statistics.sum(dim=-1, keepdim=True)
        ratio = labels[:, :, None] / predict(routing, q)
        batch = torch.einsum("gntl,gtlhc,gnthc->gtlhc", routing, q, ratio) / N
        eta = (t + 2) ** -0.6
        statistics = (1 - eta) * statistics + eta * batch
        leaves.update(routing, Labels(labels), leaves(routing))
        expected = statistics / statistics.sum(dim=-1, keepdim=True)
        assert torch.allclose(leaves.q, expected, atol=1e-6)
        assert torch.allclose(leaves.mass, statistics.sum(dim=-1), atol=1e-6)
    assert leaves.steps == 5


def test_stepwise_batches_reach_what_all_rows_reach() -> None:
    routing, _, labels = draw(3, rows=400)
    full = LabelLeaves(G, T, L, H, C).double()
    full.initialise(routing.argmax(dim=-1), Labels(labels))
    stepwise = LabelLeaves(G, T, L, H, C).double()
    stepwise.initialise(routing.argmax(dim=-1), Labels(labels))
    before = cross_entropy(full(routing), labels)
    q = full.q
    for epoch in range(4):
        q = bounding_step(routing, q, Labels(labels))
        for rows in torch.randperm(400, generator=torch.Generator().manual_seed(epoch)).split(20):
            batch = routing[:, rows]
            stepwise.update(batch, Labels(labels[:, rows]), stepwise(batch))
    best = cross_entropy(predict(routing, q), labels)
    reached = cross_entropy(stepwise(routing), labels)
    assert reached < before
    assert reached - best < 0.01


def test_start_takes_the_mean_label_of_the_assigned_rows() -> None:
    _, _, labels = draw()
    codes = torch.zeros(G, N, T, dtype=torch.int64)
    codes[:, 4:, 1] = 2
    leaves = LabelLeaves(G, T, L, H, C)
    leaves.initialise(codes, Labels(labels.float()))
    assert torch.allclose(leaves.q[:, 1, 2], labels[:, 4:].mean(dim=1).float(), atol=1e-6)
    assert torch.allclose(leaves.q[:, 1, 0], labels[:, :4].mean(dim=1).float(), atol=1e-6)
    assert torch.allclose(leaves.q[:, 0, 3], labels.mean(dim=1).float(), atol=1e-6)  # no rows


def test_leaves_that_no_row_reaches_keep_what_they_hold() -> None:
    leaves = LabelLeaves(1, 1, 2, 1, 4)
    leaves.initialise(torch.tensor([[[0], [1]]]), Labels(torch.eye(4)[None, :2, None]))
    kept = leaves.q[0, 0, 1].clone()
    routing = torch.tensor([1.0, 0.0]).expand(1, 6, 1, 2)
    labels = torch.eye(4)[2].expand(1, 6, 1, 4)
    for _ in range(500):
        leaves.update(routing, Labels(labels), leaves(routing))
    leaves.mass[0, 0, 1] = 0  # where the decay ends
    leaves.update(routing, Labels(labels), leaves(routing))
    assert torch.allclose(leaves.q[0, 0, 1], kept)
    assert leaves.q[0, 0, 0, 0].argmax() == 2
    assert leaves.q.isfinite().all()


@pytest.mark.parametrize("gamma", [1.0, 1e4])
def test_narrow_labels_where_no_leaf_has_mass_stay_finite(gamma: float) -> None:
    generator = torch.Generator().manual_seed(0)
    leaves = LabelLeaves(1, 2, 8, 2, 64)
    corner = torch.eye(64)[:2].expand(1, 30, 2, 64)
    leaves.initialise(torch.randint(8, (1, 30, 2), generator=generator), Labels(corner))
    routing = log_routing(torch.randn(1, 30, 2, 7, generator=generator), gamma).exp()
    other = torch.eye(64)[62:].expand(1, 30, 2, 64)
    loss = cross_entropy(leaves(routing), other)
    assert loss == pytest.approx(-math.log(label_leaves.FLOOR), rel=0.01)
    for _ in range(30):
        leaves.update(routing, Labels(other), leaves(routing))
    assert leaves.q.isfinite().all()
    assert cross_entropy(leaves(routing), other) < 0.5


def test_predictions_are_float32_under_autocast() -> None:
    leaves = LabelLeaves(1, 2, 4, 1, 8)
    routing = torch.full((1, 5, 2, 4), 0.25)
    with torch.autocast("cpu", torch.bfloat16):
        assert leaves(routing).dtype == torch.float32
