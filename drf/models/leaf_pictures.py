"""Leaves of a forest of label distributions, made ready to be looked at."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from drf.forest.label_forest import LabelForest
from drf.forest.labels import LabelGrid
from drf.forest.routing import LeafUsage, most_used_leaves
from drf.models.base import InputSpec
from drf.pictures import MAP_SIDE, LeafPicture


@torch.no_grad()
def label_leaves(
    forest: LabelForest, grid: LabelGrid, log_p: Tensor, centres: Tensor, spec: InputSpec
) -> list[LeafPicture]:
    """Return the most used leaves of a few landmarks, or of whole faces where the forest routes
    those.

    log_p: (n, R, T, L) · centres: (K, 2) unit box, of the windows that leaves hold distributions
    over, in the mean face
    """
    known = spec.indices
    whole = forest.routes == 1
    routes = [0] if whole else spec.displayed
    centres = centres.cpu()
    pictures = []
    for shown in most_used_leaves(log_p, routes):
        of = slice(None) if whole else slice(shown.route, shown.route + 1)
        title = "whole face" if whole else f"landmark {known[shown.route]}"
        held = _held(forest, shown).unflatten(0, (-1, grid.heads))  # (M, heads, C)
        pictures.append(_picture(shown, grid, held, centres[of], known[of], title))
    return pictures


def _held(forest: LabelForest, shown: LeafUsage) -> Tensor:
    """Return what a leaf holds as distributions, (H, C): least squares may go below 0."""
    q = forest.leaves.q[forest.pools.pool_of[shown.route], shown.tree, shown.leaf]
    return F.normalize(q.float().cpu().clamp(min=0), p=1.0, dim=-1)


def _picture(
    shown: LeafUsage, grid: LabelGrid, held: Tensor, centres: Tensor, known: np.ndarray, title: str
) -> LeafPicture:
    """Return the picture of a leaf that holds distributions of M landmarks: (M, heads, C)."""
    distribution, extent = None, None
    if len(known) == 1:  # of a whole face there are as many windows as landmarks
        distribution = _reduced(grid.picture(held)).numpy()
        ((x, y),) = centres.tolist()
        extent = (x - grid.reach, y - grid.reach, x + grid.reach, y + grid.reach)
    return LeafPicture(
        tree=shown.tree,
        leaf=shown.leaf,
        title=title,
        share=shown.share,
        points=(centres + grid.expectation(held)).numpy(),
        std=grid.std(held).numpy(),
        landmarks=tuple(known.tolist()),
        faces=shown.faces,
        weights=shown.weights,
        distribution=distribution,
        extent=extent,
    )


def _reduced(maps: Tensor) -> Tensor:
    """(1, bins, bins) -> (H, W), at most MAP_SIDE."""
    return F.adaptive_avg_pool2d(maps, min(maps.shape[-1], MAP_SIDE))[0]
