"""What runs in the environment of a ready-made detector: numpy and that detector alone.

    python peer_worker.py NAME PICTURES.npz ANSWER.npz

PICTURES.npz has the pictures picture0, picture1, … as (H, W, 3) uint8 RGB. Every line of stdin is a
JSON request, every line of stdout its answer; arrays are written to ANSWER.npz.

    {"do": "find", "centres": [[x, y], ...]}    landmarks by the detector's own box, of the face
                                                nearest to a place in each picture: points
                                                (n, 68, 2) and rectangles (n, 4) x, y, w, h, NaN
                                                where none is found
    {"do": "align", "boxes": [[x, y, w, h], ...]}   landmarks in given boxes of the detector's kind
    {"do": "time", "boxes": ..., "faces": n}    ms of each of the first n faces, landmarks alone
    {"do": "size"}                              mb: size of the file of the landmarks' model
"""

from __future__ import annotations

import importlib.util
import json
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np

NONE = np.full((68, 2), np.nan)


class Dlib:
    """The 68 landmarks of `face_recognition_models`, in the boxes of dlib's HOG detector."""

    def __init__(self) -> None:
        import dlib

        self._dlib = dlib
        package = importlib.util.find_spec("face_recognition_models")
        assert package is not None
        assert package.origin is not None
        folder = Path(package.origin).parent / "models"
        self._detector = dlib.get_frontal_face_detector()
        self.file = folder / "shape_predictor_68_face_landmarks.dat"
        self._predictor = dlib.shape_predictor(str(self.file))

    def find(self, picture: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        found = self._detector(picture, 1)
        boxes = np.array([[r.left(), r.top(), r.width(), r.height()] for r in found], dtype=float)
        if not len(boxes):
            return NONE, np.full(4, np.nan)
        apart = np.abs(boxes[:, :2] + boxes[:, 2:] / 2 - centre).max(axis=1)
        box = boxes[apart.argmin()]
        return self.align(picture, box), box

    def align(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        x, y, width, height = np.rint(box).astype(int).tolist()
        shape = self._predictor(picture, self._dlib.rectangle(x, y, x + width - 1, y + height - 1))
        return np.array([(part.x, part.y) for part in shape.parts()], dtype=float)


class MediaPipe:
    """The attention mesh, of whose 478 points 68 are those of the usual list. It takes no box."""

    POINTS = (
        *(162, 234, 93, 58, 172, 136, 149, 148, 152, 377, 378, 365, 397, 288, 323, 454, 389),
        *(71, 63, 105, 66, 107, 336, 296, 334, 293, 301),
        *(168, 197, 5, 4, 75, 97, 2, 326, 305),
        *(33, 160, 158, 133, 153, 144, 362, 385, 387, 263, 373, 380),
        *(61, 39, 37, 0, 267, 269, 291, 405, 314, 17, 84, 181),
        *(78, 82, 13, 312, 308, 317, 14, 87),
    )

    def __init__(self) -> None:
        import mediapipe

        self._mesh = mediapipe.solutions.face_mesh.FaceMesh(
            static_image_mode=True, refine_landmarks=True, max_num_faces=4
        )

    def find(self, picture: np.ndarray, centre: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        height, width = picture.shape[:2]
        faces = self._mesh.process(picture).multi_face_landmarks or []
        meshes = [
            np.array([(p.x * width - 0.5, p.y * height - 0.5) for p in face.landmark])
            for face in faces
        ]
        if not meshes:
            return NONE, np.full(4, np.nan)
        apart = [np.abs(mesh.mean(axis=0) - centre).max() for mesh in meshes]
        points = meshes[int(np.argmin(apart))][list(self.POINTS)]
        low = points.min(axis=0)
        return points, np.array([*low, *(points.max(axis=0) - low)])


PEERS: dict[str, Any] = {"dlib": Dlib, "mediapipe": MediaPipe}


def main() -> None:
    name, given, answer = sys.argv[1:]
    peer = PEERS[name]()
    held = np.load(given)
    pictures = [held[f"picture{i}"] for i in range(len(held.files))]
    for line in sys.stdin:
        request = json.loads(line)
        done: dict[str, Any] = {}
        if request["do"] == "find":
            both = [
                peer.find(picture, np.array(centre))
                for picture, centre in zip(pictures, request["centres"], strict=True)
            ]
            points, rectangles = (np.stack(part) for part in zip(*both, strict=True))
            np.savez(answer, points=points, rectangles=rectangles)
        elif request["do"] == "align":
            pairs = zip(pictures, np.array(request["boxes"]), strict=True)
            np.savez(answer, points=np.stack([peer.align(*pair) for pair in pairs]))
        elif request["do"] == "size":
            done["mb"] = peer.file.stat().st_size / 1e6
        else:
            boxes, taken = np.array(request["boxes"]), []
            for picture, box in zip(pictures[: request["faces"]], boxes, strict=False):
                began = time.perf_counter()
                peer.align(picture, box)
                taken.append(1e3 * (time.perf_counter() - began))
            done["ms"] = taken
        print(json.dumps(done), flush=True)


if __name__ == "__main__":
    main()
