"""A forest of Gaussian leaves over given features: gates, routing, leaves, and how all learn.

Symbols beyond `drf.forest`: labels y (N, D), coefficients of shapes with unit variance. The joint
model of a tree is p(y|x) = sum_l P(l|x) N(y; mu_l, S_l) (Shen et al. 2018, DRF, arXiv 1712.07195).
Three schedules bring gates and leaves together:

    sequential   EM on the labels alone before training; then the network learns the
                 responsibilities z by -sum_l z_l log P(l|x), and the leaves stay as they are
    alternating  some steps of the network on the likelihood, then EM on the faces of these steps
    joint        stepwise EM: after each step its batch goes into the leaves' statistics

The last two begin with a warm-up in which the network learns the responsibilities, as in the
first: likelihood under uninformative routing would draw all leaves to the mean shape.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.config import Range
from drf.forest.gates import Annealing, SplitGates, steepness
from drf.forest.gaussian_leaves import GaussianLeaves
from drf.forest.routing import (
    balance,
    diagnostics,
    hard_leaves,
    log_routing,
    probabilities,
    require_memory,
)
from drf.landmarks import shapes

ROWS_PER_LEAF = 64
"""From how many labels each tree's k-means and the first EM are made: more only take longer."""

K_MEANS = 10
"""Iterations of k-means; EM goes on from there."""

TRUST = 400
"""Steps of stepwise EM for which the first leaves count, which have seen thousands of labels: at
the first steps' own rate a few batches of 16 faces would wipe them out."""

STARVED = 0.01
"""Share of an even leaf's mass under which a leaf is moved to faces that are served badly."""

RECENT = 32
"""Batches of an epoch's end among which moved leaves look for such faces."""


@dataclass(frozen=True)
class MixtureForestConfig:
    """Options of a forest of Gaussian leaves."""

    trees: Annotated[int, Range(1, 256), "Number of trees."] = 32
    tree_depth: Annotated[int, Range(1, 12), "Depth of a tree, which has 2^depth leaves."] = 5
    shrinkage: Annotated[
        float, Range(0, 1), "Share by which covariances are drawn towards a sphere."
    ] = 0.05
    schedule: Annotated[
        Literal["sequential", "alternating", "joint"],
        "How gates and leaves learn: leaves first, in turns, or both at every step.",
    ] = "joint"
    init_iterations: Annotated[
        int, Range(0, 10_000), "EM iterations on the labels alone before the first step."
    ] = 3
    cnn_steps: Annotated[
        int,
        Range(1, 100_000),
        "Steps of the network between two leaf phases, for schedule = alternating.",
    ] = 50
    em_iterations: Annotated[
        int, Range(1, 1000), "EM iterations of a leaf phase, for schedule = alternating."
    ] = 3
    nll_weight: Annotated[
        float,
        Range(0, 1000),
        "Weight of the negative log-likelihood per dimension, mean over trees.",
    ] = 0.1
    mutual_information_weight: Annotated[
        float,
        Range(0, 1000),
        "Weight of the mutual information of leaf and picture, which the loss rewards.",
    ] = 0.0
    routing_warmup: Annotated[
        float,
        Range(0, 0.9),
        "Share of the run in which the routing learns the responsibilities of the leaves.",
    ] = 0.1
    steepness_first: Annotated[
        float, Range(0.01, 100), "Steepness of the splits at the start of the run."
    ] = 1.0
    steepness_last: Annotated[
        float, Range(0.01, 100), "Steepness of the splits at the end of the run."
    ] = 1.0
    annealing: Annotated[
        Annealing,
        "How the steepness goes from first to last; constant takes the last one all along.",
    ] = "geometric"
    inference: Annotated[
        Literal["soft", "hard"], "Whether evaluation weighs all leaves or takes one of each tree."
    ] = "soft"


@dataclass(frozen=True)
class Routed:
    """gates  (B, T, S), steepness included · log_p  (B, T, L)"""

    gates: Tensor
    log_p: Tensor


class MixtureForest(nn.Module):
    """T trees over features (B, F), labels (B, D).

    Raises UsageError for leaves that do not fit into memory, before they are made.
    """

    def __init__(self, config: MixtureForestConfig, features: int, dims: int) -> None:
        super().__init__()
        self.config = config
        leaves = 2**config.tree_depth
        require_memory(bytes_needed(config, features, dims), _recipe(config, dims))
        self.gates = SplitGates(features, config.trees, config.tree_depth)
        # Steps of Adam have a fixed size: on directions of length sqrt(F) they would turn slowly.
        with torch.no_grad():
            self.gates.weight.mul_(features**-0.5)
        self.leaves = GaussianLeaves(config.trees, leaves, dims, shrinkage=config.shrinkage)
        self._recent: deque[tuple[Tensor, Tensor]] = deque()
        self._since = 0  # batches since the last leaf phase
        self.set_progress(0.0)

    @torch.no_grad()
    def initialise(self, features: Tensor, y: Tensor, weight: Tensor) -> None:
        """Set thresholds from features (b, F), and leaves from labels (n, D).

        Every tree clusters a draw of its own, by k-means over y * weight, weight (D,). Raises
        UsageError where fewer labels than leaves differ.
        """
        self.gates.initialise(features)
        self.leaves.initialise(y, _codes(y, weight, self.config))
        y = y[: ROWS_PER_LEAF * 2**self.config.tree_depth]
        for _ in range(self.config.init_iterations):
            self.leaves.em_step(y, self.leaves.log_prior().expand(len(y), -1, -1))
        self.leaves.steps.fill_(TRUST)

    def set_progress(self, share: float) -> None:
        c = self.config
        self._guided = c.schedule == "sequential" or share < c.routing_warmup
        self.gates.set_steepness(steepness(share, c.steepness_first, c.steepness_last, c.annealing))

    def forward(self, features: Tensor) -> Routed:
        """Route features (B, F) through all trees."""
        gates = self.gates(features)
        return Routed(gates, log_routing(gates))

    def predict(self, routed: Routed, *, hard: bool = False) -> Tensor:
        """Return the mean over trees of sum_l P mu_l, or of the leaf each decides on: (B, D)."""
        if hard:
            leaf = hard_leaves(routed.gates)
            return self.leaves(F.one_hot(leaf, routed.log_p.shape[-1]).to(routed.log_p.dtype))
        return self.leaves(probabilities(routed.log_p))

    def nll(self, routed: Routed, y: Tensor) -> Tensor:
        """Return -log p(y|x) per dimension in nats, mean over trees and rows: labels y (B, D) ->
        ()."""
        return -self.leaves.log_likelihood(y, routed.log_p).mean() / y.shape[-1]

    def loss(self, routed: Routed, y: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts; before and without likelihood, what the labels say."""
        c, parts = self.config, {}
        total = torch.zeros((), device=y.device)
        if self._guided:
            z = self.leaves.responsibilities(y, self.leaves.log_prior())
            parts["responsibilities"] = -(z * routed.log_p).sum(dim=-1).mean()
            total = total + parts["responsibilities"]
        elif c.nll_weight:
            parts["nll"] = self.nll(routed, y)
            total = total + c.nll_weight * parts["nll"]
        if c.mutual_information_weight:
            total = total - c.mutual_information_weight * balance(routed.log_p).information.mean()
        return total, parts

    @torch.no_grad()
    def leaf_step(self, routed: Routed, y: Tensor) -> None:
        """Take one batch into the leaves, or collect it for the round's leaf phase."""
        if self._guided:  # the leaves hold what the labels say, until the routing has learned it
            return
        log_p = routed.log_p.detach()
        self._recent.append((y, log_p))
        while len(self._recent) > self._kept:  # before a phase: one batch more is of the last round
            self._recent.popleft()
        self._since += 1
        if self.config.schedule == "joint":
            self.leaves.update(y, log_p)
        elif self._since == self.config.cnn_steps:
            self._leaf_phase()

    @property
    def _kept(self) -> int:
        """Batches that are kept. An alternating phase at an epoch's end so never has fewer than a
        round's, unless the epoch has: leaves fitted to a few faces would forget all others."""
        return self.config.cnn_steps if self.config.schedule == "alternating" else RECENT

    def _leaf_phase(self) -> None:
        y, log_p = _joined(self._recent)
        for _ in range(self.config.em_iterations):
            self.leaves.em_step(y, log_p)
        self._since = 0

    @torch.no_grad()
    def finish_epoch(self) -> None:
        """Close the round that is open, and move starved leaves; nothing collected is kept."""
        if not self._recent:
            return
        if self.config.schedule == "alternating" and self._since:
            self._leaf_phase()
        y, log_p = _joined(self._recent)
        steps = self.gates.norm.num_batches_tracked  # saved: a resumed run draws the same
        assert steps is not None
        generator = torch.Generator(y.device).manual_seed(int(steps))
        self.leaves.reseed(y, log_p.exp(), generator, STARVED)
        self._recent.clear()
        self._since = 0

    @torch.no_grad()
    def diagnostics(self, routed: Routed, y: Tensor) -> dict[str, float]:
        """Return usage_entropy and information (nats), largest_share (0..1), each a mean over
        trees, nll (nats per dimension) and steepness."""
        return diagnostics(routed.log_p) | {
            "nll": float(self.nll(routed, y)),
            "steepness": float(self.gates.gamma),
        }


def joined(outputs: Sequence[Routed]) -> Routed:
    """Return the routing of several batches as that of one."""
    return Routed(torch.cat([o.gates for o in outputs]), torch.cat([o.log_p for o in outputs]))


def bytes_needed(config: MixtureForestConfig, features: int, dims: int) -> int:
    """Return the bytes that gates and leaves take while a run trains, float32.

    Gates: the weights, their gradient, two moments and the average. Leaves: covariances and their
    factors, twice with the average, and as much again while a step replaces them.
    """
    leaves = 2**config.tree_depth
    gates = 5 * config.trees * (leaves - 1) * (features + 1)
    return 4 * (gates + 8 * config.trees * leaves * dims * (dims + 1))


def _recipe(config: MixtureForestConfig, dims: int) -> str:
    leaves = 2**config.tree_depth
    return f"{config.trees} trees of {leaves} Gaussian leaves over {dims} dimensions"


def _codes(y: Tensor, weight: Tensor, config: MixtureForestConfig) -> Tensor:
    """Return the cluster of each label in each tree: (n, D) -> (n, T) int64."""
    rows = (y * weight).double()
    leaves = 2**config.tree_depth
    codes = []
    for tree in range(config.trees):
        generator = torch.Generator().manual_seed(tree)
        n = min(len(y), ROWS_PER_LEAF * leaves)
        chosen = torch.randperm(len(y), generator=generator)[:n]
        labels = rows[chosen.to(y.device)].cpu().numpy()
        fitted = shapes.k_means(labels, leaves, seed=tree, iterations=K_MEANS)
        centres = torch.from_numpy(fitted.centres).to(y.device)
        codes.append(torch.cdist(rows, centres).argmin(dim=-1))
    return torch.stack(codes, dim=1)


def _joined(batches: Sequence[tuple[Tensor, Tensor]]) -> tuple[Tensor, Tensor]:
    y, log_p = zip(*batches, strict=True)
    return torch.cat(y), torch.cat(log_p)
