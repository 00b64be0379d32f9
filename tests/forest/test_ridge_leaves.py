"""Ridge leaves against least squares of the augmented system, and accumulation over batches."""

import pytest
import torch
from torch import Tensor

from drf.forest.leaf_updates import RidgeLeaves, solve
from drf.forest.routing import log_routing


def draw(n: int = 50, dtype: torch.dtype = torch.float64) -> tuple[Tensor, Tensor]:
    """Routing (2, n, 8) and labels (2, n, 3)."""
    generator = torch.Generator().manual_seed(0)
    f = torch.randn(2, n, 7, generator=generator, dtype=dtype)
    return log_routing(f).exp(), torch.randn(2, n, 3, generator=generator, dtype=dtype)


@pytest.mark.parametrize("ridge", [1e-8, 1e-2, 10.0])
def test_solution_is_least_squares_of_the_augmented_system(ridge: float) -> None:
    """min |P Q - Y|^2 + lambda |Q|^2 has the rows sqrt(lambda) I below P and zeros below Y."""
    routing, y = draw()
    stacked = torch.cat([routing, ridge**0.5 * torch.eye(8).double().expand(2, 8, 8)], dim=1)
    target = torch.cat([y, torch.zeros(2, 8, 3).double()], dim=1)
    expected = torch.linalg.lstsq(stacked, target).solution
    result = solve(routing.mT @ routing, routing.mT @ y, ridge)
    assert torch.allclose(result, expected, rtol=1e-6, atol=1e-8)
    leaves = RidgeLeaves(2, 8, 3, ridge=ridge / 50).double()
    leaves.fit(routing, y)
    assert torch.allclose(leaves.q, expected, rtol=1e-6, atol=1e-8)
    assert torch.allclose(leaves(routing), routing @ expected, rtol=1e-6, atol=1e-8)


def test_uniform_routing_is_solved_although_its_gram_has_rank_one() -> None:
    y = draw(dtype=torch.float32)[1]
    leaves = RidgeLeaves(2, 8, 3, ridge=1e-6)
    routing = torch.full((2, 50, 8), 1 / 8)
    leaves.fit(routing, y)
    assert torch.allclose(leaves(routing), y.mean(dim=1, keepdim=True).expand_as(y), atol=1e-4)


def test_a_small_ridge_fits_no_worse() -> None:
    routing, y = draw()
    errors = []
    for ridge in (1e-6, 1e-3, 1.0):
        leaves = RidgeLeaves(2, 8, 3, ridge=ridge).double()
        leaves.fit(routing, y)
        errors.append((leaves(routing) - y).square().mean().item())
    assert errors == sorted(errors)


def test_stepwise_statistics_are_the_recursion() -> None:
    routing, y = draw()
    leaves = RidgeLeaves(2, 8, 3).double()
    leaves.fit(routing, y)
    gram, moment = leaves.gram.clone(), leaves.moment.clone()
    for t, rows in enumerate(torch.arange(50).split(10)):
        p, labels = routing[:, rows], y[:, rows]
        eta = (t + 2) ** -0.6
        gram = (1 - eta) * gram + eta * p.mT @ p / 10
        moment = (1 - eta) * moment + eta * p.mT @ labels / 10
        leaves.update(p, labels)
    assert torch.allclose(leaves.gram, gram, rtol=1e-6)
    assert torch.allclose(leaves.moment, moment, rtol=1e-6)
    leaves.refit()
    assert torch.allclose(leaves.q, solve(gram, moment, leaves.ridge), rtol=1e-4, atol=1e-5)
