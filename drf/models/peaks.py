"""Local maxima of maps, and which landmark each of them is.

A map that shows all landmarks of a face at once says where landmarks are, not which: peaks come by
non-maximum suppression and get their names from an expected shape, by the assignment that moves the
landmarks least.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

NOISE = 1e-2
"""Share of a map's highest cell under which a maximum is not a peak."""


@dataclass(frozen=True)
class Peaks:
    """points   (B, P, 2) unit box, the highest first
    heights  (B, P), of the cells that hold them; 0 where a map has fewer peaks
    """

    points: Tensor
    heights: Tensor


def find_peaks(maps: Tensor, radius: int, at_most: int) -> Peaks:
    """Return the local maxima of maps: (B, n, n) float, not negative -> at most `at_most` each.

    A peak is the highest cell within `radius` cells of itself, in both directions; of equal
    ones the first in the order of rows. Its position within the cell is the vertex of the parabola
    through the logarithms of the cell and its neighbours, per axis: exact for a Gaussian that
    stands alone, where the centroid of the same cells is drawn to the middle of the cell. A peak
    on the map's edge stays in the middle of its cell across that edge.
    """
    n = maps.shape[-1]
    height, cell = _maxima(maps, radius).flatten(1).topk(min(at_most, n * n), dim=1)
    row, column = cell // n, cell % n
    logs = F.pad(maps[:, None], (1, 1, 1, 1), mode="reflect")[:, 0]
    logs = logs.clamp(min=torch.finfo(maps.dtype).tiny).log().flatten(1)
    middle = (row + 1) * (n + 2) + column + 1  # of the padded map
    before = torch.stack([logs.gather(1, middle - step) for step in (1, n + 2)], dim=-1)
    after = torch.stack([logs.gather(1, middle + step) for step in (1, n + 2)], dim=-1)
    curvature = before + after - 2 * logs.gather(1, middle)[..., None]  # 0 on a plateau
    vertex = 0.5 * (before - after) / curvature.clamp(max=-torch.finfo(maps.dtype).eps)
    centre = torch.stack([column, row], dim=-1) + 0.5
    return Peaks((centre + vertex.clamp(-0.5, 0.5)) / n, height)


def _maxima(maps: Tensor, radius: int) -> Tensor:
    """Return the maps with every cell that is no peak at 0: (B, n, n) -> (B, n, n)."""
    size = 2 * radius + 1
    highest = F.max_pool2d(maps[:, None], size, 1, radius)[:, 0]
    floor = NOISE * maps.amax(dim=(1, 2), keepdim=True)
    found = (maps == highest) & (maps > floor)
    order = torch.arange(maps[0].numel(), 0, -1, device=maps.device, dtype=torch.float32)
    order = order.view_as(maps[0]) * found  # distinct numbers: of equal cells one stays
    first = order == F.max_pool2d(order[:, None], size, 1, radius)[:, 0]
    return maps * (found & first)


def assign(shape: np.ndarray, peaks: np.ndarray, reach: float) -> np.ndarray:
    """Return the peak of each landmark of a shape: (K, 2), (P, 2) -> (K,) int64, -1 for none.

    Each peak goes to one landmark at most. Least in the sum of squared distances, where a landmark
    without a peak counts reach^2: so none goes farther than `reach`.
    """
    from scipy.optimize import linear_sum_assignment  # here: other families do without scipy

    squared = ((shape[:, None] - peaks[None]) ** 2).sum(axis=-1)
    landmark, peak = linear_sum_assignment(np.minimum(squared, reach**2))
    near = squared[landmark, peak] < reach**2
    result = np.full(len(shape), -1, dtype=np.int64)
    result[landmark[near]] = peak[near]
    return result


def at_peaks(shapes: Tensor, peaks: Peaks, reach: float) -> Tensor:
    """Return the landmarks at the peaks that are theirs, (B, K, 2); without one, where they were.

    shapes: (B, K, 2), where the landmarks are expected, in the frame of the peaks. The assignment
    runs on the CPU, face by face.
    """
    result = shapes.clone()
    points, expected = peaks.points.cpu(), shapes.cpu()
    for face, count in enumerate((peaks.heights > 0).sum(dim=1).tolist()):
        found = points[face, :count]
        peak = torch.from_numpy(assign(expected[face].numpy(), found.numpy(), reach))
        known = (peak >= 0).nonzero().flatten()
        result[face, known.to(result.device)] = found[peak[known]].to(result)
    return result
