"""How the detector's boxes lie to ours, what it misses, and what is lost by its boxes.

    python -m benchmarks.face_detector --data-root data/300w [--subset train] [--every 3] [--json]
        [--model RUN]
    python -m benchmarks.face_detector --quick            (synthetic faces)

On pictures of 300-W, each with one labelled face in its middle: faces missed, labelled faces with
a second box, boxes elsewhere (neighbours), the constants CENTRE and SIDE of
`drf/inference/detection.py`, and what remains of the error of a box. With the released model, or a
run of the store that DRF_DB names: its NME (ocular, %) by the labelled box, by the detector's, and
by the box around what it predicts there; the error that it expects of labelled faces, and of
squares beside them, which are no faces.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np

import drf
from benchmarks import run_script
from drf import loading
from drf.data.boxes import gt_boxes
from drf.data.dataset import open_dataset
from drf.errors import NotFoundError
from drf.files import user_path
from drf.inference import detection
from drf.inference.detection import to_our_boxes


def measure(root: Path | None, subset: str, every: int, named: str) -> dict[str, Any]:
    """Return what the detector finds in every n-th face's picture, and the constants fitted."""
    dataset = open_dataset("300w" if root else "synthetic", root, size=200)
    faces = dataset.subset(subset).faces[::every]
    detector, model = detection.FaceDetector(), drf.load(named)
    found, truth, missed, second, elsewhere = [], [], [], [], []
    errors: dict[str, list[float]] = {"labelled": [], "detected": [], "detected, twice": []}
    expected: dict[str, list[float]] = {"face": [], "no face": []}
    for face, box in zip(faces, gt_boxes(np.stack([f.points for f in faces])), strict=True):
        picture = dataset.picture(face)
        rectangles, _ = detector.rectangles(picture)
        centres = rectangles[:, :2] + rectangles[:, 2:] / 2
        near = np.abs(centres - box[:2]).max(axis=1) < 0.3 * box[2]
        if not near.any():
            missed.append(face.name)
            continue
        if near.sum() > 1:
            second.append(face.name)
        if not near.all():
            elsewhere.append(face.name)
        found.append(rectangles[near][0])
        truth.append(box)
        at = to_our_boxes(rectangles[near])[0]
        first, _ = model.locate([model.prepare(picture, at)], at[None])
        again = gt_boxes(first)[0]
        eyes = np.linalg.norm(face.points[36] - face.points[45])
        for name, shown in (("labelled", box), ("detected", at), ("detected, twice", again)):
            points, spread = model.locate([model.prepare(picture, shown)], shown[None])
            off = np.linalg.norm(points[0] - face.points, axis=1)
            errors[name].append(100 * float(off.mean() / eyes))
            if name == "detected":
                expected["face"].append(expected_error(spread[0], shown))
        beside = box * [1, 1, 0.5] + 0.8 * box[2] * np.array([1, 1, 0])
        _, spread = model.locate([model.prepare(picture, beside)], beside[None])
        expected["no face"].append(expected_error(spread[0], beside))
    if not found:
        raise NotFoundError(f"none of {len(faces)} faces was found")
    x, y, width, height = np.array(found).T
    cx, cy, side = np.array(truth).T
    across, down = (cx - x) / width - 0.5, (cy - y) / height - 0.5
    shares = np.column_stack([width, height]) / side[:, None]
    fitted = {
        "CENTRE": [float(np.median(across)), float(np.median(down))],
        "SIDE": np.linalg.lstsq(shares, np.ones(len(side)))[0].tolist(),
    }
    left = np.column_stack(
        [
            (across - fitted["CENTRE"][0]) * width / side,
            (down - fitted["CENTRE"][1]) * height / side,
            shares @ fitted["SIDE"] - 1,
        ]
    )
    return {
        "subset": subset,
        "faces": len(faces),
        "missed": missed,
        "second": second,
        "elsewhere": elsewhere,
        **fitted,
        "deviation_of_box": left.std(axis=0).tolist(),
        "nme": {name: float(np.mean(values)) for name, values in errors.items()},
        "expected_error": {
            name: np.percentile(values, [0, 1, 50, 99, 100]).tolist()
            for name, values in expected.items()
        },
    }


def expected_error(covariances: np.ndarray, box: np.ndarray) -> float:
    """As `AlignedFace.expected_error`."""
    return float(np.sqrt(np.trace(covariances, axis1=1, axis2=2)).mean() / box[2])


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data-root", type=user_path, help="300-W; without it synthetic faces")
    parser.add_argument("--subset", default="train")
    parser.add_argument("--every", type=int, default=1, help="every n-th face alone")
    parser.add_argument("--model", default=loading.DEFAULT, help="released model, file or run")
    parser.add_argument("--quick", action="store_true", help="every 20th face")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    every = 20 if options.quick else options.every
    found = measure(options.data_root, options.subset, every, options.model)
    if options.json:
        print(json.dumps(found, indent=2))
        return 0
    for name, value in found.items():
        print(
            f"{name:18} {len(value)} {value[:8]}"
            if name in ("missed", "second", "elsewhere")
            else f"{name:18} {value}"
        )
    return 0


if __name__ == "__main__":
    run_script(main)
