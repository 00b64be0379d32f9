"""From the deformed surface to pixels: light, visibility and the warp of the canonical texture."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np

from drf.data.synthetic.camera import Camera
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
    ambient = max(0.2, 1.02 - strength - 0.12 * harshness)
    return Light(
        key / np.linalg.norm(key),
        strength * np.array([1 + warm, 1.0, 1 - warm]),
        fill / np.linalg.norm(fill),
        rng.choice([0.0, rng.uniform(0.05, 0.3)]) * np.clip(rng.normal(1, 0.25, 3), 0.3, 1.6),
        ambient * np.clip(rng.normal(1, 0.05, 3), 0.7, 1.3),
    )


def _slopes(plane: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Return the central differences of a plane along its columns and rows."""
    across, down = np.empty_like(plane), np.empty_like(plane)
    np.subtract(plane[:, 2:], plane[:, :-2], out=across[:, 1:-1])
    across[:, 0], across[:, -1] = across[:, 1], across[:, -2]
    np.subtract(plane[2:], plane[:-2], out=down[1:-1])
    down[0], down[-1] = down[1], down[-2]
    return across, down


def normals(vertices: np.ndarray) -> np.ndarray:
    """Return (GRID, GRID, 3) float32 outward unit normals of a surface, head frame."""
    (ax, bx), (ay, by), (az, bz) = (_slopes(plane) for plane in cv2.split(vertices))
    planes = [ay * bz - az * by, az * bx - ax * bz, ax * by - ay * bx]
    length = np.sqrt(planes[0] ** 2 + planes[1] ** 2 + planes[2] ** 2)
    scale = 1 / np.maximum(length, np.float32(1e-9))
    return np.asarray(cv2.merge([plane * scale for plane in planes]))


def shade(normal: np.ndarray, light: Light, shine: float) -> tuple[np.ndarray, np.ndarray]:
    """Light the normals (camera frame).

    Returns the gain (GRID, GRID, 3) of the albedo (Lambert, wrapped a little around the terminator)
    and the highlight (GRID, GRID) to add (Blinn), both float32.
    """
    half = light.key + np.array([0.0, 0.0, 1.0])
    directions = np.stack([light.key / 1.18, light.fill, half / np.linalg.norm(half)])
    offsets = np.array([0.18 / 1.18, 0.0, 0.0])
    cosines = np.asarray(cv2.transform(normal, np.column_stack([directions, offsets])))
    cosines = np.clip(cosines, 0, 1)
    colours = np.stack([light.key_colour, light.fill_colour, (0, 0, 0), light.ambient], axis=1)
    gain = cv2.transform(cosines, colours)
    glint = cosines[..., 2] ** 2
    for _ in range(3):
        glint = glint**2  # in all the 16th power, an oily skin
    return np.asarray(gain), glint * np.float32(shine * 255)


@dataclass(frozen=True)
class Raster:
    """Where the surface is seen in the picture; all (H, W) float32."""

    column: np.ndarray  # position in the canonical texture, px
    row: np.ndarray
    cover: np.ndarray  # 0..1

    def warp(self, texture: np.ndarray) -> np.ndarray:
        """Bring a (TEXTURE, TEXTURE[, C]) texture into the picture."""
        return np.asarray(
            cv2.remap(
                texture, self.column, self.row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        )


def rasterise(vertices: np.ndarray, camera: Camera, normal: np.ndarray, size: int) -> Raster:
    """Splat the surface at half resolution, far parts first, and close the gaps by smoothing."""
    half = size // 2
    position = camera.project_surface(vertices)
    facing = cv2.transform(normal, camera.rotation[2:])
    facing[average_head().radius > EXTENT] = -1  # the plane's corners fold over at the back
    column, row = (
        cv2.resize(position[..., axis] * np.float32(0.5) - np.float32(0.25), (TEXTURE, TEXTURE))
        for axis in (0, 1)
    )
    front = cv2.resize(facing, (TEXTURE, TEXTURE)) > 0
    # The surface is nearly a relief over its plane: drawing columns and rows from the side that
    # has turned away hides what lies behind, without sorting by depth.
    flip_x, flip_y = camera.rotation[2, 0] > 0, camera.rotation[2, 1] > 0
    steps = (slice(None, None, 1 if flip_y else -1), slice(None, None, 1 if flip_x else -1))
    index = np.flatnonzero(front[steps])
    columns = np.rint(column[steps].ravel()[index]).astype(np.int32)
    rows = np.rint(row[steps].ravel()[index]).astype(np.int32)
    inside = (columns >= 0) & (columns < half) & (rows >= 0) & (rows < half)
    canvas = np.full(half * half, -1, np.int32)
    canvas[(rows * half + columns)[inside]] = index[inside]
    return _interpolate(canvas.reshape(half, half), size, flip_x, flip_y)


def _interpolate(canvas: np.ndarray, size: int, flip_x: bool, flip_y: bool) -> Raster:
    """Turn splatted texel numbers (-1 where none) into a dense map at full resolution."""
    hit = canvas >= 0
    row = canvas // TEXTURE
    column = canvas - row * TEXTURE
    if not flip_x:
        column = TEXTURE - 1 - column
    if not flip_y:
        row = TEXTURE - 1 - row
    share = hit.astype(np.float32)
    layers = cv2.merge([plane.astype(np.float32) * share for plane in (column, row)] + [share])
    near, wide = cv2.GaussianBlur(layers, (3, 3), 0.6), cv2.blur(layers, (9, 9))
    # Steep places are hit sparsely: where no near sample counts, a wide mean closes the gap.
    sums = cv2.split(cv2.scaleAdd(wide, 0.02, near))
    weight = 1 / np.maximum(sums[2], np.float32(1e-5))
    solid = cv2.morphologyEx(hit.view(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    edge = cv2.GaussianBlur(solid.astype(np.float32), (3, 3), 0.8)
    planes = [
        cv2.resize(plane, (size, size)) for plane in (sums[0] * weight, sums[1] * weight, edge)
    ]
    return Raster(planes[0], planes[1], np.clip(planes[2] * 2 - np.float32(0.5), 0, 1))


def lit_texture(albedo: list[np.ndarray], gain: np.ndarray, glint: np.ndarray) -> np.ndarray:
    """Light the three (TEXTURE, TEXTURE) float32 planes: (TEXTURE, TEXTURE, 3) uint8 RGB."""
    size = (TEXTURE, TEXTURE)
    highlight = cv2.resize(glint, size)
    lit = [
        cv2.add(cv2.multiply(plane, cv2.resize(light, size)), highlight)
        for plane, light in zip(albedo, cv2.split(gain), strict=True)
    ]
    return np.clip(cv2.merge(lit), 0, 255).astype(np.uint8)
