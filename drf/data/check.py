"""Looking over a dataset of files: what is missing, unreadable, malformed or there twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from drf.data import duplicates, label_check
from drf.data.boxes import gt_boxes
from drf.data.dataset import points_outside
from drf.data.duplicates import Pair
from drf.data.file_dataset import TRAIN, VAL, FileDataset
from drf.data.picture_files import Place, content_at, map_pictures
from drf.data.pts import read_pts
from drf.data.w300 import PRIVATE_SUBSETS, SUBSETS, TEST_SIZES, W300, all_folders, too_many
from drf.errors import DataError
from drf.landmarks.markup import Markup


@dataclass(frozen=True)
class SubsetReport:
    """What was found in one subset. Names are face names; lists are in the order of the subset.

    faces             faces that can be used
    absent            folders of the subset that are not there: no fault, the part was not unpacked
    missing           what a folder that is there lacks, and faces without picture or .pts: phrases
    unreadable        face -> why its picture cannot be decoded
    malformed         face -> what is wrong with its .pts
    odd_labels        face -> why its landmarks are no face as they stand (see `label_check`)
    incomplete        faces with missing landmarks (0 0 or -1 -1 in their .pts)
    outside           faces with points outside their picture (real sets hold some)
    copies            faces whose very file is among the training faces too
    same_photo        faces whose photo is among the training faces too, as whichever file
    smallest_box_px   side of the smallest gt box, picture px
    """

    subset: str
    faces: int
    absent: list[str]
    missing: list[str]
    unreadable: dict[str, str]
    malformed: dict[str, str]
    odd_labels: dict[str, str]
    incomplete: list[str]
    outside: list[str]
    copies: list[Pair]
    same_photo: list[Pair]
    smallest_box_px: float | None

    @property
    def state(self) -> Literal["absent", "partial", "present"]:
        """Whether the folders of the subset are there: none, some or all."""
        if not self.absent:
            return "present"
        return "partial" if len(self.absent) < len(all_folders(self.subset)) else "absent"

    @property
    def n_faults(self) -> int:
        """How many things are wrong. Points outside, missing landmarks and a photo in two versions
        are notes."""
        faults = (self.missing, self.unreadable, self.malformed, self.odd_labels, self.copies)
        return sum(map(len, faults))


@dataclass(frozen=True)
class Report:
    """What was found under one root.

    markup  what is wrong with the markup of the landmarks, a sentence, or None
    """

    root: str
    subsets: list[SubsetReport]
    markup: str | None = None

    @property
    def n_faults(self) -> int:
        """How many things are wrong, each counted in every subset that it affects."""
        return sum(subset.n_faults for subset in self.subsets) + (self.markup is not None)

    def as_json(self) -> dict[str, object]:
        """Return the report as plain JSON values."""
        subsets = [asdict(s) | {"state": s.state, "n_faults": s.n_faults} for s in self.subsets]
        found = {"root": self.root, "n_faults": self.n_faults, "markup": self.markup}
        return found | {"subsets": subsets}


@dataclass(frozen=True)
class _Fault:
    """Why a face cannot be used."""

    kind: Literal["malformed", "unreadable"]
    reason: str


@dataclass(frozen=True)
class _Seen:
    """What a usable face showed."""

    has_points_outside: bool
    label_fault: str | None
    is_incomplete: bool
    box_px: float
    sha256: str
    signature: np.ndarray


def check_dataset(root: Path, progress: Callable[[int, int], None] | None = None) -> Report:
    """Read every face of 300-W under root and report per subset.

    progress(done, total) is called on the way. Raises DataError if root is not 300-W at all.
    """
    dataset = W300(root)
    subsets = [s for s in SUBSETS if s not in PRIVATE_SUBSETS or dataset.folders_of(s)]
    files = {
        name: pair
        for subset in subsets
        for name, pair in dataset.members(subset)
        if pair is not None
    }

    def labels(name: str) -> np.ndarray:
        return read_pts(files[name][1])

    looks = _looks({n: p for n, (p, _) in files.items()}, labels, dataset.markup, progress)
    members = {subset: [name for name, _ in dataset.members(subset)] for subset in subsets}
    absent = {s: [f for f in all_folders(s) if f not in dataset.folders_of(s)] for s in subsets}
    missing = {subset: _missing(dataset, subset) for subset in subsets}
    return Report(str(root), _reports(members, looks, absent, missing))


def check_files(dataset: FileDataset, progress: Callable[[int, int], None] | None = None) -> Report:
    """Read every face of a dataset that lists its faces, and report per subset.

    progress(done, total) is called on the way.
    """
    entries = dataset.entries
    usable = {n: e.picture for n, e in entries.items() if e.picture is not None}

    def labels(name: str) -> np.ndarray:
        if (face := entries[name].face) is None:
            raise DataError(entries[name].fault)
        return face.points

    looks = _looks(usable, labels, dataset.markup, progress)
    members = {subset: list(dataset.members(subset)) for subset in dataset.subset_names()}
    missing = {
        subset: [lack for lack in (dataset.lack(subset),) if lack and names]
        + [f"{name}: {entries[name].fault}" for name in names if entries[name].picture is None]
        for subset, names in members.items()
    }
    points = [entry.face.points for entry in entries.values() if entry.face is not None]
    markup = label_check.flip_fault(np.stack(points), dataset.markup) if points else None
    return Report(str(dataset.root), _reports(members, looks, {}, missing), markup)


def _looks(
    pictures: Mapping[str, Place],
    labels: Callable[[str], np.ndarray],
    markup: Markup,
    progress: Callable[[int, int], None] | None,
) -> dict[str, _Seen | _Fault]:
    """Return what every face showed. labels(name): its points, or DataError."""
    names, places = list(pictures), list(pictures.values())

    def look(i: int, picture: np.ndarray | DataError) -> _Seen | _Fault:
        return _look(places[i], lambda: labels(names[i]), markup, picture)

    looks: dict[str, _Seen | _Fault] = {}
    for name, found in zip(names, map_pictures(places, look), strict=True):
        looks[name] = found
        if progress is not None:
            progress(len(looks), len(names))
    return looks


def _look(
    place: Place,
    labels: Callable[[], np.ndarray],
    markup: Markup,
    picture: np.ndarray | DataError,
) -> _Seen | _Fault:
    try:
        points = labels()
    except DataError as error:
        return _Fault("malformed", str(error))
    try:
        if isinstance(picture, DataError):
            raise picture
        content = content_at(place)
        signature = duplicates.signature(picture, points)
    except DataError as error:
        return _Fault("unreadable", str(error))
    return _Seen(
        has_points_outside=bool(points_outside(points, picture).any()),
        label_fault=label_check.fault(points, markup),
        is_incomplete=bool(np.isnan(points).any()),
        box_px=float(gt_boxes(points[None])[0, 2]),
        sha256=hashlib.sha256(content).hexdigest(),
        signature=signature,
    )


def _reports(
    members: Mapping[str, list[str]],
    looks: dict[str, _Seen | _Fault],
    absent: Mapping[str, list[str]],
    missing: Mapping[str, list[str]],
) -> list[SubsetReport]:
    """Return a report per subset: its faces must not be in those that it is trained on."""
    trained = {TRAIN: (), VAL: (TRAIN,)}
    return [
        _report(
            subset,
            names,
            [n for s in trained.get(subset, (TRAIN, VAL)) for n in members[s]],
            looks,
            absent.get(subset, []),
            missing[subset],
        )
        for subset, names in members.items()
    ]


def _report(
    subset: str,
    members: list[str],
    trained_on: Iterable[str],
    looks: dict[str, _Seen | _Fault],
    absent: list[str],
    missing: list[str],
) -> SubsetReport:
    seen, trained = _seen(looks, members), _seen(looks, trained_on)
    faults = [(n, looks[n]) for n in members if n in looks]
    return SubsetReport(
        subset=subset,
        faces=len(seen),
        absent=absent,
        missing=missing,
        unreadable=_reasons(faults, "unreadable"),
        malformed=_reasons(faults, "malformed"),
        odd_labels={n: face.label_fault for n, face in seen.items() if face.label_fault},
        incomplete=[name for name, face in seen.items() if face.is_incomplete],
        outside=[name for name, face in seen.items() if face.has_points_outside],
        copies=duplicates.same_content(
            {name: face.sha256 for name, face in seen.items()},
            {name: face.sha256 for name, face in trained.items()},
        ),
        same_photo=duplicates.same_photo(
            {name: face.signature for name, face in seen.items()},
            {name: face.signature for name, face in trained.items()},
        ),
        smallest_box_px=min((face.box_px for face in seen.values()), default=None),
    )


def _seen(looks: dict[str, _Seen | _Fault], names: Iterable[str]) -> dict[str, _Seen]:
    found = {name: looks.get(name) for name in names}
    return {name: look for name, look in found.items() if isinstance(look, _Seen)}


def _reasons(looks: list[tuple[str, _Seen | _Fault]], kind: str) -> dict[str, str]:
    return {n: look.reason for n, look in looks if isinstance(look, _Fault) and look.kind == kind}


def _missing(dataset: W300, subset: str) -> list[str]:
    """Return a phrase per missing file, and per test folder that is not of its known size."""
    orphans = {name for name, pair in dataset.members(subset) if pair is None}
    phrases = []
    folders = dataset.folders_of(subset)
    if folders and not any(True for _ in dataset.members(subset)):
        phrases.append("it holds no photo; train and val need one each")
    for folder_name in folders:
        folder = dataset.folder(folder_name)
        found = len(folder.pairs) + len(folder.orphans)
        expected = TEST_SIZES.get(folder_name, found)
        if found != expected:
            extra = too_many(folder_name, folder)
            which = f" (not of the original set: {', '.join(extra)})" if extra else ""
            phrases.append(f"{folder_name} holds {found} of {expected} faces{which}")
        phrases += [f"{name}: {lack}" for name, lack in folder.orphans.items() if name in orphans]
    return phrases
