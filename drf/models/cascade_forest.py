"""The cascade forest: coarse maps find the landmarks, forests correct them, stage after stage.

    shape_0 = soft-argmax of coarse maps
    shape_s = shape_(s-1) + forest_s(features sampled at shape_(s-1))

Every landmark of every stage has a forest of its own (`drf.forest.vector_forest`): its leaves hold
the vector to the true place and the covariance of the error to expect. The splits see features that
are sampled around the landmark, and a vector of the whole face (`drf.models.landmark_heads`). All
stages sample the maps of one encoder, which runs once. The gradient of a stage stops at the places
at which it samples, so each stage learns from its own error.

The loss, with y the true landmarks, M the landmarks that are not missing, S the side of the input:

    L = CE(maps, y) + w S sum_s l_s
        - [warm-up] sum_s mean_(k in M, trees t) log P_t(code_t(y_k - shape_(s-1),k) | x_k)

    l_s = (1 - b) mean_(k in M, axes) |W_s,k (shape_s,k - y_k)|
          + b mean_(k in M, axes, trees t) |shape_(s-1),k + v_t,k - y_k|

CE is the soft cross-entropy of `HeatmapCodec`, w = coordinate_loss_weight, b = tree_loss, v_t the
vector that tree t alone predicts, and code_t(.) the leaf to which a tree grown on labels alone
assigns a vector. W is the identity or, where whitened_loss is set, C^(-1/2) of the covariance that
the stage's own leaves predict (see `whitening`), so that an error along the direction in which
a landmark errs anyway counts less than one across it. Covariances are learned beside the loss, by
stepwise EM on y - shape_s.

head = mlp is the control: a plain network with as many multiplications in the place of each forest.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Annotated, Literal

import torch
from torch import Tensor, nn

from drf.config import Range
from drf.forest.routing import most_used_leaves
from drf.forest.vector_forest import Inference, Routed, VectorForest, VectorForestConfig
from drf.models import backbones
from drf.models.backbones import Backbone, Features
from drf.models.base import InitialData, InputSpec, LandmarkModel, filled, mean_distance, mean_l1
from drf.models.landmark_heads import (
    CoarseMaps,
    Dropout,
    Exchange,
    LocalFeatures,
    LocalMlp,
    hidden_of_equal_cost,
)
from drf.pictures import LeafPicture

UNIT = 0.1
"""Of what leaves hold, as a share of the box."""

FIRST_ERROR = 0.04
"""Standard deviation of the error that the first stage starts from, as a share of the box. How the
coarse maps will err is not known at the start."""

FIRST_STEP = 1.5
"""Between the samples that the first stage sees of a patch, in cells. Errors to start from and
steps halve from stage to stage: the nearer, the finer."""

ROUNDING = 0.4
"""a of `whitening`."""


@dataclass(frozen=True)
class CascadeForestConfig(VectorForestConfig):
    """Options of the cascade forest, beside those of its forests."""

    backbone: Annotated[backbones.Kind, "Convolutional encoder of the picture."] = "residual"
    width: Annotated[int, Range(8, 512), "Channels of the encoder's first level."] = 32
    features: Annotated[int, Range(4, 512), "Features of each landmark that the splits see."] = 32
    detail_channels: Annotated[
        int,
        Range(1, 512),
        "Channels sampled from the encoder's detailed level around each landmark.",
    ] = 24
    context_channels: Annotated[
        int, Range(1, 512), "Channels sampled from the encoder's context level at each landmark."
    ] = 32
    global_context_dim: Annotated[
        int,
        Range(0, 4096),
        "Length of the vector of the whole face that is added to every landmark's features; 0 "
        "for none.",
    ] = 128
    stages: Annotated[int, Range(1, 4), "Number of corrections, one after another."] = 1
    head: Annotated[
        Literal["forest", "mlp"],
        "What corrects each landmark: a forest, or a plain network of equal cost as the control.",
    ] = "forest"
    coordinate_loss_weight: Annotated[
        float,
        Range(0, 100),
        "Weight of the L1 distance of each stage's landmarks, in pixels of the input.",
    ] = 1.0
    tree_loss: Annotated[
        float,
        Range(0, 1),
        "Share of the coordinate loss that is of each tree alone; the rest is of the trees' mean.",
    ] = 0.0
    whitened_loss: Annotated[
        bool,
        "Weight errors along a landmark's most uncertain direction less than those across it, by "
        "the covariances of the leaves.",
    ] = False
    dropout: Annotated[
        float, Range(0, 0.9), "Share of the features at the landmarks that a training step hides."
    ] = 0.0


@dataclass(frozen=True)
class Outputs:
    """coarse  maps · shapes  (B, K, 2) unit box: of the coarse maps, then of each stage
    routed  of each stage; empty where heads are no forests
    """

    coarse: Tensor
    shapes: list[Tensor]
    routed: list[Routed]


def whitening(covariances: Tensor) -> Tensor:
    """Return W = S^(-1/2), S = C / sqrt(det C), of covariances made rounder: (..., 2, 2) twice.

    An error keeps its area: det W = 1. The covariance is C = (1 - a) C' + a tr(C') / 2 I of that
    given, C', with a = 0.4, so that its variances differ by a factor of 4 at most. A square root
    in two dimensions, where det A = 1, is sqrt(A) = (A + I) / sqrt(tr A + 2).
    """
    one = torch.eye(2, device=covariances.device)
    trace = covariances.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
    rounder = (1 - ROUNDING) * covariances + ROUNDING * trace / 2 * one
    s = rounder / torch.linalg.det(rounder).sqrt()[..., None, None]
    trace = s.diagonal(dim1=-2, dim2=-1).sum(dim=-1)[..., None, None]
    inverse = trace * one - s  # by Cayley and Hamilton, since det S = 1
    return (inverse + one) / (trace + 2).sqrt()


class Stage(nn.Module):
    """One correction: what is seen at the landmarks, and what follows from it.

    step: see LocalFeatures
    """

    def __init__(
        self, config: CascadeForestConfig, backbone: Backbone, k: int, step: float
    ) -> None:
        super().__init__()
        f, levels = (
            config.features,
            {"detail": config.detail_channels, "context": config.context_channels},
        )
        self.look = LocalFeatures(backbone, k, f, **levels, step=step)
        self.drop = Dropout(config.dropout)
        self.exchange = (
            Exchange(k, f, config.global_context_dim)
            if config.global_context_dim
            else nn.Identity()
        )
        self.head: VectorForest | LocalMlp
        if config.head == "forest":
            self.head = VectorForest(config, f, k, 2, UNIT)
        else:
            hidden = hidden_of_equal_cost(f, config.trees, config.tree_depth, 2)
            self.head = LocalMlp(f, hidden, k, 2, UNIT)

    def see(self, features: Features, at: Tensor) -> Tensor:
        """Return what the head is given: at (B, K, 2) unit box -> (B, K, F)."""
        return self.exchange(self.drop(self.look(features, at)))


class CascadeForest(LandmarkModel):
    """See the module. Raises UsageError for what cannot be built, before any work."""

    Config = CascadeForestConfig

    def __init__(self, config: CascadeForestConfig, spec: InputSpec) -> None:
        super().__init__(spec)
        self.config = config
        k = spec.n_points
        self.backbone = backbones.build(config.backbone, config.width, spec.input_size)
        self.coarse = CoarseMaps(self.backbone, k)
        steps = [FIRST_STEP / 2**stage for stage in range(config.stages)]
        self.stages = nn.ModuleList([Stage(config, self.backbone, k, step) for step in steps])
        self.set_inference(config.inference, config.top_k)

    def set_inference(self, inference: Inference, top_k: int = 1) -> None:
        """Choose the leaves that evaluation looks at: see VectorForestConfig."""
        for forest in self._forests:
            before_last = inference == "hard-last" and forest is not self._forests[-1]
            own: Inference = "soft" if before_last else inference
            forest.config = replace(forest.config, inference=own, top_k=top_k)

    def draw_from(self, generator: torch.Generator) -> None:
        """Draw what dropout hides from a generator, on the model's device, and no longer from
        torch's own."""
        for stage in self._stages:
            stage.drop.generator = generator

    @property
    def _stages(self) -> list[Stage]:
        return [stage for stage in self.stages if isinstance(stage, Stage)]

    @property
    def _forests(self) -> list[VectorForest]:
        return [stage.head for stage in self._stages if isinstance(stage.head, VectorForest)]

    @torch.no_grad()
    def initialise(self, data: InitialData) -> None:
        features, drawn = self.backbone(data.images), filled(data.drawn, data.mean)
        for number, stage in enumerate(self._stages):
            if isinstance(stage.head, VectorForest):
                error = torch.randn_like(drawn) * FIRST_ERROR / 2**number
                seen = stage.see(features, (drawn - error)[: len(data.images)])
                stage.head.initialise(seen, error)

    def set_progress(self, share: float) -> None:
        for forest in self._forests:
            forest.set_progress(share)

    def forward(self, images: Tensor) -> Outputs:
        features: Features = self.backbone(images)
        coarse = self.coarse(features.context)
        shapes, routed = [self.coarse.points(coarse)], []
        for stage in self._stages:
            at = shapes[-1].detach()
            answer = stage.head(stage.see(features, at))
            if isinstance(answer, Routed):
                routed.append(answer)
                answer = answer.vectors
            shapes.append(at + answer)
        return Outputs(coarse, shapes, routed)

    def loss(self, outputs: Outputs, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the loss of the module's equation; parts: coarse, stage1, …,
        trees1, … and codes."""
        parts = {"coarse": self.coarse.loss(outputs.coarse, points)}
        total = parts["coarse"]
        weight, own = self.config.coordinate_loss_weight, self.config.tree_loss
        of_mean = weight * (1 - own) if outputs.routed else weight
        whitened = self.config.whitened_loss and outputs.routed
        for stage, shape in enumerate(outputs.shapes[1:], start=1):
            seen, true = shape, points
            if whitened:
                forest, routed = self._forests[stage - 1], outputs.routed[stage - 1]
                w = whitening(forest.covariances(routed).detach())
                seen, true = (w @ shape[..., None]).squeeze(-1), (w @ points[..., None]).squeeze(-1)
            error = mean_l1(seen, true) * self.spec.input_size
            parts[f"stage{stage}"] = error
            total = total + of_mean * error
        for stage, (forest, routed) in enumerate(zip(self._forests, outputs.routed, strict=True)):
            left = points - outputs.shapes[stage].detach()
            if own:
                vectors = forest.tree_vectors(routed).flatten(0, 1)
                error = mean_l1(vectors, left.repeat_interleave(self.config.trees, dim=0))
                parts[f"trees{stage + 1}"] = error * self.spec.input_size
                total = total + weight * own * parts[f"trees{stage + 1}"]
            for name, part in forest.loss(routed, left).items():
                parts[name] = parts.get(name, 0) + part
                total = total + part
        return total, parts

    def points(self, outputs: Outputs) -> Tensor:
        return outputs.shapes[-1]

    def covariances(self, outputs: Outputs) -> Tensor | None:
        """Return the covariances that the last stage's leaves predict, (B, K, 2, 2) in the squared
        unit box; None without forests."""
        if not outputs.routed:
            return None
        return self._forests[-1].covariances(outputs.routed[-1])

    @torch.no_grad()
    def leaf_step(self, outputs: Outputs, points: Tensor) -> None:
        for stage, (forest, routed) in enumerate(zip(self._forests, outputs.routed, strict=True)):
            forest.leaf_step(routed, points - outputs.shapes[stage + 1])

    @torch.no_grad()
    def diagnostics(self, outputs: Sequence[Outputs], points: Tensor) -> dict[str, float]:
        """As `VectorForest.diagnostics` of the last stage, and in px of the input: coarse_px,
        stage1_px, … and l1_px (mean distances, the last of them), soft_hard_gap_px (what hard
        routing of the last stage adds), leaf_distance_px (mean distance of two leaves of a tree).
        """
        size = self.spec.input_size
        names = ["coarse_px", *(f"stage{s}_px" for s in range(1, self.config.stages + 1))]
        readings = {
            name: size * float(mean_distance(torch.cat(shapes), points))
            for name, shapes in zip(
                names, zip(*(o.shapes for o in outputs), strict=True), strict=True
            )
        }
        readings["l1_px"] = readings[names[-1]]
        if not self._forests:
            return readings
        forest = self._forests[-1]
        hard = torch.cat([o.shapes[-2] + forest.hard(o.routed[-1]) for o in outputs])
        gap = size * float(mean_distance(hard, points)) - readings["l1_px"]
        leaves = forest.values.unflatten(1, (self.config.trees, -1)).flatten(0, 1) * UNIT
        apart = torch.stack([torch.pdist(tree).mean() for tree in leaves]).mean()
        return (
            readings
            | {"soft_hard_gap_px": gap, "leaf_distance_px": size * float(apart)}
            | forest.diagnostics([o.routed[-1] for o in outputs])
        )

    @torch.no_grad()
    def leaf_pictures(self, outputs: Sequence[Outputs], points: Tensor) -> list[LeafPicture]:
        """Leaves of the last stage at an eye, the nose, the mouth and the chin, over the mean
        shape."""
        if not self._forests:
            return []
        forest, known = self._forests[-1], self.spec.indices
        log_p = torch.cat([o.routed[-1].log_p for o in outputs])
        centre = torch.cat([o.shapes[-2] for o in outputs]).mean(dim=0).cpu()
        pictures = []
        for shown in most_used_leaves(log_p, self.spec.displayed):
            vector, covariance = forest.leaf(shown.route, shown.tree, shown.leaf)
            std = covariance.diagonal().clamp(min=0).sqrt()
            pictures.append(
                LeafPicture(
                    tree=shown.tree,
                    leaf=shown.leaf,
                    title=f"landmark {known[shown.route]}",
                    share=shown.share,
                    points=(centre[shown.route] + vector.cpu())[None].numpy(),
                    std=std.cpu()[None].numpy(),
                    landmarks=(int(known[shown.route]),),
                    faces=shown.faces,
                    weights=shown.weights,
                )
            )
        return pictures
