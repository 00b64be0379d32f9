"""Reading files that users bring, so that whatever is wrong with one becomes one sentence about it.

A file may be a dangling link, a pipe, without permission, far too large, in another encoding, or
named by bytes that are no UTF-8. Every reader of the data goes through these functions.
"""

from __future__ import annotations

import codecs
import os
import stat
from pathlib import Path

import cv2
import numpy as np
from PIL import Image, UnidentifiedImageError

from drf.errors import DataError

MOST_TEXT_BYTES = 64 * 2**20
MOST_PICTURE_BYTES = 256 * 2**20
MOST_PIXELS = 100_000_000
"""Pixels of the largest picture that is decoded: 300 MB of RGB, one in each of two threads."""

_DECODE = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH

_OTHER_ENCODINGS = {
    codecs.BOM_UTF16_LE: "UTF-16",
    codecs.BOM_UTF16_BE: "UTF-16",
    codecs.BOM_UTF32_LE: "UTF-32",
    codecs.BOM_UTF32_BE: "UTF-32",
}


def printable(name: str) -> str:
    """Return a file name as it can be printed and stored: bytes that are no UTF-8 as \\xNN."""
    return os.fsencode(name).decode("utf-8", "backslashreplace")


def is_utf8(name: str) -> bool:
    """Return whether a file name, as the system gave it, is UTF-8."""
    return printable(name) == name


def read_bytes(path: Path, most: int) -> bytes:
    """Return the content of a regular file of at most so many bytes.

    Raises DataError that names the file: not there, a link to nothing, no permission, a folder, a
    pipe or device, too large.
    """
    name = printable(path.name)
    try:
        found = path.stat()
        if not stat.S_ISREG(found.st_mode):
            raise DataError(f"{name} is not a regular file")
        if found.st_size > most:
            raise DataError(
                f"{name} has {found.st_size / 2**20:.0f} MB; files of more than"
                f" {most / 2**20:.0f} MB are not read"
            )
        return path.read_bytes()
    except OSError as error:
        if path.is_symlink() and not path.exists():
            raise DataError(f"{name} is a link to a file that does not exist") from None
        raise DataError(f"{name} cannot be read ({error.strerror})") from None


def read_text(path: Path) -> str:
    """Return the text of a UTF-8 file, with or without a byte order mark.

    Raises DataError as `read_bytes`, and for another encoding, which it names where it can.
    """
    data = read_bytes(path, MOST_TEXT_BYTES)
    name = printable(path.name)
    # UTF-32's mark begins with UTF-16's, so the longer ones are looked at first.
    for mark in sorted(_OTHER_ENCODINGS, key=len, reverse=True):
        if data.startswith(mark):
            raise DataError(f"{name} is written in {_OTHER_ENCODINGS[mark]}: save it as UTF-8")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(
            f"{name} is not a text file in UTF-8 (byte {error.start}): save it as UTF-8"
        ) from None


def decode_picture(path: Path, *, upright: bool = False) -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB pixels of a picture file.

    upright: whether to turn it as its EXIF orientation says, as viewers show a photo. The points of
    a dataset were made on the pictures as stored: honouring the orientation would turn some.
    16-bit pictures are divided by 256, those that use 12 bits alone by 16.

    Raises DataError as `read_bytes`, and for a file that is truncated, no picture, or of more than
    MOST_PIXELS pixels; whatever else the decoder says of a file is a fault of that file too.
    """
    name = printable(path.name)
    data = read_bytes(path, MOST_PICTURE_BYTES)
    width, height = _header_size(path, data)
    if width * height > MOST_PIXELS:
        raise DataError(
            f"{name} is {width} x {height} pixels; pictures of more than"
            f" {MOST_PIXELS // 10**6} million pixels are not read"
        )
    try:
        how = _DECODE if upright else _DECODE | cv2.IMREAD_IGNORE_ORIENTATION
        pixels = cv2.imdecode(np.frombuffer(data, np.uint8), how) if data else None
    except (cv2.error, MemoryError) as error:
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else "too large"
        raise DataError(f"{name} cannot be decoded ({reason})") from None
    if pixels is None:
        raise DataError(f"{name} is truncated or not a picture")
    if pixels.dtype == np.uint16:
        pixels = (pixels // (16 if pixels.max() < 2**12 else 256)).astype(np.uint8)
    if pixels.dtype != np.uint8 or pixels.ndim != 3:
        raise DataError(f"{name} has pixels of {pixels.dtype}; 8 or 16 bits a channel are read")
    return pixels


def _header_size(path: Path, data: bytes) -> tuple[int, int]:
    """Return width and height as the header says, before anything is decoded; 0 where it cannot be
    read, which the decoder may still know better."""
    import io

    try:
        with Image.open(io.BytesIO(data)) as header:
            return header.size
    except Image.DecompressionBombError:
        return MOST_PIXELS, 2
    except (UnidentifiedImageError, OSError, ValueError, SyntaxError):
        return 0, 0
