"""The XML files of dlib's imglab: pictures, boxes, and the parts of a face, in 0-based px.

    <dataset><images>
      <image file='afw/1051618982_1.jpg'>
        <box top='160' left='174' width='150' height='150' ignore='0'>
          <part name='00' x='177' y='254'/>
    ...

A file may come from anybody: its size is bounded, and a document type, which could define entities
that expand without end or name other files, is refused.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

import numpy as np

from drf.data.pts import without_placeholders
from drf.data.user_files import printable, read_bytes
from drf.errors import DataError, quoted

MOST_BYTES = 256 * 2**20
"""dlib's own file of 300-W has 40 MB."""

_INDEX = re.compile("[0-9]{1,4}")
_DEEPEST = 32  # elements within each other; imglab writes five


@dataclass(frozen=True)
class XmlFace:
    """One box of a picture.

    picture  as the file names it, with / between folders
    line     where it begins
    box      x, y, w, h px
    parts    (name, x, y) of each, px, in order
    """

    picture: str
    line: int
    box: tuple[float, float, float, float]
    parts: list[tuple[str, float, float]] = field(default_factory=list)


def read_faces(path: Path) -> list[XmlFace]:
    """Return the boxes of a file that are not marked to be ignored, in its order.

    Raises DataError for a file that cannot be read, is no XML of imglab, or has a document type.
    """
    data = read_bytes(path, MOST_BYTES)
    name = printable(path.name)
    reader = _Reader(name)
    try:
        reader.parser.Parse(data, True)
    except expat.ExpatError as error:
        said = expat.errors.messages.get(error.code, str(error))
        raise DataError(f"{name}, line {error.lineno}: not an XML file ({said})") from None
    except (ValueError, LookupError) as error:  # an encoding that Python does not know
        raise DataError(f"{name} cannot be read as XML ({str(error)[:80]})") from None
    if not reader.is_imglab:
        raise DataError(f"{name} is no XML file of imglab: it has no element <image>")
    return reader.faces


def points_of(face: XmlFace, names: Mapping[str, int], n: int) -> np.ndarray:
    """Return the points of a face, (n, 2) 0-based px, NaN where a part is missing or
    a placeholder.

    names: landmark -> index; a part may be called by the index too. Raises DataError, without a
    subject, for a part that the markup does not have, and for one that is there twice.
    """
    points = np.full((n, 2), np.nan)
    for name, x, y in face.parts:
        at = names.get(name, int(name) if _INDEX.fullmatch(name) else -1)
        if not 0 <= at < n:
            raise DataError(f"has the part {quoted(name)}, which is no landmark of the markup")
        if not np.isnan(points[at]).any():
            raise DataError(f"has the part {quoted(name)} twice")
        points[at] = x, y
    return without_placeholders(points)


class _Reader:
    """Collects faces while expat reads: no tree of the file is ever in memory."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.faces: list[XmlFace] = []
        self.is_imglab = False
        self._depth = 0
        self._picture: str | None = None
        self._face: XmlFace | None = None
        self.parser = expat.ParserCreate()
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.StartDoctypeDeclHandler = self._doctype

    def _doctype(self, *_: object) -> None:
        raise DataError(
            f"{self.name} has a document type, which imglab never writes: such files are not read"
        )

    def _start(self, element: str, given: dict[str, str]) -> None:
        self._depth += 1
        if self._depth > _DEEPEST:
            raise DataError(f"{self.name} is no XML file of imglab: its elements are too deep")
        if element == "image":
            self.is_imglab = True
            self._picture = self._text(given, "file").replace("\\", "/")
        elif element == "box" and self._picture is not None:
            x, y, w, h = (self._number(given, k) for k in ("left", "top", "width", "height"))
            self._face = XmlFace(self._picture, self.parser.CurrentLineNumber, (x, y, w, h))
            if given.get("ignore", "0") in ("", "0"):
                self.faces.append(self._face)
        elif element == "part" and self._face is not None:
            place = self._number(given, "x"), self._number(given, "y")
            self._face.parts.append((self._text(given, "name"), *place))

    def _end(self, element: str) -> None:
        self._depth -= 1
        if element == "image":
            self._picture = None
        elif element == "box":
            self._face = None

    def _text(self, given: Mapping[str, str], key: str) -> str:
        if key not in given:
            where = f"{self.name}, line {self.parser.CurrentLineNumber}"
            raise DataError(f"{where}: an element lacks {key}, which imglab writes")
        return given[key]

    def _number(self, given: Mapping[str, str], key: str) -> float:
        text = self._text(given, key)
        try:
            number = float(text)
        except ValueError:
            number = float("nan")
        if not abs(number) < 1e6 or "_" in text:
            where = f"{self.name}, line {self.parser.CurrentLineNumber}"
            raise DataError(f"{where}: {key} is {quoted(text)}, which is no place in a picture")
        return number
