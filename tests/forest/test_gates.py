"""Gates: what f is, where they start, and how steepness grows."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from drf.forest.gates import SplitGates, steepness
from drf.forest.routing import hard_leaves


def features(*shape: int) -> torch.Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(1)) * 5 + 3


def gates(*arguments: int) -> SplitGates:
    torch.manual_seed(0)
    return SplitGates(*arguments)


def test_a_gate_is_the_formula() -> None:
    layer = gates(4, 2, 3)
    x = features(50, 4)
    layer.initialise(x)
    layer.set_steepness(2.5)
    layer.eval()
    f = layer(x)
    standard = (x[7] - x.mean(0)) / (x.var(0, correction=0) + layer.norm.eps).sqrt()
    w, threshold = layer.weight[0, 7 + 3], layer.threshold[0, 7 + 3]  # tree 1, split 3
    expected = 2.5 * ((w @ standard) / w.norm() - threshold)
    assert f.shape == (50, 2, 7)
    assert torch.allclose(f[7, 1, 3], expected, atol=1e-5)


def test_length_of_a_weight_does_not_matter() -> None:
    layer, x = gates(4, 2, 3).eval(), features(5, 4)
    before = layer(x)
    with torch.no_grad():
        layer.weight *= 100
    assert torch.allclose(layer(x), before, atol=1e-5)


def test_sites_have_splits_of_their_own() -> None:
    layer, x = gates(4, 2, 3, 5).eval(), features(6, 5, 4)
    f = layer(x)
    assert f.shape == (6, 5, 2, 7)
    for site in range(5):
        alone = gates(4, 2, 3).eval()
        with torch.no_grad():
            alone.weight.copy_(layer.weight[site : site + 1])
        assert torch.allclose(alone(x[:, site]), f[:, site], atol=1e-5)


@pytest.mark.parametrize("sites", [1, 3])
def test_gradients_are_those_of_the_formula(sites: int) -> None:
    """Of features and weights, while batch norm is learning, too."""
    x = features(6, 4) if sites == 1 else features(6, sites, 4)
    slopes = []
    for literal in (False, True):
        layer, rows = gates(4, 2, 2, sites).double(), x.double().requires_grad_()
        layer.set_steepness(2.5)
        f = layer(rows)
        if literal:
            flat = rows.flatten(1)
            spread = (flat.var(dim=0, correction=0) + layer.norm.eps).sqrt()
            standard = ((flat - flat.mean(dim=0)) / spread).view(6, sites, 4)
            w = layer.weight / layer.weight.norm(dim=-1, keepdim=True)
            f = 2.5 * (torch.einsum("nsf,smf->nsm", standard, w) - layer.threshold)
        loss = (f.flatten() * torch.linspace(-1, 2, f.numel())).sum()
        slopes.append((loss, *torch.autograd.grad(loss, (rows, layer.weight, layer.threshold))))
    for ours, expected in zip(*slopes, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_rows_may_have_any_leading_shape() -> None:
    layer, x = gates(4, 2, 3).eval(), features(6, 5, 4)
    f = layer(x)
    assert f.shape == (6, 5, 2, 7)
    assert torch.allclose(layer(x[2])[3], f[2, 3], atol=1e-6)


@pytest.mark.parametrize("sites", [1, 3])
def test_leaves_start_with_equal_shares(sites: int) -> None:
    layer = gates(6, 4, 4, sites)
    x = features(320, 6) if sites == 1 else features(320, sites, 6)
    layer.initialise(x)
    leaves = hard_leaves(layer.eval()(x)).view(320, -1)
    for column in leaves.T:
        assert (column.bincount(minlength=16) == 20).all()


def test_start_of_deep_trees_on_few_or_equal_faces_is_finite() -> None:
    for x in (features(3, 6), torch.full((10, 6), 2.0)):
        layer = gates(6, 2, 5)
        layer.initialise(x)
        assert layer.threshold.isfinite().all()
        assert layer.eval()(x).isfinite().all()


def test_gates_stay_in_float32_under_autocast_and_carry_gradients() -> None:
    layer, x = gates(4, 2, 3), features(8, 4).requires_grad_()
    with torch.autocast("cpu", torch.bfloat16):
        f = layer(x.bfloat16())
    assert f.dtype == torch.float32
    f.square().sum().backward()
    assert layer.weight.grad is not None
    assert layer.weight.grad.abs().sum() > 0


def test_steepness_is_saved() -> None:
    layer = gates(4, 2, 3)
    layer.set_steepness(7.0)
    other = gates(4, 2, 3)
    other.load_state_dict(layer.state_dict())
    assert other.gamma == 7.0


@given(st.floats(0.1, 10), st.floats(0.1, 100), st.floats(0, 1), st.floats(0, 1))
def test_steepness_runs_between_its_ends(first: float, last: float, a: float, b: float) -> None:
    for annealing in ("linear", "geometric"):
        assert steepness(0, first, last, annealing) == pytest.approx(first)
        assert steepness(1, first, last, annealing) == pytest.approx(last)
        low, high = (steepness(share, first, last, annealing) for share in sorted((a, b)))
        assert (high - low) * (last - first) >= -1e-9
    assert steepness(a, first, last, "constant") == last


def test_steepness_half_way() -> None:
    assert steepness(0.5, 1, 9, "linear") == pytest.approx(5)
    assert steepness(0.5, 1, 9, "geometric") == pytest.approx(3)
    assert steepness(7, 1, 9, "linear") == pytest.approx(9)
