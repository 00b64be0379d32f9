"""Reads the variables of a MATLAB file of version 5 to 7.2, as `save -v7` and scipy write them.

SciPy's reader ends the process on some damaged files, which may come from anybody. This one knows
what the boxes of 300-W consist of: numbers, text, cells and structures. No more is made of a file
than its own bytes, unpacked up to a bound.
"""

from __future__ import annotations

import math
import zlib
from collections.abc import Iterator
from typing import Any, Literal

import numpy as np

from drf.errors import DataError

_HEADER = 128
_MATRIX, _COMPRESSED = 14, 15
# fmt: off
_TYPES = {
    1: "i1", 2: "u1", 3: "i2", 4: "u2", 5: "i4", 6: "u4", 7: "f4", 9: "f8", 12: "i8", 13: "u8",
}
# fmt: on
"""Type of an element -> type of its numbers."""
_CELL, _STRUCTURE, _CHARACTERS = 1, 2, 4
_NUMBERS = range(6, 16)
_COMPLEX = 0x800
_DEEPEST = 8


def read_variables(data: bytes, most: int) -> dict[str, Any]:
    """Return the variables of a file by name: arrays of numbers, text, lists of cells, and for
    structures a list of dicts.

    most: bytes that its variables may unpack to. Raises DataError, without a subject, for another
    kind of file, a damaged one, and one that unpacks to more.
    """
    order = {b"IM": "little", b"MI": "big"}.get(data[126:128])
    if order is None or len(data) < _HEADER:
        raise DataError("is no .mat file, or is damaged")
    if data[125 if order == "little" else 124] == 2:
        raise DataError("is of MATLAB 7.3: save it with -v7")
    file = _Reader("little" if order == "little" else "big", most)
    try:
        found = file.elements(data[_HEADER:], packed=True)
        return dict(file.variable(body) for kind, body in found if kind == _MATRIX)
    except (ValueError, IndexError, zlib.error):
        raise DataError("is no .mat file, or is damaged") from None


class _Reader:
    def __init__(self, order: Literal["little", "big"], most: int) -> None:
        self.order: Literal["little", "big"] = order
        self.left = most

    def elements(self, data: bytes, *, packed: bool = False) -> Iterator[tuple[int, bytes]]:
        """Yield the type and the bytes of each element. packed: whether some may be packed, which
        are unpacked: the format has that of whole variables alone, and never within another."""
        at = 0
        while at + 8 <= len(data):
            kind, size = self._integers(data[at : at + 8])
            if kind >> 16:  # up to four bytes, beside their type
                kind, size, start, end = kind & 0xFFFF, kind >> 16, at + 4, at + 8
            else:
                start = at + 8
                end = start + size + (0 if kind == _COMPRESSED else -size % 8)
            if start + size > min(end, len(data)):
                raise ValueError("cut off")
            body, at = data[start : start + size], end
            if kind == _COMPRESSED and not packed:
                raise ValueError("packed within another")
            yield from (
                self.elements(self._unpacked(body)) if kind == _COMPRESSED else [(kind, body)]
            )

    def variable(self, data: bytes, depth: int = 0) -> tuple[str, Any]:
        """Return the name and the value of a matrix."""
        if not data:
            return "", np.zeros((0, 0))
        if depth > _DEEPEST:
            raise ValueError("too deep")
        parts = self.elements(data)
        flags = self._integers(_next(parts)[1])[0]
        n = math.prod(self._integers(_next(parts)[1]))
        name = _next(parts)[1].decode("latin-1")
        kind = flags & 0xFF
        if kind == _CELL:
            return name, self._matrices(parts, n, depth)
        if kind == _STRUCTURE:
            return name, self._structures(parts, n, depth)
        if kind == _CHARACTERS:
            return name, self._text(*_next(parts))
        if kind in _NUMBERS and not flags & _COMPLEX:
            return name, self._numbers(*_next(parts))
        raise ValueError("another kind of variable")

    def _matrices(self, parts: Iterator[tuple[int, bytes]], n: int, depth: int) -> list[Any]:
        """Return so many matrices; there are no more than the file has bytes for."""
        found: list[Any] = []
        while len(found) < n:
            kind, body = _next(parts)
            if kind != _MATRIX:
                raise ValueError("no matrix")
            found.append(self.variable(body, depth + 1)[1])
        return found

    def _structures(
        self, parts: Iterator[tuple[int, bytes]], n: int, depth: int
    ) -> list[dict[str, Any]]:
        (width,) = self._integers(_next(parts)[1])
        listed = _next(parts)[1]
        keys = [
            listed[at : at + width].partition(b"\0")[0].decode("latin-1")
            for at in range(0, len(listed), width)
        ]
        if not keys:
            raise ValueError("no fields")
        values = iter(self._matrices(parts, n * len(keys), depth))
        return [
            dict(zip(keys, row, strict=True)) for row in zip(*[values] * len(keys), strict=True)
        ]

    def _numbers(self, kind: int, body: bytes) -> np.ndarray:
        if kind not in _TYPES:
            raise ValueError("another type of number")
        dtype = np.dtype(_TYPES[kind]).newbyteorder("<" if self.order == "little" else ">")
        return np.frombuffer(body, dtype).astype(np.float64)

    def _text(self, kind: int, body: bytes) -> str:
        codec = {4: "utf-16", 17: "utf-16", 18: "utf-32"}.get(kind, "utf-8")
        if codec == "utf-8":
            return body.decode(codec)
        return body.decode(f"{codec}-{'le' if self.order == 'little' else 'be'}")

    def _integers(self, data: bytes) -> tuple[int, ...]:
        starts = range(0, len(data) - 3, 4)
        return tuple(int.from_bytes(data[at : at + 4], self.order) for at in starts)

    def _unpacked(self, body: bytes) -> bytes:
        data = zlib.decompressobj().decompress(body, self.left)
        self.left -= len(data)
        if self.left <= 0:
            raise DataError("unpacks to more than the boxes of any dataset")
        return data


def _next(parts: Iterator[tuple[int, bytes]]) -> tuple[int, bytes]:
    return next(parts, (0, b""))
