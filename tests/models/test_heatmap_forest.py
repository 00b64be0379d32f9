"""The heatmap forest: every option builds and steps, what it predicts, reads off and refuses."""

from __future__ import annotations

import math
import re
from dataclasses import fields
from pathlib import Path
from typing import Literal, get_args, get_origin, get_type_hints

import numpy as np
import pytest
import torch
from torch import Tensor
from torch._subclasses.fake_tensor import DataDependentOutputException, FakeTensorMode

from drf import checkpoint, registry
from drf.config import RunConfig, from_flat
from drf.errors import UsageError
from drf.forest import labels, leaf_updates
from drf.landmarks import shapes
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData
from drf.models.heatmap_forest import HeatmapForest, HeatmapForestConfig

SMALL = {
    "data.input_size": 32,
    "data.landmarks": "eyes",
    "model.width": 8,
    "model.features": 16,
    "model.trees": 2,
    "model.tree_depth": 2,
    "model.bins": 8,
    "model.groups": 3,
}
K, SIZE = 12, 32

Options = dict[str, object]


def configured(**changes: object) -> RunConfig:
    flat = {key if "." in key else f"model.{key}": value for key, value in changes.items()}
    return from_flat("heatmap-forest", HeatmapForestConfig, SMALL | flat)


def built(**changes: object) -> HeatmapForest:
    model = registry.build(configured(**changes), IBUG68)
    assert isinstance(model, HeatmapForest)
    return model


def sample(n: int = 40) -> InitialData:
    """Faces whose odd and even landmarks move apart."""
    generator = torch.Generator().manual_seed(1)
    shape = torch.rand(K, 2, generator=generator) * 0.6 + 0.2
    halves = torch.randn(n, 2, 2, generator=generator).repeat(1, K // 2, 1)
    noise = torch.randn(n, K, 2, generator=generator)
    faces = shape + 0.03 * halves + 0.01 * noise
    return InitialData(faces, faces, torch.rand(16, 3, SIZE, SIZE, generator=generator))


def started(**changes: object) -> HeatmapForest:
    model = built(**changes)
    torch.manual_seed(2)
    model.initialise(sample())
    return model


def batch(n: int = 6) -> tuple[Tensor, Tensor]:
    return sample().images[:n], sample().drawn[:n]


EVERY_OPTION: list[Options] = [
    {"target": "current", "pool": "landmark", "label_kind": "xy", "leaf_update": "bounding"},
    {"target": "current", "pool": "group", "label_kind": "map", "leaf_update": "ridge"},
    {"target": "current", "pool": "shared", "leaf_update": "gradient", "label_threshold": 0.3},
    {"target": "mean", "pool": "face", "label_kind": "map", "statistics": "round", "cnn_steps": 1},
    {"target": "mean", "pool": "shared", "leaf_update": "ridge", "statistics": "round"},
    {"target": "mean", "pool": "landmark", "statistics": "restart", "label_kind": "map"},
    {"target": "absolute", "pool": "face", "leaf_update": "ridge", "tree_update": "averaged"},
    {"target": "absolute", "pool": "group", "statistics": "restart", "leaf_iterations": 3},
    {"target": "absolute", "pool": "landmark", "leaf_update": "gradient", "label_kind": "map"},
    {"pool": "group", "tree_update": "sequential", "annealing": "linear", "window_half_width": 0.3},
    {"pool": "shared", "tree_update": "averaged", "statistics": "round", "annealing": "constant"},
    {
        "tree_update": "sequential",
        "leaf_update": "ridge",
        "inference": "hard",
        "mutual_information_weight": 0.1,
    },
    {"tree_update": "sequential", "leaf_update": "gradient", "backbone": "light"},
    {"gates": "raw", "leaf_init": "identical", "coordinate_loss_weight": 0.0, "backbone": "cnn"},
    {"target": "mean", "pool": "face", "backbone": "hourglass", "tree_update": "sequential"},
    *({"backbone": kind} for kind in ("mobilenet-v2", "efficientnet-lite0", "centerface")),
]


def test_the_list_has_every_choice_of_every_option() -> None:
    hints = get_type_hints(HeatmapForestConfig)
    for field in fields(HeatmapForestConfig):
        if get_origin(hints[field.name]) is Literal:
            tried = {options.get(field.name, field.default) for options in EVERY_OPTION}
            assert tried == set(get_args(hints[field.name])), field.name


@pytest.mark.parametrize("options", EVERY_OPTION, ids=lambda o: "-".join(map(str, o.values())))
def test_every_option_builds_steps_and_reads(options: Options) -> None:
    model = started(routing_warmup=0.3, **options).train()
    images, points = batch()
    optimiser = torch.optim.SGD(model.parameters(), lr=1e-3)
    held = model.forest.leaves.q.detach().clone()
    for share in (0.0, 0.5, 1.0):
        model.set_progress(share)
        outputs = model(images)
        loss, parts = model.loss(outputs, points)
        assert torch.isfinite(loss)
        assert ("codes" in parts) == (share < 0.3)
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
        model.leaf_step(outputs, points)
    model.finish_epoch()
    assert not torch.equal(model.forest.leaves.q, held)
    for name, value in model.state_dict().items():
        assert torch.isfinite(value).all(), name
    with torch.inference_mode():
        outputs = [model.eval()(part) for part in images.split([4, 2])]
        assert all(model.points(o).isfinite().all() for o in outputs)
        readings = model.diagnostics(outputs, points)
        assert all(math.isfinite(value) for value in readings.values()), readings
        assert model.leaf_pictures(outputs, points)


NARROW: Options = {"target": "absolute", "label_kind": "map", "bins": 32, "label_sigma": 0.3}


@pytest.mark.parametrize("pool", ["landmark", "group", "shared", "face"])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"tree_update": "averaged", "statistics": "round", "cnn_steps": 1},
        {"tree_update": "sequential", "statistics": "restart"},
        {"leaf_update": "gradient", "label_threshold": 0.3},
        {"leaf_update": "ridge", "leaf_init": "identical"},
        {"leaf_init": "identical", "target": "current"},
    ],
    ids=lambda o: "-".join(map(str, o.values())),
)
def test_labels_that_name_their_cells_teach_what_whole_maps_teach(
    monkeypatch: pytest.MonkeyPatch, pool: str, options: Options
) -> None:
    """Loss, gradients, leaves, landmarks and readings; a landmark is missing in a face."""
    if pool == "face" and options.get("target") == "current":
        return
    images, points = batch()
    points = points.clone()
    points[2, 3] = math.nan
    found = []
    for sparse in (labels.SPARSE, math.inf):
        monkeypatch.setattr(labels, "SPARSE", sparse)
        model = started(**NARROW | {"pool": pool, "routing_warmup": 0.0} | options).train()
        named = model.grid.encode(points - 0.5).weights.shape[-1]
        assert named == (16 if sparse < math.inf else 32**2)
        outputs = model(images)
        loss, _ = model.loss(outputs, points)
        loss.backward()
        model.leaf_step(outputs, points)
        model.finish_epoch()
        learned = {n: p.grad.clone() for n, p in model.named_parameters() if p.grad is not None}
        with torch.inference_mode():
            outputs = model.eval()(images)
            readings = torch.tensor(list(model.diagnostics([outputs], points).values()))
            found.append((loss, learned, model.forest.leaves.q, model.points(outputs), readings))
    for ours, expected in zip(*found, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize(
    "options", [*EVERY_OPTION[:2], NARROW], ids=lambda o: "-".join(map(str, o.values()))
)
def test_a_whole_step_never_waits_for_the_device(options: Options) -> None:
    """On fake tensors, which have no values, whatever needs one is an error."""
    model = started(routing_warmup=0.3, **options).train()
    images, points = batch()
    with FakeTensorMode(allow_non_fake_inputs=True):
        for share in (0.0, 0.5):
            model.set_progress(share)
            outputs = model(images)
            model.loss(outputs, points)[0].backward()
            model.leaf_step(outputs, points)
        with pytest.raises(DataDependentOutputException):
            outputs.routed.log_p.sum().item()


def hold(model: HeatmapForest, offsets: Tensor) -> None:
    """Let every leaf of landmark k hold the label of offsets[k]; (K, 2)."""
    held = model.grid.encode(offsets).dense(model.grid.cells).weights  # (K, H, C)
    with torch.no_grad():
        if model.whole:
            model.forest.leaves.q.copy_(held.flatten(0, 1).expand_as(model.forest.leaves.q))
        else:
            model.forest.leaves.q.copy_(held[:, None, None].expand_as(model.forest.leaves.q))


@pytest.mark.parametrize("leaf", ["xy", "map"])
@pytest.mark.parametrize(
    ("target", "pool"),
    [("current", "landmark"), ("mean", "landmark"), ("mean", "face"), ("absolute", "face")],
)
def test_a_prediction_is_the_centre_and_what_leaves_hold(target: str, pool: str, leaf: str) -> None:
    model = started(
        target=target, pool=pool, label_kind=leaf, bins=16, window_half_width=0.4
    ).eval()
    assert torch.allclose(model.mean, sample().faces.mean(dim=0))
    images, _ = batch()
    offsets = 0.15 * (torch.rand(K, 2, generator=torch.Generator().manual_seed(3)) - 0.5)
    hold(model, offsets)
    outputs = model(images)
    if target == "current":
        assert model.coarse is not None
        centres = model.coarse.points(model.coarse(model.backbone(images).context))
    else:
        centres = model.mean if target == "mean" else torch.full((K, 2), 0.5)
    expected = (centres + offsets).expand(len(images), K, 2)
    assert torch.allclose(model.points(outputs), expected, atol=0.001 * model.grid.cell)


def test_the_loss_is_the_sum_of_its_parts() -> None:
    model = started(target="current", coordinate_loss_weight=0.5)
    images, points = batch()
    outputs = model(images)
    loss, parts = model.loss(outputs, points)
    assert set(parts) == {"leaves", "codes", "coordinate", "coarse"}
    apart = (model.points(outputs) - points).abs().mean() / model.grid.cell
    assert torch.allclose(parts["coordinate"], apart)
    total = parts["leaves"] + parts["codes"] + 0.5 * apart + parts["coarse"]
    assert torch.allclose(loss, total)


@pytest.mark.parametrize("target", ["current", "mean", "absolute"])
def test_leaves_learn_where_landmarks_lie_from_the_centres_of_the_batch(target: str) -> None:
    """Leaves that start at the edge move to where the labels are, whichever way faces go."""
    model = started(target=target, routing_warmup=0.0, window_half_width=1.0)
    hold(model, torch.full((K, 2), 0.9 * model.grid.reach))
    images, points = batch()
    before = (model.points(model(images)) - points).norm(dim=-1).mean()
    for _ in range(30):
        model.leaf_step(model(images), points)
    after = (model.points(model(images)) - points).norm(dim=-1).mean()
    assert after < 0.15 * before


def test_readings_of_leaves_that_hold_nothing() -> None:
    """Uniform leaves: the spread of a uniform window, the distance to its centre, no gap."""
    model = started(target="mean", window_half_width=0.4).eval()
    model.forest.leaves.q.fill_(1 / 8)
    images, points = batch()
    readings = model.diagnostics([model(images[:4]), model(images[4:])], points)
    window = SIZE * 2 * 0.4
    assert readings["std_px"] == pytest.approx(window / math.sqrt(2 * math.pi * math.e))
    apart = (model.mean - points).norm(dim=-1).mean() * SIZE
    assert readings["l1_px"] == pytest.approx(float(apart), rel=1e-5)
    assert readings["soft_hard_gap_px"] == pytest.approx(0, abs=1e-4)
    assert readings["leaf_distance_px"] == pytest.approx(0, abs=1e-4)
    d = model.grid.encode(points - model.mean).weights
    entropy = -torch.xlogy(d, d).sum() / d.sum()
    assert readings["excess_ce"] == pytest.approx(math.log(8) - float(entropy), abs=1e-4)


@pytest.mark.parametrize("pool", ["landmark", "face"])
def test_the_distance_of_leaves_is_the_mean_over_their_pairs(pool: str) -> None:
    model = started(target="mean", pool=pool).eval()
    images, points = batch()
    readings = model.diagnostics([model(images)], points)
    held = model.forest.leaves.q.unflatten(3, (-1, 2))  # (G, T, L, M, 2, bins)
    places = (held * ((torch.arange(8) + 0.5) * model.grid.cell)).sum(dim=-1)
    pairs = []
    for a in range(4):
        for b in range(a):
            pairs.append((places[:, :, a] - places[:, :, b]).norm(dim=-1).mean())
    expected = SIZE * float(torch.stack(pairs).mean())
    assert expected > 0.1
    assert readings["leaf_distance_px"] == pytest.approx(expected, rel=1e-4)


def test_groups_follow_from_the_faces_and_are_saved_with_the_weights(tmp_path: Path) -> None:
    model = started(pool="group", groups=2).eval()
    expected = shapes.correlation_groups(sample().faces.double().numpy(), 2)
    pool_of = model.forest.pools.pool_of.numpy()
    for pool, group in enumerate(expected):
        assert np.array_equal(np.flatnonzero(pool_of == pool), group)
    assert not np.array_equal(pool_of, built(pool="group", groups=2).forest.pools.pool_of.numpy())
    path = tmp_path / checkpoint.BEST
    tensors = {f"model.{name}": value for name, value in model.state_dict().items()}
    checkpoint.save(path, tensors, checkpoint.describe(configured(pool="group", groups=2), IBUG68))
    loaded, _ = checkpoint.load_model(path)
    images, _ = batch()
    with torch.no_grad():
        assert torch.allclose(model.points(model(images)), loaded.points(loaded(images)), atol=1e-5)


def test_a_batch_of_one_face_can_be_learned_from() -> None:
    model = started(**{"data.input_size": 64}).train()
    loss, _ = model.loss(model(torch.rand(1, 3, 64, 64)), batch(1)[1])
    loss.backward()
    assert torch.isfinite(loss)


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"pool": "face"}, 'model.pool = "face" goes with model.target = "mean" or "absolute"'),
        ({"pool": "group", "groups": 13}, "model.groups = 13, but there are 12 landmarks"),
        ({"tree_depth": 0}, r"model.tree_depth takes a value in 1..12, not 0"),
        ({"tree_depth": 20}, r"model.tree_depth takes a value in 1..12, not 20"),
        ({"label_threshold": 1.0}, r"model.label_threshold takes a value in 0..0.99, not 1.0"),
        ({"leaf_update": "ridge", "statistics": "restart"}, "leaves that learn by bounding"),
    ],
)
def test_what_cannot_be_is_refused(changes: Options, sentence: str) -> None:
    with pytest.raises(UsageError, match=sentence) as refused:
        built(**changes)
    assert refused.value.exit_code == 2


def test_more_leaves_than_memory_are_refused_before_they_are_made(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def made(*_: object) -> None:
        raise AssertionError("leaves were made")

    monkeypatch.setattr(leaf_updates, "build", made)
    numbers = K * 64 * 4096 * 256**2
    with pytest.raises(UsageError, match=r"12 x 64 trees of 4096 leaves of 65536 cells") as refused:
        built(tree_depth=12, trees=64, bins=256, label_kind="map")
    needed = re.search(r"\(([\d,]+) bytes\), and", str(refused.value))
    assert needed is not None
    assert int(needed[1].replace(",", "")) > 4 * numbers
