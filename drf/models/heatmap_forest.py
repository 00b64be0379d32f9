"""The heatmap forest (Shen et al. 2017, LDLF, arXiv 1702.06086): leaves are label distributions of
where landmarks lie, over a window around a centre.

    absolute  the centre is that of the box, as in earlier designs
    mean      the mean shape
    current   the landmarks that coarse maps of the same network find; the forest sees features
              sampled there, and says what is left (as cascades do)

For absolute and mean the splits of every landmark see one vector of the whole face.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import numpy as np
import torch
from torch import Tensor

from drf.config import Range
from drf.errors import UsageError
from drf.forest import label_leaves
from drf.forest.label_forest import LabelForest, LabelForestConfig, Routed
from drf.forest.labels import LabelGrid, Labels, LeafKind
from drf.landmarks import shapes
from drf.models import backbones, leaf_pictures
from drf.models.backbones import Backbone, Features, Summary
from drf.models.base import (
    InitialData,
    InputSpec,
    LandmarkModel,
    filled,
    mean_distance,
    mean_l1,
    present,
)
from drf.models.landmark_heads import CoarseMaps, LocalFeatures
from drf.pictures import LeafPicture

START_BYTES = 2**28
"""What the labels that leaves start from may take, were all cells named: maps are large."""


@dataclass(frozen=True)
class HeatmapForestConfig(LabelForestConfig):
    """Options of the heatmap forest, beside those of its trees."""

    backbone: Annotated[backbones.Kind, "Convolutional encoder of the picture."] = "residual"
    width: Annotated[int, Range(8, 512), "Channels of the encoder's first level."] = 32
    features: Annotated[
        int, Range(8, 2048), "Length of the vector that the splits see, per face or per landmark."
    ] = 256
    target: Annotated[
        Literal["absolute", "mean", "current"],
        "Centre of the window that leaves describe: the box, the mean shape, or what coarse "
        "maps find.",
    ] = "current"
    window_half_width: Annotated[
        float,
        Range(0.01, 1.0),
        "Half width of the window around the centre, as a share of the box.",
    ] = 0.1
    label_kind: Annotated[
        LeafKind, "What a leaf stores per landmark: separate distributions of x and y, or a map."
    ] = "xy"
    bins: Annotated[int, Range(4, 256), "Cells of the window per side."] = 32
    label_sigma: Annotated[float, Range(0.2, 16), "Standard deviation of the label, in cells."] = (
        1.0
    )
    label_threshold: Annotated[
        float,
        Range(0, 0.99),
        "Cells below this share of the label's peak are left out of it; 0 keeps all.",
    ] = 0.0
    pool: Annotated[
        Literal["landmark", "group", "shared", "face"],
        "Landmarks that share leaves: none, groups that move together, all, or whole faces with "
        "one routing.",
    ] = "landmark"
    groups: Annotated[int, Range(1, 1000), "Number of groups, for pool = group."] = 8
    coordinate_loss_weight: Annotated[
        float, Range(0, 100), "Weight of the L1 distance of the expected landmarks, in cells."
    ] = 1.0


@dataclass(frozen=True)
class Outputs:
    """centres: (B, K, 2) unit box, of the windows · coarse: maps, where there are any"""

    routed: Routed
    centres: Tensor
    coarse: Tensor | None


class HeatmapForest(LandmarkModel):
    """See the module. Raises UsageError for what cannot be built, before any work."""

    Config = HeatmapForestConfig

    mean: Tensor

    def __init__(self, config: HeatmapForestConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        k = spec.n_points
        self.grid = LabelGrid(
            config.label_kind,
            config.bins,
            config.label_sigma,
            config.window_half_width,
            config.label_threshold,
        )
        self.backbone: Backbone = backbones.build(config.backbone, config.width, spec.input_size)
        self.register_buffer("mean", torch.full((k, 2), 0.5))
        self.coarse: CoarseMaps | None = None
        self.look: LocalFeatures | Summary
        self.whole = config.pool == "face"
        if config.target == "current":
            if self.whole:
                raise UsageError(
                    'whole-image leaves see the face at once: model.pool = "face" goes with'
                    ' model.target = "mean" or "absolute"'
                )
            self.coarse = CoarseMaps(self.backbone, k)
            self.look = LocalFeatures(self.backbone, k, config.features)
        else:
            self.look = Summary(self.backbone, config.features)
        heads = self.grid.heads * (k if self.whole else 1)
        self.forest = LabelForest(
            config,
            config.features,
            _first_groups(config, k),
            (heads, self.grid.cells),
            2 * k if self.whole else 2,
            per_route=config.target == "current",
        )

    @torch.no_grad()
    def initialise(self, data: InitialData) -> None:
        self.mean.copy_(data.mean)
        if self.config.pool == "group":
            faces = shapes.complete(data.faces).cpu().double().numpy()
            self.forest.pools.assign(shapes.correlation_groups(faces, self.config.groups))
        features = self.backbone(data.images)
        drawn = data.drawn[: max(self.forest.enough_faces(), len(data.images))]
        whole = filled(drawn, self.mean)
        if self.config.target == "current":
            # Where the coarse maps will err is not known yet: a normal error that the window holds.
            centres = whole + torch.randn_like(drawn) * (self.config.window_half_width / 2.5)
        else:
            centres = self._centres(len(drawn))
        seen = self._look(features, centres[: len(data.images)])
        numbers = self.spec.n_points * self.grid.heads * self.grid.cells
        labelled = (drawn - centres)[: max(1, START_BYTES // (4 * numbers))]
        self.forest.initialise(seen, self._labels(labelled), self._rows(whole, centres))

    def set_progress(self, share: float) -> None:
        self.forest.set_progress(share)

    def forward(self, images: Tensor) -> Outputs:
        features = self.backbone(images)
        coarse = self.coarse(features.context) if self.coarse else None
        centres = self._centres(images.shape[0], coarse)
        return Outputs(self.forest(self._look(features, centres)), centres, coarse)

    def loss(self, outputs: Outputs, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """L = mean_t D(d, g_t) + w mean |points - y| / cell + [current] CE(maps, y)
               - [warm-up] mean_t log P_t(code_t(y)|x) - v mean_t I(leaf; x)

        d are the labels, g_t = P_t q_t what tree t predicts of them, D the Kullback-Leibler
        divergence (the squared distance for leaf_update = ridge), w = coordinate_loss_weight,
        v = mutual_information_weight. Parts: leaves, codes, coordinate, coarse.
        """
        labels = self._labels(points - outputs.centres)
        rows = self._rows(points, outputs.centres)
        total, parts = self.forest.loss(outputs.routed, labels, rows)
        if self.config.coordinate_loss_weight:
            error = mean_l1(self.points(outputs), points) / self.grid.cell
            parts["coordinate"] = error
            total = total + self.config.coordinate_loss_weight * error
        if self.coarse is not None and outputs.coarse is not None:
            parts["coarse"] = self.coarse.loss(outputs.coarse, points)
            total = total + parts["coarse"]
        return total, parts

    def points(self, outputs: Outputs) -> Tensor:
        values = self.grid.values(outputs.centres.device)
        offsets = self.forest.expectation(outputs.routed, values)  # (B, R, H, D)
        return outputs.centres + offsets.reshape(outputs.centres.shape)

    @torch.no_grad()
    def leaf_step(self, outputs: Outputs, points: Tensor) -> None:
        self.forest.leaf_step(outputs.routed, self._labels(points - outputs.centres))

    @torch.no_grad()
    def finish_epoch(self) -> None:
        self.forest.finish_epoch()

    @torch.no_grad()
    def diagnostics(self, outputs: Sequence[Outputs], points: Tensor) -> dict[str, float]:
        """As `LabelForest.diagnostics`, and excess_ce (nats per head, above the labels' entropy),
        std_px (of the Gaussian with that cross-entropy), l1_px and soft_hard_gap_px (mean
        distances; the gap is what hard routing adds), leaf_distance_px (mean distance of two leaves
        of a tree), all in pixels of the input."""
        size, rows = self.spec.input_size, points.split([len(o.centres) for o in outputs])
        excess, soft, hard, entropy = (torch.zeros((), dtype=torch.float64) for _ in range(4))
        for output, truth in zip(outputs, rows, strict=True):
            share = int(present(truth).sum()) / max(1, int(present(points).sum()))
            labels = self._labels(truth - output.centres)
            excess += share * self.forest.excess(output.routed, labels).cpu()
            entropy += share * label_leaves.entropy(labels.weights).cpu()
            hard_points = self.points(replace(output, routed=self.forest.hard(output.routed)))
            soft += share * mean_distance(self.points(output), truth).cpu()
            hard += share * mean_distance(hard_points, truth).cpu()
        values = self.grid.values(points.device)
        places = label_leaves.expectation(self.forest.leaves.q, values)  # (G, T, L, H, D)
        places = places.flatten(3).unflatten(3, (-1, 2))
        return self.forest.diagnostics([o.routed for o in outputs]) | {
            "excess_ce": float(excess),
            "std_px": size * self.grid.equivalent_std(float(excess + entropy)),
            "l1_px": size * float(soft),
            "soft_hard_gap_px": size * float(hard - soft),
            "leaf_distance_px": size * _mean_distance(places),
        }

    @torch.no_grad()
    def leaf_pictures(self, outputs: Sequence[Outputs], points: Tensor) -> list[LeafPicture]:
        """Leaves of an eye, the nose, the mouth and the chin, or of whole faces, over the mean
        shape."""
        log_p = torch.cat([output.routed.log_p for output in outputs])
        centres = self._centres(1)[0]
        return leaf_pictures.label_leaves(self.forest, self.grid, log_p, centres, self.spec)

    def _centres(self, n: int, coarse: Tensor | None = None) -> Tensor:
        """Return the centres of the windows, (n, K, 2) unit box, without a gradient."""
        if coarse is not None and self.coarse is not None:
            return self.coarse.points(coarse).detach()
        shape = torch.full_like(self.mean, 0.5) if self.config.target == "absolute" else self.mean
        return shape.expand(n, -1, -1)

    def _look(self, features: Features, centres: Tensor) -> Tensor:
        """Return what the splits see: (B, F), or (B, K, F) at the current landmarks."""
        if isinstance(self.look, LocalFeatures):
            return self.look(features, centres)
        return self.look(features.deep)

    def _labels(self, offsets: Tensor) -> Labels:
        """(B, K, 2) -> (B, R, H, J), 0 for a missing landmark."""
        labels = self.grid.encode(offsets)
        return labels.map(lambda x: x.flatten(1, 2).unsqueeze(1)) if self.whole else labels

    def _rows(self, points: Tensor, centres: Tensor) -> Tensor:
        """(B, K, 2) twice -> (B, R, D), what the tree codes see; a whole face has its missing
        landmarks in the mean shape."""
        if not self.whole:
            return points - centres
        return (filled(points, self.mean) - centres).flatten(1).unsqueeze(1)


def _first_groups(config: HeatmapForestConfig, k: int) -> list[np.ndarray]:
    """Return groups of routes; those that follow from the data are set by `initialise`."""
    everything = np.arange(k)
    if config.pool == "face":
        return [np.zeros(1, dtype=np.int64)]
    if config.pool == "shared":
        return [everything]
    if config.pool == "landmark":
        return list(everything[:, None])
    if config.groups > k:
        raise UsageError(f"model.groups = {config.groups}, but there are {k} landmarks")
    return np.array_split(everything, config.groups)


def _mean_distance(places: Tensor) -> float:
    """Mean distance between two leaves of a tree: (G, T, L, M, 2) -> a number, per landmark."""
    trees = places.transpose(2, 3).flatten(0, 2)  # one by one: L^2 distances each
    return float(torch.stack([torch.pdist(leaves).mean() for leaves in trees]).mean())
