"""Decoding pictures that users bring, without exhausting the machine.

What decoding takes is known from the header, before anything is decoded, and bounded; of pictures
that take much, one is in memory at a time.
"""

from __future__ import annotations

import functools
import io
import math
import warnings
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol, TypeVar

import cv2
import numpy as np
from PIL import ExifTags, Image
from PIL.TiffImagePlugin import TILELENGTH, TILEWIDTH, TiffImageFile

from drf.data.dataset import prefetch_map
from drf.data.user_files import printable, read_bytes
from drf.errors import DataError

MOST_PICTURE_BYTES = 256 * 2**20
MOST_DECODING_BYTES = 640_000_000
"""What a picture may take while it is decoded, its file included. That is 100 million pixels of an
ordinary JPEG or PNG, and 37 million where the decoder needs more (16 bits, progressive JPEG)."""

AHEAD_BYTES = 30_000_000
"""Pictures that take more are not decoded ahead. That is 5 million pixels of an ordinary JPEG."""

_BYTES_A_PIXEL, _MOST = 6, 17
"""Measured with OpenCV 4.14: an ordinary picture is held twice for a moment; AVIF takes most."""

_FORMATS = ("AVIF", "BMP", "DIB", "GIF", "JPEG", "JPEG2000", "MPO", "PNG", "PPM", "TIFF", "WEBP")

_DECODE = cv2.IMREAD_COLOR_RGB | cv2.IMREAD_ANYDEPTH

_THREADS = 2

# What is wrong with a file is told by our sentences; these write lines of their own to stderr.
warnings.simplefilter("ignore", Image.DecompressionBombWarning)
cv2.utils.logging.setLogLevel(cv2.utils.logging.LOG_LEVEL_SILENT)

Result = TypeVar("Result")


class Decodable(Protocol):
    """A picture that may be decoded: what that takes is known, and bounded."""

    @property
    def decoding_bytes(self) -> int:
        """What it takes in memory while it is decoded."""
        ...

    def decode(self) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB pixels. Raises DataError."""
        ...


class Inside(Protocol):
    """Where a picture lies that is no file of its own.

    file  the file that it is in
    """

    @property
    def file(self) -> Path: ...

    def read(self) -> Decodable:
        """Return the picture, after a look at its size. Raises DataError."""
        ...

    def content(self) -> bytes:
        """Return bytes that are the same wherever the picture is. Raises DataError."""
        ...


Place = Path | Inside
"""Where a picture is."""


@dataclass(frozen=True)
class PictureFile:
    """The bytes of a picture that may be decoded. name: of the file, for messages."""

    name: str
    data: bytes
    decoding_bytes: int

    def decode(self, *, upright: bool = False) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB pixels.

        upright: whether to turn the picture as its EXIF orientation says, as viewers show a photo.
        The points of a dataset were made on the pictures as stored: turning would displace some.
        16-bit pictures are divided by 256, those that use 12 bits alone by 16. Raises DataError
        for a file that is truncated; whatever else the decoder says is a fault of the file too.
        """
        try:
            how = _DECODE if upright else _DECODE | cv2.IMREAD_IGNORE_ORIENTATION
            pixels = cv2.imdecode(np.frombuffer(self.data, np.uint8), how)
        except (cv2.error, MemoryError) as error:
            reason = str(error).strip().splitlines()[-1] if str(error).strip() else "too large"
            raise DataError(f"{self.name} cannot be decoded ({reason})") from None
        if pixels is None:
            raise DataError(f"{self.name} is truncated or not a picture")
        if pixels.dtype == np.uint16:
            unused_bits = 4 if pixels.max() < 2**12 else 8
            pixels = np.right_shift(pixels, unused_bits, out=pixels).astype(np.uint8)
        if pixels.dtype != np.uint8 or pixels.ndim != 3:
            raise DataError(
                f"{self.name} has pixels of {pixels.dtype}; 8 or 16 bits a channel are read"
            )
        return pixels


def picture_file(name: str, data: bytes, most: int = MOST_DECODING_BYTES) -> PictureFile:
    """Return the bytes of a picture file, after a look at its header.

    most: bytes that it may take while it is decoded. Raises DataError for bytes that are no
    picture, and for a picture that takes more.
    """
    width, height, each = _header(name, data)
    needed = len(data) + width * height * each
    if needed > most:
        raise DataError(
            f"{name} is {width} x {height} pixels, which take {needed / 1e6:.0f} MB to decode;"
            f" pictures of more than {most / 1e6:.0f} MB are not read: make it smaller"
        )
    return PictureFile(name, data, needed)


def read_picture(path: Path) -> PictureFile:
    """Return a picture file that may be decoded. Raises DataError as `read_bytes` and
    `picture_file`."""
    return picture_file(printable(path.name), read_bytes(path, MOST_PICTURE_BYTES))


def decode_picture(path: Path, *, upright: bool = False) -> np.ndarray:
    """Return the (H, W, 3) uint8 RGB pixels of a picture file; upright: see `PictureFile.decode`.
    Raises DataError as `read_picture` and `PictureFile.decode`."""
    return read_picture(path).decode(upright=upright)


def orientation(path: Path) -> int:
    """Return the EXIF orientation of a picture file, 1 to 8: how `PictureFile.decode` turns it to
    be upright. 1 is as stored, also where the file says nothing or something else.

    Raises DataError as `read_picture`, and for EXIF data that cannot be read.
    """
    file = read_picture(path)
    try:
        with Image.open(io.BytesIO(file.data), formats=_formats()) as header:
            found = header.getexif().get(ExifTags.Base.Orientation, 1)
    except Exception as error:  # Pillow's readers raise whatever their parsing meets
        raise DataError(f"{file.name} has EXIF data that cannot be read") from error
    return found if found in range(1, 9) else 1


def picture_at(place: Place) -> Decodable:
    """Return the picture at a place. Raises DataError as `read_picture`."""
    return read_picture(place) if isinstance(place, Path) else place.read()


def content_at(place: Place) -> bytes:
    """Return the bytes of the picture at a place. Raises DataError if they cannot be read."""
    return read_bytes(place, MOST_PICTURE_BYTES) if isinstance(place, Path) else place.content()


def file_at(place: Place) -> Path:
    """Return the file that a picture is, or is in."""
    return place if isinstance(place, Path) else place.file


def map_pictures(
    places: Sequence[Place], work: Callable[[int, np.ndarray | DataError], Result]
) -> Iterator[Result]:
    """Yield work(i, picture at places[i]) in order; for what is no picture, work gets why.

    Two threads read, decode and work ahead. A picture that takes more than AHEAD_BYTES is decoded
    when it is asked for, so that no two of them are in memory: let go of one before the next.
    """

    def done(i: int, most: float) -> Result | None:
        """Return what work makes of a picture; None for one that takes more than so many bytes."""
        picture: np.ndarray | DataError
        try:
            file = picture_at(places[i])
            if file.decoding_bytes > most:
                return None
            picture = file.decode()
        except DataError as error:
            picture = error
        return work(i, picture)

    def ahead(i: int) -> Result | None:
        return done(i, AHEAD_BYTES)

    with ThreadPoolExecutor(_THREADS) as threads:
        results = prefetch_map(threads, ahead, range(len(places)), ahead=_THREADS)
        for i in range(len(places)):
            result = next(results)
            if result is None:
                result = done(i, math.inf)
                assert result is not None
            yield result
            del result  # a large picture, while the next one is decoded


@functools.cache
def _formats() -> list[str]:
    """Return those of _FORMATS that this Pillow was built with."""
    Image.init()
    return [name for name in _FORMATS if name in Image.OPEN]


def _header(name: str, data: bytes) -> tuple[int, int, int]:
    """Return width and height of what is decoded at once, as the header says, and the bytes that a
    pixel of it takes."""
    try:
        with Image.open(io.BytesIO(data), formats=_formats()) as header:
            width, height = header.size
            if isinstance(header, TiffImageFile):
                width = max(width, header.tag_v2.get(TILEWIDTH, 0))
                height = max(height, header.tag_v2.get(TILELENGTH, 0))
            whole = header.format != "PNG" or _chunks_fit(data)
            each = _BYTES_A_PIXEL if _is_ordinary(header, data) else _MOST
    except Image.DecompressionBombError as error:
        raise DataError(f"{name} cannot be decoded (too many pixels): make it smaller") from error
    except Exception as error:  # Pillow's readers raise whatever their parsing meets
        raise DataError(f"{name} is truncated or not a picture") from error
    if not whole:
        raise DataError(f"{name} is truncated or not a picture")
    return width, height, each


def _chunks_fit(data: bytes) -> bool:
    """Return whether the chunks of a PNG file end within it: OpenCV allocates what a chunk claims
    as its length, up to 4 GB."""
    at = 8
    while at + 8 <= len(data):
        length, kind = int.from_bytes(data[at : at + 4]), data[at + 4 : at + 8]
        at += length + 12
        if kind == b"IEND":
            break
    return at <= len(data)


def _is_ordinary(header: Image.Image, data: bytes) -> bool:
    """Whether a picture takes no more than _BYTES_A_PIXEL: one picture of 8 bits a channel, stored
    line by line."""
    if header.format in ("BMP", "DIB", "JPEG", "MPO"):
        return not header.info.get("progressive")
    if header.format == "PNG" and data[24] > 8:  # bits a channel
        return False
    return header.format in ("PNG", "WEBP") and not getattr(header, "is_animated", False)
