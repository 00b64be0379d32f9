"""The single-map forest: what its map is, how it is read, what its diagnostics count."""

import pytest
import torch

from drf import registry
from drf.config import from_flat
from drf.errors import UsageError
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData
from drf.models.single_map import SingleMapConfig, SingleMapForest

SMALL = {
    "data.input_size": 64,
    "data.landmarks": "eyes",
    "model.backbone": "cnn",
    "model.width": 8,
    "model.features": 32,
    "model.map_size": 24,
    "model.shape_dims": 4,
    "model.trees": 2,
    "model.tree_depth": 3,
}


def small(**changes: object) -> SingleMapForest:
    flat = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    model = registry.build(from_flat("heatmap-forest-single-map", SingleMapConfig, flat), IBUG68)
    assert isinstance(model, SingleMapForest)
    return model


def faces(n: int, seed: int = 0) -> torch.Tensor:
    """Twelve landmarks on two rings, of varying place, size and opening: (n, 12, 2)."""
    generator = torch.Generator().manual_seed(seed)
    angle = torch.arange(6) * (torch.pi / 3)
    draw = 2 * torch.rand(n, 5, generator=generator) - 1
    width, height = 0.14 + 0.02 * draw[:, 0], 0.09 + 0.03 * draw[:, 1]
    ring = torch.stack([width[:, None] * angle.cos(), height[:, None] * angle.sin()], dim=-1)
    centre = torch.tensor([[0.28, 0.45], [0.72, 0.45]]) + 0.06 * draw[:, None, 2:4]
    return (centre[:, :, None] + ring[:, None]).flatten(1, 2)


def started(model: SingleMapForest, n: int = 64) -> SingleMapForest:
    size = model.spec.input_size
    images = torch.rand(16, 3, size, size, generator=torch.Generator().manual_seed(0))
    torch.manual_seed(0)
    model.initialise(InitialData(faces(n), faces(n), images))
    return model


def test_perfect_leaves_give_every_landmark_its_name_and_place() -> None:
    """A forest whose every leaf holds one face's map: what decoding alone loses."""
    model = started(
        small(model__map_size=48, model__label_sigma=0.6, model__window_half_width=0.05)
    ).eval()
    image = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        for face in faces(20, seed=1):
            model.forest.leaves.q[:] = model.codec.encode_together(face[None]).flatten(1)
            error = 48 * (model.points(model(image))[0] - face).norm(dim=-1)
            assert error.max() < 0.1


def test_leaves_start_as_the_mean_maps_of_their_faces() -> None:
    model = started(small())
    codes = model.forest.codes(faces(64).flatten(1)[None])[0]  # (n, T)
    maps = model.codec.encode_together(faces(64)).flatten(1)
    for tree in range(2):
        for leaf in range(8):
            mean = maps[codes[:, tree] == leaf].mean(dim=0)
            assert torch.allclose(model.forest.leaves.q[0, tree, leaf, 0], mean, atol=1e-6)


def test_expecting_the_mean_shape_is_what_the_notes_could_have_done() -> None:
    plain = started(small(model__expected_shape="mean", model__window_half_width=0.0)).eval()
    images = torch.rand(3, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(plain.points(plain(images)), plain.shape.mean.expand(3, -1, -1))
        near = started(small(model__expected_shape="mean", model__window_half_width=0.05)).eval()
        moved = (near.points(near(images)) - near.shape.mean).norm(dim=-1)
    assert 0 < moved.max() < 0.05


def test_it_tells_faces_apart() -> None:
    """Eight pictures of noise with eight shapes: routing and leaves learn them by heart."""
    model = small(
        model__routing_warmup=0.5, model__window_half_width=0.0, model__steepness_last=10.0
    )
    points = faces(8)
    images = torch.rand(8, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    torch.manual_seed(0)
    model.initialise(InitialData(points, points, images))
    model.train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=5e-3)
    for step in range(60):
        model.set_progress(step / 60)
        outputs = model(images)
        optimiser.zero_grad()
        loss, _ = model.loss(outputs, points)
        loss.backward()
        optimiser.step()
        model.leaf_step(outputs, points)
    error = (model.points(model(images)) - points).norm(dim=-1).mean()
    blind = (points.mean(dim=0) - points).norm(dim=-1).mean()
    assert error < 0.35 * blind


def test_diagnostics_by_hand() -> None:
    model = started(small(model__trees=1, model__tree_depth=2)).eval()
    truth = faces(5, seed=2)
    images = torch.rand(5, 3, 64, 64)
    with torch.no_grad():
        outputs = [model(images[:3]), model(images[3:])]
        readings = model.diagnostics(outputs, truth)
        predicted = torch.cat([model.points(o) for o in outputs])
        maps = torch.cat([model.maps(model.forest.distributions(o)) for o in outputs])
    error = 64 * (predicted - truth).norm(dim=-1).mean()
    assert readings["l1_px"] == pytest.approx(float(error), rel=1e-4)
    labels = model.codec.encode_together(truth)
    divergence = torch.special.xlogy(labels, labels) - torch.special.xlogy(labels, maps)
    expected = float(divergence.sum(dim=(1, 2)).mean())
    assert readings["excess_ce"] == pytest.approx(expected, rel=1e-3)
    q = model.forest.leaves.q[0, 0, :, 0]
    pairs = [0.5 * (q[a] - q[b]).abs().sum() for a in range(4) for b in range(4) if a != b]
    assert readings["leaf_distance"] == pytest.approx(float(sum(pairs)) / 12, rel=1e-4)
    assert 1 <= readings["peaks"] <= 12


def test_the_gallery_shows_maps_with_the_landmarks_found_in_them() -> None:
    model = started(small()).eval()
    truth = faces(6, seed=2)
    with torch.no_grad():
        outputs = [model(torch.rand(6, 3, 64, 64))]
        model.forest.leaves.q[:] = model.codec.encode_together(truth[:1]).flatten(1)
    pictures = model.leaf_pictures(outputs, truth)
    assert len(pictures) > 2
    cell = 1 / 24
    for picture in pictures:
        assert picture.landmarks == tuple(range(36, 48))
        assert abs(picture.points - truth[0].numpy()).max() < 1.5 * cell
        assert 0.2 * cell < picture.std.min() <= picture.std.max() < 1.5 * cell
        assert picture.distribution is not None
        assert picture.distribution.shape == (24, 24)


def test_a_shape_model_that_the_landmarks_or_the_faces_do_not_hold_is_refused() -> None:
    with pytest.raises(UsageError, match="12 landmarks have 20 components, not 21"):
        small(model__shape_dims=21)
    with pytest.raises(UsageError, match="principal components, not 4"):
        started(small(), n=3)
