"""What every model family has in common, seen from the training loop and from evaluation."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass
from typing import Any, Self

import torch
from torch import Tensor, nn

from drf import landmarks


@dataclass(frozen=True)
class Frame:
    """What a model is built for: square input of `input_size` px and a landmark subset by name."""

    input_size: int = 128
    points: str = "all"

    @property
    def n_points(self) -> int:
        return len(landmarks.indices(self.points))


class LandmarkModel(nn.Module, ABC):
    """A network from face crops to K landmarks in the unit box (0..1 over it, x right, y down).

    The loop calls `start` once, then forward and loss on each batch; evaluation calls forward and
    points. What forward returns is the family's own business.
    """

    def __init__(self, frame: Frame) -> None:
        super().__init__()
        self.frame = frame

    def place(self, device: torch.device | str) -> Self:
        """Move to a device, channels last in memory: convolutions there run up to twice as fast."""
        return self.to(device).to(memory_format=torch.channels_last)  # type: ignore[call-overload]

    @torch.no_grad()
    def start(self, points: Tensor) -> None:
        """Set what depends on the data, before the first step.

        points: (n, K, 2) float32, all training faces in the unit box, without augmentation.
        """

    @abstractmethod
    def forward(self, images: Tensor) -> Any:
        """Images (B, 3, S, S) float32 RGB in 0..1 -> the outputs that loss and points read."""

    @abstractmethod
    def loss(self, outputs: Any, points: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """Return the scalar to minimise and its named parts. points: (B, K, 2) unit box."""

    @abstractmethod
    def points(self, outputs: Any) -> Tensor:
        """Return (B, K, 2) float32 landmarks in the unit box."""
