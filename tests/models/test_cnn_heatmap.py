"""The dense layer's maps: what they mean, that they fit faces, on every backbone."""

from typing import get_args

import pytest
import torch

from drf import registry
from drf.config import from_flat
from drf.errors import UsageError
from drf.landmarks.markup import IBUG68
from drf.models import backbones
from drf.models.cnn_heatmap import CnnHeatmap, CnnHeatmapConfig

SMALL = {"data.input_size": 64, "model.width": 8, "model.features": 32, "model.map_size": 12}


def small(**changes: object) -> CnnHeatmap:
    flat = SMALL | {key.replace("__", "."): value for key, value in changes.items()}
    model = registry.build(from_flat("cnn-heatmap", CnnHeatmapConfig, flat), IBUG68)
    assert isinstance(model, CnnHeatmap)
    return model


@pytest.mark.parametrize("kind", get_args(backbones.Kind))
def test_every_backbone_gives_maps_of_the_size_asked_for(kind: str) -> None:
    model = small(model__backbone=kind, data__landmarks="eyes")
    assert type(model.backbone) is type(backbones.build(kind, 8, 64))
    maps = model(torch.rand(2, 3, 64, 64))
    assert maps.shape == (2, 12, 12, 12)
    assert model.points(maps).shape == (2, 12, 2)


def test_maps_that_are_the_labels_cost_their_entropy_and_decode_to_the_points() -> None:
    model = small()
    points = torch.rand(3, 68, 2) * 0.4 + 0.3  # the decoding window fits into the map
    labels = model.codec.encode(points)
    logits = labels.log()
    loss, parts = model.loss(logits, points)
    entropy = -torch.special.xlogy(labels, labels).sum(dim=(2, 3)).mean()
    assert loss == pytest.approx(float(entropy), abs=1e-4)
    assert parts == {}
    assert torch.allclose(model.points(logits), points, atol=0.02 / model.codec.size)


def test_it_tells_faces_apart() -> None:
    """Eight pictures of noise with eight shapes are learned by heart, one by one."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(8, 3, 64, 64, generator=generator)
    points = torch.rand(8, 12, 2, generator=generator) * 0.8 + 0.1
    model = small(data__landmarks="eyes").train()
    optimiser = torch.optim.AdamW(model.parameters(), lr=1e-2)
    for _ in range(60):
        optimiser.zero_grad()
        loss, _ = model.loss(model(images), points)
        loss.backward()
        optimiser.step()
    error = (model.points(model(images)) - points).norm(dim=-1).mean()
    blind = (points.mean(dim=0) - points).norm(dim=-1).mean()
    assert error < 0.1 * blind


def test_a_batch_of_one_face_can_be_learned_from() -> None:
    model = small().train()
    loss, _ = model.loss(model(torch.rand(1, 3, 64, 64)), torch.rand(1, 68, 2))
    loss.backward()
    assert torch.isfinite(loss)


def test_an_input_that_the_backbone_does_not_divide_is_refused() -> None:
    with pytest.raises(UsageError, match=r"cnn needs a data\.input_size divisible by 32, not 72"):
        small(data__input_size=72)
