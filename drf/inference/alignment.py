"""What an application calls: a picture in, the landmarks of its faces out.

import drf
model = drf.load("cascade-forest-small")
for face in model(image):
    print(face.landmarks, face.std)
"""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import cv2
import numpy as np

from drf.data.boxes import squares
from drf.data.crops import cut
from drf.errors import DataError
from drf.inference.detection import FaceDetector
from drf.landmarks.markup import Markup

BATCH = 32
"""Faces that a model sees at once."""

STEP = 1.5
"""Px of the photo between two samples of a crop. Less than 1, as evaluation has it, takes up to
twice the time, and on `val` and `helen` the NME is the same to 0.001 points."""


HALFTONE_SIGMA = 1.0
"""Px over which the grey of a photo of black and white dots is averaged. On 8 faces of 300-W that
were dithered to 1 bit the detector then finds 8 and not 0, and the landmarks are 1.7 % of the
inter-ocular distance from those of the photo in colour and not 6.5 %; 1.5 and 2 px do no better."""

_LEAST_INSIDE = 0.05
"""Share of a box's area that is in the image: below it the model would see hardly any of it."""


class Network(Protocol):
    """A trained model, of whatever library.

    landmarks      the subset of the markup that it predicts
    largest_error  the expected error, see `AlignedFace`, above which a detection is no face
    """

    input_size: int
    markup: Markup
    landmarks: str
    largest_error: float

    def __call__(self, crops: np.ndarray) -> tuple[np.ndarray, np.ndarray | None]:
        """(B, S, S, 3) uint8 RGB -> (B, k, 2) unit box, (B, k, 2, 2) squared unit box or None."""


@dataclass(frozen=True, eq=False)
class AlignedFace:
    """A face of an image; all coordinates in px of the image, 0-based, pixel centres at integers.

    landmarks    (K, 2) float32 x, y in the order of the markup; NaN where the model predicts none
    covariances  (K, 2, 2) float32 squared px, of the error to expect; NaN where the model predicts
                 none
    box          (4,) float64 x, y, w, h: the square that the model was shown
    score        how certain the detector is that this is a face, 0..1; 1 for a box that was given
    """

    landmarks: np.ndarray
    covariances: np.ndarray
    box: np.ndarray
    score: float

    @property
    def std(self) -> np.ndarray:
        """(K, 2) float32 px, the standard deviations of x and y."""
        return np.sqrt(np.diagonal(self.covariances, axis1=1, axis2=2))

    @property
    def expected_error(self) -> float:
        """The distance of a landmark from its true place that the model expects, root mean square
        over x and y, mean over landmarks, as a share of the box's side; NaN where it does not
        say."""
        radius = np.sqrt(np.trace(self.covariances, axis1=1, axis2=2))
        known = radius[np.isfinite(radius)]
        return float(known.mean() / self.box[2]) if len(known) else float("nan")


class Aligner:
    """Landmarks of faces in images, by a network and, where no boxes are given, a face detector.

    The box is cut straight to the size of the network's input: one warp, where evaluation goes by
    packed crops, which leave training room to turn and shift in. threads: of the detector.
    """

    def __init__(self, network: Network, *, threads: int = 1) -> None:
        self.network = network
        self._known = network.markup.indices(network.landmarks)
        self._threads = threads

    @property
    def markup(self) -> Markup:
        """The markup of the landmarks: names, groups, mirror images, outlines."""
        return self.network.markup

    def __call__(
        self,
        image: np.ndarray,
        boxes: np.ndarray | Sequence[Sequence[float]] | None = None,
        *,
        largest_error: float | None = None,
    ) -> list[AlignedFace]:
        """Return the faces of an image, the most certain first; in the order of the boxes if given.

        image  (H, W, 3) uint8 RGB, upright
        boxes  (n, 4) x, y, w, h in px, each around the landmarks of one face and a quarter larger;
               one that is not square becomes the square on its longer side, around its centre.
               None: faces are found by the detector
        largest_error  faces with a larger expected error, see `AlignedFace`, are left out. None:
               all given boxes are faces, and what the model itself expects to get wrong by more
               than its `largest_error` is no face

        Raises DataError for another kind of image, and for a box that is not a number, has no
        extent or has less than a twentieth of its area in the image.
        """
        image = _grey_of_halftone(_checked_image(image))
        if boxes is not None:
            asked = _checked_boxes(boxes, image)
            faces = self._aligned(image, squares(asked), np.ones(len(asked)))
            limit = math.inf if largest_error is None else largest_error
        else:
            found = self._detector(image)
            faces = self._aligned(image, found.boxes, found.scores)
            limit = self.network.largest_error if largest_error is None else largest_error
        return [face for face in faces if not face.expected_error > limit]  # NaN: not known

    def prepare(self, picture: np.ndarray, box: np.ndarray) -> np.ndarray:
        """Cut the network's input: (H, W, 3) uint8 RGB, (3,) box cx, cy, side in picture px ->
        (S, S, 3) uint8."""
        return cut(picture, box, self.network.input_size, step=STEP)

    def locate(
        self, crops: Sequence[np.ndarray], boxes: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Return landmarks (B, K, 2) and covariances (B, K, 2, 2), float32 picture px, of prepared
        crops and their (B, 3) boxes; NaN where the network predicts none."""
        n = len(crops)
        unit, spread = self.network(crops[0][None] if n == 1 else np.stack(crops))
        landmarks = np.full((n, self.markup.n_points, 2), np.nan, dtype=np.float32)
        covariances = np.full((*landmarks.shape, 2), np.nan, dtype=np.float32)
        side = boxes[:, 2, None, None]
        landmarks[:, self._known] = boxes[:, None, :2] + side * (unit - 0.5)
        if spread is not None:
            covariances[:, self._known] = spread * side[..., None] ** 2
        return landmarks, covariances

    def _aligned(
        self, image: np.ndarray, boxes: np.ndarray, scores: np.ndarray
    ) -> list[AlignedFace]:
        faces = []
        for first in range(0, len(boxes), BATCH):
            part = boxes[first : first + BATCH]
            crops = [self.prepare(image, box) for box in part]
            rows = zip(*self.locate(crops, part), part, scores[first : first + BATCH], strict=True)
            faces += [
                AlignedFace(points, spread, _rectangle(box), float(score))
                for points, spread, box, score in rows
            ]
        return faces

    @functools.cached_property
    def _detector(self) -> FaceDetector:
        return FaceDetector(threads=self._threads)


def _rectangle(box: np.ndarray) -> np.ndarray:
    """(3,) cx, cy, side -> (4,) x, y, w, h."""
    cx, cy, side = box
    return np.array([cx - side / 2, cy - side / 2, side, side])


def _checked_image(image: np.ndarray) -> np.ndarray:
    image = np.asarray(image)
    if image.ndim != 3 or image.shape[2] != 3 or image.dtype != np.uint8 or not image.size:
        raise DataError(
            f"an image of shape {image.shape} and type {image.dtype} was given: images are"
            " (height, width, 3) uint8 RGB"
        )
    return image


def _grey_of_halftone(image: np.ndarray) -> np.ndarray:
    """Return the tones that a picture of black and white dots stands for, a scan of 1 bit for one;
    any other picture as it is."""
    few = image[:: max(1, len(image) // 64)]  # of nearly all pictures enough to tell
    if not (_is_halftone(few) and _is_halftone(image)):
        return image
    return cv2.GaussianBlur(image, (0, 0), HALFTONE_SIGMA)


def _is_halftone(image: np.ndarray) -> bool:
    """Return whether all values are 0 or 255."""
    counts = (cv2.calcHist([image], [channel], None, [256], [0, 256]) for channel in range(3))
    return not any(count[1:-1].any() for count in counts)


def _checked_boxes(boxes: np.ndarray | Sequence[Sequence[float]], image: np.ndarray) -> np.ndarray:
    try:
        found = np.asarray(boxes, dtype=np.float64).reshape(-1, 4)
    except (TypeError, ValueError):
        raise DataError("boxes are (n, 4) numbers x, y, w, h in pixels of the image") from None
    height, width = image.shape[:2]
    for number, (x, y, w, h) in enumerate(found.tolist()):
        what = f"box {number + 1} ({x:g}, {y:g}, {w:g}, {h:g})"
        if not np.isfinite([x, y, w, h]).all():
            raise DataError(f"{what} is not four numbers: give x, y, w, h in pixels of the image")
        if w < 1 or h < 1:
            raise DataError(f"{what} has no extent: w and h are its width and height in pixels")
        across = min(x + w, width) - max(x, 0)
        down = min(y + h, height) - max(y, 0)
        if min(across, down) <= 0 or (across / w) * (down / h) < _LEAST_INSIDE:
            raise DataError(
                f"{what} lies outside the image of {width} x {height} pixels, or nearly so: give x,"
                " y, w, h of a face that is in it"
            )
    return found
