"""Which leaves of a forest are worth a look, and which faces each attracts."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from torch import Tensor

from drf.pictures import FACES_PER_LEAF, LEAVES

TREES = 2
"""Trees shown of each of several routes; of a single one twice as many."""


@dataclass(frozen=True)
class LeafUsage:
    """A leaf as one route uses it, a landmark or a whole face; the rest as in `LeafPicture`."""

    route: int
    tree: int
    leaf: int
    share: float
    faces: tuple[int, ...]
    weights: tuple[float, ...]


def most_used_leaves(log_p: Tensor, routes: Sequence[int]) -> list[LeafUsage]:
    """Return the leaves with the largest shares, at most LEAVES: as many of each tree and route.

    log_p: (n, R, T, L), log P(leaf | face). By route, tree and falling share. A face is attracted
    where its probability is above 1 / L, what a leaf gets that asks nothing.
    """
    leaves = log_p.shape[3]
    trees = min(log_p.shape[2], TREES if len(routes) > 1 else 2 * TREES)
    p = log_p[:, list(routes), :trees].float().exp().cpu()
    shares = p.mean(dim=0)  # (r, t, L)
    order = shares.argsort(dim=-1, descending=True, stable=True)
    weights, faces = p.topk(min(FACES_PER_LEAF, len(p)), dim=0)
    found = []
    for r, route in enumerate(routes):
        for tree in range(trees):
            for leaf in order[r, tree, : LEAVES // (len(routes) * trees)].tolist():
                strongest = weights[:, r, tree, leaf]
                m = int((strongest > 1 / leaves).sum())
                found.append(
                    LeafUsage(
                        route=route,
                        tree=tree,
                        leaf=leaf,
                        share=float(shares[r, tree, leaf]),
                        faces=tuple(faces[:m, r, tree, leaf].tolist()),
                        weights=tuple(strongest[:m].tolist()),
                    )
                )
    return found
