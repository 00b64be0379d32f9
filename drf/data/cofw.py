"""COFW as its archives unpack: COFW_train_color.mat and COFW_test_color.mat, or the grey ones
without `_color`, in the root or in a folder of it. The files are MATLAB 7.3, which is HDF5.

Each holds, with Tr for the training and T for the test faces (n of them; MATLAB's dimensions, which
HDF5 has in reverse):
  IsTr, IsT          n cells, each a picture (height, width, 3) or (height, width), uint8
  phisTr, phisT      n x 87: 29 x, 29 y, in 1-based px, and 29 flags, 1 where a landmark is occluded
  bboxesTr, bboxesT  n x 4: x, y, width, height of a face detector's box

The subsets:
  train, val  the training faces (1345, 845 of them LFPW's); val is a tenth, by hash of the name
  test        the test faces (507)
An occluded landmark is hidden: it has a place, and counts. A face is called PART/NUMBER as in the
files, e.g. "test/0001".
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from drf.data.dataset import Source
from drf.data.file_dataset import TRAIN, VAL, Box, Entry, FileDataset, drawn, labelled
from drf.data.picture_files import MOST_DECODING_BYTES
from drf.data.pts import check_points, without_placeholders
from drf.data.user_files import printable
from drf.errors import DataError, UsageError
from drf.landmarks.markup import COFW29

if TYPE_CHECKING:
    import h5py

NAME = "cofw"
VAL_SHARE = 0.1
TRAIN_SIZE, TEST_SIZE = 1345, 507
SIZES = {TRAIN: TRAIN_SIZE - 134, VAL: 134, "test": TEST_SIZE}
"""Faces of each subset in the original set."""

_PARTS = {TRAIN: "Tr", "test": "T"}
"""Part -> what the names of its variables end in."""

_FILES = ("COFW_{}_color.mat", "COFW_{}.mat")
_K = COFW29.n_points
_MOST_FACES = 100_000
_BYTES_A_PIXEL = 6  # the array that is read, and its three channels
_KNOWN_FILTERS = {1, 2, 3}  # deflate, shuffle, checksum: what MATLAB writes, and no plug-in


class COFW(FileDataset):
    """The COFW dataset, or one of its two parts, under a root folder."""

    @classmethod
    def open(cls, source: Source) -> COFW:
        """Return the dataset in the folder of a source.

        Raises UsageError where none is named, or h5py is missing; DataError where the folder has
        neither of the two files, and for a file that is none of COFW's.
        """
        root = source.required_root(NAME)
        files = {part: _find(root, part) for part in _PARTS}
        if not any(files.values()):
            raise DataError(
                f"{root} is not the root of COFW: it holds neither {_FILES[0].format('train')} nor"
                f" {_FILES[0].format('test')}"
            )
        entries: dict[str, Entry] = {}
        for part, path in files.items():
            entries |= dict(_read(path, part)) if path else {}
        names = {part: [n for n in entries if n.startswith(f"{part}/")] for part in _PARTS}
        val = drawn(names[TRAIN], VAL_SHARE) if len(names[TRAIN]) > 1 else set()
        subsets = {
            TRAIN: [name for name in names[TRAIN] if name not in val],
            VAL: [name for name in names[TRAIN] if name in val],
            "test": names["test"],
        }
        return cls(NAME, COFW29, root, entries, subsets, SIZES)


@dataclass(frozen=True)
class _Picture:
    """One picture in a file: see `picture_files.Inside`. number: its place there, from 0."""

    file: Path
    variable: str
    number: int

    def read(self) -> _Pixels:
        with _opened(self.file) as held:
            cells = _array(held, self.variable, self.file)
            reference = cells[()].ravel()[self.number]
            if not reference:
                raise DataError(f"picture {self.number + 1} of {self._name} is not there")
            found = held[reference]
            _refuse_foreign(found, self.variable, self.file)
            shape, kind = found.shape, found.dtype
            if kind != np.uint8 or len(shape) not in (2, 3) or (len(shape) == 3 and shape[0] != 3):
                raise DataError(
                    f"picture {self.number + 1} of {self._name} has shape {shape} and type {kind}"
                    " instead of (3, width, height) or (width, height) and uint8"
                )
            pixels = _BYTES_A_PIXEL * int(np.prod(shape[-2:], dtype=np.int64))
            if not 0 < pixels <= MOST_DECODING_BYTES:
                raise DataError(
                    f"picture {self.number + 1} of {self._name} is {shape[-2]} x {shape[-1]} pixels"
                )
            return _Pixels(np.ascontiguousarray(found[()].T))

    def content(self) -> bytes:
        pixels = self.read().stored
        return repr(pixels.shape).encode() + pixels.tobytes()

    @property
    def _name(self) -> str:
        return printable(self.file.name)


@dataclass(frozen=True)
class _Pixels:
    """A picture that was read: (H, W, 3) or (H, W) uint8."""

    stored: np.ndarray

    @property
    def decoding_bytes(self) -> int:
        return _BYTES_A_PIXEL * self.stored.shape[0] * self.stored.shape[1]

    def decode(self) -> np.ndarray:
        grey = self.stored.ndim == 2
        return np.repeat(self.stored[..., None], 3, axis=2) if grey else self.stored


def _find(root: Path, part: str) -> Path | None:
    folders = [root, *sorted(p for p in root.glob("*") if p.is_dir())] if root.is_dir() else []
    places = (folder / name.format(part) for name in _FILES for folder in folders)
    return next((path for path in places if path.is_file()), None)


def _read(path: Path, part: str) -> Iterator[tuple[str, Entry]]:
    """Yield the faces of a file. Raises DataError for a file that is none of COFW's; a face whose
    landmarks are unusable costs itself alone."""
    ending = _PARTS[part]
    pictures, phis, bboxes = f"Is{ending}", f"phis{ending}", f"bboxes{ending}"
    with _opened(path) as held:
        cells, labels = _array(held, pictures, path), _array(held, phis, path)
        n = cells.size
        if (
            labels.shape != (3 * _K, n)
            or labels.dtype.kind not in "fiu"
            or not 0 < n <= _MOST_FACES
        ):
            raise DataError(
                f"{printable(path.name)}: {phis} has shape {labels.shape} and {pictures}"
                f" {cells.shape} instead of ({3 * _K}, n) and (1, n), as COFW has them"
            )
        values = labels[()].T.astype(np.float64)
        boxes = _boxes(held, bboxes, n, path)
    for i, row in enumerate(values):
        name = f"{part}/{i + 1:04d}"
        picture = _Picture(path, pictures, i)
        box = None if boxes is None else boxes[i]
        try:
            yield name, Entry(picture, _face(name, row), box=box)
        except DataError as error:
            yield name, Entry(picture, None, f"it {error}", box)


def _face(name: str, row: np.ndarray) -> Any:
    points = row[: 2 * _K].reshape(2, _K).T
    points = without_placeholders(points) - 1
    if not (np.abs(points[np.isfinite(points)]) < 1e6).all() or np.isinf(points).any():
        raise DataError("has a coordinate that is no place in a picture")
    points[np.isnan(points).any(axis=1)] = np.nan
    check_points(points, COFW29)
    return labelled(name, name, points, row[2 * _K :] > 0.5)


def _boxes(held: h5py.File, name: str, n: int, path: Path) -> list[Box] | None:
    """Return the boxes of a file, 0-based; None where it has none."""
    if name not in held:
        return None
    found = _array(held, name, path)
    if found.shape != (4, n) or found.dtype.kind not in "fiu":
        raise DataError(f"{printable(path.name)}: {name} has shape {found.shape}, not (4, {n})")
    return [(x - 1, y - 1, w, h) for x, y, w, h in found[()].T.astype(np.float64).tolist()]


@contextmanager
def _opened(path: Path) -> Iterator[h5py.File]:
    """Open a file. Raises UsageError without h5py, DataError for a file that is no MATLAB 7.3."""
    try:
        import h5py
    except ImportError:
        raise UsageError(
            "COFW's files are MATLAB 7.3, and h5py, which reads these, is not installed: run"
            " `pip install h5py`"
        ) from None
    name = printable(path.name)
    try:
        with h5py.File(path, "r") as held:
            yield held
    except DataError:
        raise
    except (OSError, RuntimeError, ValueError, KeyError, TypeError, OverflowError) as error:
        # HDF5 raises any of these for what is cut off or damaged.
        raise DataError(f"{name} is damaged, or no MATLAB 7.3 file ({str(error)[:80]})") from None


def _array(held: h5py.File, name: str, path: Path) -> h5py.Dataset:
    """Return a variable of a file. Raises DataError without it."""
    import h5py

    found = held[name] if isinstance(held.get(name, getlink=True), h5py.HardLink) else None
    if not isinstance(found, h5py.Dataset):
        raise DataError(f"{printable(path.name)} has no array {name}, as COFW's files have")
    _refuse_foreign(found, name, path)
    if found.size > 3 * _K * _MOST_FACES:
        raise DataError(f"{printable(path.name)}: {name} has {found.size} values")
    return found


def _refuse_foreign(found: h5py.Dataset, name: str, path: Path) -> None:
    """Raise DataError for an array that does not lie in the file itself: HDF5 can name the bytes of
    any other file, and plug-ins to read them with."""
    made = found.id.get_create_plist()
    filters = {made.get_filter(i)[0] for i in range(made.get_nfilters())}
    if found.external or found.is_virtual or filters - _KNOWN_FILTERS:
        raise DataError(
            f"{printable(path.name)}: {name} is stored outside of the file, or packed by a plug-in:"
            " such files are not read"
        )
