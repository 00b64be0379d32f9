"""A committee of cascade forests: each learns for itself; their mean answers.

    y(x) = 1/M sum_m y_m(x),   C(x) = 1/M sum_m C_m(x) + 1/M sum_m (y_m - y)(y_m - y)^T

C holds what the members' leaves expect of their errors, and how far the members disagree (the law
of total variance): the errors that they share are not averaged away. Where the faces are few,
members that see them differently are worth more than one network as large as all of them
(docs/experiments.md). The last members may see each face aligned by the mean of the others
(`drf.models.aligned_forest`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import torch
from torch import Tensor, nn

from drf.config import Range
from drf.errors import UsageError
from drf.models.aligned_forest import AlignedForest
from drf.models.base import InitialData, InputSpec, LandmarkModel, mean_distance
from drf.models.cascade_forest import CascadeForest, CascadeForestConfig, Outputs
from drf.pictures import LeafPicture


@dataclass(frozen=True)
class CommitteeConfig(CascadeForestConfig):
    """Options of each member, as of the cascade forest, and how many there are."""

    members: Annotated[
        int, Range(2, 16), "Number of cascade forests, which start from weights of their own."
    ] = 4
    aligned_members: Annotated[
        int,
        Range(0, 15),
        "How many of them see each face turned and scaled to the mean shape, by the landmarks that "
        "the others find.",
    ] = 0
    own_batches: Annotated[
        bool,
        "Whether each member learns from faces that are drawn and augmented for it alone, or all "
        "from the same.",
    ] = False


class Committee(LandmarkModel):
    """See the module; what forward returns are the members' outputs. Raises UsageError for what
    cannot be built."""

    Config = CommitteeConfig

    def __init__(self, config: CommitteeConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        first = config.members - config.aligned_members
        if first < 1:
            raise UsageError(
                f"model.aligned_members = {config.aligned_members} leaves none of the"
                f" {config.members} members to align the faces: lower it, or raise model.members"
            )
        kinds = [CascadeForest] * first + [AlignedForest] * config.aligned_members
        self.members = nn.ModuleList([kind(config, spec) for kind in kinds])
        self.own_batches = config.own_batches

    @property
    def _members(self) -> list[CascadeForest]:
        return [member for member in self.members if isinstance(member, CascadeForest)]

    @property
    def learners(self) -> list[CascadeForest]:
        return self._members

    def seed_draws(self, seed: int) -> None:
        """A generator for each member: threads that share one would draw in any order."""
        super().seed_draws(seed)
        seeds = torch.randint(2**62, (len(self.members),)).tolist()
        for member, own in zip(self._members, seeds, strict=True):
            device = next(member.parameters()).device
            member.draw_from(torch.Generator(device).manual_seed(own))

    @torch.no_grad()
    def initialise(self, data: InitialData) -> None:
        for member in self._members:
            member.initialise(data)

    def set_progress(self, share: float) -> None:
        for member in self._members:
            member.set_progress(share)

    def forward(self, images: Tensor) -> list[Outputs]:
        first = [member for member in self._members if not isinstance(member, AlignedForest)]
        outputs = [member(images) for member in first]
        aligned = self._members[len(first) :]
        if aligned:
            found = torch.stack([m.points(o) for m, o in zip(first, outputs, strict=True)])
            outputs += [member(images, found.mean(dim=0)) for member in aligned]
        return outputs

    def loss(self, outputs: list[Outputs], points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The mean of the members' losses and parts."""
        losses = [m.loss(o, points) for m, o in zip(self._members, outputs, strict=True)]
        total = torch.stack([loss for loss, _ in losses]).mean()
        names = losses[0][1]
        return total, {n: torch.stack([parts[n] for _, parts in losses]).mean() for n in names}

    def points(self, outputs: list[Outputs]) -> Tensor:
        return self._each(outputs).mean(dim=0)

    def _each(self, outputs: list[Outputs]) -> Tensor:
        """Return the members' points, (M, B, K, 2) unit box."""
        return torch.stack([m.points(o) for m, o in zip(self._members, outputs, strict=True)])

    def covariances(self, outputs: list[Outputs]) -> Tensor | None:
        found = [m.covariances(o) for m, o in zip(self._members, outputs, strict=True)]
        known = [c for c in found if c is not None]
        if not known:
            return None
        apart = self._each(outputs)
        apart = apart - apart.mean(dim=0)
        return torch.stack(known).mean(dim=0) + torch.einsum(
            "mbki,mbkj->bkij", apart, apart / len(apart)
        )

    @torch.no_grad()
    def leaf_step(self, outputs: list[Outputs], points: Tensor) -> None:
        for member, own in zip(self._members, outputs, strict=True):
            member.leaf_step(own, points)

    @torch.no_grad()
    def diagnostics(self, outputs: Sequence[list[Outputs]], points: Tensor) -> dict[str, float]:
        """The means of the members' readings; but l1_px is that of the committee, and members_px
        the mean distance of a member from it."""
        read = [
            member.diagnostics([batch[i] for batch in outputs], points)
            for i, member in enumerate(self._members)
        ]
        means = {name: sum(r[name] for r in read) / len(read) for name in read[0]}
        each = torch.cat([self._each(batch) for batch in outputs], dim=1)
        mean, size = each.mean(dim=0), self.spec.input_size
        return means | {
            "l1_px": size * float(mean_distance(mean, points)),
            "members_px": size * float((each - mean).norm(dim=-1).mean()),
        }

    @torch.no_grad()
    def leaf_pictures(self, outputs: Sequence[list[Outputs]], points: Tensor) -> list[LeafPicture]:
        """Leaves of the first member."""
        return self._members[0].leaf_pictures([batch[0] for batch in outputs], points)
