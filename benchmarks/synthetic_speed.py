"""Measure how fast synthetic faces are made: one process, one thread.

    python -m benchmarks.synthetic_speed [--quick] [--json]

Prints faces per second per subset, by the wall clock and by the processor time of this process.
On a machine that others use as well, the second comes closer to a core of one's own.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from dataclasses import asdict, dataclass

import cv2

from benchmarks import run_script
from drf.data.synthetic import GENERATOR_VERSION, SUBSETS, face_points, render_face


@dataclass(frozen=True)
class Speed:
    """Throughput of one subset, faces per second."""

    subset: str
    faces: int
    wall_faces_per_s: float
    cpu_faces_per_s: float
    points_only_faces_per_s: float


def measure(subset: str, faces: int) -> Speed:
    """Render `faces` faces of a subset and then their points alone."""
    wall, cpu = time.perf_counter(), time.process_time()
    for index in range(faces):
        render_face(subset, index)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    points = time.process_time()
    for index in range(faces):
        face_points(subset, index)
    points = time.process_time() - points
    return Speed(subset, faces, faces / wall, faces / cpu, faces / points)


def main() -> int:
    """Measure every subset and print a table, or one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="100 faces a subset instead of 1000")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    cv2.setNumThreads(1)
    started = time.perf_counter()
    render_face("train", 0)
    first_face_s = time.perf_counter() - started
    speeds = [measure(subset, 100 if options.quick else 1000) for subset in SUBSETS]
    if options.json:
        document = {
            "generator_version": GENERATOR_VERSION,
            "machine": platform.processor() or platform.machine(),
            "first_face_s": first_face_s,
            "subsets": [asdict(speed) for speed in speeds],
        }
        print(json.dumps(document, indent=2))
        return 0
    print(f"first face (tables and noise included): {first_face_s:.2f} s")
    print(f"{'subset':<12} {'faces':>6} {'wall/s':>8} {'cpu/s':>8} {'points only/s':>14}")
    for s in speeds:
        print(
            f"{s.subset:<12} {s.faces:>6} {s.wall_faces_per_s:>8.0f} {s.cpu_faces_per_s:>8.0f}"
            f" {s.points_only_faces_per_s:>14.0f}"
        )
    return 0


if __name__ == "__main__":
    run_script(main)
