"""From crops to landmarks in picture coordinates, with or without the flip test."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from drf import geometry, landmarks
from drf.data.augment import plain_maps, unwarp_points, warp
from drf.data.cache import PACK_SIZE, Pack
from drf.models.base import LandmarkModel
from drf.training.hardware import autocast

BATCH = 32


@dataclass(frozen=True)
class Predictor:
    """A model with the device and precision it computes in.

    flip_test: average the prediction with that of the mirrored picture, mirrored back.
    """

    model: LandmarkModel
    device: torch.device
    precision: str
    flip_test: bool = False

    @torch.inference_mode()
    def unit_points(
        self, images: Tensor, on_outputs: Callable[[Any], None] | None = None
    ) -> Tensor:
        """Return (B, K, 2) float32 unit box for (B, 3, S, S) images in 0..1 on the device.

        on_outputs hears what the model returned for the unmirrored images.
        """
        points = self._once(images, on_outputs)
        if not self.flip_test:
            return points
        mirrored = self._once(images.flip(3))[:, flip_permutation(self.model.frame.points)]
        mirrored[..., 0] = 1 - mirrored[..., 0]
        return (points + mirrored) / 2

    def _once(self, images: Tensor, on_outputs: Callable[[Any], None] | None = None) -> Tensor:
        with autocast(self.device, self.precision):
            outputs = self.model(images)
        if on_outputs:
            on_outputs(outputs)
        return self.model.points(outputs).float()


def predict(
    predictor: Predictor,
    pack: Pack,
    on_batch: Callable[[int], None] | None = None,
    on_outputs: Callable[[Any], None] | None = None,
) -> tuple[np.ndarray, float]:
    """Predict every face of a pack.

    Returns (n, 68, 2) float32 picture px, NaN at the landmarks the model does not know, and the
    milliseconds per face of the model alone. on_batch hears the number of faces done, on_outputs
    what the model returned for each batch.
    """
    model = predictor.model
    known = landmarks.indices(model.frame.points)
    predictions = np.full((len(pack.names), landmarks.N_POINTS, 2), np.nan, dtype=np.float32)
    seconds = 0.0
    for first in range(0, len(pack.names), BATCH):
        rows = slice(first, first + BATCH)
        crops = torch.from_numpy(np.array(pack.crops[rows])).to(predictor.device)
        maps = plain_maps(len(crops), predictor.device)
        images = warp(crops, maps, model.frame.input_size)
        started = time.perf_counter()
        unit = unwarp_points(predictor.unit_points(images, on_outputs), maps).cpu().numpy()
        seconds += time.perf_counter() - started
        crop_px = geometry.from_unit(unit.astype(np.float64), PACK_SIZE)
        predictions[rows, known] = geometry.apply(pack.to_picture[rows], crop_px)
        if on_batch:
            on_batch(min(first + BATCH, len(pack.names)))
    return predictions, 1000 * seconds / len(pack.names)


def flip_permutation(points: str) -> np.ndarray:
    """Return the flip permutation within a landmark subset: (K,) positions in `indices(points)`."""
    known = landmarks.indices(points)
    return np.searchsorted(known, landmarks.FLIP[known])
