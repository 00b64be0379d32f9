"""Textured backgrounds: gradients, clouds, stripes, blotches and clutter, partly skin-coloured."""

from __future__ import annotations

import cv2
import numpy as np

from drf.data.synthetic.paint import disc, fill
from drf.data.synthetic.textures import cut


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour; one in four is near skin's: colour alone must not find the face."""
    if rng.random() < 0.25:
        colour = np.array([200, 150, 115]) * rng.uniform(0.35, 1.15) + rng.normal(0, 10, 3)
    else:
        colour = rng.uniform(15, 235) + rng.normal(0, 38, 3)
    return np.clip(colour, 0, 255)


def draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a (size, size, 3) uint8 picture: two colours mixed by a field, clutter, blur."""
    focused = rng.random() < 0.35
    small = size if focused else size // 2  # blur is cheaper where there are fewer pixels
    first, second = _colour(rng), _colour(rng)
    field = _draw_field(small, rng)
    # A mix of two colours in 0..255 stays in 0..255.
    picture = cv2.merge(
        [
            cv2.convertScaleAbs(field, alpha=a - b, beta=b)
            for a, b in zip(first.tolist(), second.tolist(), strict=True)
        ]
    )
    _draw_clutter(picture, rng)
    if focused:
        return np.asarray(picture)
    picture = cv2.GaussianBlur(picture, (0, 0), rng.uniform(0.3, 1.7))
    return np.asarray(cv2.resize(picture, (size, size)))


def _draw_field(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return (size, size) float32 in 0..1: clouds, a ramp, stripes, blotches or brushed streaks."""
    kind = rng.choice(5, p=(0.3, 0.2, 0.2, 0.15, 0.15))
    axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    ramp = axis * np.float32(np.cos(angle)) + axis[:, None] * np.float32(np.sin(angle))
    if kind == 0:
        field = 0.5 + 0.3 * cut("cloud", (size, size), rng)
    elif kind == 1:
        field = 0.5 + ramp
    elif kind == 2:
        field = 0.5 + 0.5 * np.sin(ramp * np.float32(rng.uniform(12, 90)))
        field = np.rint(field) if rng.random() < 0.5 else field
    elif kind == 3:
        blotches = np.abs(cut("medium", (size, size), rng)) < rng.uniform(0.3, 1.0)
        field = blotches.astype(np.float32)
    else:
        field = 0.5 + ramp + 0.35 * cut("strands", (size, size), rng)
    return np.clip(field, 0, 1)


def _draw_clutter(picture: np.ndarray, rng: np.random.Generator) -> None:
    size = picture.shape[0]
    for _ in range(int(rng.choice([0, 3, 8, 16]))):
        centre, colour = rng.uniform(0, size, 2), _colour(rng)
        reach = rng.uniform(0.03, 0.3, 2) * size
        if rng.random() < 0.5:
            disc(picture, centre, (reach[0], reach[1]), rng.uniform(0, 180), colour)
        else:
            turn = rng.uniform(0, np.pi)
            axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach
            fill(picture, centre + corners @ axes, colour)
