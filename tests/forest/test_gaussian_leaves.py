"""EM against loops, its monotony, and stability from 2 to 40 dimensions."""

import itertools

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drf.forest.gaussian_leaves import GaussianLeaves
from drf.forest.routing import log_routing
from tests.forest import oracles

N, T, L, D = 40, 2, 4, 3


def draw(seed: int = 0, n: int = N, dims: int = D) -> tuple[Tensor, Tensor, Tensor]:
    """log P (n, T, L), labels (n, D) and k-means-like codes (n, T), float64."""
    generator = torch.Generator().manual_seed(seed)
    f = torch.randn(n, T, L - 1, generator=generator, dtype=torch.float64)
    centres = 3 * torch.randn(L, dims, generator=generator, dtype=torch.float64)
    codes = torch.randint(L, (n,), generator=generator)
    noise = torch.randn(n, dims, generator=generator, dtype=torch.float64)
    return log_routing(f), centres[codes] + noise, codes[:, None].expand(n, T)


def leaves(dims: int = D, **options: float) -> GaussianLeaves:
    return GaussianLeaves(T, L, dims, **options).double()


def test_densities_are_the_formula() -> None:
    _, y, codes = draw()
    forest = leaves(shrinkage=0.0, floor=1e-12)
    forest.initialise(y, codes)
    result = forest.log_density(y)
    for i in range(5):
        for leaf in range(L):
            expected = oracles.log_normal(y[i], forest.mean[1, leaf], forest.covariance[1, leaf])
            assert result[i, 1, leaf].item() == pytest.approx(expected, rel=1e-8)


def test_start_fits_the_assigned_rows() -> None:
    _, y, codes = draw()
    forest = leaves()
    forest.initialise(y, codes)
    members = y[codes[:, 0] == 2]
    assert torch.allclose(forest.mean[0, 2], members.mean(dim=0))
    assert torch.allclose(forest.covariance[0, 2], torch.cov(members.T, correction=0))
    assert forest.mass[0, 2].item() == pytest.approx(len(members) / N)
    forest.initialise(y, torch.zeros_like(codes))
    assert torch.allclose(forest.mean[:, 3], y.mean(dim=0).expand(T, D))


def test_one_iteration_is_the_triple_loop() -> None:
    log_p, y, codes = draw()
    forest = leaves(shrinkage=0.0, floor=1e-14)
    forest.initialise(y, codes)
    mean, covariance = forest.mean.clone(), forest.covariance.clone()
    z = forest.responsibilities(y, log_p)
    before = forest.em_step(y, log_p)
    for t in range(T):
        expected = oracles.em_step(log_p[:, t].exp(), y, mean[t], covariance[t])
        assert torch.allclose(z[:, t], expected[0], atol=1e-9)
        assert torch.allclose(forest.mean[t], expected[1], atol=1e-8)
        assert torch.allclose(forest.covariance[t], expected[2], atol=1e-8)
    assert forest.log_likelihood(y, log_p).mean() > before


@settings(deadline=None, max_examples=25)
@given(st.integers(0, 10**6), st.sampled_from([1, 2, 5]))
def test_likelihood_never_falls(seed: int, dims: int) -> None:
    log_p, y, codes = draw(seed, n=120, dims=dims)
    forest = leaves(dims, shrinkage=0.0, floor=1e-12)
    forest.initialise(y, codes)
    readings = [forest.em_step(y, log_p) for _ in range(12)]
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(readings))


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 10**6))
def test_likelihood_of_the_plain_mixture_never_falls(seed: int) -> None:
    """Without routing the mass of the leaves is the gating: EM on shapes alone."""
    _, y, codes = draw(seed, n=120)
    forest = leaves(shrinkage=0.0, floor=1e-12)
    forest.initialise(y, codes)
    readings = []
    for _ in range(12):
        prior = forest.log_prior()
        assert torch.allclose(prior.exp().sum(dim=-1), torch.ones(T).double())
        readings.append(forest.em_step(y, prior.expand(len(y), T, L)))
    assert all(b >= a - 1e-9 for a, b in itertools.pairwise(readings))


def test_stepwise_statistics_are_the_recursion_of_the_moments() -> None:
    _, y, codes = draw()
    forest = leaves()
    forest.initialise(y, codes)
    mass, mean = forest.mass.clone(), forest.mean.clone()
    first = mass[..., None] * mean
    second = mass[..., None, None] * (forest.covariance + mean[..., None] * mean[..., None, :])
    for t in range(4):
        log_p, batch, _ = draw(t + 1, n=16)
        z = forest.responsibilities(batch, log_p)
        eta = (t + 2) ** -0.6
        mass = (1 - eta) * mass + eta * z.mean(dim=0)
        first = (1 - eta) * first + eta * torch.einsum("ntl,nd->tld", z, batch) / 16
        second = (1 - eta) * second + eta * torch.einsum("ntl,nd,ne->tlde", z, batch, batch) / 16
        forest.update(batch, log_p)
        mean = first / mass[..., None]
        covariance = second / mass[..., None, None] - mean[..., None] * mean[..., None, :]
        assert torch.allclose(forest.mass, mass, rtol=1e-6)
        assert torch.allclose(forest.mean, mean, rtol=1e-6, atol=1e-6)
        assert torch.allclose(forest.covariance, covariance, rtol=1e-5, atol=1e-5)


def test_a_tight_leaf_far_from_the_origin_keeps_its_spread_in_float32() -> None:
    noise = torch.randn(500, 2, generator=torch.Generator().manual_seed(0))
    y = 1000 + 0.01 * noise
    forest = GaussianLeaves(1, 1, 2)
    forest.initialise(y, torch.zeros(500, 1, dtype=torch.int64))
    for rows in y.split(50):
        forest.update(rows, torch.zeros(50, 1, 1))
    spread = forest.covariance[0, 0].diagonal().sqrt()
    assert torch.allclose(spread, torch.full((2,), 0.01), rtol=0.15)


DEGENERATE = {
    "normal": lambda y: y,
    "all equal": lambda y: torch.ones_like(y),
    "a line": lambda y: y[:, :1].expand_as(y),
    "fewer rows than dimensions": lambda y: y[:3],
    "twice the same rows": lambda y: y[:2].repeat(len(y) // 2, 1),
    "huge": lambda y: 1e6 * y,
    "tiny": lambda y: 1e-6 * y,
    "one far outlier": lambda y: torch.cat([y[1:], y[:1] + 1e4]),
}


@pytest.mark.parametrize("dims", [2, 3, 5, 10, 20, 40])
@pytest.mark.parametrize("kind", DEGENERATE)
def test_no_value_is_ever_infinite(dims: int, kind: str) -> None:
    log_p, y, codes = draw(dims, n=64, dims=dims)
    y = DEGENERATE[kind](y.float())
    codes, log_p = codes[: len(y)], 5 * log_p[: len(y)].float()
    forest = GaussianLeaves(T, L, dims)
    forest.initialise(y, codes)
    generator = torch.Generator().manual_seed(0)
    for _ in range(4):
        forest.em_step(y, log_p)
        forest.update(y[: len(y) // 2 + 1], log_p[: len(y) // 2 + 1])
        forest.reseed(y, log_p.softmax(dim=-1), generator, share=0.5)
    assert all(value.isfinite().all() for value in forest.state_dict().values())
    steep = log_p.clone().requires_grad_()
    likelihood = forest.log_likelihood(y, steep)
    assert likelihood.isfinite().all()
    (slope,) = torch.autograd.grad(likelihood.sum(), steep)
    assert slope.isfinite().all()


def test_leaves_that_no_row_reaches_keep_what_they_hold() -> None:
    _, y, codes = draw()
    forest = leaves()
    forest.initialise(y, codes)
    kept = forest.mean[:, 3].clone(), forest.covariance[:, 3].clone()
    log_p = torch.tensor([0.0, 0.0, 0.0, -5000.0]).double().log_softmax(dim=0).expand(N, T, L)
    for _ in range(50):
        forest.update(y, log_p)
    forest.em_step(y, log_p)
    assert torch.equal(forest.mean[:, 3], kept[0])
    assert torch.equal(forest.covariance[:, 3], kept[1])


def test_reseeding_moves_the_starved_leaves_onto_distinct_rows_badly_served() -> None:
    _, y, codes = draw()
    y = torch.cat([y, y[:3] + 500])
    log_p, _, _ = draw(n=len(y))
    forest = leaves()
    forest.initialise(y[:N], codes)
    forest.mass[:, :2] = 0
    before = forest.mean.clone()
    forest.reseed(y, log_p.exp(), torch.Generator().manual_seed(0), share=0.1)
    assert torch.equal(forest.mean[:, 2:], before[:, 2:])
    for t in range(T):
        assert not torch.equal(forest.mean[t, 0], forest.mean[t, 1])
        for leaf in range(2):
            assert (forest.mean[t, leaf] == y).all(dim=-1).any()
            assert forest.mean[t, leaf].norm() > 100  # the three far rows hold nearly all error
    assert (forest.mass > 0.05).all()


def test_prediction_is_the_mean_over_trees_and_differentiable() -> None:
    log_p, y, codes = draw()
    forest = leaves()
    forest.initialise(y, codes)
    routing = log_p.exp().requires_grad_()
    result = forest(routing)
    expected = sum(routing[:, t] @ forest.mean[t] for t in range(T)) / T
    assert torch.allclose(result, expected)
    result.sum().backward()
    assert routing.grad is not None
    assert routing.grad.abs().sum() > 0


def test_identical_leaves_give_no_gradient_to_the_splits() -> None:
    _, y, codes = draw()
    slopes = []
    for assigned in (torch.zeros_like(codes), codes):
        forest = leaves()
        forest.initialise(y, assigned)
        f = torch.randn(N, T, L - 1, dtype=torch.float64, requires_grad=True)
        (-forest.log_likelihood(y, log_routing(f)).mean()).backward()
        assert f.grad is not None
        slopes.append(f.grad.abs().max().item())
    assert slopes[1] > 1e-3
    assert slopes[0] < 1e-12
