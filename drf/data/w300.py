"""300-W as its archives unpack: afw, helen/{trainset,testset}, lfpw/{trainset,testset}, ibug.

A face is a picture NAME.jpg|.jpeg|.png beside NAME.pts. The subsets:
  train        afw + helen/trainset + lfpw/trainset, as far as they are there, without `val`
  val          a fixed tenth of the training photos, by hash of the photo's name
  helen, lfpw  their test sets (330 and 224 faces); common is both
  challenging  ibug (135); full is common + challenging
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np

from drf.data.dataset import Face, Subset, prefetch_map, refuse_if_too_many_bad
from drf.data.pts import read_pts
from drf.errors import DataError
from drf.markup import IBUG68

TRAINING_FOLDERS = ("afw", "helen/trainset", "lfpw/trainset")
TEST_SIZES = {"helen/testset": 330, "lfpw/testset": 224, "ibug": 135}
"""Faces of each test folder in the original set: results on fewer do not compare."""

TEST_SUBSETS: dict[str, tuple[str, ...]] = {
    "helen": ("helen/testset",),
    "lfpw": ("lfpw/testset",),
    "common": ("lfpw/testset", "helen/testset"),
    "challenging": ("ibug",),
    "full": ("lfpw/testset", "helen/testset", "ibug"),
}
SUBSETS = ("train", "val", *TEST_SUBSETS)
FOLDERS = (*TRAINING_FOLDERS, *TEST_SIZES)

PICTURE_SUFFIXES = (".png", ".jpg", ".jpeg")
"""In order of preference: where a mirror holds two copies of a picture, the lossless one counts."""

# In AFW and Helen NAME_k is face k of photo NAME (Helen even holds some faces twice, as two k);
# in LFPW's image_0001 the number is the photo's own.
_SEVERAL_FACES_A_PHOTO = ("afw", "helen")
_FACE_NUMBER = re.compile(r"_\d+$")
_MIRRORED = "_mirror"
_THREADS = 2

# The points were made on the pictures as stored: honouring the EXIF orientation would turn some.
_DECODE = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_IGNORE_ORIENTATION


@dataclass(frozen=True)
class Folder:
    """What one folder of the layout holds, sorted by name.

    pairs    face name -> its (picture, .pts)
    orphans  face name -> which of the two is missing
    """

    pairs: dict[str, tuple[Path, Path]]
    orphans: dict[str, str]


class W300:
    """The 300-W dataset, or a part of it, under a root folder.

    Raises DataError if root is not a folder that holds at least one folder of the layout.
    """

    name = "300w"
    markup = IBUG68

    def __init__(self, root: Path) -> None:
        self.root = root
        self.origin = str(root.resolve())
        self._folders: dict[str, Folder] = {}
        try:
            if not _present(root):
                raise DataError(_explain_root(root))
        except OSError as error:
            raise DataError(f"{root} cannot be read ({error.strerror})") from None

    def subset_names(self) -> tuple[str, ...]:
        """Return the names that `subset` knows."""
        return SUBSETS

    def default_test_subset(self) -> str:
        """Return the largest test subset whose files are all there."""
        for name in ("full", "common", "helen", "lfpw", "challenging"):
            if not self.missing(name):
                return name
        raise DataError(
            f"300w has no complete test subset in {self.root}: {'; '.join(self.missing('full'))}"
        )

    def subset(self, name: str) -> Subset:
        """Return a subset, its faces in the order of their folders and names.

        A face that cannot be read lands in `skipped`. Raises DataError for an unknown name, for a
        subset whose files are not all there, and where more than 1 % of the faces cannot be read.
        """
        faces: list[Face] = []
        skipped: dict[str, str] = {}
        for face_name, pair in self._required(name):
            if pair is None:
                skipped[face_name] = self.folder(face_name.rpartition("/")[0]).orphans[face_name]
                continue
            try:
                faces.append(Face(face_name, photo_of(face_name), read_pts(pair[1])))
            except DataError as error:
                skipped[face_name] = str(error)
        refuse_if_too_many_bad(f"subset {name!r} of 300w", len(faces), skipped)
        return Subset(self.name, name, tuple(faces), skipped)

    def fingerprint(self, name: str) -> str:
        """Return a digest of the names, sizes and times of a subset's files.

        Raises DataError for an unknown name and for a subset whose files are not all there.
        """
        digest = hashlib.sha256()
        for face_name, pair in self._required(name):
            stats = [path.stat() for path in pair or ()]
            digest.update(repr((face_name, [(s.st_size, s.st_mtime_ns) for s in stats])).encode())
        return digest.hexdigest()

    def picture(self, face: Face) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB picture as stored. Raises DataError as `decode`."""
        return decode(self._pair(face)[0])

    def pictures(self, faces: Sequence[Face]) -> Iterator[np.ndarray | DataError]:
        """Yield the picture of each face, in order, or why there is none. Two threads decode."""

        def read(face: Face) -> np.ndarray | DataError:
            try:
                return self.picture(face)
            except DataError as error:
                return error

        with ThreadPoolExecutor(_THREADS) as threads:
            yield from prefetch_map(threads, read, faces, ahead=2 * _THREADS)

    def source(self, face: Face) -> bytes:
        """Return the points and the bytes of the picture's file. Raises DataError if unreadable."""
        return face.points.astype("<f4").tobytes() + _read_bytes(self._pair(face)[0])

    def has_face(self, name: str) -> bool:
        """Return whether a picture or a .pts of this name is there, in whichever subset."""
        folder_name = name.rpartition("/")[0]
        if folder_name not in FOLDERS:
            return False
        folder = self.folder(folder_name)
        return name in folder.pairs or name in folder.orphans

    def folder(self, name: str) -> Folder:
        """Return what a folder of the layout (a member of FOLDERS) held when first asked for."""
        if name not in self._folders:
            try:
                self._folders[name] = _list(self.root, name)
            except OSError as error:
                raise DataError(f"{self.root / name} cannot be read ({error.strerror})") from None
        return self._folders[name]

    def folders_of(self, subset: str) -> tuple[str, ...]:
        """Return the folders of a subset that are there."""
        return tuple(folder for folder in all_folders(subset) if (self.root / folder).is_dir())

    def members(self, subset: str) -> Iterator[tuple[str, tuple[Path, Path] | None]]:
        """Yield (face name, (picture, .pts)) of what is there; None where one is missing."""
        for folder_name in self.folders_of(subset):
            folder = self.folder(folder_name)
            for name in sorted(folder.pairs.keys() | folder.orphans.keys()):
                if subset in TEST_SUBSETS or in_val(photo_of(name)) == (subset == "val"):
                    yield name, folder.pairs.get(name)

    def missing(self, subset: str) -> list[str]:
        """Return what a test subset lacks of the original set: a phrase per incomplete folder."""
        phrases = []
        for name in TEST_SUBSETS[subset]:
            folder, size = self.folder(name), TEST_SIZES[name]
            if not (self.root / name).is_dir():
                phrases.append(f"{name} is missing ({size} faces)")
            elif len(folder.pairs) != size:
                phrase = f"{name} holds {len(folder.pairs)} of {size} faces"
                for face, lack in list(folder.orphans.items())[:1]:
                    phrase += f" (of {face.rpartition('/')[2]} {lack})"
                phrases.append(phrase)
        return phrases

    def _required(self, name: str) -> Iterator[tuple[str, tuple[Path, Path] | None]]:
        """Return the members of a subset. Raises DataError if files of it are not there."""
        if name not in SUBSETS:
            raise DataError(f"300w has no subset {name!r}: use one of {', '.join(SUBSETS)}")
        if name in TEST_SUBSETS and (missing := self.missing(name)):
            raise DataError(
                f"subset {name!r} of 300w is not all there: {'; '.join(missing)}; "
                f"unpack the original archives into {self.root}"
            )
        if not self.folders_of(name):
            raise DataError(
                f"300w has no training faces in {self.root}: "
                f"unpack at least one of {', '.join(TRAINING_FOLDERS)} there"
            )
        return self.members(name)

    def _pair(self, face: Face) -> tuple[Path, Path]:
        return self.folder(face.name.rpartition("/")[0]).pairs[face.name]


def _list(root: Path, name: str) -> Folder:
    path = root / name
    files = sorted(path.iterdir()) if path.is_dir() else []
    pictures: dict[str, Path] = {}
    for suffix in reversed(PICTURE_SUFFIXES):  # the preferred one is written last
        pictures |= {f.stem: f for f in files if f.suffix.lower() == suffix}
    points = {f.stem: f for f in files if f.suffix.lower() == ".pts"}
    stems = [s for s in pictures.keys() | points.keys() if not s.endswith(_MIRRORED)]
    pairs: dict[str, tuple[Path, Path]] = {}
    orphans: dict[str, str] = {}
    for stem in sorted(stems):
        if stem in pictures and stem in points:
            pairs[f"{name}/{stem}"] = pictures[stem], points[stem]
        else:
            orphans[f"{name}/{stem}"] = (
                f"its {'.pts' if stem in pictures else 'picture'} is missing"
            )
    return Folder(pairs, orphans)


def all_folders(subset: str) -> tuple[str, ...]:
    """Return the folders of a subset in the original layout."""
    return TEST_SUBSETS.get(subset, TRAINING_FOLDERS)


def photo_of(face_name: str) -> str:
    """Return the photograph that a face was cut from: "afw/134212_2" -> "afw/134212"."""
    if face_name.partition("/")[0] in _SEVERAL_FACES_A_PHOTO:
        return _FACE_NUMBER.sub("", face_name)
    return face_name


def in_val(photo: str) -> bool:
    """Return whether a training photo belongs to `val`: sha256 of its name modulo 10 is 0.

    The name is hashed without its folder. AFW and Helen both name photos by their Flickr number, so
    a photo that stands in both falls on one side.
    """
    digest = hashlib.sha256(photo.rpartition("/")[2].encode()).digest()
    return int.from_bytes(digest[:8], "big") % 10 == 0


def decode(path: Path) -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB pixels of a picture file, whatever its EXIF orientation says.

    Raises DataError for a file that cannot be read, is truncated or is no picture.
    """
    data = _read_bytes(path)
    pixels = cv2.imdecode(np.frombuffer(data, np.uint8), _DECODE) if data else None
    if pixels is None:
        raise DataError(f"{path.name} is truncated or not a picture")
    return pixels


def _read_bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DataError(f"{path.name} cannot be read ({error.strerror})") from None


def _present(root: Path) -> list[str]:
    return [folder for folder in FOLDERS if (root / folder).is_dir()]


def _explain_root(root: Path) -> str:
    """Return one sentence: what stands at root instead of 300-W, and which folder to name."""
    layout = f"300-W is laid out as {', '.join(FOLDERS)}"
    if not root.exists():
        return f"no folder {root}: name the one that holds 300-W ({layout})"
    if not root.is_dir():
        return f"{root} is a file: unpack it and name the folder ({layout})"
    above = root.resolve().parents[:2]
    below = sorted(child for child in root.iterdir() if child.is_dir())
    for candidate in (*above, *below):
        if found := _present(candidate):
            held = ", ".join(found)
            return f"{root} is not the root of 300-W: name {candidate}, which holds {held}"
    held = ", ".join(child.name for child in sorted(root.iterdir())[:5]) or "nothing"
    return f"{root} holds {held} and no folder of 300-W: {layout}"
