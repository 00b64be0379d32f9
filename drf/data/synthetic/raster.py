"""From the surface to the stored picture: rasteriser, light, focus, noise, compression."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import cv2
import numpy as np

from drf.data.synthetic.head import Camera
from drf.data.synthetic.paint import GRAIN_SPREAD, TILE, grain
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
    """Where the surface is seen, in the rectangle of the picture that the head takes."""

    view: tuple[slice, slice]  # rows and columns of the rectangle
    column: np.ndarray  # (h, w) float32 position in the canonical texture, px
    row: np.ndarray  # (h, w) float32
    cover: np.ndarray  # (h, w) float32 0..1

    def warp(self, texture: np.ndarray) -> np.ndarray:
        """Bring a (TEXTURE, TEXTURE[, C]) texture into the rectangle."""
        return np.asarray(
            cv2.remap(
                texture, self.column, self.row, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
        )


@lru_cache(maxsize=1)
def _behind() -> np.ndarray:
    """Return (GRID, GRID) bool: the plane's corners, which fold over at the back of the head."""
    return average_head().radius > EXTENT


def rasterise(vertices: np.ndarray, camera: Camera, normal: np.ndarray, size: int) -> Raster:
    """Splat the surface at half resolution, far parts first, and close the gaps by smoothing."""
    facing = cv2.transform(normal, camera.rotation[2:])
    facing[_behind()] = -1
    position = [
        plane * np.float32(0.5) - np.float32(0.25)  # pixel i of the half picture is 2 i + 0.5
        for plane in cv2.split(camera.project_surface(vertices))
    ]
    low = [max(0, int(plane.min()) - 5) for plane in position]
    high = [min(size // 2, int(plane.max()) + 7) for plane in position]
    column, row = (
        cv2.resize(plane - np.float32(start), (TEXTURE, TEXTURE))
        for plane, start in zip(position, low, strict=True)
    )
    # The surface is nearly a relief over its plane: drawing columns and rows from the side that
    # has turned away hides what lies behind, without sorting by depth.
    steps = tuple(slice(None, None, 1 if camera.rotation[2, axis] > 0 else -1) for axis in (1, 0))
    index = np.flatnonzero(cv2.resize(facing, (TEXTURE, TEXTURE))[steps] > 0)
    columns = np.rint(column[steps].ravel()[index]).astype(np.int32)
    rows = np.rint(row[steps].ravel()[index]).astype(np.int32)
    width, height = high[0] - low[0], high[1] - low[1]
    inside = (columns >= 0) & (columns < width) & (rows >= 0) & (rows < height)
    canvas = np.full(height * width, -1, np.int32)
    canvas[(rows * width + columns)[inside]] = index[inside]
    view = (slice(2 * low[1], 2 * high[1]), slice(2 * low[0], 2 * high[0]))
    return _interpolate(canvas.reshape(height, width), view, steps)


def _interpolate(canvas: np.ndarray, view: tuple[slice, slice], steps: tuple[slice, ...]) -> Raster:
    """Turn splatted texel numbers (-1 where none) into a dense map at full resolution."""
    hit = canvas >= 0
    share = hit.astype(np.float32)
    row = canvas // TEXTURE
    texels = [canvas - row * TEXTURE, row]
    for axis, step in enumerate(reversed(steps)):
        if step.step < 0:
            texels[axis] = TEXTURE - 1 - texels[axis]
    layers = cv2.merge([*(plane.astype(np.float32) * share for plane in texels), share])
    near, wide = cv2.GaussianBlur(layers, (3, 3), 0.6), cv2.blur(layers, (9, 9))
    # Steep places are hit sparsely: where no near sample counts, a wide mean closes the gap.
    sums = cv2.split(cv2.scaleAdd(wide, 0.02, near))
    weight = 1 / np.maximum(sums[2], np.float32(1e-5))
    solid = cv2.morphologyEx(hit.view(np.uint8), cv2.MORPH_CLOSE, np.ones((7, 7), np.uint8))
    edge = cv2.GaussianBlur(solid.astype(np.float32), (3, 3), 0.8)
    size = (2 * canvas.shape[1], 2 * canvas.shape[0])
    planes = [cv2.resize(plane, size) for plane in (sums[0] * weight, sums[1] * weight, edge)]
    return Raster(view, planes[0], planes[1], np.clip(planes[2] * 2 - np.float32(0.5), 0, 1))


def lit_texture(albedo: list[np.ndarray], gain: np.ndarray, glint: np.ndarray) -> np.ndarray:
    """Light the three (TEXTURE, TEXTURE) float32 planes: (TEXTURE, TEXTURE, 3) uint8 RGB."""
    size = (TEXTURE, TEXTURE)
    highlight = cv2.resize(glint, size)
    lit = [
        cv2.add(cv2.multiply(plane, cv2.resize(light, size)), highlight)
        for plane, light in zip(albedo, cv2.split(gain), strict=True)
    ]
    return np.asarray(cv2.convertScaleAbs(cv2.merge(lit)))  # saturates; nothing is negative


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
