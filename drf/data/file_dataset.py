"""What datasets share whose faces are listed, with their landmarks, when they are opened."""

from __future__ import annotations

import hashlib
import json
import logging
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TypeAlias

import numpy as np

from drf.data.dataset import Face, Subset, refuse_if_too_many_bad
from drf.data.picture_files import Place, content_at, file_at, map_pictures, picture_at
from drf.data.pts import visibility_of
from drf.data.w300 import size_and_time
from drf.errors import DataError
from drf.landmarks.markup import HIDDEN, MISSING, VISIBLE, Markup

_log = logging.getLogger(__name__)

TRAIN, VAL = "train", "val"
"""Every other subset is a test subset."""


Box: TypeAlias = tuple[float, float, float, float]
"""x, y, w, h in 0-based picture px, as a box file has it (`drf.data.boxes`)."""


@dataclass(frozen=True)
class Entry:
    """What the files say of one face.

    picture  where it is; None where there is none
    face     None where it has no usable landmarks
    fault    why one of them is None, a phrase
    box      what the dataset gives as the face's box; None where it gives none
    """

    picture: Place | None
    face: Face | None
    fault: str = ""
    box: Box | None = None


class FileDataset:
    """A dataset of picture files whose landmarks were read when it was opened.

    entries  face name -> what the files say of it
    subsets  subset -> the names of its faces, in order
    sizes    subset -> its faces in the original set, where it has one
    """

    def __init__(
        self,
        name: str,
        markup: Markup,
        root: Path,
        entries: Mapping[str, Entry],
        subsets: Mapping[str, Sequence[str]],
        sizes: Mapping[str, int] | None = None,
    ) -> None:
        self.name = name
        self.markup = markup
        self.root = root
        self.origin = str(root.resolve())
        self.entries = entries
        self.subsets = subsets
        self.sizes = sizes or {}

    def subset_names(self) -> tuple[str, ...]:
        """Return the names that `subset` knows."""
        return tuple(self.subsets)

    def default_test_subset(self) -> str:
        """Return the first test subset that has faces. Raises DataError where there is none."""
        for name, faces in self.subsets.items():
            if name not in (TRAIN, VAL) and faces:
                return name
        raise DataError(f"{self.name} has no test subset with faces in {self.root}")

    def members(self, subset: str) -> Sequence[str]:
        """Return the names of a subset's faces. Raises DataError for an unknown subset."""
        if subset not in self.subsets:
            known = ", ".join(self.subsets)
            raise DataError(f"{self.name} has no subset {subset!r}: use one of {known}")
        return self.subsets[subset]

    def lack(self, subset: str) -> str | None:
        """Return how a subset differs from the original one: "test has 50 of 2500 faces"."""
        found, size = len(self.members(subset)), self.sizes.get(subset)
        return None if size in (None, found) else f"{subset} has {found} of {size} faces"

    def subset(self, name: str) -> Subset:
        """Return a subset; a face without usable files lands in `skipped`.

        Raises DataError for an unknown name, and where more than 1 % of the faces are unusable.
        """
        if lack := self.lack(name):
            _log.warning("%s: %s; published results are on all of them", self.name, lack)
        entries = {member: self.entries[member] for member in self.members(name)}
        skipped = {member: entry.fault for member, entry in entries.items() if entry.fault}
        faces = [e.face for e in entries.values() if e.face is not None and not e.fault]
        refuse_if_too_many_bad(f"subset {name!r} of {self.name}", len(faces), skipped)
        return Subset(self.name, name, tuple(faces), skipped)

    def fingerprint(self, name: str) -> str:
        """Return a digest of a subset's landmarks, their markup, and sizes and times of the
        pictures. Raises DataError for an unknown name."""
        digest = hashlib.sha256(json.dumps(self.markup.as_dict()).encode())
        for member in self.members(name):
            entry = self.entries[member]
            points = b"" if entry.face is None else entry.face.points.tobytes()
            stamp = None if entry.picture is None else size_and_time(file_at(entry.picture))
            digest.update(repr((member, entry.fault, stamp)).encode() + points)
        return digest.hexdigest()

    def picture(self, face: Face) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB picture as stored. Raises DataError if there is none."""
        return picture_at(self._picture_of(face)).decode()

    def pictures(self, faces: Sequence[Face]) -> Iterator[np.ndarray | DataError]:
        """Yield the picture of each face, in order, or why there is none: see `map_pictures`."""
        return map_pictures([self._picture_of(face) for face in faces], lambda _, picture: picture)

    def source(self, face: Face) -> bytes:
        """Return the points and the bytes of the picture's file. Raises DataError if unreadable."""
        points = np.nan_to_num(face.points, nan=-1e6).astype("<f4").tobytes()
        return points + content_at(self._picture_of(face))

    def has_face(self, name: str) -> bool:
        """Return whether a face of this name is listed, usable or not."""
        return name in self.entries

    def _picture_of(self, face: Face) -> Place:
        picture = self.entries[face.name].picture
        assert picture is not None, "a face is made with its picture"
        return picture


def labelled(name: str, photo: str, points: np.ndarray, hidden: np.ndarray | None = None) -> Face:
    """Return a face of points (K, 2) px, NaN where missing. hidden: (K,) bool, which of them are
    annotated where something covers them; None where that is not known."""
    points = points.astype(np.float32)
    seen = visibility_of(points)
    if hidden is not None and hidden.any():
        seen = np.full(len(points), VISIBLE, np.uint8) if seen is None else seen
        seen[hidden & (seen != MISSING)] = HIDDEN
    return Face(name, photo, points, seen)


def drawn(photos: Iterable[str], share: float, seed: int = 0) -> set[str]:
    """Return a share of photos, at least one: the first by a hash of the seed and their name.

    The choice depends on the names alone, so that it is the same on every machine.
    """

    def rank(photo: str) -> bytes:
        return hashlib.sha256(f"{seed}/{photo}".encode()).digest()

    ranked = sorted(set(photos), key=rank)
    return set(ranked[: max(1, round(share * len(ranked)))])
