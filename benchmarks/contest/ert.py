"""Ensemble of regression trees (Kazemi & Sullivan 2014) by dlib, on the faces of the contest.

The same packed crops and boxes as every other row. dlib keeps boxes and points as whole pixels, of
labels and of predictions: the crops are brought to SIZE first, where a pixel is 0.4 % of the box.
dlib is the optional extra `peers`; it compiles for some minutes when it is installed.
"""

from __future__ import annotations

import importlib.util
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from drf.data import crops
from drf.data.packs import CONTEXT, PACK_SIZE, Pack
from drf.errors import DrfError, UsageError
from drf.landmarks import geometry
from drf.landmarks.markup import Markup

SIZE = 384
"""Side of the grey crops that dlib sees, px."""

MODEL = "ert.dat"


@dataclass(frozen=True)
class ErtConfig:
    """dlib's options; oversampling: initial shapes for each face · nu: shrinkage of the trees"""

    cascades: int = 12
    trees: int = 500
    depth: int = 4
    oversampling: int = 10
    nu: float = 0.1

    def params(self, n_points: int) -> int:
        """Return the number of learned values: shapes of n_points in the leaves, thresholds of the
        splits."""
        leaves = 2**self.depth
        return self.cascades * self.trees * (leaves * 2 * n_points + leaves - 1)


class Ert:
    """A trained shape predictor. Raises DrfError where dlib cannot read the file."""

    def __init__(self, path: Path) -> None:
        import dlib

        try:
            self._predictor = dlib.shape_predictor(str(path))
        except RuntimeError as error:
            raise DrfError(f"dlib cannot read {path}: {error}") from error
        self._box = _box()

    def crop_px(self, grey: np.ndarray) -> np.ndarray:
        """Return the (K, 2) float64 points of a (SIZE, SIZE) uint8 crop, in its px."""
        found = self._predictor(grey, self._box)
        return np.array([(p.x, p.y) for p in found.parts()], dtype=np.float64)

    def flipped(self, grey: np.ndarray, markup: Markup) -> np.ndarray:
        """Return the same by the mirrored crop, mirrored back."""
        points = self.crop_px(np.ascontiguousarray(grey[:, ::-1]))[list(markup.flip)]
        return points * [-1.0, 1.0] + [SIZE - 1.0, 0.0]


def require_dlib() -> None:
    """Raise UsageError where dlib is not installed."""
    if importlib.util.find_spec("dlib") is None:
        raise UsageError("the row ert needs dlib: pip install 'drf[peers]', or name the other rows")


def predict(predictor: Ert, faces: Pack, flip_test: bool) -> tuple[np.ndarray, float]:
    """Return (n, K, 2) float32 picture px, and the milliseconds per face of dlib alone."""
    predictions = np.empty((len(faces.names), faces.markup.n_points, 2), dtype=np.float32)
    seconds = 0.0
    for i, crop in enumerate(faces.crops):
        seen = grey(crop)
        started = time.perf_counter()
        points = predictor.crop_px(seen)
        if flip_test:
            points = (points + predictor.flipped(seen, faces.markup)) / 2
        seconds += time.perf_counter() - started
        pack_px = geometry.from_unit(geometry.to_unit(points, SIZE), PACK_SIZE)
        predictions[i] = geometry.apply(faces.to_picture[i], pack_px)
    return predictions, 1000 * seconds / len(faces.names)


class ErtAligner:
    """From a picture and its box to landmarks, as `drf.inference.alignment.Aligner` for
    networks."""

    def __init__(self, predictor: Ert) -> None:
        self._predictor = predictor

    def prepare(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        """(H, W, 3) uint8 RGB, (3,) box in picture px -> (SIZE, SIZE) uint8."""
        return cv2.cvtColor(crops.cut(picture, _widened(box), SIZE), cv2.COLOR_RGB2GRAY)

    def locate(self, prepared: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        """B prepared crops and their (B, 3) boxes -> (B, K, 2) float64 picture px."""
        points = np.stack([self._predictor.crop_px(crop) for crop in prepared])
        return geometry.apply(geometry.crop_to_picture(_widened(boxes), SIZE), points)


def fit(folder: Path, options: ErtConfig, seed: int, threads: int) -> None:
    """Train on the crops and points that lie in a folder; leave MODEL there."""
    import dlib

    images, points = np.load(folder / "crops.npy", mmap_mode="r"), np.load(folder / "points.npy")
    wanted = dlib.shape_predictor_training_options()
    wanted.cascade_depth = options.cascades
    wanted.num_trees_per_cascade_level = options.trees
    wanted.tree_depth = options.depth
    wanted.oversampling_amount = options.oversampling
    wanted.nu = options.nu
    wanted.num_threads = threads
    wanted.random_seed = str(seed)
    box = _box()
    labels = [
        [dlib.full_object_detection(box, [dlib.point(int(x), int(y)) for x, y in face])]
        for face in np.rint(points)
    ]
    dlib.train_shape_predictor([np.asarray(i) for i in images], labels, wanted).save(
        str(folder / MODEL)
    )


def grey(crop: np.ndarray) -> np.ndarray:
    """A packed crop as dlib sees it: (256, 256, 3) uint8 RGB -> (SIZE, SIZE) uint8."""
    return cv2.resize(cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY), (SIZE, SIZE))


def _box() -> Any:
    """The box within its crop: the middle 1 / CONTEXT, both ends included."""
    import dlib

    side = round(SIZE / CONTEXT)
    first = (SIZE - side) // 2
    return dlib.rectangle(first, first, first + side - 1, first + side - 1)


def _widened(boxes: np.ndarray) -> np.ndarray:
    return boxes * [1.0, 1.0, CONTEXT]
