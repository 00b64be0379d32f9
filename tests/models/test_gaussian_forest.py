"""The Gaussian forest as a model: finite at any size, resumed to the digit, read and refused."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from drf import checkpoint, registry
from drf.config import RunConfig
from drf.data.packs import Pack
from drf.errors import UsageError
from drf.forest import routing
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData
from drf.models.gaussian_forest import GaussianForest
from drf.pictures import LEAVES
from drf.training.loop import Trainer
from experiments.request import Request, configure
from tests.training.conftest import Listener, packs  # noqa: F401  (a fixture)

SCHEDULES = ["sequential", "alternating", "joint"]
TINY = {
    "data.input_size": 32,
    "model.target": "absolute",
    "model.width": 8,
    "model.features": 16,
    "model.trees": 2,
    "model.tree_depth": 3,
    "model.dims": 4,
    "model.cnn_steps": 2,
    "training.batch_size": 16,
    "training.epochs": 3,
    "training.ema_decay": 0.5,
    "training.precision": "fp32",
}


def tiny(**changes: object) -> RunConfig:
    options = TINY | {key.replace("__", "."): value for key, value in changes.items()}
    return configure(Request("gaussian-forest", options=options)).config


def sample(n: int = 64, points: int = 68) -> InitialData:
    generator = torch.Generator().manual_seed(1)
    mean = torch.rand(points, 2, generator=generator) * 0.6 + 0.2
    faces = mean + 0.04 * torch.randn(n, points, 2, generator=generator)
    return InitialData(faces, faces, torch.rand(20, 3, 32, 32, generator=generator))


def started(**changes: object) -> GaussianForest:
    model = registry.build(tiny(**changes), IBUG68)
    assert isinstance(model, GaussianForest)
    model.initialise(sample(points=model.spec.n_points))
    return model


@pytest.mark.parametrize("schedule", SCHEDULES)
@pytest.mark.parametrize("dims", [2, 10, 40])
def test_no_value_is_ever_infinite(schedule: str, dims: int) -> None:
    """Fewer faces than dimensions, steep gates and a high rate included."""
    model = started(
        model__schedule=schedule, model__dims=dims, model__mutual_information_weight=0.1
    )
    data = sample()
    optimiser = torch.optim.Adam(model.parameters(), lr=0.03)
    for step in range(9):
        model.set_progress(step / 9)
        model.forest.gates.set_steepness(1.0 if step < 6 else 50.0)
        rows = torch.arange(20) if step % 2 else torch.arange(4)
        outputs = model(data.images[rows])
        loss, parts = model.loss(outputs, data.drawn[rows])
        assert all(part.isfinite() for part in [loss, *parts.values()])
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.leaf_step(outputs, data.drawn[rows])
        if step % 3 == 2:
            model.finish_epoch()
    assert all(value.isfinite().all() for value in model.state_dict().values())
    model.eval()
    with torch.no_grad():
        outputs = [model(data.images)]
        assert model.points(outputs[0]).isfinite().all()
        readings = model.diagnostics(outputs, data.drawn[:20])
    assert np.isfinite(list(readings.values())).all()


@pytest.mark.parametrize(
    ("schedule", "target"), [*((name, "absolute") for name in SCHEDULES), ("joint", "current")]
)
def test_a_resumed_run_equals_the_uninterrupted_one(
    schedule: str,
    target: str,
    packs: tuple[Pack, Pack],  # noqa: F811
    tmp_path: Path,
) -> None:
    config = tiny(model__schedule=schedule, model__target=target, training__deterministic=True)
    listeners = [Listener(), Listener()]

    def trainer(folder: str, listener: Listener) -> Trainer:
        return Trainer(config, registry.build(config, IBUG68), *packs, tmp_path / folder, listener)

    def stop(epoch: int) -> None:
        if epoch == 1:
            raise KeyboardInterrupt

    trainer("whole", listeners[0]).run()
    assert trainer("parts", Listener(stop)).run().state == "interrupted"
    second = trainer("parts", listeners[1])
    second.resume(checkpoint.load(tmp_path / "parts" / checkpoint.LAST))
    assert second.run().state == "finished"
    assert listeners[1].epochs == listeners[0].epochs[1:]
    whole, parts = (
        checkpoint.load(tmp_path / name / checkpoint.LAST).tensors for name in ("whole", "parts")
    )
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_predictions_are_shapes_between_the_leaves() -> None:
    model = started().eval()
    images = sample().images
    with torch.no_grad():
        outputs = model(images)
        p = outputs.routed.log_p.exp()
        leaves = model.space.shapes(model.forest.leaves.mean)  # (T, L, K, 2)
        expected = torch.einsum("btl,tlkc->bkc", p, leaves) / len(leaves)
    assert torch.allclose(model.points(outputs), expected, atol=1e-5)


def test_hard_inference_predicts_what_the_gap_measures() -> None:
    soft, hard = started().eval(), started(model__inference="hard").eval()
    hard.load_state_dict(soft.state_dict())
    data = sample()
    points = data.drawn[:20]
    with torch.no_grad():
        outputs = soft(data.images)
        distances = [
            32 * float((model.points(outputs) - points).norm(dim=-1).mean())
            for model in (soft, hard)
        ]
        readings = soft.diagnostics([outputs], points)
    assert readings["l1_px"] == pytest.approx(distances[0], rel=1e-5)
    assert readings["soft_hard_gap_px"] == pytest.approx(distances[1] - distances[0], abs=1e-4)
    assert distances[1] != pytest.approx(distances[0], rel=1e-6)


def test_readings_of_batches_are_those_of_all_faces() -> None:
    model, data = started().eval(), sample()
    with torch.no_grad():
        whole = model.diagnostics([model(data.images)], data.drawn[:20])
        parts = [model(rows) for rows in data.images.split(8)]
        assert model.diagnostics(parts, data.drawn[:20]) == pytest.approx(whole, rel=1e-4, abs=1e-5)


def test_leaf_distance_by_hand() -> None:
    model, data = started().eval(), sample()
    shapes = 32 * model.space.shapes(model.forest.leaves.mean)
    distances = []
    for tree in shapes:
        for i in range(len(tree)):
            for j in range(i):
                distances.append(float((tree[i] - tree[j]).square().sum(-1).mean().sqrt()))
    with torch.no_grad():
        readings = model.diagnostics([model(data.images)], data.drawn[:20])
    assert readings["leaf_distance_px"] == pytest.approx(np.mean(distances), rel=1e-3)


def test_loss_adds_the_distance_in_pixels_of_the_input() -> None:
    model, data = started(model__coordinate_loss_weight=2.0, model__nll_weight=0.0), sample()
    model.eval().set_progress(0.5)
    outputs, points = model(data.images), data.drawn[:20]
    total, parts = model.loss(outputs, points)
    expected = 32 * (model.points(outputs) - points).abs().mean()
    assert torch.allclose(parts["coordinate"], expected)
    assert torch.allclose(total, 2 * expected)


def test_sequential_learns_the_responsibilities_alone() -> None:
    model, data = started(model__schedule="sequential"), sample()
    model.set_progress(0.9)
    _, parts = model.loss(model(data.images), data.drawn[:20])
    assert set(parts) == {"responsibilities"}


def test_the_gallery_shows_the_fullest_leaves_of_the_first_trees() -> None:
    model, data = started().eval(), sample()
    with torch.no_grad():
        outputs = [model(data.images[:11]), model(data.images[11:])]
    gallery = model.leaf_pictures(outputs, data.drawn[:20])
    assert 0 < len(gallery) <= LEAVES
    p = torch.cat([o.routed.log_p for o in outputs]).exp().mean(dim=0)
    for shown in gallery:
        mean = model.forest.leaves.mean[shown.tree, shown.leaf]
        assert shown.title == "whole face"
        assert shown.points == pytest.approx(model.space.shapes(mean).numpy(), abs=1e-6)
        assert shown.share == pytest.approx(float(p[shown.tree, shown.leaf]), rel=1e-4)
        assert (shown.std > 0).all()
        assert shown.landmarks == tuple(range(68))


def test_what_cannot_be_built_is_refused_before_any_work(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UsageError, match=r"24 principal components, not model\.dims = 30"):
        registry.build(tiny(data__landmarks="eyes", model__dims=30), IBUG68)
    for key, value in (("tree_depth", 0), ("tree_depth", 20), ("dims", 1), ("dims", 41)):
        with pytest.raises(UsageError, match=rf"model\.{key} takes a value in"):
            tiny(**{f"model__{key}": value})
    monkeypatch.setattr(routing, "_free", lambda: 2**30)
    with pytest.raises(UsageError, match=r"256 trees of 4096 Gaussian leaves .* GiB"):
        registry.build(tiny(model__trees=256, model__tree_depth=12, model__dims=40), IBUG68)


def test_the_decoder_is_not_learned_and_deep_is_the_deep_map() -> None:
    model = started()
    still = {name for name, p in model.backbone.named_parameters() if not p.requires_grad}
    assert still
    assert all(name.startswith(model.backbone.decoder) for name in still)
    model.eval()
    images = sample().images
    assert torch.equal(model.backbone.deep(images), model.backbone(images).deep)


def test_what_is_left_is_added_to_what_coarse_maps_find() -> None:
    """By hand: centre + sum over trees of P mu, mapped back and averaged."""
    model = started(model__target="current").eval()
    with torch.no_grad():
        outputs = model(sample().images)
        p = outputs.routed.log_p.exp()
        b = torch.einsum("ntl,tld->nd", p, model.forest.leaves.mean) / p.shape[1]
        assert model.coarse is not None
        assert outputs.coarse is not None
        expected = model.coarse.points(outputs.coarse) + model.space.shapes(b)
    assert torch.allclose(model.points(outputs), expected, atol=1e-5)


def test_no_gradient_reaches_where_the_forest_looks() -> None:
    """The coarse maps learn by their own loss alone: the forest's would pull them apart."""
    model = started(model__target="current").train()
    data = sample()
    outputs = model(data.images)
    y = model.space.coefficients(data.drawn[:20] - outputs.centres)
    model.forest.loss(outputs.routed, y)[0].backward()
    assert model.coarse is not None
    assert all(p.grad is None for p in model.coarse.parameters())
    assert any(p.grad is not None for p in model.look.parameters())
