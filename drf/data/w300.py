"""300-W as its archives unpack: afw, helen/{trainset,testset}, lfpw/{trainset,testset}, ibug, and
the test set of its challenge, 300W/{01_Indoor,02_Outdoor} or these two folders alone.

A face is a picture NAME.jpg|.jpeg|.png beside NAME.pts. The subsets:
  train        afw + helen/trainset + lfpw/trainset, as far as they are there, without `val`
  val          a fixed tenth of the training photos, by hash of the photo's name; at least one photo
  helen, lfpw  their test sets (330 and 224 faces); common is both
  challenging  ibug (135); full is common + challenging
  indoor, outdoor  the two halves (300 faces each) of the challenge's test set; private is both
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from drf.data.dataset import Face, Source, Subset, refuse_if_too_many_bad
from drf.data.picture_files import MOST_PICTURE_BYTES, decode_picture, map_pictures
from drf.data.pts import read_pts, visibility_of
from drf.data.user_files import is_utf8, printable, read_bytes
from drf.errors import DataError
from drf.landmarks.markup import IBUG68

TRAINING_FOLDERS = ("afw", "helen/trainset", "lfpw/trainset")
INDOOR, OUTDOOR = "01_Indoor", "02_Outdoor"
PRIVATE_ARCHIVE = "300W"
"""Folder that the archive of the challenge's test set unpacks to; it may be left out."""

TEST_SIZES = {"helen/testset": 330, "lfpw/testset": 224, "ibug": 135, INDOOR: 300, OUTDOOR: 300}
"""Faces of each test folder in the original set: results on fewer do not compare."""

TEST_SUBSETS: dict[str, tuple[str, ...]] = {
    "helen": ("helen/testset",),
    "lfpw": ("lfpw/testset",),
    "common": ("lfpw/testset", "helen/testset"),
    "challenging": ("ibug",),
    "full": ("lfpw/testset", "helen/testset", "ibug"),
    "private": (INDOOR, OUTDOOR),
    "indoor": (INDOOR,),
    "outdoor": (OUTDOOR,),
}
PRIVATE_SUBSETS = ("private", "indoor", "outdoor")
"""Those of the challenge's test set, which was kept back until the challenge had ended."""

SUBSETS = ("train", "val", *TEST_SUBSETS)
FOLDERS = (*TRAINING_FOLDERS, *TEST_SIZES)

PICTURE_SUFFIXES = (".png", ".bmp", ".tif", ".tiff", ".webp", ".jpg", ".jpeg")
"""In order of preference: where a mirror holds two copies of a picture, the lossless one counts."""

# In AFW and Helen NAME_k is face k of photo NAME (Helen even holds some faces twice, as two k);
# in LFPW's image_0001 the number is the photo's own.
_SEVERAL_FACES_A_PHOTO = ("afw", "helen")
_FACE_NUMBER = re.compile(r"_\d+$")
_MIRRORED = "_mirror"


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
        self._val_rank: int | None = None
        try:
            if not _present(root):
                raise DataError(_explain_root(root))
        except OSError as error:
            raise DataError(f"{root} cannot be read ({error.strerror})") from None

    @classmethod
    def open(cls, source: Source) -> W300:
        """Return the dataset in the folder of a source. Raises UsageError where none is named."""
        return cls(source.required_root(cls.name))

    def subset_names(self) -> tuple[str, ...]:
        """Return the names that `subset` knows."""
        return SUBSETS

    def default_test_subset(self) -> str:
        """Return the first of full, common, helen, lfpw, challenging, private, indoor and outdoor
        whose files are all there. Raises DataError where there is none."""
        for name in ("full", "common", "helen", "lfpw", "challenging", *PRIVATE_SUBSETS):
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
                points = read_pts(pair[1])
                faces.append(Face(face_name, photo_of(face_name), points, visibility_of(points)))
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
            digest.update(repr((face_name, [size_and_time(path) for path in pair or ()])).encode())
        return digest.hexdigest()

    def picture(self, face: Face) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB picture as stored. Raises as `decode_picture`."""
        return decode_picture(self._pair(face)[0])

    def pictures(self, faces: Sequence[Face]) -> Iterator[np.ndarray | DataError]:
        """Yield the picture of each face, in order, or why there is none: see `map_pictures`."""
        paths = [self._pair(face)[0] for face in faces]
        return map_pictures(paths, lambda _, picture: picture)

    def source(self, face: Face) -> bytes:
        """Return the points and the bytes of the picture's file. Raises DataError if unreadable."""
        return face.points.astype("<f4").tobytes() + read_bytes(
            self._pair(face)[0], MOST_PICTURE_BYTES
        )

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
                self._folders[name] = list_folder(self.path_of(name), name)
            except OSError as error:
                path = self.path_of(name)
                raise DataError(f"{path} cannot be read ({error.strerror})") from None
        return self._folders[name]

    def path_of(self, folder: str) -> Path:
        """Return where a folder of the layout (a member of FOLDERS) lies, or would."""
        return _path_of(self.root, folder)

    def folders_of(self, subset: str) -> tuple[str, ...]:
        """Return the folders of a subset that are there."""
        return tuple(folder for folder in all_folders(subset) if self.path_of(folder).is_dir())

    def members(self, subset: str) -> Iterator[tuple[str, tuple[Path, Path] | None]]:
        """Yield (face name, (picture, .pts)) of what is there; None where one is missing."""
        for folder_name in self.folders_of(subset):
            folder = self.folder(folder_name)
            for name in sorted(folder.pairs.keys() | folder.orphans.keys()):
                if subset in TEST_SUBSETS or self._in_val(name) == (subset == "val"):
                    yield name, folder.pairs.get(name)

    def _in_val(self, name: str) -> bool:
        """Return whether a training face belongs to `val`: `in_val` of its photo; of a set so small
        that this leaves `val` or `train` empty, whether its photo is the one that comes first."""
        photo, only = photo_of(name), self._only_val_rank()
        return in_val(photo) if only < 0 else photo_rank(photo) == only

    def _only_val_rank(self) -> int:
        """Return the rank of the only photo of `val` in a small set, -1 where the hash divides the
        photos."""
        if self._val_rank is None:
            folders = [f for f in TRAINING_FOLDERS if (self.root / f).is_dir()]
            photos = {photo_of(name) for f in folders for name in self.folder(f).pairs}
            ranks = set(map(photo_rank, photos))
            undivided = len(ranks) > 1 and len(set(map(in_val, photos))) == 1
            self._val_rank = min(ranks) if undivided else -1
        return self._val_rank

    def missing(self, subset: str) -> list[str]:
        """Return what a test subset lacks of the original set: a phrase per incomplete folder."""
        phrases = []
        for name in TEST_SUBSETS[subset]:
            folder, size = self.folder(name), TEST_SIZES[name]
            if not self.path_of(name).is_dir():
                phrases.append(f"{name} is missing ({size} faces)")
            elif len(folder.pairs) != size:
                phrase = f"{name} holds {len(folder.pairs)} of {size} faces"
                if extra := too_many(name, folder):
                    phrase += f" (not of the original set: {', '.join(extra)})"
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


def size_and_time(path: Path) -> tuple[int, int] | None:
    """Return size and time of change of a file, None where it has gone or is a link to nothing."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_size, found.st_mtime_ns


def list_folder(path: Path, name: str) -> Folder:
    """Return the faces of a folder, each called name/STEM, or STEM where the name is "". Files that
    other programs leave behind (._NAME, .DS_Store, NAME.jpg~, a single "NAME (1).jpg") are none,
    and a name that is no UTF-8 costs its own face alone."""
    prefix = f"{name}/" if name else ""
    files = sorted(path.iterdir()) if path.is_dir() else []
    files = [file for file in files if not file.name.startswith(".")]
    unnamed = [file for file in files if not is_utf8(file.name)]
    files = [file for file in files if is_utf8(file.name)]
    pictures: dict[str, Path] = {}
    for suffix in reversed(PICTURE_SUFFIXES):  # the preferred one is written last
        pictures |= {f.stem: f for f in files if f.suffix.lower() == suffix}
    points = {f.stem: f for f in files if f.suffix.lower() == ".pts"}
    stems = {s for s in pictures.keys() | points.keys() if not s.endswith(_MIRRORED)}
    pairs: dict[str, tuple[Path, Path]] = {}
    orphans: dict[str, str] = {
        prefix + printable(file.stem): "its name is not UTF-8; rename it"
        for file in unnamed
        if file.suffix.lower() in (".pts", *PICTURE_SUFFIXES)
    }
    for stem in sorted(stems):
        if stem in pictures and stem in points:
            pairs[prefix + stem] = pictures[stem], points[stem]
        elif _copy_of(stem) not in stems:
            orphans[prefix + stem] = f"its {'.pts' if stem in pictures else 'picture'} is missing"
    return Folder(pairs, orphans)


_COPY = re.compile(r"(?:Copy of )?(.*?)(?: \(\d+\)| - Copy(?: \(\d+\))?| copy(?: \d+)?)?")


def _copy_of(stem: str) -> str | None:
    """Return the name of which browsers and file managers make this one where they copy a file:
    "NAME (1)", "NAME - Copy", "Copy of NAME"; None for any other name."""
    found = _COPY.fullmatch(stem)
    return found[1] if found and found[1] != stem else None


_ORIGINAL_NAMES = {
    "helen/testset": re.compile(r"\d+_\d+"),
    "lfpw/testset": re.compile(r"image_\d{4}"),
    "ibug": re.compile(r"image_\d{3}(_\d+)?"),
    INDOOR: re.compile(r"indoor_\d{3}"),
    OUTDOOR: re.compile(r"outdoor_\d{3}"),
}


def too_many(name: str, folder: Folder) -> list[str]:
    """Return up to three faces that a test folder holds beyond its known size: those whose names
    are not of its kind; where all are, those whose picture was changed last."""
    surplus = len(folder.pairs) - TEST_SIZES[name]
    if surplus <= 0:
        return []
    stems = {face: face.rpartition("/")[2] for face in folder.pairs}
    odd = [face for face, stem in stems.items() if not _ORIGINAL_NAMES[name].fullmatch(stem)]
    changed = {f: (size_and_time(picture) or (0, 0))[1] for f, (picture, _) in folder.pairs.items()}
    newest = sorted(folder.pairs, key=lambda face: -changed[face])
    return [stems[face] for face in (odd or newest)[: min(surplus, 3)]]


def all_folders(subset: str) -> tuple[str, ...]:
    """Return the folders of a subset in the original layout."""
    return TEST_SUBSETS.get(subset, TRAINING_FOLDERS)


def photo_of(face_name: str) -> str:
    """Return the photograph that a face was cut from: "afw/134212_2" -> "afw/134212"."""
    if face_name.partition("/")[0] in _SEVERAL_FACES_A_PHOTO:
        return _FACE_NUMBER.sub("", face_name)
    return face_name


def in_val(photo: str) -> bool:
    """Return whether a training photo belongs to `val`: its rank modulo 10 is 0."""
    return photo_rank(photo) % 10 == 0


def photo_rank(photo: str) -> int:
    """Return the number that decides on the subset of a training photo: the first 8 bytes of the
    sha256 of its name, big-endian.

    The name is hashed without its folder. AFW and Helen both name photos by their Flickr number, so
    a photo that stands in both falls on one side.
    """
    digest = hashlib.sha256(photo.rpartition("/")[2].encode()).digest()
    return int.from_bytes(digest[:8], "big")


def _path_of(root: Path, folder: str) -> Path:
    inside = root / PRIVATE_ARCHIVE / folder
    return inside if folder in (INDOOR, OUTDOOR) and inside.is_dir() else root / folder


def _present(root: Path) -> list[str]:
    return [folder for folder in FOLDERS if _path_of(root, folder).is_dir()]


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
