"""Trained models as ONNX files: one file, any number of faces, landmarks with their covariances.

Batch norms are folded. Forests are exported with the routing that their `inference` says: soft
routing as products over the levels of a tree, hard routing as gathers. What the file takes and
gives is written in `drf.inference.onnx_network`.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from drf.errors import DrfError, UsageError
from drf.files import replacing_file
from drf.inference.onnx_network import COVARIANCES, CROPS, KEY, LANDMARKS, Description, OnnxNetwork
from drf.models.base import LandmarkModel
from drf.models.fuse_batchnorm import fuse_batchnorm

if TYPE_CHECKING:
    import onnx_ir as ir  # comes with the extra onnx alone

OPSET = 20
"""Version of the ONNX operators; onnxruntime runs it from version 1.17 on."""

TOLERANCE_PX = 1e-3
"""Largest distance of a landmark from torch's, in px of the crop, at which a file is published."""

TOLERANCE = 1e-3
"""Largest difference of a covariance from torch's, as a share of its trace, there."""

_TRIED = 3
"""Faces of the check, another number than the graph was traced with."""


class _Graph(nn.Module):
    """What the file computes, from uint8 crops on."""

    def __init__(self, model: LandmarkModel) -> None:
        super().__init__()
        self.model = model

    def forward(self, crops: Tensor) -> tuple[Tensor, ...]:
        outputs = self.model(crops.permute(0, 3, 1, 2).float() * (1 / 255))
        points, covariances = self.model.points(outputs), self.model.covariances(outputs)
        if covariances is None:
            return (points.float(),)
        correct = self.model.recalibrations.single
        return points.float(), correct(covariances.float(), self.model.spec)


def export_onnx(
    model: LandmarkModel, path: Path, description: Description, *, overwrite: bool = False
) -> None:
    """Write a model as an ONNX file, after onnxruntime has found the same landmarks and covariances
    as torch.

    Raises UsageError for a file that exists, for a family that ONNX cannot hold, and where the
    packages of the extra `onnx` are missing; DrfError where both compute different results.
    """
    if model.why_no_onnx:
        raise UsageError(
            f"the family {description.family} cannot be exported as ONNX: {model.why_no_onnx}"
        )
    try:
        import onnxscript  # noqa: F401 (torch's exporter needs it)
    except ImportError:
        raise UsageError("the export needs two more packages: pip install 'drf[onnx]'") from None
    graph = _Graph(fuse_batchnorm(model).to("cpu")).eval()
    size = description.input_size
    crops = torch.zeros(2, size, size, 3, dtype=torch.uint8)
    names = [LANDMARKS, COVARIANCES]
    with torch.inference_mode():
        outputs = len(graph(crops))
    with torch.no_grad(), _quiet():
        program = torch.onnx.export(
            graph,
            (crops,),
            dynamo=True,
            opset_version=OPSET,
            input_names=[CROPS],
            output_names=names[:outputs],
            dynamic_shapes=({0: torch.export.Dim("faces", min=1)},),
            verbose=False,
        )
    assert program is not None
    _fold_pixels(program.model, size)
    for node in program.model.graph:
        node.metadata_props.clear()  # the exporter's own notes, with paths of this machine
    program.model.metadata_props[KEY] = description.as_json()
    program.model.producer_name, program.model.producer_version = "drf", description.version
    document = program.model_proto
    del document.graph.value_info[:]  # shapes that every reader infers, 3 % of a small file
    with replacing_file(path, overwrite=overwrite) as unfinished:
        unfinished.write_bytes(document.SerializeToString())
        _compare(graph, OnnxNetwork(unfinished))


def _fold_pixels(program: ir.Model, size: int) -> None:
    """Let the first convolutions read crops of `size` px as they are, in place: a tenth of a small
    model's time.

    Scales of the pixels: ((a x - b) / c) * W = (x - b / a) * (W a / c), at the border as well,
    which is 0 after the subtraction. So one pass over the picture does the work of three.

    Channels: those of a pixel lie beside each other, so that (B, S, S, 3) is (B, 1, S, 3 S) as
    well, of one channel, and a kernel three times as wide in steps three times as long reads it.
    So no picture is transposed.
    """
    import onnx_ir as ir
    from onnx_ir.passes.common import RemoveUnusedNodesPass

    graph = program.graph

    def constant(name: str, value: np.ndarray) -> ir.Value:
        held = ir.Value(name=name, const_value=ir.tensor(value))
        graph.register_initializer(held)
        return held

    for convolution in list(graph):
        weight = convolution.inputs[1] if convolution.op_type == "Conv" else None
        steps = _steps(convolution.inputs[0], ("Div", "Sub", "Mul")) if weight else []
        if not steps or weight is None or weight.const_value is None:
            continue
        (_, c), (_, b), (_, a) = steps
        kernel, name = weight.const_value.numpy() * (a / c), convolution.name
        sides = constant(f"{name}_sides", np.array([-1, 1, size, 3 * size]))
        rows = ir.node("Reshape", [graph.inputs[0], sides])
        numbers = ir.node("Cast", rows.outputs, {"to": ir.DataType.FLOAT})
        by_channel = np.broadcast_to(b / a, (1, 3, 1, 1)).flatten()
        level = constant(f"{name}_level", np.tile(by_channel, size))
        subtract = ir.node("Sub", [numbers.outputs[0], level])
        graph.insert_before(convolution, [rows, numbers, subtract])
        convolution.replace_input_with(0, subtract.outputs[0])
        for key, wide in (("strides", (1, 3)), ("pads", (1, 3, 1, 3)), ("kernel_shape", (1, 3))):
            pixels = convolution.attributes[key].as_ints()
            convolution.attributes[key] = ir.AttrInt64s(key, np.multiply(pixels, wide).tolist())
        kernel = kernel.transpose(0, 2, 3, 1).reshape(len(kernel), 1, kernel.shape[2], -1)
        weight.const_value = ir.tensor(np.ascontiguousarray(kernel), name=weight.name)
    RemoveUnusedNodesPass()(program)


def _steps(value: ir.Value | None, kinds: Sequence[str]) -> list[tuple[ir.Node, np.ndarray]]:
    """Return the operators of these kinds that made a value, the last one first, and the constant
    that each took beside the result of the one before it; none where it was made otherwise."""
    found: list[tuple[ir.Node, np.ndarray]] = []
    for kind in kinds:
        node = value.producer() if value is not None else None
        if node is None or node.op_type != kind:
            return []
        value, constant = node.inputs
        if constant is None or constant.const_value is None:
            return []
        found.append((node, constant.const_value.numpy()))
    return found


def _compare(graph: _Graph, network: OnnxNetwork) -> None:
    """Raise DrfError where onnxruntime and torch find different landmarks or covariances in made-up
    crops."""
    size = network.input_size
    crops = np.random.default_rng(0).integers(0, 256, (_TRIED, size, size, 3), dtype=np.uint8)
    with torch.inference_mode():
        landmarks, *covariances = [output.numpy() for output in graph(torch.from_numpy(crops))]
    found, found_covariances = network(crops)
    apart = size * float(np.abs(found - landmarks).max())
    differs = "" if apart <= TOLERANCE_PX else f"by {apart:.2g} px"
    for expected in covariances:
        assert found_covariances is not None
        traces = np.trace(expected, axis1=-2, axis2=-1)[..., None, None]
        share = float((np.abs(found_covariances - expected) / traces).max())
        if not share <= TOLERANCE:
            differs = differs or f"in its covariances by {share:.2g} of their traces"
    if differs:
        raise DrfError(
            f"the exported model differs from the trained one {differs}, and the file was not"
            " written: please report this with the preset and the versions of `drf doctor`"
        )


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Keep back what torch's exporter says of torch itself: operators of torchvision that are not
    installed, and deprecations within torch."""
    log = logging.getLogger("torch.onnx._internal.exporter._registration")
    level = log.level
    log.setLevel(logging.ERROR)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)
        try:
            yield
        finally:
            log.setLevel(level)
