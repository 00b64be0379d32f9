"""Muon's orthogonal momentum, against its formulas."""

import pytest
import torch
from torch import nn

from drf.landmarks.markup import IBUG68
from drf.models.base import InputSpec
from drf.models.hourglass import Hourglass, HourglassConfig
from drf.training.optimiser import COEFFICIENTS, STEPS, Muon, Optimisers, orthogonal


def literally(m):
    """X <- a X + b X X^T X + c (X X^T)^2 X, from M over its Frobenius norm."""
    a, b, c = COEFFICIENTS
    x = m / m.norm()
    for _ in range(STEPS):
        x = a * x + b * x @ x.T @ x + c * x @ x.T @ x @ x.T @ x
    return x


@pytest.mark.parametrize("shape", [(8, 8), (5, 40), (40, 5)])
def test_is_the_iteration(shape):
    m = torch.randn(3, *shape, dtype=torch.float64)
    expected = torch.stack([literally(x) for x in m])
    torch.testing.assert_close(orthogonal(m), expected)


@pytest.mark.parametrize("size", [1e-12, 1.0, 1e6])
def test_brings_all_singular_values_near_one_and_keeps_directions(size):
    u, v = (torch.linalg.qr(torch.randn(2, 24, 24)).Q for _ in range(2))
    values = torch.linspace(0.1, 1, 24)
    result = orthogonal(size * u @ torch.diag(values) @ v)
    inside = u.mT @ result @ v.mT
    diagonal = inside.diagonal(dim1=-2, dim2=-1)
    assert diagonal.min() > 0.6
    assert diagonal.max() < 1.3
    assert (inside - torch.diag_embed(diagonal)).abs().max() < 1e-3


def test_nothing_to_learn_is_no_step():
    assert not orthogonal(torch.zeros(2, 4, 9)).any()


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last])
def test_a_step_by_its_formula(layout):
    weights = [torch.randn(4, 3, 3, 3), torch.randn(4, 3, 3, 3), torch.randn(6, 2, 1, 1)]
    learned = [nn.Parameter(w.clone().to(memory_format=layout)) for w in weights]
    optimiser = Muon(learned, lr=0.1, momentum=0.9, weight_decay=0.5)
    moments = [torch.zeros_like(w) for w in weights]
    for _ in range(2):
        for i, p in enumerate(learned):
            p.grad = torch.randn_like(p)
            moments[i] = 0.9 * moments[i] + 0.1 * p.grad
            ahead = (0.1 * p.grad + 0.9 * moments[i]).flatten(1)
            update = literally(ahead).view_as(p) * 0.2 * max(ahead.shape) ** 0.5
            weights[i] = weights[i] * (1 - 0.1 * 0.5) - 0.1 * update
        optimiser.step()
    for p, expected in zip(learned, weights, strict=True):
        torch.testing.assert_close(p.detach(), expected, rtol=1e-4, atol=1e-5)


def optimisers(kind):
    config = HourglassConfig(width=16, depth=1, growth=8)
    model = Hourglass(config, InputSpec(32, IBUG68)).place("cpu")
    return model, Optimisers(model, kind, 0.01)


def test_every_parameter_has_one_optimiser():
    model, both = optimisers("muon")
    inner = [p for group in both.parts["muon"].param_groups for p in group["params"]]
    rest = [p for group in both.parts["adamw"].param_groups for p in group["params"]]
    assert {id(p) for p in inner} | {id(p) for p in rest} == {id(p) for p in model.parameters()}
    assert len(inner) + len(rest) == len(list(model.parameters()))
    assert all(p.ndim == 4 and p.shape[1] > 3 for p in inner)
    assert len(inner) > 5
    assert list(optimisers("adamw")[1].parts) == ["adamw"]


def test_moments_survive_a_checkpoint_to_the_last_digit():
    def step(model, both):
        torch.manual_seed(7)
        for p in model.parameters():
            p.grad = torch.randn_like(p)
        both.set_rate(1e-2)
        both.step()

    model, both = optimisers("muon")
    step(model, both)
    other, again = optimisers("muon")
    other.load_state_dict(model.state_dict())
    again.restore(
        {
            name: value.clone(memory_format=torch.contiguous_format)
            for name, value in both.moments().items()
        }
    )
    step(model, both)
    step(other, again)
    for ours, theirs in zip(model.parameters(), other.parameters(), strict=True):
        assert torch.equal(ours, theirs)


def test_weights_move_as_with_the_muon_of_torch():
    """On matrices; torch's iteration runs in bfloat16, so up to its rounding."""
    torch.manual_seed(0)
    options = {"lr": 0.05, "momentum": 0.95, "weight_decay": 0.1}
    ours, theirs = (torch.nn.Parameter(torch.ones(24, 40)) for _ in range(2))
    one = Muon([ours], **options)
    other = torch.optim.Muon(
        [theirs], ns_steps=STEPS, nesterov=True, adjust_lr_fn="match_rms_adamw", **options
    )
    for _ in range(4):
        ours.grad = torch.randn(24, 40)
        theirs.grad = ours.grad.clone()
        one.step()
        other.step()
    moved = (ours - 1).norm()
    assert moved > 1
    assert (ours - theirs).norm() < 0.03 * moved
