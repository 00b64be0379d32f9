"""A forest of two trees over five routes, and data that it can learn."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from drf.forest.label_forest import LabelForest, LabelForestConfig
from drf.forest.labels import Labels

B, R, F, T, DEPTH, H, C, D = 6, 5, 7, 2, 2, 2, 8, 2
L = 2**DEPTH
SMALL = LabelForestConfig(trees=T, tree_depth=DEPTH, routing_warmup=0.0)
POOLS = {
    "landmark": [np.array([k]) for k in range(R)],
    "group": [np.array([3, 0]), np.array([1, 2, 4])],
    "shared": [np.arange(R)],
}


def forest(
    config: LabelForestConfig = SMALL, pool: str = "group", per_route: bool = True
) -> LabelForest:
    torch.manual_seed(0)
    groups = POOLS.get(pool, [np.zeros(1, dtype=np.int64)])
    return LabelForest(config, F, groups, (H, C), D, per_route=per_route)


def data(model: LabelForest, seed: int = 0, n: int = B) -> tuple[Tensor, Labels, Tensor]:
    """Features, labels (n, R, H, C), rows (n, R, D): these follow from features."""
    generator = torch.Generator().manual_seed(seed)
    shape = (n, model.routes, F) if model.per_route else (n, F)
    features = torch.randn(*shape, generator=generator)
    rows = torch.randn(n, model.routes, D, generator=generator) * 0.3
    rows = rows + (features if model.per_route else features[:, None])[..., :D]
    cells = torch.linspace(-2, 2, C)
    labels = (-4 * (cells - rows[..., None]) ** 2).softmax(dim=-1)
    kind = model.codes.direction.dtype
    return features.to(kind), Labels(labels.to(kind)), rows.to(kind)


def started(
    config: LabelForestConfig = SMALL,
    pool: str = "group",
    per_route: bool = True,
    dtype: torch.dtype = torch.float32,
) -> LabelForest:
    model = forest(config, pool, per_route).to(dtype)
    features, labels, rows = data(model, seed=9, n=64)
    model.initialise(features, labels, rows)
    return model


def step(model: LabelForest, seed: int = 0, n: int = B) -> dict[str, Tensor]:
    """Forward, loss, backward, and the leaf step on one batch."""
    features, labels, rows = data(model, seed, n)
    routed = model(features)
    loss, parts = model.loss(routed, labels, rows)
    model.zero_grad()
    loss.backward()
    model.leaf_step(routed, labels)
    return parts
