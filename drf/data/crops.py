"""Cutting square crops out of pictures, without aliasing and without stretching."""

from __future__ import annotations

import math

import cv2
import numpy as np

from drf import geometry

_MAX_SUPERSAMPLING = 16
"""Bounds the memory of one crop; reached by crops that are 4096 px wide in their picture."""


def cut(picture: np.ndarray, box: np.ndarray, size: int) -> np.ndarray:
    """Return the crop of a box as (size, size, 3) uint8; its map is `geometry.crop_to_picture`.

    picture: (H, W, 3) uint8; box: (3,) cx, cy, side in picture px. Beyond the picture the nearest
    edge pixel is repeated: a black border would be a shape of its own to a network.

    Where the crop shrinks the picture k times, it is sampled on a grid ceil(k) times finer and
    averaged, so that every picture pixel counts.
    """
    finer = min(max(math.ceil(box[2] / size), 1), _MAX_SUPERSAMPLING)
    to_picture = geometry.crop_to_picture(box[None], size * finer)[0]
    crop = cv2.warpAffine(
        picture,
        to_picture,
        (size * finer, size * finer),
        flags=cv2.INTER_LINEAR | cv2.WARP_INVERSE_MAP,
        borderMode=cv2.BORDER_REPLICATE,
    )
    if finer > 1:
        crop = cv2.resize(crop, (size, size), interpolation=cv2.INTER_AREA)
    return crop
