"""Which landmarks share leaves: one pool each, one per group, or one for all.

Leaves see pools G and rows N (`label_leaves`); everything else sees faces B and landmarks K. With
M landmarks in the largest pool, N = B M; smaller pools repeat landmarks, and the repeated rows are
masked: their labels are set to 0, which counts nowhere.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn

from drf.forest.labels import Labels


class Pools(nn.Module):
    """A partition of K landmarks into G pools; `pool_of` (K,) int64 is saved with the weights."""

    pool_of: Tensor
    members: Tensor
    first: Tensor
    place: Tensor

    def __init__(self, groups: Sequence[np.ndarray]) -> None:
        super().__init__()
        self.n = len(groups)
        k = sum(len(group) for group in groups)
        self.register_buffer("pool_of", torch.zeros(k, dtype=torch.int64))
        for name in ("members", "first", "place"):  # follow from pool_of
            self.register_buffer(name, torch.empty(0, dtype=torch.int64), persistent=False)
        self.register_load_state_dict_post_hook(lambda module, _: module._arrange())
        self.assign(groups)

    def assign(self, groups: Sequence[np.ndarray]) -> None:
        """Set the partition: G int arrays that together hold each landmark 0..K-1 once.

        Raises ValueError where they do not, or where a group is empty.
        """
        together = np.sort(np.concatenate(groups))
        if len(groups) != self.n or not np.array_equal(together, np.arange(len(self.pool_of))):
            raise ValueError("groups must hold every landmark once")
        if not all(len(group) for group in groups):
            raise ValueError("a group without landmarks")
        for pool, group in enumerate(groups):
            self.pool_of[torch.from_numpy(np.asarray(group)).to(self.pool_of.device)] = pool
        self._arrange()

    def _arrange(self) -> None:
        pool_of = self.pool_of.cpu()
        groups = [(pool_of == pool).nonzero().flatten() for pool in range(self.n)]
        most = max(len(group) for group in groups)
        members = torch.stack([group[torch.arange(most) % len(group)] for group in groups])
        first = torch.stack([torch.arange(most) < len(group) for group in groups])
        place = torch.zeros_like(pool_of)
        for group in groups:
            place[group] = torch.arange(len(group))
        for name, value in (("members", members), ("first", first), ("place", place)):
            setattr(self, name, value.to(self.pool_of.device))

    def rows(self, x: Tensor) -> Tensor:
        """(B, K, ...) -> (G, B M, ...)."""
        if self.n == 1:
            return x.flatten(0, 1)[None]
        return x[:, self.members].transpose(0, 1).flatten(1, 2)

    def masked(self, labels: Labels) -> Labels:
        """(B, K, H, J) -> (G, B M, H, J), with repeated rows at 0."""
        rows = labels.map(self.rows)
        if self.n == 1 or self.members.shape[1] == 1:
            return rows
        kept = self.first.repeat(1, len(labels.weights))  # (G, B M)
        return Labels(rows.weights * kept[..., None, None], rows.cells)

    def landmarks(self, rows: Tensor) -> Tensor:
        """The inverse of `rows`: (G, B M, ...) -> (B, K, ...)."""
        by_face = rows.unflatten(1, (-1, self.members.shape[1]))  # (G, B, M, ...)
        if self.n == 1:
            return by_face[0]
        return by_face.transpose(0, 1)[:, self.pool_of, self.place]
