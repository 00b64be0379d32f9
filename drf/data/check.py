"""Looking over a 300-W folder: what is missing, unreadable, malformed or there twice."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal

import numpy as np

from drf.data import duplicates, label_check
from drf.data.boxes import gt_boxes
from drf.data.dataset import points_outside
from drf.data.duplicates import Pair
from drf.data.picture_files import MOST_PICTURE_BYTES, map_pictures
from drf.data.pts import read_pts
from drf.data.user_files import read_bytes
from drf.data.w300 import SUBSETS, TEST_SIZES, TEST_SUBSETS, W300, all_folders, too_many
from drf.errors import DataError
from drf.markup import IBUG68

_TRAINED_ON = {"train": (), "val": ("train",)} | dict.fromkeys(TEST_SUBSETS, ("train", "val"))
"""Subset -> the subsets that must not hold its faces."""


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
    """What was found under one root."""

    root: str
    subsets: list[SubsetReport]

    @property
    def n_faults(self) -> int:
        """How many things are wrong, each counted in every subset that it affects."""
        return sum(subset.n_faults for subset in self.subsets)

    def as_json(self) -> dict[str, object]:
        """Return the report as plain JSON values."""
        subsets = [asdict(s) | {"state": s.state, "n_faults": s.n_faults} for s in self.subsets]
        return {"root": self.root, "n_faults": self.n_faults, "subsets": subsets}


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
    """Read every face under root and report per subset.

    progress(done, total) is called on the way. Raises DataError if root is not 300-W at all.
    """
    dataset = W300(root)
    files = {
        name: pair
        for subset in ("train", "val", "full")
        for name, pair in dataset.members(subset)
        if pair is not None
    }
    looks: dict[str, _Seen | _Fault] = {}
    pairs = list(files.values())
    found = map_pictures([path for path, _ in pairs], lambda i, picture: _look(*pairs[i], picture))
    for name, look in zip(files, found, strict=True):
        looks[name] = look
        if progress is not None:
            progress(len(looks), len(files))
    return Report(str(root), [_report(dataset, subset, looks) for subset in SUBSETS])


def _look(picture_path: Path, pts: Path, picture: np.ndarray | DataError) -> _Seen | _Fault:
    try:
        points = read_pts(pts)
    except DataError as error:
        return _Fault("malformed", str(error))
    try:
        if isinstance(picture, DataError):
            raise picture
        content = read_bytes(picture_path, MOST_PICTURE_BYTES)
        signature = duplicates.signature(picture, points)
    except DataError as error:
        return _Fault("unreadable", str(error))
    return _Seen(
        has_points_outside=bool(points_outside(points, picture).any()),
        label_fault=label_check.fault(points, IBUG68),
        is_incomplete=bool(np.isnan(points).any()),
        box_px=float(gt_boxes(points[None])[0, 2]),
        sha256=hashlib.sha256(content).hexdigest(),
        signature=signature,
    )


def _report(dataset: W300, subset: str, looks: dict[str, _Seen | _Fault]) -> SubsetReport:
    members = [name for name, _ in dataset.members(subset)]
    seen = _seen(looks, members)
    trained = _seen(looks, [n for s in _TRAINED_ON[subset] for n, _ in dataset.members(s)])
    faults = [(n, looks[n]) for n in members if n in looks]
    return SubsetReport(
        subset=subset,
        faces=len(seen),
        absent=[f for f in all_folders(subset) if f not in dataset.folders_of(subset)],
        missing=_missing(dataset, subset),
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


def _seen(looks: dict[str, _Seen | _Fault], names: list[str]) -> dict[str, _Seen]:
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
