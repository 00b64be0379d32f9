"""A forest whose leaves hold vectors, and remember how wrong the forest was where they are used.

    y_hat(x) = 1/T sum_t sum_l P_t(l|x) v_tl      learned by gradient, together with the gates
    C(x)     = 1/T sum_t sum_l P_t(l|x) C_tl      the covariance of the error to expect at x

    C_tl = sum_i P_t(l|x_i) e_i e_i^T / sum_i P_t(l|x_i),   e_i = y_i - y_hat(x_i)

C_tl is kept by stepwise EM: no head of the network and no loss has to learn it, and it costs one
product with the routing that is there already.

Symbols beyond `drf.forest`: B faces; R routes of a face, one for each landmark, each with trees of
its own; D numbers of a vector.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.config import Range
from drf.distributed import total
from drf.forest.gates import Annealing, SplitGates, TreeCodes, steepness, turns
from drf.forest.routing import (
    diagnostics,
    hard_leaves,
    log_routing,
    mean_where,
    probabilities,
    require_memory,
    shares,
    stepwise_rate,
    top_leaves,
)

EMPTY = 1e-6
"""Share of the rows that a leaf is taken to have at least when its covariance is read."""


Inference = Literal["soft", "hard", "top", "hard-last"]


@dataclass(frozen=True)
class VectorForestConfig:
    """Options of the forest at each landmark."""

    trees: Annotated[int, Range(1, 64), "Number of trees of each landmark."] = 8
    tree_depth: Annotated[int, Range(1, 10), "Depth of a tree, which has 2^depth leaves."] = 4
    steepness_first: Annotated[
        float, Range(0.01, 100), "Steepness of the splits at the start of the run."
    ] = 1.0
    steepness_last: Annotated[
        float, Range(0.01, 100), "Steepness of the splits at the end of the run."
    ] = 3.0
    annealing: Annotated[
        Annealing,
        "How the steepness goes from first to last; constant takes the last one all along.",
    ] = "geometric"
    routing_warmup: Annotated[
        float,
        Range(0, 1),
        "Share of the run in which the routing also learns the tree codes of the labels.",
    ] = 0.05
    inference: Annotated[
        Inference,
        "Leaves used in evaluation: soft weighs all, hard takes one of each tree, top the most "
        "probable ones, hard-last is hard in the last stage alone.",
    ] = "soft"
    top_k: Annotated[
        int, Range(1, 1024), "Number of leaves of each tree that inference = top uses."
    ] = 4


@dataclass(frozen=True)
class Chosen:
    """The leaves that an inference looks at, k of each tree: leaf and share, both (B, R, T, k)."""

    leaf: Tensor
    share: Tensor


@dataclass(frozen=True)
class Routed:
    """gates  (B, R, T, S), steepness included · p  (B, R, T, L), or the chosen leaves alone
    vectors  (B, R, D) · expected  (B, R, D, D) C(x), if it is known already
    """

    gates: Tensor
    p: Tensor | Chosen
    vectors: Tensor
    expected: Tensor | None = None

    @functools.cached_property
    def log_p(self) -> Tensor:
        """Of soft routing, (B, R, T, L), whatever the inference looks at."""
        return log_routing(self.gates)


class VectorForest(nn.Module):
    """T trees for each of R routes over features (B, R, F).

    unit: what a value of 1 stands for. Steps of Adam have a fixed size, so values should be of
    order 1. Raises UsageError for leaves that do not fit into memory, before they are made.
    """

    moments: Tensor
    mass: Tensor
    steps: Tensor

    def __init__(
        self, config: VectorForestConfig, features: int, routes: int, dims: int, unit: float
    ) -> None:
        super().__init__()
        self.config, self.unit = config, unit
        trees, leaves = config.trees, 2**config.tree_depth
        numbers = routes * trees * leaves * (features + dims + dims**2)
        copies = 5  # of what gradients move: the value, its gradient, two moments, the average
        require_memory(4 * copies * numbers, f"{routes} x {trees} trees of {leaves} vectors")
        self.gates = SplitGates(features, trees, config.tree_depth, sites=routes)
        self.codes = TreeCodes(routes, dims, trees, config.tree_depth)
        self.values = nn.Parameter(torch.zeros(routes, trees * leaves, dims))
        self.register_buffer("moments", torch.zeros(routes, trees * leaves, dims**2))
        self.register_buffer("mass", torch.full((routes, trees * leaves), 1 / leaves))
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))
        self.set_progress(0.0)

    @torch.no_grad()
    def initialise(self, features: Tensor, rows: Tensor) -> None:
        """Set codes and leaves from vectors (n, R, D), thresholds from features (b, R, F) so that
        the routing starts with the shares of the codes: each leaf at the mean of its vectors, each
        covariance at that of all."""
        by_route = rows.transpose(0, 1)  # (R, n, D)
        self.codes.initialise(by_route)
        codes = self.codes(by_route)  # (R, n, T)
        trees, leaves = self.config.trees, 2**self.config.tree_depth
        self.gates.initialise(features, turns(codes.transpose(0, 1), leaves))
        place = (codes + leaves * torch.arange(trees, device=codes.device)).flatten(1)
        labels = by_route.repeat_interleave(trees, dim=1)  # (R, n T, D), as place
        summed = torch.zeros_like(self.values)
        summed.scatter_add_(1, place[..., None].expand_as(labels), labels)
        count = torch.zeros_like(self.mass).scatter_add_(1, place, torch.ones_like(labels[..., 0]))
        mean = labels.mean(dim=1, keepdim=True)
        held = torch.where(count[..., None] > 0, summed / count[..., None].clamp(min=1), mean)
        self.values.copy_(held / self.unit)
        self.mass.fill_(1 / leaves)
        self.moments.copy_(_outer(by_route - mean).mean(dim=1, keepdim=True) / leaves)
        self.steps.zero_()

    def set_progress(self, share: float) -> None:
        c = self.config
        self._warming = share < c.routing_warmup
        self.gates.set_steepness(steepness(share, c.steepness_first, c.steepness_last, c.annealing))

    def forward(self, features: Tensor) -> Routed:
        gates = self.gates(features)
        p: Tensor | Chosen
        if self.training:
            p = probabilities(log_routing(gates))
        elif self.config.inference == "soft":
            p = shares(gates)
        elif self.config.inference in ("hard", "hard-last"):
            p = _decided(gates)
        else:
            k = min(self.config.top_k, 2**self.config.tree_depth)
            log_share, leaf = top_leaves(log_routing(gates), k)
            p = Chosen(leaf, log_share.exp())
        values = self.values * self.unit
        if not torch.compiler.is_exporting():
            return Routed(gates, p, self._mean(p, values))
        dims = values.shape[-1]
        # For one face, one product takes half the time of two, and one of eight columns less than
        # one of six.
        held = torch.cat([values, self._held_covariances()], dim=-1)
        both = self._mean(p, F.pad(held, [0, -held.shape[-1] % 8]))
        expected = both[..., dims : dims + dims**2].unflatten(-1, (dims, dims))
        return Routed(gates, p, both[..., :dims], expected)

    def hard(self, routed: Routed) -> Tensor:
        """Return what the vectors would be if each tree decided on one leaf: (B, R, D)."""
        return self._mean(_decided(routed.gates), self.values * self.unit)

    def tree_vectors(self, routed: Routed) -> Tensor:
        """Return the vector of each tree alone, of soft routing; their mean over T is that of the
        forest: (B, T, R, D)."""
        assert isinstance(routed.p, Tensor), "trees learn from soft routing"
        trees = routed.p.permute(1, 2, 0, 3)  # (R, T, B, L)
        held = (self.values * self.unit).unflatten(1, (self.config.trees, -1))
        return (trees @ held).permute(2, 1, 0, 3)

    def covariances(self, routed: Routed) -> Tensor:
        """Return C(x): (B, R, D, D), symmetric, positive semidefinite."""
        if routed.expected is not None:
            return routed.expected
        d = self.values.shape[-1]
        return self._mean(routed.p, self._held_covariances()).unflatten(-1, (d, d))

    def leaf(self, route: int, tree: int, leaf: int) -> tuple[Tensor, Tensor]:
        """Return what one leaf holds: its vector (D,) and the covariance of its errors (D, D)."""
        place, d = tree * 2**self.config.tree_depth + leaf, self.values.shape[-1]
        covariance = self._held_covariances()[route, place].view(d, d)
        return self.values[route, place] * self.unit, covariance

    def _held_covariances(self) -> Tensor:
        return self.moments / self.mass.clamp(min=EMPTY)[..., None]

    def _mean(self, p: Tensor | Chosen, held: Tensor) -> Tensor:
        """Return 1/T sum_t sum_l P_t(l|x) held_tl: (B, R, T, L), (R, T L, M) -> (B, R, M)."""
        with torch.autocast(held.device.type, enabled=False):
            if isinstance(p, Tensor):
                rows = p.flatten(2).transpose(0, 1)
                return (rows @ (held / self.config.trees)).transpose(0, 1)
            b, r, trees, k = p.leaf.shape
            first = torch.arange(r * trees, device=p.leaf.device).view(r, trees, 1)
            place = (p.leaf + first * 2**self.config.tree_depth).view(b * r, trees * k)
            share = p.share.view(b * r, trees * k).to(held.dtype)
            if torch.compiler.is_exporting():  # ONNX has gathers, but no bag of them
                chosen = held.flatten(0, 1)[place] * share[..., None]
                return chosen.sum(dim=1).view(b, r, -1) / trees
            bags = F.embedding_bag(place, held.flatten(0, 1), per_sample_weights=share, mode="sum")
            return bags.view(b, r, -1) / trees

    def loss(self, routed: Routed, rows: Tensor) -> dict[str, Tensor]:
        """Return the parts of the loss beyond that of the vectors: in the warm-up, of the routing
        against the codes of vectors (B, R, D). A row with NaN counts nowhere."""
        if not self._warming:
            return {}
        codes = self.codes(rows.transpose(0, 1)).transpose(0, 1)
        log_p = routed.log_p.gather(-1, codes.unsqueeze(-1))
        return {"codes": -mean_where(log_p, ~rows.isnan().any(dim=-1))}

    @torch.no_grad()
    def leaf_step(self, routed: Routed, errors: Tensor) -> None:
        """Take the errors of a batch, (B, R, D), into the covariances. An error with NaN counts
        nowhere, and a route without any other keeps what it has."""
        assert isinstance(routed.p, Tensor), "leaves learn from soft routing"
        known = ~errors.isnan().any(dim=-1)
        weight = known.to(routed.p.dtype).T[..., None]  # (R, B, 1), 0 or 1
        count = total(weight.sum(dim=1, keepdim=True))  # (R, 1, 1)
        rows = routed.p.flatten(2).transpose(0, 1) * weight  # (R, B, T L)
        errors = torch.where(known[..., None], errors, 0.0)
        eta = stepwise_rate(self.steps).to(rows.dtype)
        moments = total(rows.mT @ _outer(errors.transpose(0, 1))) / count.clamp(min=1)
        mass = total(rows.sum(dim=1, keepdim=True)) / count.clamp(min=1)
        self.moments.lerp_(torch.where(count > 0, moments, self.moments), eta)
        self.mass.lerp_(torch.where(count > 0, mass, self.mass[:, None]).squeeze(1), eta)
        self.steps += 1

    @torch.no_grad()
    def diagnostics(self, outputs: Sequence[Routed]) -> dict[str, float]:
        """Return usage_entropy and information (nats, means over trees and routes), largest_share
        (0..1) and steepness."""
        return diagnostics(torch.cat([routed.log_p for routed in outputs])) | {
            "steepness": float(self.gates.gamma),
        }


def _outer(vectors: Tensor) -> Tensor:
    """(..., D) -> (..., D^2)."""
    return (vectors.unsqueeze(-1) * vectors.unsqueeze(-2)).flatten(-2)


def _decided(gates: Tensor) -> Chosen:
    leaf = hard_leaves(gates).unsqueeze(-1)
    return Chosen(leaf, torch.ones_like(leaf, dtype=gates.dtype))
