"""Reading files that users bring, so that whatever is wrong with one becomes one sentence about it.

A file may be a dangling link, a pipe, a device, without permission, far too large, in another
encoding, named by bytes that are no UTF-8, or change while it is read. Every reader of the data
goes through these functions; `drf.data.picture_files` decodes pictures.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path, PurePosixPath

from drf.errors import DataError

MOST_TEXT_BYTES = 32 * 2**20
"""Of a list of boxes: half a million rows."""

_OTHER_ENCODINGS = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
}


_LONGEST_PART, _LONGEST_PATH = 255, 3000  # bytes; what Linux takes, with room for the folder


def printable(name: str) -> str:
    """Return a file name as it can be printed and stored: bytes that are no UTF-8 as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_utf8(name: str) -> bool:
    """Return whether a file name, as the system gave it, is UTF-8."""
    return printable(name) == name


def is_inside(name: str) -> bool:
    """Return whether a relative path that a file names stays in its folder: "a/b.jpg", no "../c"
    and no "/d"; nor is one that no file system takes."""
    path = PurePosixPath(name.replace("\\", "/"))
    return (
        bool(path.name)
        and not path.is_absolute()
        and ".." not in path.parts
        and "\0" not in name
        and all(len(os.fsencode(part)) <= _LONGEST_PART for part in path.parts)
        and len(os.fsencode(name)) <= _LONGEST_PATH
    )


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    Raises DataError that names the file: not there, a link to nothing, no permission, a folder, a
    pipe or device, too large, changed while it was read.
    """
    name = printable(path.name)
    try:
        # Asked before it is opened: a pipe would wait for its writer, a device might act.
        if not stat.S_ISREG(path.stat().st_mode):
            raise DataError(f"{name} is not a regular file")
        # Asked again of what was opened, which may have taken its place; it must not wait either.
        with os.fdopen(os.open(path, os.O_RDONLY | os.O_NONBLOCK), "rb") as file:
            found = os.fstat(file.fileno())
            if not stat.S_ISREG(found.st_mode):
                raise DataError(f"{name} is not a regular file")
            if found.st_size > most:
                raise DataError(
                    f"{name} has {found.st_size / 2**20:.0f} MB; files of more than"
                    f" {most / 2**20:.0f} MB are not read"
                )
            data = file.read(found.st_size + 1)
    except OSError as error:
        if os.path.islink(path) and not os.path.exists(path):  # noqa: PTH110, PTH114 (pathlib's raise)
            raise DataError(f"{name} is a link to a file that does not exist") from None
        raise DataError(f"{name} cannot be read ({error.strerror})") from None
    if len(data) != found.st_size:
        raise DataError(f"{name} changed while it was read")
    return data


def read_text(path: Path, most: int = MOST_TEXT_BYTES) -> str:
    """Return the text of a UTF-8 file of at most so many bytes, with or without a byte order mark.

    Raises DataError as `read_bytes`, and for another encoding, which it names where it can.
    """
    data = read_bytes(path, most)
    name = printable(path.name)
    # UTF-32's mark begins with UTF-16's, so the longer ones are looked at first.
    for mark in sorted(_OTHER_ENCODINGS, key=len, reverse=True):
        if data.startswith(mark):
            raise DataError(f"{name} is written in {_OTHER_ENCODINGS[mark]}: save it as UTF-8")
    if b"\0" in data[:2]:  # the first character is ASCII: half of it is zero
        raise DataError(f"{name} is written in UTF-16, without its mark: save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not a text file in UTF-8 (byte {error.start}): save it as UTF-8"
        ) from None
