"""Textured backgrounds: gradients, clouds, stripes, blotches and clutter, some of it skin-coloured."""

from __future__ import annotations

import cv2
import numpy as np

from drf.data.synthetic.paint import disc, fill
from drf.data.synthetic.textures import cut


def _colour(rng: np.random.Generator) -> np.ndarray:
    """Draw a colour; one in four is near that of skin, so that colour alone does not find the face."""
    if rng.random() < 0.25:
        return np.array([200, 150, 115]) * rng.uniform(0.35, 1.15) + rng.normal(0, 10, 3)
    grey = rng.uniform(15, 235)
    return grey + rng.normal(0, 38, 3)


def draw_background(size: int, rng: np.random.Generator) -> np.ndarray:
    """Return a (size, size, 3) uint8 background: two colours mixed by a field, then clutter, then blur."""
    first, second = _colour(rng), _colour(rng)
    kind = rng.choice(5, p=(0.3, 0.2, 0.2, 0.15, 0.15))
    small = size // 2
    if kind == 0:
        field = cut("cloud", (small, small), rng) * 0.3 + 0.5
    else:
        axis = np.linspace(-0.5, 0.5, small, dtype=np.float32)
        angle = rng.uniform(0, 2 * np.pi)
        ramp = axis[None, :] * np.float32(np.cos(angle)) + axis[:, None] * np.float32(np.sin(angle))
        if kind == 1:
            field = ramp + 0.5
        elif kind == 2:
            field = 0.5 + 0.5 * np.sin(ramp * np.float32(rng.uniform(12, 90)))
            field = field if rng.random() < 0.5 else (field > 0.5).astype(np.float32)
        elif kind == 3:
            field = (np.abs(cut("medium", (small, small), rng)) < rng.uniform(0.3, 1.0)).astype(
                np.float32
            )
        else:
            field = ramp + 0.5 + 0.35 * cut("strands", (small, small), rng)
    field = np.clip(field, 0, 1)[..., None].astype(np.float32)
    picture = first.astype(np.float32) * field + second.astype(np.float32) * (1 - field)
    picture = np.clip(picture, 0, 255).astype(np.uint8)
    _draw_clutter(picture, rng)
    blur = rng.choice([0.0, rng.uniform(0.5, 3.5)], p=[0.35, 0.65])
    if blur > 0:
        picture = cv2.GaussianBlur(picture, (0, 0), blur)
    return cv2.resize(picture, (size, size), interpolation=cv2.INTER_LINEAR)


def _draw_clutter(picture: np.ndarray, rng: np.random.Generator) -> None:
    size = picture.shape[0]
    for _ in range(int(rng.choice([0, 3, 8, 16]))):
        centre, colour = rng.uniform(0, size, 2), tuple(np.clip(_colour(rng), 0, 255).tolist())
        reach = rng.uniform(0.03, 0.3, 2) * size
        if rng.random() < 0.5:
            disc(picture, centre, (reach[0], reach[1]), rng.uniform(0, 180), colour)
        else:
            turn = rng.uniform(0, np.pi)
            axes = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
            corners = np.array([[-1, -1], [1, -1], [1, 1], [-1, 1]]) * reach
            fill(picture, centre + corners @ axes, colour)
