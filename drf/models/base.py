"""What every model family has in common, seen from the training loop and from evaluation."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, ClassVar, Self

import numpy as np
import torch
from torch import Tensor, nn

from drf import errors
from drf.landmarks.markup import ALL, Markup
from drf.pictures import LeafPicture


@dataclass(frozen=True)
class InputSpec:
    """What a model is built for: square input of `input_size` px, and a landmark subset of a
    markup. Raises UsageError, where it is asked for, for a subset that the markup does not have."""

    input_size: int
    markup: Markup
    landmarks: str = ALL

    @property
    def indices(self) -> np.ndarray:
        """(K,) int: the landmarks of the markup that the model predicts, ascending."""
        return self.markup.indices(self.landmarks)

    @property
    def n_points(self) -> int:
        """K, how many landmarks the model predicts."""
        return len(self.indices)

    @property
    def regions(self) -> list[np.ndarray]:
        """Positions, among the K, of the landmarks of each region of the markup that has any."""
        known = (np.flatnonzero(np.isin(self.indices, of)) for of in self.markup.regions.values())
        return [positions for positions in known if len(positions)]

    @property
    def region_averages(self) -> np.ndarray:
        """(K, K): in row k the weights of the mean over the region of landmark k."""
        averages = np.zeros((self.n_points, self.n_points))
        for of in self.regions:
            averages[np.ix_(of, of)] = 1 / len(of)
        return averages

    @property
    def displayed(self) -> list[int]:
        """Positions, among the K, of the markup's displayed landmarks: those whose leaves are
        shown. The first landmark where the model predicts none of them."""
        known = self.indices.tolist()
        return [known.index(k) for k in self.markup.displayed if k in known] or [0]


@dataclass(frozen=True)
class InitialData:
    """What a model sees of the training data before its first step. A missing landmark is NaN.

    faces   (n, K, 2) float32 unit box: all training faces, as they are
    drawn   (m, K, 2) float32 unit box: augmented faces, as the steps will draw them, m >= n
    images  (b, 3, S, S) float32 in 0..1: the pictures of drawn[:b]
    """

    faces: Tensor
    drawn: Tensor
    images: Tensor

    @property
    def mean(self) -> Tensor:
        """The mean place of each landmark over the faces that have it, (K, 2); the centre of the
        box where none has."""
        count = present(self.faces).sum(dim=0)[:, None]
        total = torch.where(self.faces.isnan(), 0.0, self.faces).sum(dim=0)
        return torch.where(count > 0, total / count.clamp(min=1), 0.5)


def present(points: Tensor) -> Tensor:
    """Return which landmarks have coordinates: (..., K, 2) -> (..., K) bool."""
    return ~points.isnan().any(dim=-1)


def filled(points: Tensor, shape: Tensor) -> Tensor:
    """Return points with missing ones where a shape has them: (..., K, 2), (K, 2) -> (..., K, 2).

    For what needs whole shapes as a code; a loss in coordinates leaves missing landmarks out.
    """
    return torch.where(points.isnan(), shape, points)


def mean_l1(predicted: Tensor, points: Tensor) -> Tensor:
    """Return the mean of |predicted - points| over the coordinates of the landmarks that are not
    missing: (B, K, 2) twice, the second with NaN -> ()."""
    error = torch.where(points.isnan(), 0.0, predicted - points).abs().sum()
    return error / (2 * present(points).sum()).clamp(min=1)


def mean_distance(predicted: Tensor, points: Tensor) -> Tensor:
    """Return the mean distance of predicted from true landmarks that are not missing, as
    `mean_l1`."""
    distance = torch.where(points.isnan(), 0.0, predicted - points).norm(dim=-1).sum()
    return distance / present(points).sum().clamp(min=1)


LARGEST_RATIO = 4.0
"""Where the ratio of a `Recalibration` ends, so that covariances stay finite whatever picture a
model is shown. On faces of 300-W, cascade forests have 0.9 to 1.5."""


@dataclass(frozen=True)
class Recalibration:
    """By what the covariances C of K landmarks are corrected after training.

    A leaf's covariance is a mean over all faces that reached it. Means of such means say rightly
    which picture is the harder one, but differ far too little from one picture to the next. With
    r_k the mean of sqrt(tr C_j) over the landmarks j of the region of k, in the unit box,

        S_k = s_k (r_k / t_k)^(2 b) C_k

    where t_k is what is typical of r_k, and the ratio ends at LARGEST_RATIO and its inverse. The
    exponent b, one for all landmarks, restores how much pictures differ; the factor s_k, one for
    each region, makes ellipses contain as many of the true places as their level says.
    `drf.training.validation.recalibrate` fits them.

    factors   s, K numbers; none: nothing is corrected
    exponent  b
    typical   t, K numbers; not looked at where b is 0
    usual     what the corrected expected errors of 99 % of the faces stay below, as a share of the
              box's side; None where it is not known. It corrects nothing: see
              `drf.inference.onnx_network.largest_error`
    """

    factors: Sequence[float] = ()
    exponent: float = 0.0
    typical: Sequence[float] = ()
    usual: float | None = None

    def __call__(self, covariances: Tensor, spec: InputSpec) -> Tensor:
        """Return S of C, (B, K, 2, 2) float32 both."""
        if not self.factors:
            return covariances
        scale = covariances.new_tensor(self.factors)
        if self.exponent:
            # As a product: a diagonal is thirteen operators of an exported graph.
            trace = covariances.new_tensor([[1.0], [0.0], [0.0], [1.0]])
            lengths = (covariances.flatten(2) @ trace).squeeze(2).sqrt()
            of_region = lengths @ covariances.new_tensor(spec.region_averages.T)
            ratio = of_region / covariances.new_tensor(self.typical)
            ratio = ratio.clamp(1 / LARGEST_RATIO, LARGEST_RATIO)
            scale = scale * ratio ** (2 * self.exponent)
        return covariances * scale[..., None, None]

    def check(self, k: int) -> None:
        """Raise ValueError or TypeError unless it is one for k landmarks."""
        needed = (self.factors, self.typical) if self.exponent else (self.factors,)
        if not math.isfinite(self.exponent) or not all(
            len(values) == k and all(0 < one < math.inf for one in values) for values in needed
        ):
            raise ValueError(f"the recalibration of {k} landmarks is {self}")
        if self.usual is not None and not 0 < self.usual < math.inf:
            raise ValueError(f"the usual expected error is {self.usual}")


@dataclass(frozen=True)
class Recalibrations:
    """Those of single pictures, and of the means of a picture and its mirror image."""

    single: Recalibration = Recalibration()
    flip_test: Recalibration = Recalibration()

    def as_dict(self) -> dict[str, Any]:
        """Return them as JSON can hold them; `from_dict` is the inverse."""
        return asdict(self)

    @classmethod
    def from_dict(cls, held: Mapping[str, Any], k: int) -> Recalibrations:
        """Return those of a model of k landmarks. Raises ValueError, TypeError or KeyError for what
        is none."""
        found = cls(*(Recalibration(**held[name]) for name in ("single", "flip_test")))
        found.single.check(k)
        found.flip_test.check(k)
        return found


class LandmarkModel(nn.Module, ABC):
    """A network from face crops to K landmarks in the unit box (0..1 over it, x right, y down).

    The loop calls `initialise` once; before each epoch `seed_draws`; on each batch `set_progress`,
    of each of its `learners` `training_view`, forward and loss, the optimiser's step, of each of
    its learners `leaf_step`; after each epoch `finish_epoch`. Evaluation calls forward and points.
    What forward returns is up to the family. Points that a model is given may hold missing
    landmarks (NaN): they count in no loss, no gradient and no leaf. A backbone that other runs may
    start from (--init-from) is the attribute `backbone`.
    """

    Config: ClassVar[type]
    """The dataclass of the family's options."""

    recalibrations: Recalibrations = Recalibrations()
    """By what its covariances are corrected, fitted after training."""

    own_batches: bool = False
    """Whether each of its learners gets augmented faces of its own in a step, or all the same."""

    why_no_onnx: ClassVar[str] = ""
    """Why the family cannot be exported as ONNX, as the end of a sentence; empty where it can."""

    def __init__(self, spec: InputSpec) -> None:
        super().__init__()
        self.spec = spec

    def place(self, device: torch.device | str) -> Self:
        """Move to a device, convolutions channels last in memory: up to twice as fast there."""
        size = self.spec.input_size
        remedy = "lower data.input_size, take a smaller model or another --device"
        with errors.enough_memory(f"a model of {size} px faces on {device}", remedy):
            self.to(device)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                module.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        return self

    @property
    def learners(self) -> Sequence[LandmarkModel]:
        """What learns independently, in threads side by side where there are several: each has all
        its weights, its random draws, its loss and its leaves to itself."""
        return [self]

    def seed_draws(self, seed: int) -> None:
        """Seed what it draws itself while it learns, dropout for one; called before each epoch."""
        torch.manual_seed(seed)

    @torch.no_grad()
    def initialise(self, data: InitialData) -> None:
        """Set what depends on the data, before the first step."""

    def set_progress(self, share: float) -> None:
        """Hear the share of the run that is done, 0..1, before each step: schedules follow it."""

    @torch.no_grad()
    def training_view(self, images: Tensor, points: Tensor) -> tuple[Tensor, Tensor]:
        """Return what a training step shows it of a batch, and the points in that: forward, loss
        and `leaf_step` get these. By default the batch as it is.

        images, points: as of `forward` and `loss`
        """
        return images, points

    @torch.no_grad()
    def leaf_step(self, outputs: Any, points: Tensor) -> None:
        """Learn what does not learn by gradient, after the optimiser's step on the same batch.

        outputs: what forward returned, before that step. Nothing here may wait for the device.
        """

    @torch.no_grad()
    def finish_epoch(self) -> None:
        """Close what an epoch has collected: nothing unsaved may reach into the next one."""

    def diagnostics(self, outputs: Sequence[Any], points: Tensor) -> dict[str, float]:
        """Return readings of the model's inside: outputs of all validation batches in order, with
        their (n, K, 2) points in the unit box."""
        return {}

    def leaf_pictures(self, outputs: Sequence[Any], points: Tensor) -> list[LeafPicture]:
        """Return leaves to look at, the most used first (`drf.pictures.LEAVES` are kept).

        Called once, on the model that is kept in the end, with the arguments of `diagnostics`.
        """
        return []

    def covariances(self, outputs: Any) -> Tensor | None:
        """Return what the model expects of its errors, (B, K, 2, 2) float32 in the squared unit
        box, symmetric, x before y, before its `recalibrations`; None where it predicts none."""
        return None

    @abstractmethod
    def forward(self, images: Tensor) -> Any:
        """Images (B, 3, S, S) float32 RGB in 0..1 -> the outputs that loss and points read."""

    @abstractmethod
    def loss(self, outputs: Any, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar to minimise and its named parts, as far as it has several.

        points: (B, K, 2) unit box, NaN at missing landmarks. Each family writes its equation here.
        """

    @abstractmethod
    def points(self, outputs: Any) -> Tensor:
        """Return (B, K, 2) float32 landmarks in the unit box."""
