"""A folder of one's own: pictures and their landmarks, described by its `dataset.toml`.

The landmarks are NAME.pts beside each picture, in subfolders too, or one CSV file with the columns
name,x0,y0,x1,y1,... (empty cells: missing). A face is called by the path of its picture in the
folder, without its suffix. `drf.data.description` has the keys of the file.
"""

from __future__ import annotations

import csv
import io
import os
from collections.abc import Iterator, Mapping
from pathlib import Path, PurePosixPath

import numpy as np

from drf.data.description import FILE, Description, Rule, read_description
from drf.data.file_dataset import TRAIN, Entry, FileDataset, drawn, labelled
from drf.data.pts import check_points, read_pts
from drf.data.sources import Source, datasets
from drf.data.user_files import is_inside, is_utf8, printable, read_text
from drf.data.w300 import PICTURE_SUFFIXES, list_folder
from drf.errors import DataError, UsageError

NAME = "folder"

_MOST_LABEL_BYTES = 256 * 2**20


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
            found = _of_csv(root, described) if described.labels else _of_pts(root, described)
        except OSError as error:
            raise DataError(f"{root} cannot be read ({error.strerror})") from None
        entries = dict(sorted(found))
        if not entries:
            what = f"{described.labels} has no row" if described.labels else "it has no picture"
            raise DataError(f"{root} has no faces: {what}")
        subsets = _subsets(root, described, {name: _photo(name, described) for name in entries})
        return cls(described.name, described.markup, root, entries, subsets)


def _of_pts(root: Path, described: Description) -> Iterator[tuple[str, Entry]]:
    """Yield the faces of all .pts files under root, and pictures and .pts that stand alone."""
    for place, folders, _ in os.walk(root):
        for name in folders:
            if not is_utf8(name):
                yield printable(name), Entry(None, None, "its name is not UTF-8; rename the folder")
        folders[:] = sorted(n for n in folders if not n.startswith(".") and is_utf8(n))
        relative = Path(place).relative_to(root).as_posix()
        folder = list_folder(root, "" if relative == "." else relative)
        for name, lack in folder.orphans.items():
            yield name, Entry(None, None, lack)
        for name, (picture, pts) in folder.pairs.items():
            try:
                points = read_pts(pts, described.markup)
                yield name, Entry(picture, labelled(name, _photo(name, described), points))
            except DataError as error:
                yield name, Entry(picture, None, str(error))


def _of_csv(root: Path, described: Description) -> Iterator[tuple[str, Entry]]:
    """Yield the faces of the CSV file. Raises DataError for a file that is none, or names a face
    twice or outside of the folder; a row whose landmarks are unusable costs its own face."""
    assert described.labels is not None
    path, n = root / described.labels, described.markup.n_points
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
            try:
                points = _points(row[1:], described)
                face = labelled(name, _photo(name, described), points)
                yield name, Entry(picture, face, "" if picture else "its picture is missing")
            except DataError as error:
                yield name, Entry(picture, None, f"line {rows.line_num} of {path.name} {error}")
    except csv.Error:
        raise DataError(f"{path} is not a CSV text file") from None


def _points(cells: list[str], described: Description) -> np.ndarray:
    """Return the points of a row, (K, 2) 0-based px. Raises DataError, without a subject."""
    n = described.markup.n_points
    if len(cells) != 2 * n:
        raise DataError(f"holds {len(cells)} numbers instead of {2 * n}")
    try:
        values = np.array([cell.strip() or "nan" for cell in cells], dtype=np.float64)
    except ValueError:
        raise DataError("holds something that is no number") from None
    points = values.reshape(-1, 2) - described.first_pixel
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
    root: Path, described: Description, photos: Mapping[str, str]
) -> dict[str, tuple[str, ...]]:
    """Return the names of the faces of each subset. photos: face -> photo, in order.

    Raises DataError for a subset that is empty, and for a face of train in a test subset too.
    """
    rules = described.subsets
    fixed = {
        name: _named(root, name, rule, photos)
        for name, rule in rules.items()
        if rule.list or rule.folder
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
    for name, faces in fixed.items():
        if not faces:
            raise DataError(
                f"the subset {name} of {described.name} has no faces; there are {len(total)} photos"
                " for train and the shares, and each needs one"
            )
        if name != TRAIN and (both := sorted(faces & train)):
            raise DataError(f"{both[0]!r} is in the subsets {TRAIN} and {name} of {described.name}")
    return {name: tuple(face for face in photos if face in fixed[name]) for name in rules}


def _named(root: Path, subset: str, rule: Rule, photos: Mapping[str, str]) -> set[str]:
    """Return the faces of a list or a folder."""
    if rule.folder:
        inside = PurePosixPath(rule.folder)
        return {name for name in photos if inside in PurePosixPath(name).parents}
    assert rule.list is not None
    lines = [line.strip() for line in read_text(root / rule.list).splitlines()]
    names = [_without_suffix(line) for line in lines if line and not line.startswith("#")]
    if unknown := [name for name in names if name not in photos]:
        raise DataError(
            f"{rule.list}, the list of the subset {subset}, names {unknown[0]!r}, which has no"
            f" picture or landmarks in {root}"
        )
    return set(names)
