"""A folder of one's own: pictures and their landmarks, described by its `dataset.toml`.

The landmarks are NAME.pts beside each picture, in subfolders too, or in CSV files with the columns
name,x0,y0,x1,y1,..., or in XML files of dlib's imglab. A landmark is missing where cells are empty,
a part is absent, or the point is 0 0 or -1 -1. A face is called by the path of its picture in the
folder, without its suffix; of several faces that an XML file has in one picture the second is
called NAME~2. `drf.data.description` has the keys of the file.
"""

from __future__ import annotations

import csv
import io
import os
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from drf.data import dlib_xml
from drf.data.dataset import Source, datasets
from drf.data.description import FILE, Description, Rule, is_xml, read_description
from drf.data.file_dataset import TRAIN, Entry, FileDataset, drawn, labelled
from drf.data.pts import check_points, read_pts, without_placeholders
from drf.data.user_files import is_inside, is_utf8, printable, read_text
from drf.data.w300 import PICTURE_SUFFIXES, list_folder
from drf.errors import DataError, UsageError

NAME = "folder"

_MOST_LABEL_BYTES = 256 * 2**20
_NO_PICTURE = "its picture is missing"


class FolderDataset(FileDataset):
    """The dataset that a folder with a `dataset.toml` is."""

    @classmethod
    def open(cls, source: Source) -> FolderDataset:
        """Return the dataset in the folder of a source.

        Raises UsageError where none is named, DataError for a folder that is described wrongly.
        """
        try:
            root = source.required_root(NAME)
        except UsageError as error:
            raise UsageError(f"{error}; it has a {FILE}, see docs/datasets.md") from None
        described = read_description(root, datasets())
        try:
            found = list(_found(root, described))
        except OSError as error:
            raise DataError(f"{root} cannot be read ({error.strerror})") from None
        if not found:
            files = ", ".join(described.labels)
            what = f"{files} has none" if files else "it has no picture"
            raise DataError(f"{root} has no faces: {what}")
        faces = {one.name: one for one in sorted(found, key=lambda one: one.name)}
        if len(faces) != len(found):
            twice = next(name for name, n in Counter(one.name for one in found).items() if n > 1)
            raise DataError(f"{twice!r} is in two files of labels: keep it in one")
        entries = {name: one.entry for name, one in faces.items()}
        return cls(
            described.name, described.markup, root, entries, _subsets(root, described, faces)
        )


@dataclass(frozen=True)
class _Found:
    """One face. photo: the photo that it was cut from; labels: the file that has its landmarks,
    None for a .pts file."""

    name: str
    photo: str
    entry: Entry
    labels: str | None = None


def _found(root: Path, described: Description) -> Iterator[_Found]:
    if not described.labels:
        for name, entry in _of_pts(root, described):
            yield _Found(name, _photo(name, described), entry)
    for file in described.labels:
        yield from (
            _of_xml(root, described, file) if is_xml(file) else _of_csv(root, described, file)
        )


def _of_pts(root: Path, described: Description) -> Iterator[tuple[str, Entry]]:
    """Yield the faces of all .pts files under root, and pictures and .pts that stand alone."""
    for place, folders, _ in os.walk(root):
        for name in folders:
            if not is_utf8(name):
                yield printable(name), Entry(None, None, "its name is not UTF-8; rename the folder")
        folders[:] = sorted(n for n in folders if not n.startswith(".") and is_utf8(n))
        relative = Path(place).relative_to(root).as_posix()
        folder = list_folder(Path(place), "" if relative == "." else relative)
        for name, lack in folder.orphans.items():
            yield name, Entry(None, None, lack)
        for name, (picture, pts) in folder.pairs.items():
            try:
                points = read_pts(pts, described.markup)
                yield name, Entry(picture, labelled(name, _photo(name, described), points))
            except DataError as error:
                yield name, Entry(picture, None, str(error))


def _of_csv(root: Path, described: Description, file: str) -> Iterator[_Found]:
    """Yield the faces of a CSV file. Raises DataError for a file that is none, or names a face
    twice or outside of the folder; a row whose landmarks are unusable costs its own face."""
    path, n = root / file, described.markup.n_points
    seen = set()
    try:
        rows = csv.reader(io.StringIO(read_text(path, _MOST_LABEL_BYTES), newline=""))
        header = [cell.strip().lower() for cell in next(rows, [])]
        if header != ["name", *(f"{axis}{k}" for k in range(n) for axis in "xy")]:
            raise DataError(
                f"{path}: its first line must be name,x0,y0,...,x{n - 1},y{n - 1} for the {n}"
                f" landmarks of {FILE}; it is {','.join(header)[:60] or 'empty'}"
            )
        for row in rows:
            if not row:
                continue
            where = f"{path}, line {rows.line_num}"
            if not is_inside(row[0]):
                raise DataError(f"{where}: {row[0][:80]!r} is no picture in the folder")
            picture = _picture(root, row[0])
            name = _without_suffix(row[0])
            if name in seen:
                raise DataError(f"{where}: a second row for {name!r}; keep one row per picture")
            seen.add(name)
            photo = _photo(name, described)
            try:
                face = labelled(name, photo, _points(row[1:], described))
                entry = Entry(picture, face, "" if picture else _NO_PICTURE)
            except DataError as error:
                entry = Entry(picture, None, f"line {rows.line_num} of {path.name} {error}")
            yield _Found(name, photo, entry, file)
    except csv.Error:
        raise DataError(f"{path} is not a CSV text file") from None


def _of_xml(root: Path, described: Description, file: str) -> Iterator[_Found]:
    """Yield the faces of an XML file of imglab. Raises DataError as `dlib_xml.read_faces`, and for
    a picture outside of the folder; a box whose parts are unusable costs its own face."""
    times: Counter[str] = Counter()
    markup = described.markup
    for box in dlib_xml.read_faces(root / file):
        if not is_inside(box.picture):
            where = f"{file}, line {box.line}"
            raise DataError(f"{where}: {box.picture[:80]!r} is no picture in the folder")
        picture, in_photo = _picture(root, box.picture), _without_suffix(box.picture)
        times[in_photo] += 1
        name = in_photo if times[in_photo] == 1 else f"{in_photo}~{times[in_photo]}"
        photo = _photo(in_photo, described)
        try:
            points = dlib_xml.points_of(box, described.landmarks, markup.n_points)
            check_points(points, markup)
            face = labelled(name, photo, points)
            entry = Entry(picture, face, "" if picture else _NO_PICTURE, box.box)
        except DataError as error:
            entry = Entry(picture, None, f"line {box.line} of {file} {error}", box.box)
        yield _Found(name, photo, entry, file)


def _points(cells: list[str], described: Description) -> np.ndarray:
    """Return the points of a row, (K, 2) 0-based px. Raises DataError, without a subject."""
    n = described.markup.n_points
    if len(cells) != 2 * n:
        raise DataError(f"holds {len(cells)} numbers instead of {2 * n}")
    try:
        values = np.array([cell.strip() or "nan" for cell in cells], dtype=np.float64)
    except ValueError:
        raise DataError("holds something that is no number") from None
    points = without_placeholders(values.reshape(-1, 2)) - described.first_pixel
    points[np.isnan(points).any(axis=1)] = np.nan
    if (np.abs(points) >= 1e6).any():
        raise DataError("holds a point that is no place in a picture")
    check_points(points, described.markup)
    return points


def _picture(root: Path, name: str) -> Path | None:
    """Return the picture that a row names, with or without its suffix."""
    known = Path(name).suffix.lower() in PICTURE_SUFFIXES
    places = [name] if known else [name + suffix for suffix in PICTURE_SUFFIXES]
    return next((root / place for place in places if (root / place).is_file()), None)


def _without_suffix(name: str) -> str:
    path = PurePosixPath(name)
    return str(path.with_suffix("") if path.suffix.lower() in PICTURE_SUFFIXES else path)


def _photo(name: str, described: Description) -> str:
    """Return the photo of a face: what the key `photo` matches in its file name, else its file
    name, whichever folder it is in."""
    own = name.rpartition("/")[2]
    found = described.photo and described.photo.match(own)
    return (found[1] if found else None) or own


def _subsets(
    root: Path, described: Description, faces: Mapping[str, _Found]
) -> dict[str, tuple[str, ...]]:
    """Return the names of the faces of each subset. faces: by their names, in order.

    Raises DataError for a subset that is empty, and for a face of train in a test subset too.
    """
    rules = described.subsets
    photos = {name: one.photo for name, one in faces.items()}
    fixed = {
        name: _named(root, name, rule, faces)
        for name, rule in rules.items()
        if rule.list or rule.folder or rule.labels
    }
    if TRAIN not in fixed:
        others = set().union(*fixed.values())
        fixed[TRAIN] = {name for name in photos if name not in others}
    train = fixed[TRAIN]
    total = {photos[name] for name in train}
    for name, rule in rules.items():
        if rule.share is None:
            continue
        # The share is of all photos, drawn among those that no share before it has taken.
        left = {photos[face] for face in train}
        share = min(1.0, rule.share * len(total) / max(1, len(left)))
        chosen = drawn(left, share, rule.seed)
        fixed[name] = {face for face in train if photos[face] in chosen}
        train = train - fixed[name]
    fixed[TRAIN] = train
    for name, chosen in fixed.items():
        if not chosen:
            raise DataError(
                f"the subset {name} of {described.name} has no faces; there are {len(total)} photos"
                " for train and the shares, and each needs one"
            )
        if name != TRAIN and (both := sorted(chosen & train)):
            raise DataError(f"{both[0]!r} is in the subsets {TRAIN} and {name} of {described.name}")
    return {name: tuple(face for face in faces if face in fixed[name]) for name in rules}


def _named(root: Path, subset: str, rule: Rule, faces: Mapping[str, _Found]) -> set[str]:
    """Return the faces of a list, a folder or a file of labels."""
    if rule.labels:
        return {name for name, one in faces.items() if one.labels == rule.labels}
    if rule.folder:
        inside = PurePosixPath(rule.folder)
        return {name for name in faces if inside in PurePosixPath(name).parents}
    assert rule.list is not None
    lines = [line.strip() for line in read_text(root / rule.list).splitlines()]
    names = [_without_suffix(line) for line in lines if line and not line.startswith("#")]
    if unknown := [name for name in names if name not in faces]:
        raise DataError(
            f"{rule.list}, the list of the subset {subset}, names {unknown[0]!r}, which has no"
            f" picture or landmarks in {root}"
        )
    return set(names)
