"""The codec's promise: what is encoded is decoded, rows are y, columns are x."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drf.models.landmark_heads import HeatmapCodec

SIZE = 32


@settings(deadline=None)
@given(
    st.floats(0.12, 0.88),
    st.floats(0.12, 0.88),
    st.sampled_from([0.7, 1.0, 1.5]),
    st.integers(3, 5),
)
def test_round_trip_within_the_stated_error(x: float, y: float, sigma: float, radius: int) -> None:
    codec = HeatmapCodec(SIZE, sigma, radius)
    point = torch.tensor([[[x, y]]])
    decoded = codec.decode(codec.encode(point).clamp(min=1e-30).log())
    tolerance = 0.02 if radius >= 3 * sigma else 0.35  # a narrow window cuts a wide label's tails
    assert (decoded - point).abs().max() * SIZE < tolerance


def test_labels_are_the_gaussian_of_the_formula_row_y_column_x() -> None:
    codec = HeatmapCodec(8, sigma=1.2)
    x, y = 0.3, 0.7
    label = codec.encode(torch.tensor([[[x, y]]]))[0, 0]
    expected = torch.zeros(8, 8)
    for row in range(8):
        for column in range(8):
            dx, dy = column - (x * 8 - 0.5), row - (y * 8 - 0.5)
            expected[row, column] = torch.exp(torch.tensor(-(dx * dx + dy * dy) / (2 * 1.2**2)))
    assert torch.allclose(label, expected / expected.sum(), atol=1e-6)
    assert label.argmax() == 5 * 8 + 2  # row of y = 0.7, column of x = 0.3


def test_decode_stays_at_a_peak_at_the_border() -> None:
    codec = HeatmapCodec(SIZE)
    logits = torch.full((1, 1, SIZE, SIZE), -50.0)
    logits[0, 0, 0, SIZE - 1] = 50.0
    assert torch.allclose(codec.decode(logits) * SIZE, torch.tensor([[[SIZE - 0.5, 0.5]]]))


def test_cross_entropy_as_the_double_sum_and_its_floor() -> None:
    codec = HeatmapCodec(8)
    points = torch.tensor([[[0.4, 0.6], [0.2, 0.3]]], dtype=torch.float32)
    logits = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    total = 0.0
    for k in range(2):
        p = logits[0, k].exp() / logits[0, k].exp().sum()
        d = codec.encode(points)[0, k]
        total += -sum(float(d[r, c] * p[r, c].log()) for r in range(8) for c in range(8)) / 2
    assert float(codec.cross_entropy(logits, points)) == pytest.approx(total, rel=1e-5)
    perfect = codec.cross_entropy(codec.encode(points).log(), points)
    assert perfect < codec.cross_entropy(logits, points)


def test_points_outside_the_box_do_not_count() -> None:
    codec = HeatmapCodec(8)
    logits = torch.randn(1, 2, 8, 8, generator=torch.Generator().manual_seed(0))
    both = torch.tensor([[[0.4, 0.6], [1.2, 0.3]]])
    alone = codec.cross_entropy(logits[:, :1], both[:, :1])
    assert torch.allclose(codec.cross_entropy(logits, both), alone)


def test_one_map_of_all_points_is_the_mean_of_theirs_and_points_outside_are_left_out() -> None:
    codec = HeatmapCodec(16, sigma=0.7)
    points = torch.rand(3, 5, 2, generator=torch.Generator().manual_seed(0))
    together = codec.encode_together(points)
    assert torch.allclose(together, codec.encode(points).mean(dim=1), atol=1e-7)
    points[0, 1, 0], points[0, 4, 1], points[1] = -0.1, 1.3, 2.0
    together = codec.encode_together(points)
    assert torch.allclose(together[0], codec.encode(points[:1, [0, 2, 3]]).mean(dim=1)[0])
    assert together.sum(dim=(1, 2)).tolist() == pytest.approx([1.0, 0.0, 1.0])


def test_the_covariance_of_a_map_follows_from_its_cells() -> None:
    logits = torch.randn(2, 3, 5, 7, generator=torch.Generator().manual_seed(0))
    found = HeatmapCodec(7).covariances(logits)
    for b in range(2):
        for k in range(3):
            p = logits[b, k].exp() / logits[b, k].exp().sum()
            cells = [((c + 0.5) / 7, (r + 0.5) / 5) for r in range(5) for c in range(7)]
            z = torch.tensor(cells)
            centred = z - (p.flatten()[:, None] * z).sum(dim=0)
            expected = (p.flatten()[:, None, None] * centred[:, :, None] * centred[:, None]).sum(0)
            torch.testing.assert_close(found[b, k], expected)


def test_a_map_like_its_label_is_as_wide_as_sigma() -> None:
    codec = HeatmapCodec(32, sigma=1.5)
    maps = codec.encode(torch.tensor([[[0.45, 0.6]]]))
    expected = (1.5 / 32) ** 2 * torch.eye(2)
    torch.testing.assert_close(codec.covariances(maps.log())[0, 0], expected, rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("size", [4, 6, 7, 16])
def test_an_exported_graph_decodes_as_training_does(size: int) -> None:
    """Also of a map that is smaller than the window, and of peaks at every border."""
    codec = HeatmapCodec(size)
    logits = torch.randn(1, size**2, size, size)
    logits += 8 * torch.eye(size**2).view(1, size**2, size, size)  # a peak in each cell
    torch.testing.assert_close(codec._decoded(logits), codec.decode(logits), atol=1e-6, rtol=0)


def test_of_two_equal_peaks_the_first_is_decoded() -> None:
    """And not the row of one with the column of the other."""
    codec = HeatmapCodec(16, radius=2)
    logits = torch.full((1, 1, 16, 16), -50.0)
    logits[..., 3, 12] = logits[..., 12, 3] = 9.0
    first = torch.tensor([[[12.5 / 16, 3.5 / 16]]])
    torch.testing.assert_close(codec.decode(logits), first)
    torch.testing.assert_close(codec._decoded(logits), first)
