"""From the deformed surface to pixels: light, visibility and the warp of the canonical texture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from drf.data.synthetic.camera import Camera
from drf.data.synthetic.head import Head
from drf.data.synthetic.sculpt import EXTENT, average_head
from drf.data.synthetic.skin import TEXTURE


@dataclass(frozen=True)
class Light:
    """A key light, a fill light and the ambience; directions point towards the lights."""

    key: np.ndarray  # (3,) unit vector, camera frame
    key_colour: np.ndarray  # (3,) RGB gain
    fill: np.ndarray  # (3,)
    fill_colour: np.ndarray  # (3,)
    ambient: np.ndarray  # (3,)


def draw_light(rng: np.random.Generator, harshness: float) -> Light:
    """Draw a lighting; `harshness` in 0..1 weakens the ambience."""
    azimuth, height = rng.normal(0, 0.75), rng.uniform(-0.15, 1.0)
    key = np.array([np.sin(azimuth), -np.sin(height), 0.35 + 0.65 * np.cos(azimuth)])
    fill = np.array([-np.sign(azimuth), rng.uniform(-0.5, 0.5), rng.uniform(-0.3, 0.6)])
    warm = rng.normal(0, 0.07)
    strength = rng.uniform(0.45, 0.75) + 0.15 * harshness
    ambient = max(0.16, 0.95 - strength - 0.1 * harshness)
    return Light(
        key / np.linalg.norm(key),
        strength * np.array([1 + warm, 1.0, 1 - warm]),
        fill / np.linalg.norm(fill),
        rng.choice([0.0, rng.uniform(0.05, 0.3)]) * np.clip(rng.normal(1, 0.25, 3), 0.3, 1.6),
        ambient * np.clip(rng.normal(1, 0.05, 3), 0.7, 1.3),
    )


def normals(vertices: np.ndarray) -> np.ndarray:
    """Return (GRID, GRID, 3) outward unit normals of a surface, head frame."""
    across, down = np.empty_like(vertices), np.empty_like(vertices)
    across[:, 1:-1] = vertices[:, 2:] - vertices[:, :-2]
    across[:, 0], across[:, -1] = across[:, 1], across[:, -2]
    down[1:-1] = vertices[2:] - vertices[:-2]
    down[0], down[-1] = down[1], down[-2]
    ax, ay, az = across[..., 0], across[..., 1], across[..., 2]
    bx, by, bz = down[..., 0], down[..., 1], down[..., 2]
    normal = np.stack([ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx], axis=-1)
    length = np.sqrt((normal * normal).sum(axis=-1, keepdims=True))
    return normal / np.maximum(length, np.float32(1e-9))


def shade(normal: np.ndarray, light: Light, shine: float) -> tuple[np.ndarray, np.ndarray]:
    """Return the gain (GRID, GRID, 3) of the albedo and the highlight (GRID, GRID) to add, float32."""
    wrap = np.float32(0.18)
    key = np.clip((normal @ light.key.astype(np.float32) + wrap) / (1 + wrap), 0, 1)
    fill = np.clip(normal @ light.fill.astype(np.float32), 0, 1)
    gain = (
        light.ambient.astype(np.float32)
        + key[..., None] * light.key_colour.astype(np.float32)
        + fill[..., None] * light.fill_colour.astype(np.float32)
    )
    half = light.key + (0, 0, 1)
    glint = np.clip(normal @ (half / np.linalg.norm(half)).astype(np.float32), 0, 1)
    glint *= glint
    glint *= glint
    glint *= glint
    glint *= glint * np.float32(shine * 255)
    return gain.astype(np.float32), glint


@dataclass(frozen=True)
class Raster:
    """Where the surface is seen in the picture."""

    canonical: np.ndarray  # (H, W, 2) float32 position in the canonical texture, px
    cover: np.ndarray  # (H, W) float32 0..1

    def warp(self, texture: np.ndarray) -> np.ndarray:
        """Bring a (TEXTURE, TEXTURE[, C]) texture into the picture."""
        return cv2.remap(
            texture, self.canonical, None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
        )


def rasterise(head: Head, camera: Camera, normal: np.ndarray, size: int) -> Raster:
    """Splat the surface at half resolution, far parts first, and close the gaps by smoothing."""
    half = size // 2
    position = (camera.project(head.vertices) - np.float32(0.5)) * np.float32(0.5)
    facing = normal @ camera.rotation[2].astype(np.float32)
    facing[average_head().radius > EXTENT] = -1  # the plane's corners fold over at the back
    dense = cv2.resize(
        np.dstack([position, facing]), (TEXTURE, TEXTURE), interpolation=cv2.INTER_LINEAR
    )
    # The surface is nearly a relief over its plane: drawing columns and rows from the side that
    # has turned away hides what lies behind, without sorting by depth.
    flip_x, flip_y = camera.rotation[2, 0] > 0, camera.rotation[2, 1] > 0
    steps = (slice(None, None, 1 if flip_y else -1), slice(None, None, 1 if flip_x else -1))
    dense = dense[steps]
    column, row = np.rint(dense[..., 0]).astype(np.int32), np.rint(dense[..., 1]).astype(np.int32)
    seen = (dense[..., 2] > 0) & (column >= 0) & (column < half) & (row >= 0) & (row < half)
    index = np.arange(TEXTURE * TEXTURE, dtype=np.int32).reshape(TEXTURE, TEXTURE)[steps]
    canvas = np.full(half * half, -1, np.int32)
    canvas[(row * half + column)[seen]] = index[seen]
    canvas = canvas.reshape(half, half)
    hit = (canvas >= 0).astype(np.float32)
    row, column = np.divmod(canvas, TEXTURE)
    layers = np.dstack([column.astype(np.float32) * hit, row.astype(np.float32) * hit, hit])
    near, wide = cv2.GaussianBlur(layers, (3, 3), 0.6), cv2.blur(layers, (9, 9))
    # Steep places are hit sparsely: where no near sample counts, a wide mean closes the gap.
    filled = near[..., :2] + np.float32(0.02) * wide[..., :2]
    filled /= np.maximum(near[..., 2:] + np.float32(0.02) * wide[..., 2:], np.float32(1e-5))
    solid = cv2.morphologyEx(hit, cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    filled = np.dstack([filled, cv2.GaussianBlur(solid, (3, 3), 0.8)])
    filled = cv2.resize(filled, (size, size), interpolation=cv2.INTER_LINEAR)
    cover = np.clip((filled[..., 2] - np.float32(0.25)) * np.float32(2), 0, 1)
    return Raster(np.ascontiguousarray(filled[..., :2]), cover)


def lit_texture(albedo: np.ndarray, gain: np.ndarray, glint: np.ndarray) -> np.ndarray:
    """Light the canonical texture: (TEXTURE, TEXTURE, 3) float32 RGB 0..255."""
    size = (TEXTURE, TEXTURE)
    lit = albedo * cv2.resize(gain, size, interpolation=cv2.INTER_LINEAR)
    lit += cv2.resize(glint, size, interpolation=cv2.INTER_LINEAR)[..., None]
    return lit
