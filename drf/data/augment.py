"""From packed crops to network input: one warp for a whole batch, on the device of the batch.

A packed crop shows `CONTEXT` times the box. In its centred frame (-1..1 over the crop, as
grid_sample counts) the network's input is q -> M q + t, M = mirror * rotation * scale / CONTEXT:
evaluation takes M = I / CONTEXT, training draws the rest. Points go through the inverse of the same
map, so pictures and points cannot drift apart.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor
from torch.nn import functional as F

from drf.config import AugmentConfig
from drf.data.packs import CONTEXT


def identity_affines(n: int, device: torch.device | str = "cpu") -> Tensor:
    """Return the (n, 2, 3) maps that cut the box itself, unchanged."""
    maps = torch.zeros(n, 2, 3, device=device)
    maps[:, 0, 0] = maps[:, 1, 1] = 1 / CONTEXT
    return maps


def random_affines(n: int, config: AugmentConfig, generator: torch.Generator) -> Tensor:
    """Return (n, 2, 3) maps of random mirror, rotation, scale, shift, on the generator's device."""
    device = generator.device

    def uniform() -> Tensor:
        return torch.rand(n, device=device, generator=generator)

    def normal(*shape: int) -> Tensor:
        return torch.randn(n, *shape, device=device, generator=generator).clamp(-2.5, 2.5)

    angle = (2 * uniform() - 1) * math.radians(config.rotation)
    scale = torch.exp(normal() * config.scale) / CONTEXT
    mirror = torch.where(uniform() < config.flip, -1.0, 1.0)
    cos, sin = torch.cos(angle) * scale, torch.sin(angle) * scale
    linear = torch.stack([mirror * cos, -mirror * sin, sin, cos], dim=-1).view(n, 2, 2)
    shift = 2 * config.shift / CONTEXT * normal(2)
    return torch.cat([linear, shift[..., None]], dim=-1)


def warp(crops: Tensor, maps: Tensor, size: int) -> Tensor:
    """Cut the network's input out of packed crops.

    (B, P, P, 3) uint8, (B, 2, 3) -> (B, 3, size, size) float32 in 0..1, channels last; outside the
    crop its edge is repeated.
    """
    source = crops.permute(0, 3, 1, 2).float()  # a view: channels stay last in memory
    grid = F.affine_grid(maps, [len(crops), 3, size, size], align_corners=False)
    images = F.grid_sample(source, grid, padding_mode="border", align_corners=False)
    return images.div_(255).contiguous(memory_format=torch.channels_last)


def warp_points(points: Tensor, maps: Tensor) -> Tensor:
    """Follow points through `warp`: (B, K, 2), unit frame of the crop -> unit box of the input."""
    centred = 2 * points - 1 - maps[:, None, :, 2]
    solved, _ = torch.linalg.solve_ex(maps[:, :, :2], centred.mT)  # solve waits for the device
    return (solved.mT + 1) / 2


def unwarp_points(points: Tensor, maps: Tensor) -> Tensor:
    """The inverse of `warp_points`."""
    return ((2 * points - 1) @ maps[:, :, :2].mT + maps[:, None, :, 2] + 1) / 2


def mirror_points(points: Tensor, maps: Tensor, flip: Tensor) -> Tensor:
    """Rename the points of faces that `warp` mirrors: (B, K, 2), (B, 2, 3) -> (B, K, 2).

    flip: the (K,) flip permutation of the markup, on the device of the points.
    """
    a, b, c, d = maps[:, 0, 0], maps[:, 0, 1], maps[:, 1, 0], maps[:, 1, 1]
    mirrored = a * d - b * c < 0
    return torch.where(mirrored[:, None, None], points[:, flip], points)


def augment(
    crops: Tensor,
    points: Tensor,
    flip: Tensor,
    size: int,
    config: AugmentConfig,
    generator: torch.Generator,
) -> tuple[Tensor, Tensor]:
    """Draw one training batch.

    (B, P, P, 3) uint8 and all points of the markup (B, K, 2) in the unit frame of the crop, NaN
    where missing -> images (B, 3, size, size) in 0..1 and points (B, K, 2) in the unit box. A
    mirrored face has its points renamed by the flip permutation, (K,) on the points' device.
    """
    maps = random_affines(len(crops), config, generator)
    images = warp(crops, maps, size)
    points = mirror_points(warp_points(points, maps), maps, flip)
    images = _colour(images, config.colour, generator)
    images = _blur(images, config.blur, generator)
    images = _occlude(images, config.occlusion, generator)
    return images.clamp_(0, 1), points


def _colour(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """One random 3x3 colour matrix and offset per face: brightness, contrast, saturation, tint."""
    if strength == 0:
        return images
    n, device = len(images), images.device
    draws = torch.randn(n, 6, device=device, generator=generator).clamp(-2, 2) * strength
    saturation = (1 + draws[:, 0]).clamp(0, 2)[:, None, None]
    grey = torch.full((3, 3), 1 / 3, device=device)
    mix = saturation * torch.eye(3, device=device) + (1 - saturation) * grey
    gain = torch.exp(draws[:, 1:2] + 0.3 * draws[:, 2:5])  # a common exposure, a small tint
    matrix = gain[:, :, None] * mix
    offset = 0.3 * draws[:, 5]
    flat = images.permute(0, 2, 3, 1).flatten(1, 2)  # (B, S S, 3): rows of pixels
    out = torch.baddbmm(offset[:, None, None].expand(n, 1, 3), flat, matrix.mT)
    return out.view(n, *images.shape[2:], 3).permute(0, 3, 1, 2)


def _blur(images: Tensor, strength: float, generator: torch.Generator) -> Tensor:
    """Mix every face with its 3x3 mean by a random share: the low resolution of small faces."""
    if strength == 0:
        return images
    share = torch.rand(len(images), 1, 1, 1, device=images.device, generator=generator) * strength
    return torch.lerp(images, _neighbourhood(images), share)


def _neighbourhood(images: Tensor) -> Tensor:
    """The mean of the pixels of each 3x3 that are there: avg_pool2d(images, 3, 1, 1,
    count_include_pad=False), which takes thirteen times as long on a CPU, channels last."""
    channels = images.shape[1]
    box = images.new_ones(channels, 1, 3, 3)
    there = F.conv2d(images.new_ones(1, 1, *images.shape[2:]), box[:1], padding=1)
    return F.conv2d(images, box, padding=1, groups=channels) / there


def _occlude(images: Tensor, probability: float, generator: torch.Generator) -> Tensor:
    """Paste a rectangle of the batch's previous face over some faces: real texture, wrong place."""
    if probability == 0:
        return images
    n, _, h, w = images.shape
    draws = torch.rand(n, 5, device=images.device, generator=generator)
    half = 0.05 + 0.15 * draws[:, :2]  # half sides, shares of the picture
    centre = draws[:, 2:4]
    half = half * (draws[:, 4:] < probability)  # no rectangle for the others
    ys = (torch.arange(h, device=images.device) + 0.5) / h
    xs = (torch.arange(w, device=images.device) + 0.5) / w
    rows = (ys - centre[:, 1:]).abs() < half[:, 1:]
    columns = (xs - centre[:, :1]).abs() < half[:, :1]
    inside = rows[:, None, :, None] & columns[:, None, None, :]
    return torch.where(inside, images.roll(1, dims=0), images)
