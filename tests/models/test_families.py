"""Every registered family: shapes, gradients, determinism, save and load, landmark subsets."""

from pathlib import Path

import pytest
import torch

from drf import checkpoint, registry
from drf.config import from_flat
from drf.errors import UsageError
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData, LandmarkModel
from drf.models.hourglass import HourglassConfig

SMALL = {
    "cascade-forest": {"model.width": 8, "model.features": 8, "model.trees": 2},
    "cascade-committee": {
        "model.width": 8,
        "model.features": 8,
        "model.trees": 2,
        "model.members": 2,
    },
    "cnn-heatmap": {"model.width": 8, "model.features": 16, "model.map_size": 8},
    "gaussian-forest": {
        "model.width": 8,
        "model.features": 16,
        "model.trees": 2,
        "model.tree_depth": 3,
        "model.dims": 4,
    },
    "heatmap-forest": {"model.width": 8, "model.features": 16, "model.trees": 2, "model.bins": 8},
    "heatmap-forest-single-map": {
        "model.backbone": "cnn",  # of the others it leaves the way back up unused
        "model.width": 8,
        "model.features": 16,
        "model.map_size": 16,
    },
    "hourglass": {"model.width": 8, "model.depth": 2, "model.growth": 4, "model.stacks": 2},
}


def small(family: str, **changes: object) -> LandmarkModel:
    flat = SMALL.get(family, {}) | {"data.input_size": 64} | changes
    model = registry.build(from_flat(family, registry.family(family).config, flat), IBUG68)
    k = model.spec.n_points
    generator = torch.Generator().manual_seed(1)
    faces = torch.rand(20, k, 2, generator=generator) * 0.8 + 0.1
    size = model.spec.input_size
    images = torch.rand(12, 3, size, size, generator=generator)
    with torch.random.fork_rng():  # as the training loop does, which seeds what models draw
        torch.manual_seed(1)
        model.initialise(InitialData(faces, faces, images))
    return model


def batch(model: LandmarkModel) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(2)
    size, k = model.spec.input_size, model.spec.n_points
    images = torch.rand(3, 3, size, size, generator=generator)
    return images, torch.rand(3, k, 2, generator=generator)


@pytest.mark.parametrize("family", registry.FAMILIES)
@pytest.mark.parametrize("points", IBUG68.subset_names)
def test_points_of_every_subset(family: str, points: str) -> None:
    model = small(family, **{"data.landmarks": points}).eval()
    images, _ = batch(model)
    predicted = model.points(model(images))
    assert predicted.shape == (3, len(IBUG68.indices(points)), 2)
    assert predicted.dtype == torch.float32
    assert ((predicted >= -0.1) & (predicted <= 1.1)).all()


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_every_learned_value_gets_a_gradient(family: str) -> None:
    model = small(family).train()
    images, points = batch(model)
    loss, parts = model.loss(model(images), points)
    assert loss.ndim == 0
    assert torch.isfinite(loss)
    assert all(torch.isfinite(value) for value in parts.values())
    if not registry.count_params(model):
        return
    loss.backward()
    for name, parameter in model.named_parameters():
        if not parameter.requires_grad:
            continue
        assert parameter.grad is not None, name
        assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_same_seed_same_weights_and_the_global_generator_is_left_alone(family: str) -> None:
    torch.manual_seed(7)
    expected = torch.rand(1)
    torch.manual_seed(7)
    first, second = small(family), small(family)
    assert torch.equal(torch.rand(1), expected)
    for name, value in first.state_dict().items():
        assert torch.equal(value, second.state_dict()[name]), name


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_save_and_load(family: str, tmp_path: Path) -> None:
    flat = SMALL.get(family, {}) | {"data.input_size": 64}
    config = from_flat(family, registry.family(family).config, flat)
    model = small(family).eval()
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    checkpoint.save(tmp_path / "best.safetensors", tensors, checkpoint.describe(config, IBUG68))
    loaded, same = checkpoint.load_model(tmp_path / "best.safetensors")
    assert same == config
    images, _ = batch(model)
    with torch.no_grad():
        # channels-last kernels sum in another order
        assert torch.allclose(model.points(model(images)), loaded.points(loaded(images)), atol=1e-3)


@pytest.mark.parametrize("family", registry.FAMILIES)
def test_macs_and_params_are_counted(family: str) -> None:
    model = small(family).train()
    by_hand = sum(value.numel() for value in model.parameters() if value.requires_grad)
    assert registry.count_params(model) == by_hand
    assert (registry.count_macs(model) > 0) == (by_hand > 0)
    assert model.training


def test_macs_of_one_convolution_by_hand() -> None:
    """The 1x1 head of an 8-channel hourglass at 64 px costs 16 * 16 * 8 * K."""
    costs = []
    for points in ("eyes", "jaw"):
        model = small("hourglass", **{"data.landmarks": points, "model.stacks": 1})
        costs.append(registry.count_macs(model))
    assert costs[1] - costs[0] == 16 * 16 * 8 * (17 - 12)


def test_an_input_that_the_halvings_do_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match="divisible by 16, not 72"):
        small("hourglass", **{"data.input_size": 72})
    with pytest.raises(UsageError, match="no family 'hourglas'; did you mean 'hourglass'"):
        registry.family("hourglas")


def test_intermediate_stacks_are_supervised() -> None:
    model = small("hourglass")
    images, points = batch(model)
    loss, parts = model.loss(model(images), points)
    assert set(parts) == {"stack_1", "stack_2"}
    assert torch.allclose(loss, parts["stack_1"] + parts["stack_2"])
    assert HourglassConfig().stacks == 1
