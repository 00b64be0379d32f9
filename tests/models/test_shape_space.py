"""Coefficients and back, what they spread, and what is refused."""

import pytest
import torch

from drf.errors import UsageError
from drf.models.shape_space import ShapeSpace

N, K = 200, 5


def faces() -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    mean = torch.rand(K, 2, generator=generator)
    noise = torch.randn(N, 2 * K, generator=generator)
    mixing = torch.randn(2 * K, 2 * K, generator=generator)
    return mean + 0.05 * (noise @ mixing).view(N, K, 2)


def space(dims: int) -> ShapeSpace:
    fitted = ShapeSpace(K, dims)
    fitted.initialise(faces())
    return fitted


def test_all_components_bring_a_shape_back() -> None:
    shapes = faces()
    fitted = space(2 * K)
    y = fitted.coefficients(shapes)
    assert torch.allclose(fitted.shapes(y), shapes, atol=1e-5)
    assert torch.allclose(y.mean(dim=0), torch.zeros(2 * K), atol=1e-3)
    assert torch.allclose(y.T @ y / N, torch.eye(2 * K), atol=1e-3)


def test_few_components_project() -> None:
    shapes, fitted = faces(), space(3)
    nearest = fitted.shapes(fitted.coefficients(shapes))
    assert torch.allclose(fitted.shapes(fitted.coefficients(nearest)), nearest, atol=1e-5)
    across = (shapes - nearest).flatten(1) @ fitted.components.T
    assert across.abs().max() < 1e-5


def test_spread_is_that_of_drawn_shapes() -> None:
    fitted = space(4)
    generator = torch.Generator().manual_seed(1)
    half = torch.randn(4, 4, generator=generator)
    drawn = fitted.shapes(torch.randn(40_000, 4, generator=generator) @ half.T)
    assert torch.allclose(fitted.std(half @ half.T), drawn.std(dim=0), rtol=0.03)


def test_too_many_dimensions_are_refused() -> None:
    with pytest.raises(UsageError, match=r"5 landmarks have at most 10 principal components, not"):
        ShapeSpace(K, 11)
    flat = faces()
    flat[:, 1:] = flat[:, :1]  # one point, five times: rank 2
    with pytest.raises(UsageError, match="at most 2"):
        ShapeSpace(K, 3).initialise(flat)


def test_it_is_saved() -> None:
    other = ShapeSpace(K, 4)
    other.load_state_dict(space(4).state_dict())
    assert torch.equal(other.coefficients(faces()), space(4).coefficients(faces()))
