"""Noise fields, made once per process from a fixed seed and cut at random places."""

from __future__ import annotations

from functools import lru_cache

import cv2
import numpy as np

TILE = 512
"""Side of a noise tile, px."""

GRAIN_SPREAD = 28.0


def _normalised(field: np.ndarray) -> np.ndarray:
    return ((field - field.mean()) / field.std()).astype(np.float32)


@lru_cache(maxsize=1)
def noise_tiles() -> dict[str, np.ndarray]:
    """Return (TILE, TILE) float32 fields of zero mean and unit spread.

    fine, medium, coarse: white noise smoothed to about 1, 4 and 16 px; cloud: all octaves;
    strands: streaks along y; white: unsmoothed.
    """
    rng = np.random.default_rng(20210517)
    white = rng.standard_normal((TILE, TILE)).astype(np.float32)

    def smooth(sx: float, sy: float) -> np.ndarray:
        source = rng.standard_normal((TILE, TILE)).astype(np.float32)
        return _normalised(
            cv2.GaussianBlur(source, (0, 0), sx, sigmaY=sy, borderType=cv2.BORDER_REFLECT)
        )

    fine, medium, coarse, broad = smooth(1, 1), smooth(4, 4), smooth(16, 16), smooth(48, 48)
    return {
        "white": white,
        "fine": fine,
        "medium": medium,
        "coarse": coarse,
        "cloud": _normalised(0.3 * fine + 0.6 * medium + coarse + 1.5 * broad),
        "strands": _normalised(smooth(1.0, 14) + 0.8 * smooth(3.0, 40)),
    }


def cut(name: str, shape: tuple[int, int], rng: np.random.Generator) -> np.ndarray:
    """Return a random (H, W) view of a tile; H and W at most TILE."""
    y, x = (int(rng.integers(0, TILE - n + 1)) for n in shape)
    return noise_tiles()[name][y : y + shape[0], x : x + shape[1]]


@lru_cache(maxsize=1)
def grain() -> np.ndarray:
    """Return a (TILE, TILE, 3) uint8 field of colour noise: mean 128, spread GRAIN_SPREAD."""
    noise = np.random.default_rng(20210705).standard_normal((TILE, TILE, 3))
    return np.clip(np.rint(128 + GRAIN_SPREAD * noise), 0, 255).astype(np.uint8)
