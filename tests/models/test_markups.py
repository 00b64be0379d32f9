"""Every family takes any markup: few landmarks, many, and subsets of them."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from drf import registry
from drf.config import from_flat
from drf.data.synthetic import face_points
from drf.landmarks.markup import IBUG68, Markup
from drf.models.base import InitialData
from tests.markups import FIVE, NINETY_EIGHT, points_of
from tests.models.test_missing import CASES, SIZE, images

FEW = {"model.groups": 3, "model.shape_dims": 3}
"""What five landmarks allow."""


def drawn(markup: Markup, n: int) -> torch.Tensor:
    faces = np.stack([face_points("train", i, 0) for i in range(n)]) / 256
    return torch.from_numpy(points_of(markup, faces).astype(np.float32))


@pytest.mark.parametrize("markup", [FIVE, NINETY_EIGHT], ids=lambda markup: markup.name)
@pytest.mark.parametrize("case", CASES)
def test_a_step_and_an_answer(case: str, markup: Markup) -> None:
    family, flat = CASES[case]
    options = registry.family(family).config
    few = {k: v for k, v in FEW.items() if k.removeprefix("model.") in options.__dataclass_fields__}
    config = from_flat(family, options, {"data.input_size": SIZE} | few | flat)
    model = registry.build(config, markup)
    faces = drawn(markup, 40)
    torch.manual_seed(0)
    model.initialise(InitialData(faces, faces, images(12)))
    model.train()
    outputs = model(images(4))
    loss, _ = model.loss(outputs, faces[:4])
    if registry.count_params(model):
        loss.backward()
    model.leaf_step(outputs, faces[:4])
    model.finish_epoch()
    model.eval()
    with torch.no_grad():
        outputs = model(images(4))
        points, covariances = model.points(outputs), model.covariances(outputs)
        read, leaves = (
            model.diagnostics([outputs], faces[:4]),
            model.leaf_pictures([outputs], faces[:4]),
        )
    assert points.shape == (4, markup.n_points, 2)
    assert torch.isfinite(points).all()
    assert covariances is None or covariances.shape == (4, markup.n_points, 2, 2)
    assert all(np.isfinite(value) for value in read.values())
    assert {k for leaf in leaves for k in leaf.landmarks} <= set(range(markup.n_points))


@pytest.mark.parametrize("markup", [FIVE, NINETY_EIGHT], ids=lambda markup: markup.name)
def test_faces_of_the_markups_mirror_as_they_say(markup: Markup) -> None:
    faces = np.random.default_rng(0).random((1, 68, 2))
    mirrored = faces[:, list(IBUG68.flip)] * [-1, 1]
    ours, theirs = points_of(markup, faces), points_of(markup, mirrored)
    np.testing.assert_allclose(theirs, ours[:, list(markup.flip)] * [-1, 1], atol=1e-9)
    assert ours.shape[1] == markup.n_points
