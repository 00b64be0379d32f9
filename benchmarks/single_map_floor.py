"""What one map of all landmarks can give back, before any network: NME on val from perfect maps.

    python -m benchmarks.single_map_floor --data-root data/300w [--size 32] [--sigma 0.5] [--json]
    python -m benchmarks.single_map_floor [--quick]       (synthetic faces)

Rows are maps as forests with perfect routing would give them: the face's own; the mean of the maps
of the training faces most alike; the leaf, of so many by k-means, that the face belongs to. Columns
are ways to read them:

    coordinates  mean of the landmarks of the same faces, no map in between: what a leaf could hold
    in place     landmarks at the peaks assigned to the mean shape where it is
    placed       the mean shape with the centre and the size of the map's mass
    followed     from there: assigned, moved onto its peaks by a similarity, assigned again, ...
    registered   the shape model laid over the map
    + peaks      then landmarks at the peaks near them
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tabulate import tabulate
from torch import Tensor

from benchmarks import run_script
from drf.data.augment import identity_affines, warp_points
from drf.data.dataset import open_dataset
from drf.data.packs import PACK_SIZE, Pack, pack
from drf.files import user_path
from drf.landmarks import geometry, shapes
from drf.landmarks.markup import IBUG68
from drf.models.landmark_heads import HeatmapCodec
from drf.models.peaks import assign, at_peaks, find_peaks
from drf.models.registration import ShapeRegistration
from drf.scoring import scores

REACHES = (0.2, 0.2, 0.1, 0.1, 0.06, 0.06, 0.04, 0.04)
"""Of the assignments that follow each other, shares of the box."""

PLACE, NEAR = 0.1, 0.02
"""Reach of the assignment to the mean shape in place, and of the one after registration."""

DIMS = 14
LIKE, LEAVES = (8, 32), (32, 512)


def unit_points(faces: Pack) -> Tensor:
    """Return landmarks in the unit box, (n, K, 2)."""
    points = torch.from_numpy(geometry.to_unit(faces.points, PACK_SIZE))
    return warp_points(points, identity_affines(len(points))).float()


def mixtures(train: Tensor, val: Tensor) -> dict[str, Tensor]:
    """Return by row what shares of the training faces each map is made of: (n, m) or, of the face's
    own map, (n, 0)."""
    found = {"its own map": torch.zeros(len(val), 0)}
    distance = torch.cdist(val.flatten(1), train.flatten(1))
    for like in LIKE:
        nearest = distance.topk(like, largest=False).indices
        share = torch.zeros_like(distance).scatter_(1, nearest, 1 / like)
        found[f"mean of {like} alike"] = share
    for leaves in LEAVES:
        leaves = min(leaves, len(train) // 2)
        clusters = shapes.k_means(train.flatten(1).numpy(), leaves, seed=0)
        centres = torch.from_numpy(clusters.centres).float()
        own = torch.cdist(val.flatten(1), centres).argmin(dim=1)
        member = (torch.from_numpy(clusters.codes) == own[:, None]).float()
        member = torch.where(member.sum(dim=1, keepdim=True) > 0, member, torch.ones(()))
        found[f"leaf of {leaves}"] = member / member.sum(dim=1, keepdim=True)
    return found


def followed(mean: np.ndarray, shape: np.ndarray, found: np.ndarray) -> np.ndarray:
    """Return the mean shape, now at `shape`, led to its peaks (P, 2) by turns of assignment and
    similarity. (K, 2)."""
    for reach in REACHES:
        peak = assign(shape, found, reach)
        held = peak >= 0
        if held.sum() < 4:
            break
        pose = geometry.similarities(mean[held][None], found[peak[held]])
        shape = geometry.apply(pose, mean[None])[0]
    return shape


def readings(maps: Tensor, registration: ShapeRegistration) -> dict[str, Tensor]:
    """Return landmarks by the way of reading, each (n, K, 2)."""
    peaks = find_peaks(maps, 1, IBUG68.n_points)
    mean, placed = registration.mean, registration.placed(maps).apply(registration.mean)
    led = [
        followed(mean.double().numpy(), shape.double().numpy(), points[heights > 0].numpy())
        for shape, points, heights in zip(placed, peaks.points, peaks.heights, strict=True)
    ]
    registered = registration(maps)
    return {
        "in place": at_peaks(mean.expand(len(maps), -1, -1), peaks, PLACE),
        "placed": placed,
        "followed": at_peaks(torch.from_numpy(np.stack(led)).float(), peaks, NEAR),
        "registered": registered,
        "+ peaks": at_peaks(registered, peaks, NEAR),
    }


def measure(train: Tensor, val: Tensor, codec: HeatmapCodec) -> dict[str, dict[str, float]]:
    """Return NME in percent by row and column."""
    registration = ShapeRegistration(IBUG68.n_points, DIMS)
    registration.fit(train)
    rows = {}
    for name, share in mixtures(train, val).items():
        own = share.shape[1] == 0
        maps = codec.encode_together(val if own else train)
        read = {"coordinates": val if own else torch.einsum("nm,mkc->nkc", share, train)}
        read |= readings(maps if own else torch.einsum("nm,mrc->nrc", share, maps), registration)
        rows[name] = {way: nme(points, val) for way, points in read.items()}
        print(name, rows[name], file=sys.stderr, flush=True)
    return rows


def nme(points: Tensor, val: Tensor) -> float:
    errors = scores.image_errors(points.numpy(), val.numpy(), "ocular", IBUG68)
    return 100 * scores.nme(errors)


def table(rows: dict[str, dict[str, float]]) -> str:
    columns = list(next(iter(rows.values())))
    lines = [[name, *(f"{values[c]:.1f}" for c in columns)] for name, values in rows.items()]
    return tabulate(lines, ["map", *columns], tablefmt="github", disable_numparse=True)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data-root", type=user_path, help="300-W; without it synthetic faces")
    parser.add_argument("--size", type=int, default=32, help="cells a side")
    parser.add_argument("--sigma", type=float, default=0.5, help="of a landmark, in cells")
    parser.add_argument("--quick", action="store_true", help="60 training faces")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    arguments = parser.parse_args()
    source = "300w" if arguments.data_root else "synthetic"
    dataset = open_dataset(source, arguments.data_root, seed=0, size=60 if arguments.quick else 300)
    with tempfile.TemporaryDirectory() as scratch:
        train, val = (
            unit_points(pack(dataset, subset, "gt", Path(scratch))) for subset in ("train", "val")
        )
    rows = measure(train, val, HeatmapCodec(arguments.size, arguments.sigma))
    if arguments.json:
        print(json.dumps(vars(arguments) | {"data_root": None, "dataset": source, "rows": rows}))
    else:
        print(table(rows))


if __name__ == "__main__":
    run_script(main)
