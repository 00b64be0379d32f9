"""Labels against loops, there and back, masks, and the spread that a cross-entropy means."""

from __future__ import annotations

import math
from typing import get_args

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from drf.forest.label_leaves import entropy
from drf.forest.labels import LabelGrid, LeafKind

KINDS = get_args(LeafKind)
BINS, REACH = 16, 0.2
CELL = 2 * REACH / BINS


def grid(kind: LeafKind, sigma: float = 1.0, mask: float = 0.0) -> LabelGrid:
    return LabelGrid(kind, BINS, sigma, REACH, mask)


def dense(window: LabelGrid, places: Tensor) -> Tensor:
    """The labels of places with every cell: (..., H, C)."""
    return window.encode(places).dense(window.cells).weights


def gaussian(offset: float, sigma: float) -> list[float]:
    """exp(-(cell - offset)^2 / (2 sigma^2)) over the cells, divided by its sum."""
    weights = []
    for i in range(BINS):
        centre = -REACH + (i + 0.5) * CELL
        weights.append(math.exp(-((centre - offset) ** 2) / (2 * (sigma * CELL) ** 2)))
    return [w / sum(weights) for w in weights]


def literal(kind: LeafKind, x: float, y: float, sigma: float) -> list[list[float]]:
    across, down = gaussian(x, sigma), gaussian(y, sigma)
    if kind == "xy":
        return [across, down]
    return [[down[row] * across[column] for row in range(BINS) for column in range(BINS)]]


def offsets(n: int, within: float) -> Tensor:
    return (2 * torch.rand(n, 3, 2, generator=torch.Generator().manual_seed(0)) - 1) * within


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [0.433, 1.0, 3.0])
def test_labels_are_the_gaussian_written_out(kind: LeafKind, sigma: float) -> None:
    places = offsets(2, REACH - CELL / 2)
    labels = dense(grid(kind, sigma), places)
    assert labels.shape == (2, 3, grid(kind).heads, grid(kind).cells)
    assert labels.dtype == torch.float32
    for i in range(2):
        for k in range(3):
            x, y = places[i, k].tolist()
            expected = torch.tensor(literal(kind, x, y, sigma))
            assert torch.allclose(labels[i, k], expected, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
@settings(deadline=None)
@given(sigma=st.floats(0.4, 1.5), x=st.floats(-1, 1), y=st.floats(-1, 1))
def test_there_and_back(kind: LeafKind, sigma: float, x: float, y: float) -> None:
    """To 0.001 cells where the window holds four sigma, for sigma of 0.7 cells or more: below that,
    a sum over so few cells is no integral any more, and Poisson's formula says by how much."""
    window = grid(kind, sigma)
    place = torch.tensor([x, y]) * (REACH - (4 * sigma + 0.5) * CELL)
    apart = (window.expectation(dense(window, place)) - place).abs().max() / CELL
    aliasing = 4 * math.pi * sigma**2 * math.exp(-2 * (math.pi * sigma) ** 2)
    assert apart < 0.0005 + 1.05 * aliasing
    assert sigma < 0.7 or apart < 0.001


@pytest.mark.parametrize("sigma", [0.5, 1.0, 3.0])
def test_xy_is_the_marginal_of_the_map(sigma: float) -> None:
    places = offsets(5, 1.5 * REACH)  # some outside
    xy, maps = grid("xy", sigma), grid("map", sigma)
    across, down = dense(xy, places).unbind(dim=-2)
    cells = dense(maps, places).squeeze(-2).unflatten(-1, (BINS, BINS))
    assert torch.allclose(cells.sum(dim=-2), across, atol=1e-6)
    assert torch.allclose(cells.sum(dim=-1), down, atol=1e-6)
    of_maps, of_xy = maps.expectation(dense(maps, places)), xy.expectation(dense(xy, places))
    assert torch.allclose(of_maps, of_xy, atol=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_place_outside_is_labelled_at_the_edge(kind: LeafKind) -> None:
    window, edge = grid(kind), REACH - CELL / 2
    far = dense(window, torch.tensor([[5.0, -0.3], [edge, -edge]]))
    assert torch.equal(far[0], far[1])
    assert torch.allclose(far.sum(dim=-1), torch.ones(2, window.heads))


@pytest.mark.parametrize("kind", KINDS)
def test_masked_labels_keep_the_cells_above_a_share_of_the_peak(kind: LeafKind) -> None:
    places = offsets(4, REACH)
    whole, masked = dense(grid(kind), places), dense(grid(kind, mask=0.3), places)
    peak = whole.amax(dim=-1, keepdim=True)
    assert ((masked > 0) == (whole >= 0.3 * peak)).all()
    assert torch.allclose(masked.sum(dim=-1), torch.ones(4, 3, grid(kind).heads))
    ratio = (masked / whole)[masked > 0].view(-1)
    assert (ratio > 1).all()  # what the others lost
    assert 0 < int((masked > 0).sum()) < masked.numel() / 2


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("sigma", [0.7, 1.0, 2.0])
def test_the_entropy_of_a_label_means_its_sigma(kind: LeafKind, sigma: float) -> None:
    window = LabelGrid(kind, 32, sigma, REACH)
    labels = dense(window, offsets(4, 0.2 * REACH))
    spread = window.equivalent_std(float(entropy(labels)))
    assert spread == pytest.approx(sigma * window.cell, rel=0.01)


@pytest.mark.parametrize("kind", KINDS)
def test_the_cross_entropy_of_the_marginal_means_the_spread_of_the_places(kind: LeafKind) -> None:
    """Paths normal with 3 cells, labels of one: the mean label is normal with sqrt(10) cells."""
    window = LabelGrid(kind, 32, 1.0, REACH)
    generator = torch.Generator().manual_seed(0)
    labels = dense(window, 3 * window.cell * torch.randn(4000, 2, generator=generator))
    marginal = labels.mean(dim=0)
    cross_entropy = -torch.xlogy(labels, marginal).sum() / labels.sum()
    spread = window.equivalent_std(float(cross_entropy))
    assert spread == pytest.approx(math.sqrt(10) * window.cell, rel=0.02)


@pytest.mark.parametrize(
    ("cross_entropy", "pixels"),
    [(68 * math.log(65536), 61.9), (754.14, 61.9), (566.6, 15.6), (342.39, 3.0)],
)
def test_the_losses_that_the_notes_printed(cross_entropy: float, pixels: float) -> None:
    """Sums over 68 maps of 256 x 256 px: uniform leaves, the average face, the best at sigma 3."""
    window = LabelGrid("map", 256, 3.0, 128.0)  # the units of reach are pixels then
    assert window.equivalent_std(cross_entropy / 68) == pytest.approx(pixels, abs=0.05)


@pytest.mark.parametrize("kind", KINDS)
def test_spread_is_the_standard_deviation_written_out(kind: LeafKind) -> None:
    """Of two places, half a label each: by the law of total variance."""
    (a, b) = torch.tensor([[-0.08, 0.05], [0.04, 0.06]])
    window = grid(kind)
    mixed = (dense(window, a) + dense(window, b)) / 2
    expected = [math.hypot(CELL, 0.06), math.hypot(CELL, 0.005)]
    assert window.std(mixed).tolist() == pytest.approx(expected, rel=1e-3)
    alone = torch.zeros(window.heads, window.cells)
    alone[:, 5] = 1  # all in one cell
    assert window.std(alone).tolist() == pytest.approx([0, 0], abs=1e-6)


@pytest.mark.parametrize("kind", KINDS)
def test_a_picture_has_rows_down_and_columns_across(kind: LeafKind) -> None:
    window = grid(kind)
    place = torch.tensor([[0.1, -0.05]])
    cells = window.picture(dense(window, place))[0]
    assert cells.shape == (BINS, BINS)
    row, column = divmod(int(cells.argmax()), BINS)
    nearest = [(i + 0.5) * CELL - REACH for i in (column, row)]
    assert nearest == pytest.approx(place[0].tolist(), abs=CELL / 2)
    assert float(cells.sum()) == pytest.approx(1, abs=1e-5)
