"""Writing a pack: row by row to disk, whole or not at all."""

from __future__ import annotations

import contextlib
import hashlib
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

import numpy as np

from drf.data import crops
from drf.data.dataset import (
    Dataset,
    Subset,
    points_outside,
    refuse_if_too_many_bad,
)
from drf.errors import DataError

PACK_SIZE = 256
"""Side of a packed crop, px."""

_TEMPORARY = ".packing-"
_ABANDONED_AFTER_S = 3600.0


@dataclass(frozen=True)
class Contents:
    """What was written: which faces of the subset, and what the manifest says of the others."""

    kept: list[int]
    skipped: dict[str, str]
    n_outside: int
    digest: str


def write(
    dataset: Dataset,
    subset: Subset,
    boxes: np.ndarray,
    path: Path,
    progress: Callable[[int, int], None] | None,
) -> Contents:
    """Write the crops of a subset as one .npy file of (n, 256, 256, 3) uint8.

    boxes: (n, 3) crops in picture px, one per face of the subset. Raises DataError where more than
    1 % of the faces cannot be read, OSError where the file cannot be written.
    """
    kept: list[int] = []
    skipped = dict(subset.skipped)
    n_outside = 0
    digest = hashlib.sha256()
    total = len(subset.faces)
    # Through write(), not a memory map: dirty pages of a map count as this process's memory.
    with path.open("wb") as file:
        _write_header(file, total)
        for i, picture in enumerate(dataset.pictures(subset.faces)):
            face = subset.faces[i]
            if isinstance(picture, DataError):
                skipped[face.name] = str(picture)
            else:
                file.write(crops.cut(picture, boxes[i], PACK_SIZE).data)
                kept.append(i)
                n_outside += bool(points_outside(face.points, picture).any())
                source = hashlib.sha256(dataset.source(face)).digest()
                digest.update(face.name.encode() + b"\0" + source)
            if progress is not None:
                progress(i + 1, total)
        refuse_if_too_many_bad(f"subset {subset.name!r} of {subset.dataset}", len(kept), skipped)
        file.seek(0)
        _write_header(file, len(kept))
    return Contents(kept, skipped, n_outside, digest.hexdigest())


def publish(
    folder: Path, slot: str, fill: Callable[[Path], None], is_whole: Callable[[Path], bool]
) -> None:
    """Make a folder appear at once, filled; then remove the other folders named `slot`-*.

    fill(path) writes the content, is_whole(path) says whether another process's is good. Of several
    processes that fill at once, the first to finish counts. Raises what fill raises, and OSError.
    """
    parent = folder.parent
    parent.mkdir(parents=True, exist_ok=True)
    _remove_abandoned(parent)
    with tempfile.TemporaryDirectory(
        prefix=_TEMPORARY, dir=parent, ignore_cleanup_errors=True
    ) as temporary:
        filled = Path(temporary) / "filled"
        filled.mkdir()
        fill(filled)
        _move_in(filled, folder, Path(temporary) / "damaged", is_whole)
    for other in parent.glob(f"{slot}-*"):
        if other != folder:
            shutil.rmtree(other, ignore_errors=True)


def _move_in(filled: Path, folder: Path, aside: Path, is_whole: Callable[[Path], bool]) -> None:
    if folder.exists() and not is_whole(folder):  # a rename replaces no folder with content
        with contextlib.suppress(FileNotFoundError):  # another process has just done the same
            folder.rename(aside)
    try:
        filled.rename(folder)
    except OSError:
        if not is_whole(folder):
            raise


def _remove_abandoned(parent: Path) -> None:
    """Remove what killed packings left. One at work touches its folder's files all the time."""
    for folder in parent.glob(f"{_TEMPORARY}*"):
        with contextlib.suppress(OSError):
            newest = max(path.stat().st_mtime for path in (folder, *folder.rglob("*")))
            if time.time() - newest > _ABANDONED_AFTER_S:
                shutil.rmtree(folder, ignore_errors=True)


def _write_header(file: BinaryIO, n: int) -> None:
    """Write the .npy header of n crops; its length does not depend on n (numpy pads it)."""
    header = {"descr": "|u1", "fortran_order": False, "shape": (n, PACK_SIZE, PACK_SIZE, 3)}
    np.lib.format.write_array_header_1_0(file, header)
