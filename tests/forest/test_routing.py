"""Routing against loops over leaves, its gradient, and what balance terms say."""

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drf.forest.routing import (
    balance,
    depth_of,
    hard_leaves,
    log_routing,
    probabilities,
    shares,
    top_leaves,
)
from tests.forest import oracles


def gates(*shape: int, scale: float = 1.0, seed: int = 0, dtype: torch.dtype = torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return scale * torch.randn(*shape, generator=generator, dtype=dtype)


@pytest.mark.parametrize("depth", range(1, 11))
def test_every_path_is_the_product_along_it(depth: int) -> None:
    f = gates(2 if depth < 8 else 1, 2, 2**depth - 1)
    assert torch.allclose(log_routing(f).exp(), oracles.probabilities(f), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize("depth", range(1, 5))
def test_gradient_is_that_of_the_loops(depth: int) -> None:
    f = gates(2, 2, 2**depth - 1).requires_grad_()
    weight = gates(2, 2, 2**depth, seed=1)
    (ours,) = torch.autograd.grad((log_routing(f).exp() * weight).sum(), f)
    (theirs,) = torch.autograd.grad((oracles.probabilities(f) * weight).sum(), f)
    assert torch.allclose(ours, theirs, rtol=1e-11, atol=1e-14)


@pytest.mark.parametrize("depth", [1, 2, 3, 6])
def test_gradcheck(depth: int) -> None:
    f = gates(2, 2, 2**depth - 1).requires_grad_()
    assert torch.autograd.gradcheck(log_routing, (f,))
    rows_inner = f.detach().permute(1, 2, 0).contiguous().permute(2, 0, 1).requires_grad_()
    assert torch.autograd.gradcheck(log_routing, (rows_inner,))


@settings(deadline=None, max_examples=60)
@given(
    st.integers(1, 10),
    st.sampled_from([0.0, 1.0, 30.0, 1e4]),
    st.sampled_from([torch.float32, torch.float64]),
    st.integers(0, 10**6),
)
def test_probabilities_sum_to_one_however_steep(
    depth: int, gamma: float, dtype: torch.dtype, seed: int
) -> None:
    log_p = log_routing(gates(3, 2, 2**depth - 1, seed=seed, dtype=dtype), gamma)
    assert log_p.isfinite().all()
    assert (log_p.exp().sum(dim=-1) - 1).abs().max() < 1e-6


@settings(deadline=None, max_examples=60)
@given(st.integers(1, 10), st.sampled_from([0.0, 1.0, 30.0, 1e4]), st.integers(0, 10**6))
def test_shares_are_the_probabilities_without_denormal_numbers(
    depth: int, gamma: float, seed: int
) -> None:
    f = gamma * gates(3, 2, 2**depth - 1, seed=seed, dtype=torch.float32)
    p = shares(f)
    torch.testing.assert_close(p, log_routing(f).exp(), rtol=0, atol=1e-6 * depth)
    assert (p >= 0).all()
    assert (p.sum(dim=-1) - 1).abs().max() < 1e-6
    assert not ((p > 0) & (p < torch.finfo(p.dtype).tiny)).any()


def test_logarithms_of_the_improbable_are_kept() -> None:
    f = torch.tensor([[[-500.0, 3.0, 2.0]]])
    right_then_left, right_then_right = log_routing(f)[0, 0, 1], log_routing(f)[0, 0, 3]
    assert right_then_left.item() == pytest.approx(-500 - math.log1p(math.exp(2)), rel=1e-6)
    assert right_then_right.item() == pytest.approx(-500 - math.log1p(math.exp(-2)), rel=1e-6)


def test_probabilities_are_exp_without_denormal_numbers() -> None:
    log_p = torch.linspace(-110, 0, 500, requires_grad=True)
    p = probabilities(log_p)
    (slope,) = torch.autograd.grad(p.sum(), log_p)
    assert torch.equal(p[log_p > -80], log_p.exp()[log_p > -80])
    assert (p[log_p <= -80.1] == 0).all()
    assert torch.equal(slope, p)
    wide = gates(2, 2, 7).requires_grad_()
    assert torch.autograd.gradcheck(lambda f: probabilities(log_routing(f)), (wide,))


def test_memory_layout_follows_the_gates_and_changes_nothing() -> None:
    f = gates(5, 3, 7)
    rows_inner = f.permute(1, 2, 0).contiguous().permute(2, 0, 1)
    expected = log_routing(f)
    assert expected.is_contiguous()
    result = log_routing(rows_inner)
    assert result.stride(0) == 1
    assert torch.equal(result, expected)
    assert torch.equal(log_routing(f[:1].expand(5, 3, 7)), expected[:1].expand(5, 3, 8))


def test_steepness_is_a_factor_on_the_gates() -> None:
    f = gates(4, 2, 15)
    assert torch.equal(log_routing(f, 3.0), log_routing(3 * f))
    assert torch.equal(log_routing(f, torch.tensor(3.0)), log_routing(3 * f))


def test_half_precision_is_routed_in_float32() -> None:
    f = gates(4, 2, 15).bfloat16()
    assert torch.equal(log_routing(f), log_routing(f.float()))


@pytest.mark.parametrize("splits", [0, 2, 4, 8])
def test_incomplete_trees_are_refused(splits: int) -> None:
    with pytest.raises(ValueError, match="complete tree"):
        log_routing(torch.zeros(1, 1, splits))
    assert depth_of(255) == 8


@settings(deadline=None)
@given(st.integers(1, 8), st.integers(0, 10**6))
def test_hard_routing_is_where_steep_soft_routing_ends(depth: int, seed: int) -> None:
    f = gates(6, 3, 2**depth - 1, seed=seed)
    f = f + 0.01 * f.sign()  # a gate at 0 decides for nobody, however steep
    assert torch.equal(hard_leaves(f), log_routing(f, 1e4).argmax(dim=-1))
    for i in range(6):
        for t in range(3):
            steps = oracles.path(int(hard_leaves(f)[i, t]), depth)
            assert all((f[i, t, split] > 0) == right for split, right in steps)


def test_top_leaves_are_the_largest_renormalised() -> None:
    p = log_routing(gates(4, 2, 15)).exp()
    log_share, leaf = top_leaves(p.log(), 3)
    largest = p.sort(dim=-1, descending=True).values[..., :3]
    assert torch.allclose(p.gather(-1, leaf), largest)
    assert torch.allclose(log_share.exp(), largest / largest.sum(dim=-1, keepdim=True))


def entropy(p: Tensor) -> float:
    return -sum(float(v) * math.log(float(v)) for v in p if v > 0)


def test_balance_as_the_formulas_say() -> None:
    p = log_routing(gates(5, 2, 7, scale=2.0)).exp()
    result = balance(p.log())
    for t in range(2):
        usage = p[:, t].mean(dim=0)
        conditional = sum(entropy(p[i, t]) for i in range(5)) / 5
        assert result.usage_entropy[t].item() == pytest.approx(entropy(usage))
        assert result.information[t].item() == pytest.approx(entropy(usage) - conditional)
        assert result.largest_share[t].item() == pytest.approx(float(usage.max()))


def test_balance_at_its_ends() -> None:
    alike = balance(log_routing(gates(1, 1, 7).expand(20, 1, 7)))
    assert alike.information.item() == pytest.approx(0, abs=1e-12)
    corners = torch.tensor([[1.0, 1, 1], [-1, 1, 1], [1, -1, -1], [-1, -1, -1]])[:, None]
    decided = balance(log_routing(corners, 1e3))
    assert decided.information.item() == pytest.approx(math.log(4))
    assert decided.usage_entropy.item() == pytest.approx(math.log(4))
    assert decided.largest_share.item() == pytest.approx(0.25)


def test_gradient_of_the_information_is_finite_where_leaves_are_unused() -> None:
    f = (gates(5, 2, 7, dtype=torch.float32) + 500).requires_grad_()
    balance(log_routing(f)).information.sum().backward()
    assert f.grad is not None
    assert f.grad.isfinite().all()
