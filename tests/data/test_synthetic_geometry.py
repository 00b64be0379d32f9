"""The 3-D head: points ride on the surface, and the picture shows features where the points are."""

from __future__ import annotations

import dataclasses

import cv2
import numpy as np
import pytest

from drf.data.synthetic import render_face
from drf.data.synthetic.head import (
    Camera,
    Head,
    Pose,
    draw_head,
    frontal_points,
    head_model,
    surface,
)
from drf.data.synthetic.raster import normals, rasterise
from drf.data.synthetic.sculpt import EXTENT, ORIGIN_Y, average_head, canonical_axis, to_canonical
from drf.landmarks.markup import IBUG68

FRONTAL = Pose(yaw=0, pitch=0, roll=0, distance=8, box_side=160, centre=(127.5, 127.5))


def head_of(seed: int) -> Head:
    return draw_head(np.random.default_rng(seed))


def test_average_surface_and_points_are_symmetric() -> None:
    vertices = average_head().vertices
    np.testing.assert_allclose(vertices[:, ::-1] * (-1, 1, 1), vertices, atol=1e-9)
    points = head_model().points
    np.testing.assert_allclose(points[np.array(IBUG68.flip)] * (-1, 1, 1), points, atol=2e-3)


def test_canonical_coordinates_invert_the_surface() -> None:
    surface_xy = average_head().frontal
    qx, qy = np.meshgrid(canonical_axis(), canonical_axis())
    inside = average_head().radius < 0.97
    back = to_canonical(surface_xy[inside])
    np.testing.assert_allclose(back, np.stack([qx, qy], axis=-1)[inside], atol=1e-6)


def test_average_points_are_where_they_were_chosen() -> None:
    model, chosen = head_model(), frontal_points()
    np.testing.assert_allclose(model.points[:, 1] + ORIGIN_Y, chosen[:, 1], atol=0.012)
    assert np.abs(model.points[:, 0]).max() < EXTENT


def test_normals_point_outwards_and_are_unit() -> None:
    head = head_of(3)
    normal = normals(surface(head))
    front = average_head().radius < 0.3
    assert (normal[front][:, 2] > 0).mean() > 0.99
    np.testing.assert_allclose(np.linalg.norm(normal, axis=-1), 1, atol=1e-4)


@pytest.mark.parametrize("yaw", [-45, -25, 0, 25, 45])
def test_jaw_points_lie_on_the_rim_of_the_visible_head(yaw: float) -> None:
    """On the averted side the contour points sit on the silhouette of the rasterised surface."""
    distances_px = []
    for seed in range(8):
        head = head_of(seed)
        camera = Camera(head, dataclasses.replace(FRONTAL, yaw=yaw))
        vertices = surface(head)
        raster = rasterise(vertices, camera, normals(vertices), 256)
        cover = np.zeros((256, 256), np.uint8)
        cover[raster.view] = raster.cover > 0.5
        rim = cv2.distanceTransform(cover, cv2.DIST_L2, 5)
        rim += cv2.distanceTransform(1 - cover, cv2.DIST_L2, 5)
        far = np.rint(camera.points[0:9] if yaw < 0 else camera.points[8:17]).astype(int)
        distances_px.append(rim[far[:, 1], far[:, 0]])
    # The distance is 1 on the rim itself. The nose may stand before the cheek's rim at 45 degrees.
    assert np.median(distances_px) <= 2.1
    assert np.quantile(distances_px, 0.9) < 4


def test_contour_moves_continuously_with_yaw() -> None:
    head = head_of(1)
    previous = Camera(head, dataclasses.replace(FRONTAL, yaw=-45)).points
    for yaw in np.arange(-44.5, 45.1, 0.5):
        points = Camera(head, dataclasses.replace(FRONTAL, yaw=float(yaw))).points
        assert np.linalg.norm(points - previous, axis=1).max() < 3
        previous = points


def test_roll_scale_and_place_are_a_similarity_of_the_points() -> None:
    head = head_of(2)
    upright = Camera(head, FRONTAL).points
    moved = Camera(head, dataclasses.replace(FRONTAL, roll=25, centre=(100.0, 140.0))).points
    a, b = upright - upright.mean(axis=0), moved - moved.mean(axis=0)
    factor = (b[:, 0] + 1j * b[:, 1]) @ np.conj(a[:, 0] + 1j * a[:, 1]) / (np.abs(a) ** 2).sum()
    turned = (a[:, 0] + 1j * a[:, 1]) * factor
    np.testing.assert_allclose(np.stack([turned.real, turned.imag], 1), b, atol=1e-6)
    assert np.degrees(np.angle(factor)) == pytest.approx(25, abs=1e-6)
    low, high = moved.min(axis=0), moved.max(axis=0)
    np.testing.assert_allclose((low + high) / 2, (100.0, 140.0), atol=1e-6)


def test_surface_and_points_projections_agree() -> None:
    head = head_of(5)
    camera = Camera(head, dataclasses.replace(FRONTAL, yaw=20, pitch=-10, roll=12))
    vertices = surface(head)
    np.testing.assert_allclose(
        camera.project_surface(vertices), camera.project(vertices.astype(np.float64)), atol=2e-3
    )


def test_lids_are_darker_than_cheeks() -> None:
    """Features stand where the points are: the points of the upper lids lie on dark lashes."""
    contrast = []
    for index in range(60):
        face = render_face("train", index)
        if face.occluded.any() or abs(face.yaw) > 20:
            continue
        grey = face.picture.mean(axis=2)
        at = np.rint(face.points).astype(int)
        lids = grey[at[[37, 38, 43, 44], 1], at[[37, 38, 43, 44], 0]].mean()
        cheeks = np.rint((face.points[[41, 46]] + face.points[[31, 35]]) / 2).astype(int)
        contrast.append(grey[cheeks[:, 1], cheeks[:, 0]].mean() - lids)
    assert len(contrast) > 15
    assert np.mean(np.array(contrast) > 0) > 0.9
