"""ONNX files as `drf export onnx` writes them, made in a moment: one shape for every crop."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from drf.inference.onnx_network import COVARIANCES, CROPS, KEY, LANDMARKS, Description
from drf.landmarks.markup import IBUG68, Markup

onnx = pytest.importorskip("onnx")


def shape(markup: Markup) -> np.ndarray:
    """(K, 2) unit box: landmarks on a spiral around the middle."""
    turn = np.linspace(0, 12, markup.n_points)
    around = np.stack([np.cos(turn), np.sin(turn)], axis=1)
    return (0.5 + 0.035 * turn[:, None] * around).astype(np.float32)


def write_model(
    path: Path,
    *,
    markup: Markup = IBUG68,
    size: int = 64,
    std: float | None = 0.01,
    description: str | None = None,
    external: bool = False,
) -> Path:
    """Write a model that predicts `shape`, with covariances std^2 I (unit box) unless std is None.

    description: what stands in the place of the true one; "" for nothing
    external: whether the shape's numbers lie in another file
    """
    helper, kind = onnx.helper, onnx.TensorProto
    k = markup.n_points
    constants = {LANDMARKS: shape(markup)[None]}
    if std is not None:
        eye = np.eye(2, dtype=np.float32) * np.float32(std) ** 2
        constants[COVARIANCES] = np.broadcast_to(eye, (1, k, 2, 2)).copy()
    nodes = [
        helper.make_node("Shape", [CROPS], ["sides"]),
        helper.make_node("Gather", ["sides", "first"], ["faces"]),
    ]
    weights = [onnx.numpy_helper.from_array(np.array([0]), "first")]
    outputs = []
    for name, values in constants.items():
        ones = np.array(values.shape[1:])
        weights += [
            onnx.numpy_helper.from_array(values, f"{name}.value"),
            onnx.numpy_helper.from_array(ones, f"{name}.ones"),
        ]
        nodes += [
            helper.make_node("Concat", ["faces", f"{name}.ones"], [f"{name}.shape"], axis=0),
            helper.make_node("Expand", [f"{name}.value", f"{name}.shape"], [name]),
        ]
        outputs.append(
            helper.make_tensor_value_info(name, kind.FLOAT, ["faces", *values.shape[1:]])
        )
    seen = helper.make_tensor_value_info(CROPS, kind.UINT8, ["faces", size, size, 3])
    graph = helper.make_graph(nodes, "constant", [seen], outputs, weights)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=9)
    text = Description("spiral", size, markup).as_json() if description is None else description
    if text:
        helper.set_model_props(model, {KEY: text})
    if external:
        onnx.save(model, path, save_as_external_data=True, location="weights.bin", size_threshold=0)
    else:
        onnx.save(model, path)
    return path
