"""Peaks of maps and the assignment, against loops over cells and over all assignments."""

import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drf.models.landmark_heads import HeatmapCodec
from drf.models.peaks import NOISE, Peaks, assign, at_peaks, find_peaks

SIZE = 40
SEEDS = st.integers(0, 10**6)


def scattered(n: int, apart: float, seed: int) -> torch.Tensor:
    """n points of the unit box, at least `apart` from each other and four cells from the edge."""
    rng = np.random.default_rng(seed)
    points: list[np.ndarray] = []
    while len(points) < n:
        point = rng.uniform(4 / SIZE, 1 - 4 / SIZE, 2)
        if all(np.linalg.norm(point - other) >= apart for other in points):
            points.append(point)
    return torch.tensor(np.array(points), dtype=torch.float32)


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.sampled_from([0.5, 0.8, 1.1]), st.integers(1, 2))
def test_landmarks_that_stand_apart_are_peaks_to_a_fiftieth_of_a_cell(
    seed: int, sigma: float, radius: int
) -> None:
    points = scattered(5, 9 * sigma / SIZE, seed)
    maps = HeatmapCodec(SIZE, sigma).encode_together(points[None])
    found = find_peaks(maps, radius, 20)
    assert int((found.heights > 0).sum()) == 5
    distance = torch.cdist(points, found.points[0, :5])
    assert distance.amin(dim=1).max() * SIZE < 0.02
    assert sorted(distance.argmin(dim=1).tolist()) == list(range(5))


def naive_peaks(values: np.ndarray, radius: int) -> set[tuple[int, int]]:
    """Row and column of each peak, by the words of find_peaks."""
    n = len(values)
    highest = []
    for row, column in itertools.product(range(n), range(n)):
        rows = slice(max(0, row - radius), row + radius + 1)
        columns = slice(max(0, column - radius), column + radius + 1)
        value = values[row, column]
        if value == values[rows, columns].max() and value > NOISE * values.max():
            highest.append((row, column))
    return {
        (row, column)
        for i, (row, column) in enumerate(highest)
        if not any(max(abs(row - r), abs(column - c)) <= radius for r, c in highest[:i])
    }


@settings(deadline=None, max_examples=60)
@given(SEEDS, st.integers(1, 3), st.sampled_from([3, 10, 10**6]))
def test_peaks_as_the_loop_over_cells_ties_included(seed: int, radius: int, levels: int) -> None:
    values = np.random.default_rng(seed).integers(0, levels, (12, 12)).astype(np.float32)
    found = find_peaks(torch.from_numpy(values)[None], radius, 200)
    kept = found.points[0][found.heights[0] > 0] * 12
    cells = {(int(y), int(x)) for x, y in kept.clamp(max=11.99).tolist()}
    expected = naive_peaks(values, radius)
    assert len(kept) == len(expected)
    # A vertex may lie on the border between two cells: half a cell from the middle of its own.
    for row, column in expected - cells:
        offset = (kept - torch.tensor([column + 0.5, row + 0.5])).abs().amax(dim=1)
        assert offset.min() <= 0.5 + 1e-4


def test_the_highest_come_first_and_no_more_than_asked_for() -> None:
    maps = torch.zeros(2, 8, 8)
    maps[0, 1, 1], maps[0, 4, 6], maps[0, 6, 2] = 1.0, 3.0, 2.0
    maps[1, 5, 5] = 1.0
    found = find_peaks(maps, 1, 2)
    assert found.heights.tolist() == [[3.0, 2.0], [1.0, 0.0]]
    assert torch.allclose(found.points[0] * 8, torch.tensor([[6.5, 4.5], [2.5, 6.5]]))


def test_plateaus_noise_and_nothing() -> None:
    flat, empty = torch.ones(1, 9, 9), torch.zeros(1, 9, 9)
    assert int((find_peaks(flat, 1, 9).heights > 0).sum()) == 1
    assert int((find_peaks(empty, 1, 9).heights > 0).sum()) == 0
    empty[0, 2, 2], empty[0, 7, 7] = 1.0, 0.9 * NOISE
    assert int((find_peaks(empty, 1, 9).heights > 0).sum()) == 1


def test_a_peak_on_the_edge_moves_along_it_only() -> None:
    x = torch.exp(-((torch.arange(9) - 4.3) ** 2) / 2)
    maps = torch.zeros(1, 9, 9)
    maps[0, 0], maps[0, 1] = x, 0.5 * x
    assert torch.allclose(find_peaks(maps, 1, 1).points[0, 0] * 9, torch.tensor([4.8, 0.5]))


@settings(deadline=None, max_examples=30)
@given(SEEDS)
def test_peaks_follow_mirror_transposition_and_do_not_heed_the_scale(seed: int) -> None:
    maps = torch.from_numpy(np.random.default_rng(seed).random((1, 11, 11), dtype=np.float32))

    def peaks(of: torch.Tensor) -> torch.Tensor:
        found = find_peaks(of, 1, 50)
        return found.points[found.heights > 0]

    first = peaks(maps)
    assert len(first) > 5
    mirror, offset = torch.tensor([-1.0, 1.0]), torch.tensor([1.0, 0.0])
    assert torch.allclose(peaks(maps.flip(2)), first * mirror + offset, atol=1e-4)
    assert torch.allclose(peaks(maps.mT), first.flip(-1), atol=1e-4)
    assert torch.allclose(peaks(8 * maps), first, atol=1e-4)


def cost(shape: np.ndarray, peaks: np.ndarray, chosen: tuple[int, ...], reach: float) -> float:
    squared = [
        reach**2 if peak < 0 else float(((point - peaks[peak]) ** 2).sum())
        for point, peak in zip(shape, chosen, strict=True)
    ]
    return sum(squared)


def every_assignment(n_landmarks: int, n_peaks: int) -> list[tuple[int, ...]]:
    """All tuples of peak indices, -1 for none, that use no peak twice."""
    choices = itertools.product(range(-1, n_peaks), repeat=n_landmarks)
    return [c for c in choices if len({p for p in c if p >= 0}) == sum(p >= 0 for p in c)]


@settings(deadline=None, max_examples=80)
@given(SEEDS, st.integers(1, 4), st.integers(0, 5), st.floats(0.05, 1.5))
def test_no_assignment_costs_less(seed: int, n: int, n_peaks: int, reach: float) -> None:
    rng = np.random.default_rng(seed)
    shape, peaks = rng.random((n, 2)), rng.random((n_peaks, 2))
    chosen = tuple(assign(shape, peaks, reach).tolist())
    assert chosen in set(every_assignment(n, n_peaks))  # no peak twice
    least = min(cost(shape, peaks, c, reach) for c in every_assignment(n, n_peaks))
    assert cost(shape, peaks, chosen, reach) == pytest.approx(least, abs=1e-12)
    for point, peak in zip(shape, chosen, strict=True):
        assert peak < 0 or np.linalg.norm(point - peaks[peak]) < reach


@settings(deadline=None, max_examples=30)
@given(SEEDS, st.integers(2, 30))
def test_the_order_of_peaks_and_the_place_of_the_face_do_not_matter(seed: int, n: int) -> None:
    rng = np.random.default_rng(seed)
    shape, peaks = rng.random((n, 2)), rng.random((n + 3, 2))
    chosen = assign(shape, peaks, 0.2)
    order = rng.permutation(n + 3)
    again = assign(shape, peaks[order], 0.2)
    assert np.array_equal(np.where(again < 0, -1, order[again]), chosen)
    moved = assign(shape * 3 + [5, -2], peaks * 3 + [5, -2], 0.6)
    assert np.array_equal(moved, chosen)


@settings(deadline=None, max_examples=20)
@given(SEEDS)
def test_peaks_near_their_landmarks_are_named_whatever_their_order(seed: int) -> None:
    truth = scattered(20, 0.1, seed)
    rng = np.random.default_rng(seed)
    expected = truth + torch.from_numpy(rng.uniform(-0.02, 0.02, (20, 2))).float()
    shuffled = truth[torch.from_numpy(rng.permutation(20))]
    peaks = Peaks(shuffled[None], torch.ones(1, 20))
    assert torch.equal(at_peaks(expected[None], peaks, 0.05)[0], truth)


def test_landmarks_without_a_peak_stay_where_they_were_expected() -> None:
    expected = torch.tensor([[[0.2, 0.2], [0.8, 0.8]], [[0.2, 0.2], [0.8, 0.8]]])
    points = torch.tensor([[[0.21, 0.2], [0.8, 0.8]], [[0.8, 0.79], [0.2, 0.2]]])
    heights = torch.tensor([[1.0, 0.0], [1.0, 0.0]])  # the second of each is not there
    result = at_peaks(expected, Peaks(points, heights), 0.05)
    wanted = torch.tensor([[[0.21, 0.2], [0.8, 0.8]], [[0.2, 0.2], [0.8, 0.79]]])
    assert torch.equal(result, wanted)
    assert torch.equal(at_peaks(expected, Peaks(points, heights), 0.0), expected)
