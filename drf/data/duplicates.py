"""Finding one photograph in two places, even re-encoded, resized or annotated anew.

A signature is the face's gt-box crop, 32 x 32 gray, with zero mean and unit length; the similarity
of two faces is the dot product of their signatures. On the 2342 faces measured for this, different
photos stayed below 0.92, and everything above 0.93 was one photo: other sizes, contrasts, captions.
"""

from __future__ import annotations

from typing import NamedTuple

import cv2
import numpy as np

from drf.data import crops
from drf.data.boxes import gt_boxes

SIGNATURE_SIZE = 32
SAME_PHOTO = 0.95
"""Similarity from which on two faces count as one photo."""


class Pair(NamedTuple):
    """Two names for one photo."""

    name: str
    other: str


def signature(picture: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Return the (1024,) float32 signature of a face; all zeros for a crop without contrast.

    picture: (H, W, 3) uint8 RGB; points: (K, 2) px.
    """
    crop = crops.cut(picture, gt_boxes(points[None])[0], SIGNATURE_SIZE)
    gray = cv2.cvtColor(crop, cv2.COLOR_RGB2GRAY).astype(np.float32).ravel()
    gray -= gray.mean()
    length = np.linalg.norm(gray)
    return gray / length if length > 0 else gray


def same_photo(a: dict[str, np.ndarray], b: dict[str, np.ndarray]) -> list[Pair]:
    """Return each face of a with its most similar face of b, where the two are one photo.

    a, b: face name -> signature.
    """
    if not a or not b:
        return []
    names, others = list(a), list(b)
    similarity = np.stack(list(a.values())) @ np.stack(list(b.values())).T  # (len(a), len(b))
    nearest = similarity.argmax(axis=1)
    found = np.flatnonzero(similarity[np.arange(len(names)), nearest] >= SAME_PHOTO)
    return [Pair(names[i], others[nearest[i]]) for i in found]


def same_content(a: dict[str, str], b: dict[str, str]) -> list[Pair]:
    """Return each face of a with a face of b whose picture file is identical.

    a, b: face name -> digest of the picture file. Faces of one photo may share a file, but a test
    face shares none with training.
    """
    by_digest = {digest: name for name, digest in b.items()}
    return [Pair(name, by_digest[digest]) for name, digest in a.items() if digest in by_digest]
