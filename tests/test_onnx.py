"""The ONNX file of every family: the same landmarks as torch, and all that its user must know."""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch

from drf import presets, registry
from drf.config import from_flat
from drf.data.boxes import gt_boxes
from drf.data.crops import cut
from drf.data.dataset import open_dataset
from drf.data.synthetic_dataset import SyntheticDataset
from drf.errors import DrfError, UsageError
from drf.inference import onnx_export
from drf.inference.onnx_export import TOLERANCE_PX, export_onnx
from drf.inference.onnx_network import Description, OnnxNetwork
from drf.landmarks.markup import IBUG68
from drf.models.base import InitialData, Recalibration, Recalibrations
from tests.conftest import REPOSITORY
from tests.models.test_families import SMALL, small

pytest.importorskip("onnxscript")

QUICK = "cnn-heatmap"
"""The family whose graph is exported fastest, in some seconds."""

VARIANTS = [
    *((family, {}) for family in SMALL if family not in (QUICK, "heatmap-forest-single-map")),
    ("cascade-committee", {"model.aligned_members": 1}),
    ("cascade-forest", {"model.inference": "hard"}),
    ("cascade-forest", {"model.inference": "top", "model.top_k": 3}),
    ("cascade-forest", {"model.head": "mlp", "data.landmarks": "mouth"}),
    ("cascade-forest", {"model.backbone": "efficientnet-lite0"}),
    ("cascade-forest", {"model.backbone": "centerface"}),
    ("gaussian-forest", {"model.target": "current", "model.inference": "hard"}),
    ("heatmap-forest", {"model.inference": "hard", "model.pool": "shared"}),
    ("heatmap-forest", {"model.target": "mean", "model.label_kind": "map"}),
]


def crops(size: int) -> np.ndarray:
    """Seven synthetic faces, (7, size, size, 3) uint8."""
    dataset = SyntheticDataset(size=7)
    faces = dataset.subset("train").faces[:7]
    boxes = gt_boxes(np.stack([face.points for face in faces]))
    return np.stack(
        [cut(dataset.picture(f), box, size) for f, box in zip(faces, boxes, strict=True)]
    )


def exported(folder: Path, family: str, **changes: object) -> tuple[OnnxNetwork, float, float]:
    """A small model's file, and how far it is from torch on synthetic faces, one at a time and
    seven at once: landmarks in px of the crop, covariances as a share."""
    model = small(family, **changes).eval()
    factors = torch.linspace(0.5, 2, model.spec.n_points)
    single = Recalibration(factors.tolist(), 1.5, (0.1 * factors.flip(0)).tolist())
    model.recalibrations = Recalibrations(single)
    size = model.spec.input_size
    described = Description("small", size, IBUG68, model.spec.landmarks, family=family)
    path = folder / f"{family}.onnx"
    export_onnx(model, path, described)
    network, seen = OnnxNetwork(path), crops(size)
    with torch.inference_mode():
        outputs = model(torch.from_numpy(seen).permute(0, 3, 1, 2).float() / 255)
        points, spread = model.points(outputs), model.covariances(outputs)
    together = network(seen)
    alone = [network(crop[None]) for crop in seen]
    found = (together[0], np.concatenate([one[0] for one in alone]))
    px = max(size * float(np.abs(one - points.numpy()).max()) for one in found)
    assert (together[1] is None) == (spread is None)
    if spread is None or together[1] is None:
        return network, px, 0.0
    expected = single(spread, model.spec).numpy()
    apart = np.abs(together[1] - expected).max() / np.abs(expected).max()
    return network, px, float(apart)


def test_onnxruntime_agrees_with_torch_and_the_file_describes_itself(tmp_path: Path) -> None:
    network, px, apart = exported(tmp_path, QUICK)
    assert px <= TOLERANCE_PX
    assert apart <= 1e-3
    found = network.description
    assert (found.name, found.family, found.input_size) == ("small", QUICK, 64)
    assert found.markup == IBUG68
    assert Description.from_json(found.as_json()) == found
    with pytest.raises(UsageError, match="exists"):
        export_onnx(small(QUICK), tmp_path / f"{QUICK}.onnx", found)


@pytest.mark.slow
@pytest.mark.parametrize(("family", "changes"), VARIANTS)
def test_onnxruntime_agrees_with_torch_in_every_family_and_routing(
    tmp_path: Path, family: str, changes: dict[str, object]
) -> None:
    _, px, apart = exported(tmp_path, family, **changes)
    assert px <= TOLERANCE_PX
    assert apart <= 1e-3


@pytest.mark.parametrize("family", sorted(registry.FAMILIES.keys() - {f for f, _ in VARIANTS}))
def test_a_family_without_onnx_says_why(tmp_path: Path, family: str) -> None:
    if family == QUICK:
        return
    model = small(family)
    with pytest.raises(UsageError, match="cannot be exported as ONNX: it "):
        export_onnx(model, tmp_path / "m.onnx", Description("m", 64, IBUG68, family=family))
    assert not list(tmp_path.iterdir())


@pytest.mark.slow
def test_onnxruntime_agrees_with_torch_on_every_face_of_helen(
    tmp_path: Path, real_faces: Path
) -> None:
    """One at a time and as a batch, by the preset of the released model."""
    preset = presets.load("cascade-forest-small")
    config = from_flat(preset.family, registry.family(preset.family).config, preset.values)
    dataset = open_dataset("300w", real_faces)
    faces = dataset.subset("helen").faces
    points = np.stack([face.points for face in faces])
    boxes, size = gt_boxes(points), config.data.input_size
    seen = np.stack([cut(dataset.picture(f), b, size) for f, b in zip(faces, boxes, strict=True)])
    unit = (points - boxes[:, None, :2]) / boxes[:, 2, None, None] + 0.5
    labels = torch.from_numpy(unit.astype(np.float32))
    images = torch.from_numpy(seen).permute(0, 3, 1, 2).float() / 255
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = registry.build(config, IBUG68)
        model.initialise(InitialData(labels, labels, images[:64]))
        model.eval()
        outputs = [model(part) for part in images.split(32)]
    expected = torch.cat([model.points(one) for one in outputs]).numpy()
    # Of an untrained model two cells of a map can be equal up to rounding, which then says which.
    best = torch.cat([one.coarse for one in outputs]).flatten(2).topk(2, dim=2).values
    decided = (best[..., 0] - best[..., 1] > 1e-6).numpy()
    assert decided.mean() > 0.999
    described = Description("small", size, IBUG68, family="cascade-forest")
    export_onnx(model, tmp_path / "m.onnx", described)
    network = OnnxNetwork(tmp_path / "m.onnx")
    alone = np.concatenate([network(crop[None])[0] for crop in seen])
    assert len(seen) == 330
    for found in (alone, network(seen)[0]):
        assert size * np.abs(found - expected)[decided].max() <= TOLERANCE_PX


@pytest.mark.parametrize(
    ("moved_px", "wider", "said"),
    [
        (0.0, 1.0, None),
        (0.01, 1.0, "by 0.01 px"),
        (0.0, 1.01, "in its covariances by 0.005"),
        (0.0, np.nan, "in its covariances by nan"),
    ],
)
def test_a_file_that_computes_other_results_is_refused(
    moved_px: float, wider: float, said: str | None
) -> None:
    points, covariances = torch.rand(3, 5, 2), torch.eye(2).expand(3, 5, 2, 2) * 1e-4

    class Network:
        input_size = 64

        def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
            return points.numpy() + moved_px / 64, covariances.numpy() * wider

    refused = pytest.raises(DrfError, match=f"differs from the trained one {said}")
    with refused if said else contextlib.nullcontext():
        onnx_export._compare(lambda _: (points, covariances), Network())  # type: ignore[arg-type]


def test_without_the_extra_the_module_can_be_imported() -> None:
    """So that a missing package is the sentence of `export_onnx` and no traceback."""
    hidden = "import sys; sys.modules.update(onnxscript=None, onnx_ir=None);"
    code = f"{hidden} import drf.inference.onnx_export"
    subprocess.run([sys.executable, "-c", code], check=True, cwd=REPOSITORY)
