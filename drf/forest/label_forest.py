"""A forest of label distributions over given features: gates, routing, leaves, and how all learn.

Symbols beyond `drf.forest`: B faces; R routes of a face, one for each landmark or one for the whole
face; G pools of leaves that routes share; N rows of a pool. Each route of each face has a label of
H heads x C cells, J of which it names (`labels.Labels`). What the cells mean, and how the label is
decoded, is the caller's business.

A step, in the order of the training loop:

    set_progress   steepness, warm-up, as the run goes on
    forward        features -> gates -> P(leaf | x)
    loss           of g = P q against the labels; in the warm-up, of P against the tree codes
    leaf_step      the leaves, from the same routing
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from drf.config import Range
from drf.errors import UsageError
from drf.forest import label_leaves, leaf_updates
from drf.forest.gates import Annealing, RawGates, SplitGates, TreeCodes, steepness, turns
from drf.forest.label_leaves import ALL, Batch, LabelLeaves
from drf.forest.labels import Labels
from drf.forest.pools import Pools
from drf.forest.routing import (
    balance,
    diagnostics,
    hard_leaves,
    log_routing,
    mean_where,
    probabilities,
    require_memory,
)

ROWS_PER_LEAF = 64
"""From how many labels the codes and the first leaves are made: more would only take longer."""


@dataclass(frozen=True)
class LabelForestConfig:
    """Options of a forest of label distributions."""

    trees: Annotated[int, Range(1, 64), "Number of trees."] = 4
    tree_depth: Annotated[int, Range(1, 12), "Depth of a tree, which has 2^depth leaves."] = 5
    leaf_update: Annotated[
        leaf_updates.Update,
        "How leaves learn: by variational bounding, by ridge regression, or by gradient.",
    ] = "bounding"
    statistics: Annotated[
        Literal["stepwise", "round", "restart"],
        "When bounding and ridge leaves learn: at every step, after rounds of steps, or anew "
        "from each batch of a round.",
    ] = "stepwise"
    cnn_steps: Annotated[
        int, Range(0, 100_000), "Steps of the network in a round; 0 makes the epoch the round."
    ] = 0
    leaf_iterations: Annotated[int, Range(1, 1000), "Iterations of the leaves after a round."] = 1
    tree_update: Annotated[
        Literal["joint", "sequential", "averaged"],
        "How trees learn: each by its own loss, one tree per epoch, or all by one loss on their "
        "mean.",
    ] = "joint"
    steepness_first: Annotated[
        float, Range(0.01, 100), "Steepness of the splits at the start of the run."
    ] = 2.0
    steepness_last: Annotated[
        float, Range(0.01, 100), "Steepness of the splits at the end of the run."
    ] = 6.0
    annealing: Annotated[
        Annealing,
        "How the steepness goes from first to last; constant takes the last one all along.",
    ] = "geometric"
    routing_warmup: Annotated[
        float,
        Range(0, 1),
        "Share of the run in which the routing learns the tree codes of the labels.",
    ] = 0.1
    mutual_information_weight: Annotated[
        float,
        Range(0, 100),
        "Weight of the mutual information of leaf and picture, which the loss rewards.",
    ] = 0.0
    leaf_init: Annotated[
        Literal["codes", "identical"],
        "First content of the leaves: mean labels of the tree codes, or the same in all.",
    ] = "codes"
    gates: Annotated[
        Literal["normalised", "raw"],
        "Splits over normalised features with thresholds from the data, or a plain dense layer.",
    ] = "normalised"
    inference: Annotated[
        Literal["soft", "hard"], "Whether evaluation weighs all leaves or takes one of each tree."
    ] = "soft"


@dataclass(frozen=True)
class Routed:
    """gates    (B, R, T, S), steepness included
    log_p    (B, R, T, L)
    routing  (G, N, T, L), P arranged for the leaves
    """

    gates: Tensor
    log_p: Tensor
    routing: Tensor


class LabelForest(nn.Module):
    """T trees over features (B, F) that all routes share, or (B, R, F) of each route.

    heads, cells  of a label · dims: numbers that the tree codes see of a label
    groups        which routes share leaves, see `Pools`
    Raises UsageError for leaves that do not fit into memory, before they are made.
    """

    round: Tensor

    def __init__(
        self,
        config: LabelForestConfig,
        features: int,
        groups: Sequence[np.ndarray],
        label: tuple[int, int],
        dims: int,
        *,
        per_route: bool,
    ) -> None:
        super().__init__()
        if config.statistics == "restart" and config.leaf_update != "bounding":
            raise UsageError(
                'model.statistics = "restart" is a way of leaves that learn by bounding'
            )
        self.config, self.per_route, self.cells = config, per_route, label[1]
        self.routes = sum(len(group) for group in groups)
        trees, depth, leaves = config.trees, config.tree_depth, 2**config.tree_depth
        shape = (len(groups), trees, leaves, *label)
        copies = 5  # of what gradients move: the value, its gradient, two moments, the average
        gates = copies * self.routes * trees * (leaves - 1) * features
        require_memory(
            4 * (gates + leaf_updates.numbers(config.leaf_update, *shape)),
            f"{len(groups)} x {trees} trees of {leaves} leaves of {label[0] * label[1]} cells",
        )
        kind = SplitGates if config.gates == "normalised" else RawGates
        self.gates: SplitGates | RawGates
        if per_route:
            self.gates = kind(features, trees, depth, sites=self.routes)
        else:
            self.gates = kind(features, trees * self.routes, depth)
        self.pools = Pools(groups)
        self.codes = TreeCodes(len(groups), dims, trees, depth)
        self.leaves = leaf_updates.build(config.leaf_update, *shape)
        self.register_buffer("round", torch.zeros((), dtype=torch.int64))
        self.register_load_state_dict_post_hook(lambda module, _: module._turn())
        self._learning, self._warming = ALL, False
        self._collected: list[Batch] = []
        self.set_progress(0.0)
        self._turn()

    def enough_faces(self) -> int:
        """Return how many faces `initialise` needs, for ROWS_PER_LEAF in the smallest pool."""
        smallest = int(self.pools.pool_of.bincount().min())
        return math.ceil(ROWS_PER_LEAF * 2**self.config.tree_depth / smallest)

    @torch.no_grad()
    def initialise(self, features: Tensor, labels: Labels, rows: Tensor) -> None:
        """Set tree codes from rows (n, R, D), what they are grown on; thresholds from features,
        (b, F) or (b, R, F), so that each route spreads over leaves as its codes do: a pool that
        landmarks share holds places where some of them never are; and leaves from the labels of the
        first m rows, (m, R, H, J)."""
        arranged = self.pools.rows(rows)
        self.codes.initialise(arranged)
        right = turns(self.pools.landmarks(self.codes(arranged)), 2**self.config.tree_depth)
        self.gates.initialise(features, right if self.per_route else right.flatten(0, 1)[None])
        codes = self.codes(self.pools.rows(rows[: len(labels.weights)]))
        masked = self.pools.masked(self._seen(labels))
        if self.config.leaf_init == "identical":
            # All in leaf 0, whose mean the leaves without rows take. Of a single row, the mean of
            # all, that is so to the last bit: Adam makes large steps of the smallest gradients.
            pool = torch.arange(self.pools.n, device=codes.device)[:, None].expand(codes.shape[:2])
            sums = label_leaves.sum_by(pool, masked, self.pools.n, self.cells)
            masked = Labels(F.normalize(sums, p=1.0, dim=-1).unsqueeze(1))
            codes = torch.zeros_like(codes[:, :1])
        self.leaves.initialise(codes, masked)

    def set_progress(self, share: float) -> None:
        c = self.config
        self._warming = share < c.routing_warmup
        self.gates.set_steepness(steepness(share, c.steepness_first, c.steepness_last, c.annealing))

    def forward(self, features: Tensor) -> Routed:
        gates = self.gates(features)
        if not self.per_route:
            gates = gates.unflatten(1, (self.routes, self.config.trees))
        log_p = log_routing(gates)
        routed = Routed(gates, log_p, self.pools.rows(probabilities(log_p)))
        decided = self.config.inference == "hard" and not self.training
        return self.hard(routed) if decided else routed

    def hard(self, routed: Routed) -> Routed:
        """Return the same, but with each row in one leaf of a tree, that to which its turns lead:
        the most probable one, unless gates are soft."""
        p = F.one_hot(hard_leaves(routed.gates), routed.log_p.shape[-1]).to(routed.log_p.dtype)
        return replace(routed, routing=self.pools.rows(p))

    def distributions(self, routed: Routed) -> Tensor:
        """Return the mean over trees of their predictions, by route: (B, R, H, C)."""
        return self._mean(self.leaves(routed.routing))

    def expectation(self, routed: Routed, values: Tensor) -> Tensor:
        """Return the means of values of the cells, (C, D), under `distributions`: (B, R, H, D). Of
        a mixture they are the mixture of the leaves' means, which no product with all cells needs.
        """
        if self._least_squares:
            return self.distributions(routed) @ values
        with torch.autocast(values.device.type, enabled=False):
            of_leaves = label_leaves.expectation(self.leaves.q, values)
            return self._mean(label_leaves.predict(routed.routing, of_leaves))

    def _mean(self, predictions: Tensor) -> Tensor:
        """Return the mean over trees, by route: (G, N, T, ...) -> (B, R, ...). Gradients go to the
        trees that learn alone; what least squares predict is made a distribution."""
        if self._learning != ALL:
            every, predictions = predictions, predictions.detach().clone()
            predictions[:, :, self._learning] = every[:, :, self._learning]
        mean = self.pools.landmarks(predictions.mean(dim=2))
        if self._least_squares:
            return F.normalize(mean.clamp(min=0), p=1.0, dim=-1)
        return mean

    @property
    def _least_squares(self) -> bool:
        """Whether leaves hold a regression, which counts every cell, and may go below 0."""
        return self.config.leaf_update == "ridge"

    def _seen(self, labels: Labels) -> Labels:
        """Return labels with the cells that the leaves count."""
        return labels.dense(self.cells) if self._least_squares else labels

    def loss(
        self, routed: Routed, labels: Labels, rows: Tensor
    ) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss and its parts: labels (B, R, H, J), rows (B, R, D) as in `initialise`.

        A label that is 0 everywhere counts nowhere, nor does a row with NaN.
        """
        masked = self.pools.masked(self._seen(labels))
        predictions = self.leaves(routed.routing, masked.cells)[:, :, self._learning]
        if self.config.tree_update == "averaged":
            predictions = predictions.mean(dim=2, keepdim=True)
        fit = self.leaves.loss(predictions, masked)
        total, parts = fit, {"leaves": fit}
        if self._warming:
            codes = self.codes(self.pools.rows(rows)).unsqueeze(-1)
            log_p = self.pools.rows(routed.log_p).gather(-1, codes)
            known = ~rows.isnan().any(dim=-1)  # by landmark: repeated rows count once
            parts["codes"] = -mean_where(self.pools.landmarks(log_p), known)
            total = total + parts["codes"]
        if self.config.mutual_information_weight:
            information = balance(routed.log_p).information.mean()
            total = total - self.config.mutual_information_weight * information
        return total, parts

    def excess(self, routed: Routed, labels: Labels) -> Tensor:
        """Return the divergence of the forest's mean from labels (B, R, H, J), nats per head."""
        labels = self._seen(labels)
        mean = self._mean(self.leaves(routed.routing, labels.map(self.pools.rows).cells))
        by_row = labels.map(lambda x: x.flatten(0, 1)[None])
        return label_leaves.divergence(mean.flatten(0, 1)[None, :, None], by_row)

    @torch.no_grad()
    def leaf_step(self, routed: Routed, labels: Labels) -> None:
        """Update the leaves by one batch, or collect it for the end of its round."""
        if self._warming:  # the leaves hold what the codes say, until the routing has learned them
            return
        if self.config.leaf_update == "gradient":
            return
        masked = self.pools.masked(self._seen(labels))
        if self.config.statistics == "stepwise":
            predictions = self.leaves(routed.routing, masked.cells)
            if self.config.tree_update == "averaged":
                predictions = label_leaves.mixed(predictions)
            self.leaves.update(routed.routing, masked, predictions, self._learning)
            return
        self._collected.append((routed.routing.detach(), masked))
        if len(self._collected) == self.config.cnn_steps:
            self._leaf_phase()

    @torch.no_grad()
    def finish_epoch(self) -> None:
        """Close the round that is open; with sequential trees, turn to the next."""
        self._leaf_phase()
        self.round += 1
        self._turn()

    def _leaf_phase(self) -> None:
        batches, self._collected = self._collected, []
        if not batches:
            return
        fit = self.leaves.fit
        if self.config.statistics == "restart":
            assert isinstance(self.leaves, LabelLeaves)
            fit = self.leaves.fit_and_average
        averaged = self.config.tree_update == "averaged"
        fit(batches, self.config.leaf_iterations, self._learning, averaged=averaged)

    def _turn(self) -> None:
        if self.config.tree_update == "sequential":
            tree = int(self.round) % self.config.trees
            self._learning = slice(tree, tree + 1)

    @torch.no_grad()
    def diagnostics(self, outputs: Sequence[Routed]) -> dict[str, float]:
        """Return usage_entropy and information (nats, means over trees and routes), largest_share
        (0..1) and steepness."""
        return diagnostics(torch.cat([routed.log_p for routed in outputs])) | {
            "steepness": float(self.gates.gamma),
        }
