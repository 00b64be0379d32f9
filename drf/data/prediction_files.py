"""Files of predictions, as other programs write them and as drf exports them.

  csv   the header name,x0,y0,x1,y1,... and a row for each face
  json  {name: [[x, y], ...]}, or a list of objects with `name` (or `imgpath`) and `landmarks`, as
        SPIGA publishes its results
  npz   arrays `names` (n) and `predictions` (n, k, 2)
  pts   a folder of .pts files, each at NAME.pts; the only format that is 1-based

Coordinates are px of the dataset's picture, 0-based, pixel centres at integers. What is written has
all digits, so that the same float32 numbers are read again. A file may come from anybody: its size
is bounded, nothing in it is run, and no name leads out of a folder.
"""

from __future__ import annotations

import csv
import io
import json
import math
import re
import tokenize
import zipfile
import zlib
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from drf.data import pts
from drf.data.user_files import printable, read_bytes, read_text
from drf.errors import DataError, UsageError, quoted
from drf.files import refuse_existing, replacing_file, replacing_folder
from drf.landmarks.markup import Markup

Row = tuple[str, np.ndarray]
"""Name of a face as the file has it, and its (k, 2) float64 points."""

MOST_BYTES = 64 * 2**20
"""Of a file, and of an array in an .npz; 68 landmarks of 2000 faces have 2 MB there."""

LARGEST = 1e6
"""Magnitude of a coordinate from which on float32 does not keep a tenth of a pixel."""

_NAMES, _POINTS = "names", "predictions"
_NAME_KEYS, _POINTS_KEY = ("name", "imgpath"), "landmarks"
_PICTURE = re.compile(r"\.(jpe?g|png|bmp|webp|tiff?|pts)$", re.IGNORECASE)


def read_predictions(path: Path) -> list[Row]:
    """Return the faces of a file, or a folder of .pts files, in its order.

    Raises DataError for a file that cannot be read, is in no known format, is damaged, or has no
    face in it.
    """
    if path.is_dir():
        rows = list(_read_pts(path))
    elif (kind := path.suffix.lower().lstrip(".")) in _READERS:
        rows = list(_READERS[kind](path))
    else:
        raise DataError(
            f"{printable(path.name)} is in no format that is known by its name: predictions are"
            " read from .csv, .json, .npz and a folder of .pts files"
        )
    if not rows:
        raise DataError(f"{printable(path.name)} contains no predictions")
    return rows


def write_predictions(path: Path, kind: str, names: Sequence[str], predictions: np.ndarray) -> None:
    """Write predictions, (n, k, 2) float32 picture px, to a new file or folder.

    kind: one of FORMATS. Raises UsageError where there is a file of that name, or one whose name
    says another format; DataError for a name that leads out of the folder.
    """
    if kind not in FORMATS:
        raise UsageError(f"unknown format {kind!r}: use one of {', '.join(FORMATS)}")
    suffix = path.suffix.lower().lstrip(".")
    if suffix != kind and (kind != "pts" or suffix in _READERS):
        wanted = "a folder" if kind == "pts" else f"a file NAME.{kind}"
        raise UsageError(f"{path.name} does not name {wanted}, which --format {kind} writes")
    if kind == "pts":
        refuse_existing(path)
        with replacing_folder(path) as folder:
            _write_pts(folder, names, predictions)
        return
    with replacing_file(path, overwrite=False) as unfinished:
        _WRITERS[kind](unfinished, names, predictions.astype(np.float64))


def of_faces(
    rows: Iterable[Row],
    names: Sequence[str],
    has_face: Callable[[str], bool],
    markup: Markup,
    landmarks: str,
) -> tuple[np.ndarray, int]:
    """Return the predictions of the named faces, (n, k, 2) float32, and how many faces the file has
    that are in another subset.

    A name may have the suffix of a picture, and may lack the dataset's folders, or have others in
    their place, where its last part names one face alone. has_face(name) says whether the dataset
    has a face that was not asked for, by its name or the last part of it.

    landmarks: subset of the markup; a face has these k landmarks, or all of the markup

    Raises DataError for wrong numbers of landmarks, values that are not finite, unknown, doubled
    and missing faces: how many, and the first few.
    """
    chosen = list(markup.indices(landmarks))
    place = {name: i for i, name in enumerate(names)}
    short = _by_last_part(names)
    found: dict[int, np.ndarray] = {}
    miscounted, unknown, doubled, not_finite = ([] for _ in range(4))
    others = 0
    for given, points in rows:
        name = _PICTURE.sub("", given.removeprefix("./"))
        at = place.get(given, place.get(name, short.get(name)))
        if at is None and has_face(name):
            others += 1
            continue
        if at is None:
            last = name.rpartition("/")[2]
            at = short.get(last)
            if at is None:
                others += has_face(last)
                unknown += [] if has_face(last) else [given]
                continue
        if len(points) == markup.n_points:
            points = points[chosen]
        if len(points) != len(chosen):
            miscounted.append(f"{quoted(given)} has {len(points)}")
        elif not (np.abs(points) < LARGEST).all():  # NaN is not
            not_finite.append(given)
        elif at in found:
            doubled.append(given)
        else:
            found[at] = points
    if miscounted:
        problem = f"predictions with another number of landmarks than {len(chosen)}"
        _refuse(problem, len(miscounted), miscounted, quote=False)
    if unknown:
        _refuse("predictions for faces that are not in the dataset", len(unknown), unknown)
    if not_finite:
        problem = "predictions with a coordinate that is NaN, infinite or no place in a picture"
        _refuse(problem, len(not_finite), not_finite)
    if doubled:
        _refuse("faces twice", len(doubled), doubled)
    if missing := [name for i, name in enumerate(names) if i not in found]:
        _refuse("no predictions for faces", f"{len(missing)} of {len(names)}", missing)
    return np.stack([found[i] for i in range(len(names))]).astype(np.float32), others


def listed(names: Sequence[str], most: int = 3, *, quote: bool = True) -> str:
    """Return the first few names as text, and how many more there are."""
    more = f" and {len(names) - most} more" if len(names) > most else ""
    return ", ".join(quoted(name) if quote else name for name in names[:most]) + more


def _refuse(problem: str, number: int | str, names: Sequence[str], *, quote: bool = True) -> None:
    raise DataError(
        f"the file has {problem} ({number}): {listed(names, quote=quote)}; nothing was imported"
    )


def _by_last_part(names: Sequence[str]) -> dict[str, int]:
    """Return the places of the faces that the last part of their name tells from all others."""
    last = [name.rpartition("/")[2] for name in names]
    times = Counter(last)
    return {name: at for at, name in enumerate(last) if times[name] == 1}


def _read_csv(path: Path) -> Iterator[Row]:
    file = printable(path.name)
    lines = csv.reader(io.StringIO(read_text(path, MOST_BYTES), newline=""), strict=True)
    try:
        header = [title.strip() for title in next(lines, [])]
        if not header:
            raise DataError(f"{file} is empty")
        k = (len(header) - 1) // 2
        if k < 1 or header != ["name", *(f"{axis}{i}" for i in range(k) for axis in "xy")]:
            raise DataError(
                f"{file} does not begin with the header name,x0,y0,x1,y1,..., separated by commas"
            )
        for row in lines:
            if not row:
                continue
            where = f"{file}, line {lines.line_num}"
            if len(row) != len(header):
                raise DataError(f"{where}: {len(row)} values where the header has {len(header)}")
            yield row[0], _numbers(row[1:], where).reshape(-1, 2)
    except csv.Error as error:
        raise DataError(f"{file}, line {lines.line_num}: not a CSV file ({error})") from None


def _numbers(texts: Sequence[str], where: str) -> np.ndarray:
    numbers = []
    for text in texts:
        try:
            if "_" in text:  # a number to Python alone
                raise ValueError(text)
            numbers.append(float(text))
        except ValueError:
            raise DataError(f"{where}: {quoted(text)} stands where a number belongs") from None
    return np.array(numbers)


def _read_json(path: Path) -> Iterator[Row]:
    file = printable(path.name)
    try:
        # An object as its pairs: a name that is there twice stays there twice.
        held = json.loads(read_text(path, MOST_BYTES), object_pairs_hook=_Pairs)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not a JSON document ({str(error)[:80]})") from None
    if isinstance(held, _Pairs):
        pairs: Iterable[tuple[Any, Any]] = held
    elif isinstance(held, list) and all(isinstance(one, _Pairs) for one in held):
        pairs = (_named(dict(one), i, file) for i, one in enumerate(held))
    else:
        raise DataError(
            f"{file} is neither an object {{name: [[x, y], ...]}} nor a list of objects"
        )
    for name, points in pairs:
        yield name, _pairs_of_numbers(points, f"{file}, {quoted(name)}")


class _Pairs(list[tuple[str, Any]]):
    """A JSON object."""


def _named(held: dict[str, Any], number: int, file: str) -> tuple[str, Any]:
    name = next((held[key] for key in _NAME_KEYS if isinstance(held.get(key), str)), None)
    if name is None or _POINTS_KEY not in held:
        keys = f"{' or '.join(_NAME_KEYS)}, and {_POINTS_KEY}"
        raise DataError(f"{file}: object {number} of the list lacks the keys {keys}")
    return name, held[_POINTS_KEY]


def _pairs_of_numbers(points: Any, where: str) -> np.ndarray:
    def is_number(value: object) -> bool:
        return isinstance(value, int | float) and not isinstance(value, bool)

    if (
        type(points) is not list
        or not points
        or not all(type(p) is list and len(p) == 2 and all(map(is_number, p)) for p in points)
    ):
        raise DataError(f"{where}: not a list of pairs [x, y] of numbers")
    try:
        return np.array(points, dtype=np.float64)
    except OverflowError:
        raise DataError(f"{where}: a number is no place in a picture") from None


def _read_npz(path: Path) -> Iterator[Row]:
    file = printable(path.name)
    data = read_bytes(path, MOST_BYTES)
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names, points = (_array(archive, key, file) for key in (_NAMES, _POINTS))
    except KeyError:
        raise DataError(f"{file} lacks an array {_NAMES!r} or {_POINTS!r}") from None
    except (
        *(zipfile.BadZipFile, zlib.error, EOFError, OSError, ValueError, SyntaxError),
        *(NotImplementedError, RuntimeError, TypeError, OverflowError),
    ) as error:
        raise DataError(f"{file} is damaged or no .npz file ({str(error)[:80]})") from None
    if names.ndim != 1 or names.dtype.kind not in "US":
        raise DataError(f"{file}: {_NAMES!r} is not an array of names, one a face")
    if (
        points.shape[:1] != names.shape
        or points.shape[2:] != (2,)
        or points.dtype.kind not in "fiu"
    ):
        raise DataError(
            f"{file}: {_POINTS!r} has shape {points.shape} and type {points.dtype} instead of"
            f" ({len(names)}, landmarks, 2) numbers"
        )
    if names.dtype.kind == "S":
        names = np.char.decode(names, "utf-8", "backslashreplace")
    yield from zip(names.tolist(), points.astype(np.float64), strict=True)


def _array(archive: zipfile.ZipFile, key: str, file: str) -> np.ndarray:
    """Return an array of an archive, its size asked before anything is unpacked or made room for.
    Raises KeyError without one."""
    member = archive.getinfo(f"{key}.npy")
    if member.file_size > MOST_BYTES:
        raise DataError(
            f"{file}: {key!r} has {member.file_size / 2**20:.0f} MB unpacked; arrays of more than"
            f" {MOST_BYTES / 2**20:.0f} MB are not read"
        )
    with archive.open(member) as packed:
        data = io.BytesIO(packed.read(MOST_BYTES))
    version = np.lib.format.read_magic(data)
    header = (
        np.lib.format.read_array_header_1_0
        if version == (1, 0)
        else np.lib.format.read_array_header_2_0
    )
    try:
        shape, _, kind = header(data)
    except (tokenize.TokenError, MemoryError):  # numpy reads it as an expression of Python
        raise DataError(f"{file}: {key!r} has a header that is no header of an array") from None
    if kind.hasobject:
        raise DataError(f"{file}: {key!r} contains Python objects, which are not read")
    size = math.prod(shape) * kind.itemsize
    if kind.itemsize == 0 or size != len(data.getbuffer()) - data.tell():
        raise DataError(f"{file}: {key!r} is cut off or longer than its header says")
    data.seek(0)
    array: np.ndarray = np.lib.format.read_array(data, allow_pickle=False)
    return array


def _read_pts(folder: Path) -> Iterator[Row]:
    for path in sorted(folder.rglob("*.pts")):
        name = printable(path.relative_to(folder).with_suffix("").as_posix())
        text = read_text(path, pts.MOST_BYTES)
        try:
            yield name, pts.parse_any_points(text)
        except DataError as error:
            raise DataError(f"{name}.pts {error}") from None


def _write_csv(path: Path, names: Sequence[str], predictions: np.ndarray) -> None:
    titles = [f"{axis}{i}" for i in range(predictions.shape[1]) for axis in "xy"]
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file, lineterminator="\n")
        writer.writerow(["name", *titles])
        for name, points in zip(names, predictions, strict=True):
            writer.writerow([name, *map(repr, points.ravel().tolist())])


def _write_json(path: Path, names: Sequence[str], predictions: np.ndarray) -> None:
    held = dict(zip(names, predictions.tolist(), strict=True))
    with path.open("w", encoding="utf-8") as file:
        json.dump(held, file, ensure_ascii=False, indent=0)
        file.write("\n")


def _write_npz(path: Path, names: Sequence[str], predictions: np.ndarray) -> None:
    arrays = {_NAMES: np.array(names), _POINTS: predictions.astype(np.float32)}
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def _write_pts(folder: Path, names: Sequence[str], predictions: np.ndarray) -> None:
    for name, points in zip(names, predictions.astype(np.float64), strict=True):
        parts = PurePosixPath(name).parts
        if not parts or ".." in parts or PurePosixPath(name).is_absolute() or "\\" in name:
            raise DataError(f"the face {quoted(name)} cannot be written: its name leads elsewhere")
        path = folder / f"{name}.pts"
        path.parent.mkdir(parents=True, exist_ok=True)
        lines = (f"{x + 1!r} {y + 1!r}" for x, y in points.tolist())
        head = f"version: 1\nn_points: {len(points)}\n{{\n"
        path.write_text(head + "\n".join(lines) + "\n}\n", encoding="utf-8")


_READERS = {"csv": _read_csv, "json": _read_json, "npz": _read_npz}
_WRITERS = {"csv": _write_csv, "json": _write_json, "npz": _write_npz}
FORMATS = (*_WRITERS, "pts")
