"""What an application calls: a picture and a box in, the landmarks of the picture out."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from drf import geometry
from drf.data.crops import cut
from drf.prediction import Predictor


class Aligner:
    """A predictor that takes pictures, one face at a time or several at once.

    The box is cut straight to the size of the network's input: one warp, where evaluation goes by
    packed crops, which leave training room to turn and shift in.
    """

    def __init__(self, predictor: Predictor) -> None:
        self.predictor = predictor
        self._size = predictor.model.spec.input_size
        self._known = predictor.model.spec.indices

    def prepare(self, picture: np.ndarray, box: np.ndarray) -> Tensor:
        """Cut the network's input: (H, W, 3) uint8 RGB, (3,) box (cx, cy, side) in 0-based
        picture px -> (1, 3, S, S) float32 in 0..1, channels last, on the predictor's device."""
        crop = torch.from_numpy(cut(picture, box, self._size)).to(self.predictor.device)
        return crop.permute(2, 0, 1)[None].float().div_(255)

    def locate(self, images: Tensor, boxes: np.ndarray) -> np.ndarray:
        """Return (B, K, 2) float32 picture px for prepared images and their (B, 3) boxes; NaN at
        landmarks that the model does not know."""
        unit = self.predictor.unit_points(images).cpu().numpy().astype(np.float64)
        crop_px = geometry.from_unit(unit, self._size)
        points = np.full(
            (len(unit), self.predictor.model.spec.markup.n_points, 2), np.nan, dtype=np.float32
        )
        points[:, self._known] = geometry.apply(
            geometry.crop_to_picture(boxes, self._size), crop_px
        )
        return points

    def __call__(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Return (K, 2) float32 picture px. As `prepare` and `locate`."""
        return self.locate(self.prepare(picture, box), box[None])[0]
