"""From the scene to the stored picture: focus, exposure, colour, noise, compression."""

from __future__ import annotations

import cv2
import numpy as np

from drf.data.synthetic.textures import GRAIN_SPREAD, TILE, grain


def _blur(picture: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    kind = rng.random()
    if kind < 0.35:
        return cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 0.8 + 1.2 * strength))
    if kind < 0.35 + 0.15 * strength:
        length = int(rng.integers(3, 8))
        angle = rng.uniform(0, np.pi)
        kernel = np.zeros((length, length), np.float32)
        reach = np.array([np.cos(angle), np.sin(angle)]) * (length - 1) / 2
        middle = (length - 1) / 2
        a, b = np.rint(middle - reach).astype(int), np.rint(middle + reach).astype(int)
        cv2.line(kernel, a.tolist(), b.tolist(), 1.0)
        return cv2.filter2D(picture, -1, kernel / kernel.sum())
    return picture


def _curves(rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return a (1, 256, 3) table: exposure, contrast, gamma and white balance."""
    x = np.arange(256) / 255
    gain = np.exp(rng.normal(0.05, 0.16 + 0.14 * strength))
    balance = np.exp(
        np.array([1, 0, -1]) * rng.normal(0, 0.10) + np.array([0.5, -1, 0.5]) * rng.normal(0, 0.03)
    )
    contrast, gamma = rng.normal(1.0, 0.12), np.exp(rng.normal(-0.1, 0.22))
    curve = np.clip(x[:, None] * gain * balance, 0, 1) ** gamma
    curve = (curve - 0.5) * contrast + 0.5 + rng.normal(0, 0.03)
    return np.clip(curve * 255, 0, 255).astype(np.uint8)[None]


def expose(picture: np.ndarray, rng: np.random.Generator, strength: float) -> np.ndarray:
    """Return the picture as a camera would store it; `strength` 0..1 scales the damage."""
    picture = _blur(picture, rng, strength)
    picture = cv2.LUT(picture, _curves(rng, strength))
    if rng.random() < 0.10:
        picture = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    height, width = picture.shape[:2]
    noise = rng.uniform(0.5, 4 + 8 * strength)
    y, x = (int(rng.integers(0, TILE - n + 1)) for n in (height, width))
    gain = noise / GRAIN_SPREAD
    picture = cv2.addWeighted(picture, 1, grain()[y : y + height, x : x + width], gain, -128 * gain)
    if rng.random() < 0.06:
        quality = int(rng.integers(30, 85))
        # Encoder and decoder both take RGB for BGR here, so the order of the channels survives.
        _, code = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
        picture = np.asarray(cv2.imdecode(code, cv2.IMREAD_COLOR))
    return picture
