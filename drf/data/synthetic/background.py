"""Textured backgrounds: gradients, clouds, stripes, blotches and clutter, partly skin-coloured."""

from __future__ import annotations

import cv2
import numpy as np

from drf.data.synthetic.paint import disc, fill
from drf.data.synthetic.textures import cut


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour; one in four is near skin's: colour alone must not find the face."""
    if rng.random() < 0.25:
        return np.array([200, 150, 115]) * rng.uniform(0.35, 1.15) + rng.normal(0, 10, 3)
    grey = rng.uniform(15, 235)
    return grey + rng.normal(0, 38, 3)


def draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a (size, size, 3) uint8 picture: two colours mixed by a field, clutter, blur."""
    first, second = _colour(rng), _colour(rng)
    kind = rng.choice(5, p=(0.3, 0.2, 0.2, 0.15, 0.15))
    if kind == 0:
        field = cut("cloud", (size, size), rng) * 0.3 + 0.5
    else:
        axis = np.linspace(-0.5, 0.5, size, dtype=np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        ramp = axis[None, :] * np.float32(np.cos(angle)) + axis[:, None] * np.float32(np.sin(angle))
        if kind == 1:
            field = ramp + 0.5
        elif kind == 2:
            field = 0.5 + 0.5 * np.sin(ramp * np.float32(rng.uniform(12, 90)))
            field = field if rng.random() < 0.5 else (field > 0.5).astype(np.float32)
        elif kind == 3:
            field = (np.abs(cut("medium", (size, size), rng)) < rng.uniform(0.3, 1.0)).astype(
                np.float32
            )
        else:
            field = ramp + 0.5 + 0.35 * cut("strands", (size, size), rng)
    field = np.clip(field, 0, 1, dtype=np.float32)
    picture = cv2.merge(
        [np.float32(a - b) * field + np.float32(b) for a, b in zip(first, second, strict=True)]
    )
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    _draw_clutter(picture, rng)
    blur = rng.choice([0.0, rng.uniform(0.5, 3.5)], p=[0.35, 0.65])
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), blur)) if blur > 0 else picture


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
