"""Cutting square crops out of pictures, without aliasing and without stretching."""

from __future__ import annotations

import contextlib
import io
import math

import cv2
import numpy as np
from PIL import Image

from drf.errors import DataError
from drf.landmarks import geometry

MOST_CROP_PX = 4096
"""Pixels on the longer side of the largest crop that is decoded; those that drf makes have 256."""

_BOMBS = (Image.DecompressionBombError, Image.DecompressionBombWarning)

_MAX_SUPERSAMPLING = 16
"""Bounds the memory of one crop; reached by crops that are 4096 px wide in their picture."""


_MAX_SIDE = 32766
"""Largest side of a picture that cv2.warpAffine takes (16-bit coordinates)."""


def cut(picture: np.ndarray, box: np.ndarray, size: int, *, step: float = 1.0) -> np.ndarray:
    """Return the crop of a box as (size, size, 3) uint8; its map is `geometry.crop_to_picture`.

    picture: (H, W, 3) uint8; box: (3,) cx, cy, side in picture px. Beyond the picture the nearest
    edge pixel is repeated: a black border would be a shape of its own to a network.

    Where the crop shrinks the picture, it is sampled on a finer grid and averaged: samples are at
    most `step` px of the picture apart, so that every picture pixel counts.

    Raises DataError for a crop that needs more of the picture than OpenCV can map.
    """
    if max(picture.shape[:2]) > _MAX_SIDE:
        picture, box = _window(picture, box)
    finer = min(max(math.ceil(box[2] / size / step), 1), _MAX_SUPERSAMPLING)
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


def _window(picture: np.ndarray, box: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the part of a picture that a crop shows, and the box in its frame.

    The part ends where the picture does, so that what is repeated beyond its edge stays the same.
    Raises DataError for a part that is still too large.
    """
    centre, reach = box[:2], box[2] / 2 + 2  # bilinear sampling looks one pixel further
    sides = np.array(picture.shape[1::-1])
    low = np.clip(np.floor(centre - reach), 0, sides - 1).astype(int)
    high = np.clip(np.ceil(centre + reach) + 1, low + 1, sides).astype(int)
    if (high - low).max() > _MAX_SIDE:
        raise DataError(f"its box of {box[2]:.0f} px is larger than can be cut ({_MAX_SIDE} px)")
    part = picture[low[1] : high[1], low[0] : high[0]]
    return np.ascontiguousarray(part), np.array([*(centre - low), box[2]])


def encode_jpeg(picture: np.ndarray, quality: int = 90) -> bytes:
    """Return the JPEG bytes of a (H, W, 3) uint8 RGB picture. quality: 1..100.

    Colour keeps its full resolution (4:4:4): thin coloured lines blur in the usual 4:2:0.
    """
    options = [
        cv2.IMWRITE_JPEG_QUALITY,
        quality,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(picture, cv2.COLOR_RGB2BGR), options)
    if not done:
        raise ValueError("the picture could not be encoded as JPEG")
    return data.tobytes()


def decode_jpeg(data: bytes) -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB picture.

    Raises DataError if the bytes are no JPEG, or one of more than MOST_CROP_PX on a side: that is
    no crop, and what a header says may exhaust the memory.
    """
    picture = None
    with contextlib.suppress(cv2.error, OSError, ValueError, SyntaxError, *_BOMBS):
        with Image.open(io.BytesIO(data), formats=["JPEG"]) as header:
            small = max(header.size) <= MOST_CROP_PX
        if small:
            picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)
    if picture is None:
        raise DataError("a stored crop is not a readable JPEG: evaluate the run again")
    return cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
