"""How long a released model takes: alone, with the photo around it, and as a command.

    python -m benchmarks.predict [--model NAME|FILE.onnx] [--quick] [--json]

One thread, onnxruntime, synthetic faces in photos of 640 x 480 px that are decoded already;
`command` runs as a user runs it.

    model      one prepared crop to landmarks and covariances
    boxed      a photo and a box to landmarks and covariances in px of the photo
    found      a photo to the same, the faces found by the detector
    batch      faces of a batch of 32 per second, and how many times those of single ones
    command    `drf predict PHOTO` in a new process, from its start to its end, and its CPU seconds

p50 is the median, best the quickest: what other processes take is not the model's.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np

import drf
from benchmarks import run_script
from benchmarks.timing import one_thread
from drf.data.boxes import gt_boxes
from drf.data.crops import encode_jpeg
from drf.data.synthetic_dataset import SyntheticDataset
from drf.errors import DrfError

BATCH = 32
TARGETS = {"model_ms": 0.6, "boxed_ms": 1.0, "batch_ratio": 2.5, "command_s": 1.5}


def photos(n: int) -> list[tuple[np.ndarray, np.ndarray]]:
    """Return n photos of 640 x 480 px with the (4,) box of their face."""
    dataset = SyntheticDataset(size=max(n, 10))
    made = []
    for face in dataset.subset("train").faces[:n]:
        crop = dataset.picture(face)
        canvas = cv2.resize(crop, (640, 480), interpolation=cv2.INTER_AREA) // 2
        side = min(480, *crop.shape[:2])
        canvas[:side, 80 : 80 + side] = crop[:side, :side]
        cx, cy, extent = gt_boxes(face.points[None])[0] + [80, 0, 0]
        made.append((canvas, np.array([cx - extent / 2, cy - extent / 2, extent, extent])))
    return made


def milliseconds(step: Callable[[], object], repeats: int) -> list[float]:
    """Return the wall times of a step after three unmeasured ones."""
    for _ in range(3):
        step()
    taken = []
    for _ in range(repeats):
        began = time.perf_counter()
        step()
        taken.append(1e3 * (time.perf_counter() - began))
    return taken


def command(photo: np.ndarray, model: str, repeats: int) -> tuple[list[float], list[float]]:
    """Return wall and CPU seconds of `drf predict` on a photo, each in a process of its own."""
    wall, cpu = [], []
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "photo.jpg"
        file.write_bytes(encode_jpeg(photo))
        code = "from cli.main import main; main()"
        words = [sys.executable, "-c", code, "predict", str(file), "--model", model, "--json"]
        for _ in range(repeats):
            began, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
            done = subprocess.run(words, capture_output=True, check=False)
            after = resource.getrusage(resource.RUSAGE_CHILDREN)
            if done.returncode not in (0, 3):  # 3: no face was found in the synthetic photo
                raise DrfError(done.stderr.decode(errors="replace").strip())
            wall.append(time.perf_counter() - began)
            cpu.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    return wall, cpu


def measure(model: str, quick: bool) -> dict[str, Any]:
    """Return the figures of the module, p50 and best."""
    aligner = drf.load(model)
    made = photos(4)
    picture, box = made[0]
    square = np.array([*(box[:2] + box[2:] / 2), box[2]])
    crop = aligner.prepare(picture, square)
    batch = np.stack([crop] * BATCH)
    repeats = 60 if quick else 600
    alone = milliseconds(lambda: aligner.network(crop[None]), repeats)
    boxed = milliseconds(lambda: aligner(picture, box), repeats)
    found = milliseconds(lambda: aligner(picture), max(5, repeats // 20))
    together = milliseconds(lambda: aligner.network(batch), max(5, repeats // 20))
    wall, cpu = command(picture, model, 3 if quick else 7)
    per_face = np.array(together) / BATCH
    return {
        "model_ms": _both(alone),
        "boxed_ms": _both(boxed),
        "found_ms": _both(found),
        "batch_faces_per_s": {"p50": 1e3 / np.median(per_face), "best": 1e3 / per_face.min()},
        "batch_ratio": {
            "p50": float(np.median(alone) / np.median(per_face)),
            "best": float(min(alone) / per_face.min()),
        },
        "command_s": _both(wall),
        "command_cpu_s": _both(cpu),
    }


def _both(taken: list[float]) -> dict[str, float]:
    return {"p50": float(np.median(taken)), "best": min(taken)}


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--model", default="cascade-forest-small", help="name or ONNX file")
    parser.add_argument("--quick", action="store_true", help="fewer repetitions")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with one_thread():
        found = measure(options.model, options.quick)
    if options.json:
        print(json.dumps({"model": options.model, **found}, indent=2))
        return 0
    print(f"{options.model}\n{'':20} {'p50':>9} {'best':>9}   target")
    for name, values in found.items():
        target = f"{TARGETS[name]:9g}" if name in TARGETS else ""
        print(f"{name:20} {values['p50']:9.2f} {values['best']:9.2f}{target}")
    return 0


if __name__ == "__main__":
    run_script(main)
