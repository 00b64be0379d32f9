"""Registration of a shape model to maps: exact where the map is, and as the formulas say."""

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from drf.errors import UsageError
from drf.models import registration
from drf.models.landmark_heads import HeatmapCodec
from drf.models.peaks import at_peaks, find_peaks
from drf.models.registration import ShapeRegistration

K, MODES = 20, 4


def base_shape() -> np.ndarray:
    """K points in a disc of radius 0.3 around the origin, at least 0.09 apart."""
    rng = np.random.default_rng(3)
    points: list[np.ndarray] = []
    while len(points) < K:
        point = rng.uniform(-0.3, 0.3, 2)
        if np.linalg.norm(point) < 0.3 and all(np.hypot(*(point - q)) > 0.09 for q in points):
            points.append(point)
    return np.array(points)


def faces(n: int, seed: int, degrees: float = 20.0) -> torch.Tensor:
    """Faces in the unit box: the base, four modes of it, and a pose."""
    modes = np.random.default_rng(4).normal(size=(MODES, K, 2))
    rng = np.random.default_rng(seed)
    shapes = base_shape() + 0.008 * np.einsum("nm,mkc->nkc", rng.normal(size=(n, MODES)), modes)
    angle = np.deg2rad(rng.uniform(-degrees, degrees, n))
    cos, sin = np.cos(angle), np.sin(angle)
    turn = np.stack([np.stack([cos, -sin], -1), np.stack([sin, cos], -1)], axis=1)
    scale, shift = rng.uniform(0.8, 1.1, (n, 1, 1)), rng.uniform(0.45, 0.55, (n, 1, 2))
    return torch.from_numpy(scale * (shapes @ turn) + shift).float()


@pytest.fixture(scope="module")
def registered() -> ShapeRegistration:
    shape = ShapeRegistration(K, MODES)
    shape.fit(faces(200, seed=0))
    return shape


@pytest.mark.parametrize("size", [32, 64])
def test_faces_turned_scaled_shifted_and_deformed_are_found(
    registered: ShapeRegistration, size: int
) -> None:
    truth = faces(40, seed=1)
    maps = HeatmapCodec(size, 0.6).encode_together(truth)
    shapes = registered(maps)
    error = (shapes - truth).norm(dim=-1)
    assert error.mean() * size < 0.35
    assert error.max() < 0.045  # nearer than any other landmark: no names are swapped
    exact = at_peaks(shapes, find_peaks(maps, 1, K), 0.045)
    alone = (torch.cdist(truth, truth) + torch.eye(K)).amin(dim=-1) * size > 5 * 0.6  # cells
    assert alone.float().mean() > 0.4
    assert (exact - truth).norm(dim=-1)[alone].max() * size < 0.05


def test_landmarks_missing_from_the_map_are_told_from_the_others(
    registered: ShapeRegistration,
) -> None:
    truth = faces(20, seed=2)
    maps = HeatmapCodec(32, 0.6).encode_together(truth[:, 4:])
    error = (registered(maps) - truth).norm(dim=-1)
    assert error[:, :4].mean() < 0.03
    assert error[:, 4:].mean() < 0.02


def test_a_map_averaged_over_alike_faces_gives_their_mean(registered: ShapeRegistration) -> None:
    """What a leaf holds; the centres of peaks alone lose landmarks by the dozen here."""
    truth = faces(8, seed=5, degrees=6.0)
    truth = truth.mean(dim=0) + 0.5 * (truth - truth.mean(dim=0))
    maps = HeatmapCodec(32, 0.6).encode_together(truth).mean(dim=0, keepdim=True)
    error = (registered(maps)[0] - truth.mean(dim=0)).norm(dim=-1).mean()
    spread = (truth - truth.mean(dim=0)).norm(dim=-1).mean()
    assert error < 0.5 * spread


def naive_registration(model: ShapeRegistration, values: np.ndarray) -> np.ndarray:
    """EM as the module's docstring has it: every responsibility formed, least squares by lstsq."""
    n = len(values)
    mean, components, variances = (
        tensor.double().numpy() for tensor in (model.mean, model.components, model.variances)
    )
    middles = (np.arange(n) + 0.5) / n
    cells = np.stack(np.meshgrid(middles, middles, indexing="xy"), axis=-1).reshape(-1, 2)
    g = values.ravel() / values.sum()
    spread = np.sqrt(((mean - mean.mean(axis=0)) ** 2).sum(axis=1).mean())
    centre = g @ cells
    scale = np.sqrt(g @ ((cells - centre) ** 2).sum(axis=1)) / spread
    turn, shift = scale * np.eye(2), centre - scale * mean.mean(axis=0)
    b = np.zeros(len(variances))
    first = registration.WIDEST * spread
    last = max(registration.NARROWEST * spread, registration.CELLS / n)
    for step in range(registration.STEPS):
        width = first * (last / first) ** (step / (registration.STEPS - 1))
        shape = mean + np.einsum("d,dkc->kc", b, components)
        squared = ((cells[:, None] - (shape @ turn.T + shift)) ** 2).sum(axis=-1)
        e = np.exp(-squared / (2 * width**2))
        r = e / (e.sum(axis=1, keepdims=True) + registration.BACKGROUND)
        mass = K * g[:, None] * r
        weight = mass.sum(axis=0)
        place = (mass.T @ cells) / weight[:, None]
        root = np.sqrt(weight)[:, None]
        x, y, one, zero = shape[:, :1], shape[:, 1:], np.ones((K, 1)), np.zeros((K, 1))
        rows = np.concatenate([np.hstack([x, -y, one, zero]), np.hstack([y, x, zero, one])])
        rows, right = rows * np.tile(root, (2, 1)), (place * root).T.ravel()
        cos, sin, *moved = np.linalg.lstsq(rows, right, rcond=None)[0]
        turn, shift = np.array([[cos, -sin], [sin, cos]]), np.array(moved)
        back = (place - shift) @ np.linalg.inv(turn).T - mean
        noise = width / np.hypot(cos, sin)
        fit = (components * root / noise).reshape(len(b), -1).T
        prior = np.diag(1 / np.sqrt(variances))
        right = np.concatenate([(back * root / noise).ravel(), np.zeros(len(b))])
        b = np.linalg.lstsq(np.concatenate([fit, prior]), right, rcond=None)[0]
    return (mean + np.einsum("d,dkc->kc", b, components)) @ turn.T + shift


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_as_the_formulas(registered: ShapeRegistration, seed: int) -> None:
    truth = faces(4, seed=10 + seed)
    maps = HeatmapCodec(24, 0.8).encode_together(truth)
    maps = maps + 0.1 * maps.mean() * torch.rand(maps.shape, generator=torch.Generator())
    found = registered(maps)
    for values, shape in zip(maps, found, strict=True):
        expected = naive_registration(registered, values.double().numpy())
        assert np.abs(shape.numpy() - expected).max() * 24 < 0.02


@settings(deadline=None, max_examples=15)
@given(st.integers(0, 100), st.integers(-2, 2), st.integers(-2, 2), st.sampled_from([0.01, 50]))
def test_a_shifted_or_rescaled_map_gives_the_shifted_shape(
    registered: ShapeRegistration, seed: int, dx: int, dy: int, factor: float
) -> None:
    maps = HeatmapCodec(32, 0.6).encode_together(faces(1, seed=seed))
    shape = registered(maps)
    moved = registered(factor * maps.roll((dy, dx), dims=(1, 2)))
    assert torch.allclose(moved, shape + torch.tensor([dx, dy]) / 32, atol=2e-3)


@pytest.mark.parametrize("sigma", [0.7, 1.0])
def test_the_std_of_landmarks_that_stand_apart_is_that_of_their_gaussians(
    registered: ShapeRegistration, sigma: float
) -> None:
    shape = faces(1, seed=3)
    maps = HeatmapCodec(64, sigma).encode_together(shape)
    spread = 64 * registered.std(maps, shape)
    assert float(spread.median()) == pytest.approx(sigma, rel=0.1)


def test_it_is_saved_with_the_weights(registered: ShapeRegistration) -> None:
    other = ShapeRegistration(K, MODES)
    other.load_state_dict(registered.state_dict())
    maps = HeatmapCodec(32, 0.6).encode_together(faces(2, seed=1))
    assert torch.equal(other(maps), registered(maps))


def test_more_components_than_there_are_is_refused() -> None:
    with pytest.raises(UsageError, match="aligned shapes of 20 landmarks have 36 components"):
        ShapeRegistration(K, 37)
    with pytest.raises(UsageError, match="principal components, not 12"):
        ShapeRegistration(K, 12).fit(faces(9, seed=0))
