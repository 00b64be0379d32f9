"""Pictures and points go through the same warp: found again by looking at the pixels."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from drf.config import AugmentConfig
from drf.data import augment
from drf.data.packs import CONTEXT, PACK_SIZE
from drf.landmarks.markup import IBUG68

STILL = AugmentConfig(flip=0, rotation=0, scale=0, shift=0, colour=0, blur=0, occlusion=0)

FLIP = torch.tensor(IBUG68.flip)


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def dotted(points: torch.Tensor) -> torch.Tensor:
    """Return black crops (B, P, P, 3), each with a soft dot at points (B, 2), unit frame."""
    cells = (torch.arange(PACK_SIZE) + 0.5) / PACK_SIZE
    x, y = points[:, 0, None, None], points[:, 1, None, None]
    distance = (cells[None, None, :] - x) ** 2 + (cells[None, :, None] - y) ** 2
    dot = 255 * torch.exp(-distance / (2 * (3 / PACK_SIZE) ** 2))
    return dot[..., None].expand(-1, -1, -1, 3).to(torch.uint8)


def centroid(images: torch.Tensor) -> torch.Tensor:
    """Return the bright spot of each image: (B, 3, S, S) -> (B, 2) unit box."""
    mass = images.mean(dim=1)
    mass = mass / mass.sum(dim=(1, 2), keepdim=True)
    cells = (torch.arange(images.shape[-1]) + 0.5) / images.shape[-1]
    return torch.stack([(mass.sum(dim=axis) * cells).sum(dim=1) for axis in (1, 2)], dim=1)


def test_the_dot_is_where_its_point_went() -> None:
    n = 64
    start = 0.4 + 0.2 * torch.rand(n, 2, generator=generator())
    config = AugmentConfig(flip=0.5, rotation=40, scale=0.1, shift=0.05)
    maps = augment.random_affines(n, config, generator(1))
    images = augment.warp(dotted(start), maps, 128)
    moved = augment.warp_points(start[:, None], maps)[:, 0]
    assert (centroid(images) - moved).abs().max() < 0.5 / 128
    assert torch.allclose(augment.unwarp_points(moved[:, None], maps)[:, 0], start, atol=1e-5)


def test_without_augmentation_the_box_is_cut_out() -> None:
    """A point on the box's edge, half of 1 / CONTEXT off the crop's centre, is on the edge."""
    maps = augment.random_affines(1, STILL, generator())
    assert torch.allclose(maps, augment.identity_affines(1))
    edge = torch.tensor([[[0.5 - 0.5 / CONTEXT, 0.5 + 0.5 / CONTEXT]]])
    assert torch.allclose(augment.warp_points(edge, maps), torch.tensor([[[0.0, 1.0]]]), atol=1e-6)


def test_a_mirrored_face_has_its_points_renamed() -> None:
    points = torch.rand(4, 68, 2, generator=generator())
    crops = torch.zeros(4, PACK_SIZE, PACK_SIZE, 3, dtype=torch.uint8)
    plain = augment.augment(crops, points, FLIP, 32, STILL, generator())[1]
    mirror = AugmentConfig(flip=1, rotation=0, scale=0, shift=0, colour=0, blur=0, occlusion=0)
    mirrored = augment.augment(crops, points, FLIP, 32, mirror, generator())[1]
    expected = plain.clone()
    expected[..., 0] = 1 - expected[..., 0]
    assert torch.allclose(mirrored, expected[:, FLIP], atol=1e-5)


def test_flips_rotations_scales_and_shifts_are_drawn_as_configured() -> None:
    config = AugmentConfig(flip=0.25, rotation=20, scale=0.1, shift=0.05)
    maps = augment.random_affines(20_000, config, generator())
    det = torch.linalg.det(maps[:, :, :2])
    assert (det < 0).float().mean() == pytest.approx(0.25, abs=0.02)
    scale = (det.abs().sqrt() * CONTEXT).log()
    assert scale.std() == pytest.approx(0.1, rel=0.05)
    angle = torch.rad2deg(torch.atan2(maps[:, 1, 0], maps[:, 1, 1]))
    assert angle.abs().max() <= 20.001
    assert angle.std() == pytest.approx(20 / np.sqrt(3), rel=0.05)
    assert (maps[:, :, 2] * CONTEXT / 2).std() == pytest.approx(0.05, rel=0.05)


def test_photometric_changes_keep_points_and_range_and_do_change() -> None:
    crops = torch.randint(0, 256, (8, PACK_SIZE, PACK_SIZE, 3), generator=generator()).byte()
    points = torch.rand(8, 68, 2, generator=generator())
    still = augment.augment(crops, points, FLIP, 64, STILL, generator())
    for change in ({"colour": 0.5}, {"blur": 1.0}, {"occlusion": 1.0}):
        config = replace(STILL, **change)
        images, moved = augment.augment(crops, points, FLIP, 64, config, generator(2))
        assert torch.equal(moved, still[1])
        assert not torch.allclose(images, still[0], atol=0.02)
        assert images.min() >= 0
        assert images.max() <= 1
        assert images.is_contiguous(memory_format=torch.channels_last)


def test_same_seed_same_batch() -> None:
    crops = torch.randint(0, 256, (3, PACK_SIZE, PACK_SIZE, 3), generator=generator()).byte()
    points = torch.rand(3, 68, 2, generator=generator())
    first = augment.augment(crops, points, FLIP, 64, AugmentConfig(), generator(5))
    again = augment.augment(crops, points, FLIP, 64, AugmentConfig(), generator(5))
    assert torch.equal(first[0], again[0])
    assert torch.equal(first[1], again[1])


def test_the_blur_averages_the_neighbours_that_are_there() -> None:
    images = torch.rand(2, 3, 9, 7).contiguous(memory_format=torch.channels_last)
    literal = F.avg_pool2d(images.double(), 3, 1, 1, count_include_pad=False)
    torch.testing.assert_close(
        augment._neighbourhood(images).double(), literal, rtol=1e-6, atol=1e-6
    )
