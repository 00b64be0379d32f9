"""What more views of a face at test time are worth: turned, scaled and mirrored, and fused.

    python -m benchmarks.views MODEL [MODEL ...] --data-root data/300w [--subset val]

MODEL: a checkpoint of `drf train`, or a file of `drf export onnx`. Several are fused like views of
one. A view is a crop of the same face, whose landmarks are taken back into the box. Two fusions are
compared: the mean, and the mean weighted by the inverses of the predicted covariances,

    y = (sum_v W_v)^-1 sum_v W_v y_v,   W_v = (C_v / 2 + mean_v C_v / 2)^-1.

Boxes are those of the protocol gt; ocular NME in percent. Differences are from the flip test, face
by face, with their standard error.
"""

from __future__ import annotations

import argparse
import json
import math
import sys
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from benchmarks import run_script
from drf import checkpoint
from drf.data.augment import unwarp_points, warp
from drf.data.dataset import open_dataset
from drf.data.packs import CONTEXT, PACK_SIZE, Pack, pack
from drf.files import user_path
from drf.hardware import choose_precision
from drf.inference.onnx_network import OnnxNetwork
from drf.inference.prediction import BATCH, Predictor, PredictorNetwork
from drf.landmarks import geometry
from drf.models.fuse_batchnorm import fuse_batchnorm
from drf.scoring import scores

Row = dict[str, object]

View = tuple[float, float, bool]
"""Turn in degrees, scale of what is seen, mirrored."""

SETS: dict[str, tuple[tuple[float, float], ...]] = {
    "flip test": ((0, 1),),
    "turned by 10 instead": ((-10, 1), (10, 1)),
    "and turned by 5": ((0, 1), (-5, 1), (5, 1)),
    "and turned by 10": ((0, 1), (-10, 1), (10, 1)),
    "and turned by 15": ((0, 1), (-15, 1), (15, 1)),
    "and scaled by 5 %": ((0, 1), (0, 0.95), (0, 1.05)),
    "and turned by 7, scaled by 5 %": ((0, 1), (-7, 1), (7, 1), (0, 0.95), (0, 1.05)),
}
"""Turns and scales; all of them also mirrored."""


def view_map(view: View) -> Tensor:
    """Return the (2, 3) map that cuts a view, as `drf.data.augment` has it."""
    turn, scale, mirrored = view
    cos, sin = math.cos(math.radians(turn)), math.sin(math.radians(turn))
    sign = -1.0 if mirrored else 1.0
    linear = torch.tensor([[sign * cos, -sign * sin, 0.0], [sin, cos, 0.0]])
    return linear * scale / CONTEXT


def network_of(path: Path) -> OnnxNetwork | PredictorNetwork:
    if path.suffix == ".onnx":
        return OnnxNetwork(path, threads=torch.get_num_threads())
    model, _ = checkpoint.load_model(path)
    cpu = torch.device("cpu")
    return PredictorNetwork(Predictor(fuse_batchnorm(model), cpu, choose_precision("auto", cpu)))


def predict(
    network: OnnxNetwork | PredictorNetwork, faces: Pack, view: View
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return landmarks (n, K, 2) in crop px and covariances (n, K, 2, 2) in crop px^2, or None."""
    map_, flip = view_map(view), faces.markup.flip_permutation(network.landmarks)
    jacobian = (map_[:, :2] * PACK_SIZE).double().numpy()
    points, spreads = [], []
    for first in range(0, len(faces.names), BATCH):
        crops = torch.from_numpy(np.array(faces.crops[first : first + BATCH]))
        maps = map_.expand(len(crops), 2, 3)
        images = warp(crops, maps, network.input_size)
        seen = (images * 255).round().to(torch.uint8).permute(0, 2, 3, 1).numpy()
        unit, spread = network(np.ascontiguousarray(seen))
        if view[2]:
            unit, spread = unit[:, flip], None if spread is None else spread[:, flip]
        back = unwarp_points(torch.from_numpy(unit.copy()), maps).double().numpy()
        points.append(geometry.from_unit(back, PACK_SIZE))
        if spread is not None:
            spreads.append(jacobian @ spread @ jacobian.T)
    return np.concatenate(points), np.concatenate(spreads) if spreads else None


def weighted(points: np.ndarray, covariances: np.ndarray) -> np.ndarray:
    """Return the mean by inverse covariances: (V, n, K, 2), (V, n, K, 2, 2) -> (n, K, 2)."""
    weights = np.linalg.inv((covariances + covariances.mean(axis=0)) / 2)
    summed = np.einsum("vnkij,vnkj->nki", weights, points)
    found: np.ndarray = np.linalg.solve(weights.sum(axis=0), summed[..., None])[..., 0]
    return found


def measure(paths: list[Path], root: Path, subset: str, cache: Path | None) -> list[Row]:
    """Return a row for each set of views and fusion. Raises DrfError for what cannot be read."""
    networks = [network_of(path) for path in paths]
    faces = pack(open_dataset("300w", root), subset, "gt", cache)
    known = faces.markup.indices(networks[0].landmarks)
    views = {(t, s, m) for pairs in SETS.values() for t, s in pairs for m in (False, True)}
    found = {view: [predict(network, faces, view) for network in networks] for view in views}

    def errors(crop_px: np.ndarray) -> np.ndarray:
        points = np.full(faces.picture_points.shape, np.nan)
        points[:, known] = geometry.apply(faces.to_picture, crop_px)
        return scores.image_errors(
            points, faces.picture_points, "ocular", faces.markup, networks[0].landmarks
        )

    rows, reference = list[Row](), None
    for name, pairs in {"one pass": SETS["flip test"], **SETS}.items():
        mirrors = (False,) if name == "one pass" else (False, True)
        held = [one for t, s in pairs for m in mirrors for one in found[t, s, m]]
        points = np.stack([p for p, _ in held])
        spreads = [c for _, c in held if c is not None]
        fusions = {"mean": points.mean(axis=0)}
        if len(spreads) == len(held) > 1:
            fusions["covariances"] = weighted(points, np.stack(spreads))
        for fusion, fused in fusions.items():
            own = 100 * errors(fused)
            if (name, fusion) == ("flip test", "mean"):
                reference = own
            row: Row = {"views": name, "passes": len(held), "fusion": fusion}
            row["nme"] = float(own.mean())
            if reference is not None:
                apart = own - reference
                row["difference"] = float(apart.mean())
                row["standard_error"] = float(apart.std(ddof=1) / math.sqrt(len(apart)))
            rows.append(row)
    return rows


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("models", type=user_path, nargs="+", metavar="MODEL")
    parser.add_argument("--data-root", type=user_path, required=True)
    parser.add_argument("--subset", default="val")
    parser.add_argument("--cache", type=user_path, help="folder of packed faces")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    rows = measure(options.models, options.data_root, options.subset, options.cache)
    if options.json:
        json.dump(rows, sys.stdout, indent=2)
        print()
        return 0
    for row in rows:
        line = f"{row['views']:32} {row['passes']:3} passes, {row['fusion']:12} {row['nme']:6.3f} %"
        if "difference" in row:
            line += f"  {row['difference']:+.3f} ± {row['standard_error']:.3f}"
        print(line)
    return 0


if __name__ == "__main__":
    run_script(main)
