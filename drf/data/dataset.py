"""What a dataset is to the rest of the code: named subsets of faces, and the picture of each face."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class Face:
    """One annotated face.

    name    unique in its dataset, e.g. "helen/testset/232194_1"
    photo   the photograph it was cut from; two faces of one photo never stand in train and val
    points  (68, 2) float32, 0-based picture px, pixel centres at integers
    """

    name: str
    photo: str
    points: np.ndarray


@dataclass(frozen=True)
class Subset:
    """The faces of one subset that could be read, in a fixed order, and those that could not.

    fingerprint  changes whenever the files behind the subset change; cheap to compute
    skipped      name -> reason, one sentence each
    """

    dataset: str
    name: str
    faces: tuple[Face, ...]
    fingerprint: str
    skipped: dict[str, str] = field(default_factory=dict)


class Dataset(Protocol):
    """A source of faces."""

    name: str

    def subset_names(self) -> tuple[str, ...]:
        """Return the names that `subset` knows."""
        ...

    def subset(self, name: str) -> Subset:
        """Return a subset. Raises DataError that names what is missing."""
        ...

    def picture(self, face: Face) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB picture. Raises DataError if it cannot be decoded."""
        ...
