"""Unpacking the archives that a user has: zip and tar files, which may come from anybody.

Nothing is written outside of the folder asked for, and nothing but plain files and folders: links,
devices, absolute paths and those that climb (`../`) are refused before anything is unpacked. How
much an archive unpacks to is bounded, as a whole and against its own size.
"""

from __future__ import annotations

import bz2
import errno
import gzip
import hashlib
import io
import lzma
import stat
import tarfile
import zipfile
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Any

from drf.data.user_files import is_inside, is_utf8, printable
from drf.errors import DataError

MOST_BYTES = 64 * 2**30
"""Of all files of an archive; WFLW has 0.8 GB, 300-W with its test set some 3 GB."""

MOST_RATIO = 100
"""Bytes of the files over those of the archive; pictures hardly pack at all, lists tenfold."""

FREE_BYTES = 64 * 2**20
"""Up to so many bytes the ratio says nothing."""

MOST_FILES = 200_000

LONGEST_NAME, LONGEST_PATH = 255, 1000
"""Bytes of a part of a path, which file systems take no more of, and characters of a path."""

_CHUNK = 2**20
_DAMAGED = (
    *(zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, OSError, ValueError),
    *(NotImplementedError, RuntimeError, UnicodeError, KeyError, lzma.LZMAError),
)
_OF_THE_DISK = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO, errno.EROFS)
"""What the system says of the disk. It names no file where reading or writing one failed, and the
readers of archives say none of these of a damaged one."""
_LEFT_OUT = ("__MACOSX", ".DS_Store")


@dataclass(frozen=True)
class Member:
    """One file of an archive: its path there, the bytes that it says to have, and what the reader
    of the archive knows it by, as a path may be written in several ways (a, ./a)."""

    path: PurePosixPath
    size: int
    source: Any


class _Zip:
    def __init__(self, path: Path) -> None:
        self.held = zipfile.ZipFile(path)

    def members(self) -> Iterator[tuple[Any, str, int, bool, bool]]:
        """Yield source (see Member), name, size, whether it is a folder, and a plain file."""
        for info in self.held.infolist():
            mode = info.external_attr >> 16
            plain = stat.S_IFMT(mode) in (0, stat.S_IFREG) and not info.flag_bits & 1
            yield info, info.filename, info.file_size, info.filename.endswith("/"), plain

    def open(self, source: zipfile.ZipInfo) -> IO[bytes]:
        return self.held.open(source)


class _Bounded(io.RawIOBase):
    """The unpacked bytes of a tar file, of which no more than _CHUNK are read at once: its reader
    takes a header of any length into memory."""

    def __init__(self, path: Path) -> None:
        self.inner = _unpacked(path)

    def read(self, size: int = -1) -> bytes:
        if not 0 <= size <= _CHUNK:
            raise tarfile.ReadError("a header is too long")
        return self.inner.read(size)

    def seek(self, to: int, whence: int = 0) -> int:
        return self.inner.seek(to, whence)

    def tell(self) -> int:
        return self.inner.tell()

    def close(self) -> None:
        self.inner.close()


def _unpacked(path: Path) -> IO[bytes]:
    with path.open("rb") as file:
        start = file.read(6)
    for magic, opened in _COMPRESSED:
        if start.startswith(magic):
            return opened(path, "rb")  # type: ignore[return-value]
    return path.open("rb")


_COMPRESSED: tuple[tuple[bytes, Callable[..., object]], ...] = (
    (b"\x1f\x8b", gzip.open),
    (b"BZh", bz2.open),
    (b"\xfd7zXZ\0", lzma.open),
)


class _Tar:
    def __init__(self, path: Path) -> None:
        self.held = tarfile.open(fileobj=_Bounded(path), mode="r:")  # noqa: SIM115 (_opened closes)

    def members(self) -> Iterator[tuple[Any, str, int, bool, bool]]:
        for info in self.held:
            yield info, info.name, info.size, info.isdir(), info.isreg()

    def open(self, source: tarfile.TarInfo) -> IO[bytes]:
        found = self.held.extractfile(source)
        assert found is not None, "only plain files are opened"
        return found


@contextmanager
def _opened(path: Path) -> Iterator[_Zip | _Tar]:
    """Open an archive. Raises DataError for a file that is none, and for whatever a damaged one
    makes its reader raise; OSError for what the disk refuses while it is read or unpacked."""
    name = printable(path.name)
    if not path.is_file():
        raise DataError(f"{name} is not a file: name zip or tar archives with --from")
    try:
        held = _Zip(path) if zipfile.is_zipfile(path) else _Tar(path)
        with held.held:
            yield held
    except DataError:
        raise
    except _DAMAGED as error:
        if isinstance(error, OSError) and (error.filename or error.errno in _OF_THE_DISK):
            raise
        raise DataError(
            f"{name} is damaged, or no zip or tar archive ({str(error)[:80]}); of an archive in"
            " parts join the parts first (`zip -FF`, or `cat` for .tar.gz.aa)"
        ) from None


def members(path: Path) -> list[Member]:
    """Return the files of an archive, before anything is unpacked.

    Raises DataError for an archive that cannot be read, and for one with a path that leads out of
    the folder, a link or device, a password, too many files, or far too much in them.
    """
    name = printable(path.name)
    found, total = [], 0
    with _opened(path) as archive:
        for source, inside, size, is_folder, is_plain in archive.members():
            if is_folder and not PurePosixPath(inside).parts:
                continue  # the folder itself, of which `tar czf x.tgz .` made an archive
            if not (is_utf8(inside) and is_inside(inside) and _fits(inside)) or "\\" in inside:
                raise DataError(
                    f"{name} has the path {inside[:80]!r}, which leads out of the folder or is no"
                    " name of a file: nothing was unpacked"
                )
            if is_folder or _is_left_out(inside):
                continue
            if not is_plain:
                raise DataError(
                    f"{name} has {inside[:80]!r}, which is a link, a device or has a password:"
                    " nothing was unpacked"
                )
            total += size
            found.append(Member(PurePosixPath(inside), size, source))
            if len(found) > MOST_FILES:
                raise DataError(f"{name} has more than {MOST_FILES} files: nothing was unpacked")
            _refuse_much(name, total, path.stat().st_size)
    return found


def unpack(path: Path, folder: Path, inside: str = "") -> None:
    """Write the files of an archive into a folder, below `inside`.

    Raises DataError as `members`, for a file that is longer than the archive said, and for one that
    another archive has written already.
    """
    listed = members(path)
    with _opened(path) as archive:
        for member in listed:
            target = folder / inside / member.path
            try:
                target.parent.mkdir(parents=True, exist_ok=True)
                is_there = target.exists()
            except (FileExistsError, NotADirectoryError):  # a file is where its folder should be
                is_there = True
            if is_there:
                raise DataError(
                    f"{printable(path.name)} has {str(member.path)[:80]!r}, but a file of that name"
                    " is there already: name each archive once"
                )
            _write(archive.open(member.source), target, member.size, path)


def digest(path: Path, kind: str) -> str:
    """Return the digest of an archive in hex digits. kind: sha256 or md5."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, kind).hexdigest()


def _write(source: IO[bytes], target: Path, size: int, path: Path) -> None:
    with source, target.open("xb") as file:
        left = size
        while chunk := source.read(min(_CHUNK, left + 1)):
            left -= len(chunk)
            if left < 0:
                raise DataError(
                    f"{printable(path.name)} has a file that is longer than it says: it is not"
                    " unpacked"
                )
            file.write(chunk)
    if left:
        raise DataError(f"{printable(path.name)} is cut off within {target.name[:80]!r}")


def _refuse_much(name: str, total: int, packed: int) -> None:
    if total > MOST_BYTES or total > max(FREE_BYTES, MOST_RATIO * packed):
        raise DataError(
            f"{name} has {packed / 2**20:.1f} MB and would unpack to {total / 2**20:.0f} MB or more"
            ": nothing was unpacked"
        )


def _fits(inside: str) -> bool:
    """Return whether a file system takes a path of such a length."""
    return len(inside) <= LONGEST_PATH and all(
        len(part.encode()) <= LONGEST_NAME for part in inside.split("/")
    )


def _is_left_out(inside: str) -> bool:
    parts = PurePosixPath(inside).parts
    return parts[0] in _LEFT_OUT or parts[-1] in _LEFT_OUT or parts[-1].startswith("._")


def folder_for(path: Path, listed: Sequence[Member], layout: Sequence[str]) -> str:
    """Return the folder that an archive is to be unpacked into: its own name where that is a folder
    of the layout that its paths lack (afw.zip with 1_1.jpg), else none."""
    name = path.name.partition(".")[0]
    own = next((f for f in layout if f.partition("/")[0].lower() == name.lower()), None)
    tops = {member.path.parts[0].lower() for member in listed}
    return own.partition("/")[0] if own and name.lower() not in tops else ""
