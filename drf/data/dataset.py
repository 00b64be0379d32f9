"""What a dataset is to the rest of the code, and which there are.

A dataset has named subsets of faces, and a picture for each face. A new one is a class with the
methods of `Dataset`, and a line in DATASETS.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path
from typing import Protocol, TypeVar

import numpy as np

from drf.errors import DataError, UsageError
from drf.files import path_of_variable
from drf.landmarks.markup import MISSING, Markup


@dataclass(frozen=True)
class Face:
    """One annotated face.

    name    unique in its dataset, e.g. "helen/testset/232194_1"
    photo   the photograph it was cut from; two faces of one photo never stand in train and val
    points  (K, 2) float32, 0-based picture px, pixel centres at integers; NaN where missing
    visibility  (K,) uint8, see `drf.landmarks.markup`; None where all landmarks are visible

    Raises ValueError where points and visibility do not say the same of missing landmarks.
    """

    name: str
    photo: str
    points: np.ndarray
    visibility: np.ndarray | None = None

    def __post_init__(self) -> None:
        there = np.isfinite(self.points).all(axis=1)
        known = there if self.visibility is None else self.visibility != MISSING
        if not np.array_equal(there, known) or (self.visibility is None and not there.all()):
            raise ValueError(f"{self.name}: missing landmarks must be NaN, and marked as missing")


@dataclass(frozen=True)
class Subset:
    """The faces of one subset that could be read, in a fixed order, and those that could not.

    skipped  name -> reason, one sentence each
    """

    dataset: str
    name: str
    faces: tuple[Face, ...]
    skipped: dict[str, str] = field(default_factory=dict)


class Dataset(Protocol):
    """A source of faces.

    name    what the board and the store call it
    markup  which landmarks its faces have
    origin  what this one was opened on (a root folder, a generator's seed): tells two apart on one
            machine, and is never stored with a result
    """

    name: str
    markup: Markup
    origin: str

    def subset_names(self) -> tuple[str, ...]:
        """Return the names that `subset` knows."""
        ...

    def default_test_subset(self) -> str:
        """Return the test subset to report where none is named. DataError if none is whole."""
        ...

    def subset(self, name: str) -> Subset:
        """Return a subset. Raises DataError that names what is missing."""
        ...

    def fingerprint(self, name: str) -> str:
        """Return what changes whenever the files behind a subset change; reads no file.

        Raises DataError as `subset` where files are missing.
        """
        ...

    def picture(self, face: Face) -> np.ndarray:
        """Return the (H, W, 3) uint8 RGB picture. Raises DataError if it cannot be decoded."""
        ...

    def pictures(self, faces: Sequence[Face]) -> Iterator[np.ndarray | DataError]:
        """Yield the picture of each face, in order, or why there is none; on two cores at most."""
        ...

    def source(self, face: Face) -> bytes:
        """Return the bytes that define a face: its points and its file, or a generator's recipe.

        The same on every machine that holds the same face. Raises DataError if they cannot be read.
        """
        ...

    def has_face(self, name: str) -> bool:
        """Return whether a face of this name is there, in whichever subset, readable or not."""
        ...


def points_outside(points: np.ndarray, picture: np.ndarray) -> np.ndarray:
    """Return which points lie beyond the outermost pixels; missing ones do not.

    (K, 2), (H, W, 3) -> (K,) bool.
    """
    height, width = picture.shape[:2]
    return np.any((points < -0.5) | (points > [width - 0.5, height - 0.5]), axis=1)


MAX_BAD_SHARE = 0.01
"""Share of unreadable faces above which a subset is refused rather than read without them; one bad
face never is too many."""


def refuse_if_too_many_bad(what: str, n_good: int, skipped: dict[str, str]) -> None:
    """Raise DataError if nothing of a subset could be read, or more than 1 % of it, and more than
    one face, could not.

    what: the subset as the sentence names it; skipped: face name -> reason.
    """
    total = n_good + len(skipped)
    if n_good and len(skipped) <= max(1, MAX_BAD_SHARE * total):
        return
    if not skipped:
        raise DataError(f"{what} holds no faces")
    first = "; ".join(f"{name}: {reason}" for name, reason in list(skipped.items())[:3])
    raise DataError(
        f"{len(skipped)} of the {total} faces of {what} cannot be read (at most 1 % may be bad), "
        f"first {first}; `drf data check` lists them all"
    )


Item = TypeVar("Item")
Result = TypeVar("Result")


def prefetch_map(
    pool: Executor, function: Callable[[Item], Result], items: Iterable[Item], ahead: int
) -> Iterator[Result]:
    """Yield function(item) in order while the pool works at most `ahead` items in front.

    Executor.map would take all items at once and pile up the results that nobody has fetched yet.
    """
    pending: deque[Future[Result]] = deque()
    for item in items:
        pending.append(pool.submit(function, item))
        if len(pending) > ahead:
            yield pending.popleft().result()
    while pending:
        yield pending.popleft().result()


@dataclass(frozen=True)
class Source:
    """What a dataset is opened on; each takes what it needs.

    root  folder of its files, None where the user named none
    seed  of generated faces
    size  number of generated training faces, None for the usual number
    """

    root: Path | None
    seed: int
    size: int | None

    def required_root(self, name: str) -> Path:
        """Return the folder, else that of the variable DRF_DATA. Raises UsageError without one."""
        if self.root is not None:
            return self.root
        if folder := path_of_variable("DRF_DATA"):
            return folder
        raise UsageError(
            f"{name} needs the folder of its files: name it with --data-root, "
            "or set the variable DRF_DATA"
        )


DATASETS = {
    "synthetic": "drf.data.synthetic_dataset:SyntheticDataset",
    "300w": "drf.data.w300:W300",
    "wflw": "drf.data.wflw:WFLW",
    "cofw": "drf.data.cofw:COFW",
    "folder": "drf.data.folder:FolderDataset",
}
"""Name -> "module:class", imported when it is opened: its class method `open` takes a Source.
`folder` is any folder with a description; its dataset is called by the name that stands there."""


@dataclass(frozen=True)
class Origin:
    """Where a dataset comes from: the address of its page, and the terms that it states.

    archives  what is to be had there, and `drf data prepare` unpacks
    md5       of those archives whose digest the page publishes
    """

    page: str
    archives: str
    terms: str
    md5: Mapping[str, str] = field(default_factory=dict)


_RESEARCH_ONLY = (
    "for research only, not for commercial use, and not to be passed on; the pictures belong to"
    " their owners"
)

ORIGINS = {
    "300w": Origin(
        "https://ibug.doc.ic.ac.uk/resources/300-W/",
        "afw.zip, helen.zip, ibug.zip, lfpw.zip, and 300w.zip (in parts: join them first) with the"
        " test set of the challenge",
        _RESEARCH_ONLY,
    ),
    "wflw": Origin(
        "https://wywu.github.io/projects/LAB/WFLW.html",
        "WFLW_images.tar.gz and WFLW_annotations.tar.gz",
        _RESEARCH_ONLY,
    ),
    "cofw": Origin(
        "https://data.caltech.edu/records/bc0bf-nc666",
        "COFW_color.zip, or COFW.zip with grey pictures",
        "CC BY 4.0, by Burgos-Artizzu, Perona and Dollár; the pictures belong to their owners",
        {
            "COFW.zip": "e092eeab9d0790674f86047880410e5a",
            "COFW_color.zip": "8b21d126c4e1fb307cb463578eef0511",
        },
    ),
}
"""Name -> where its files are to be had. drf downloads none of them."""


FREE = ("synthetic",)
"""Datasets whose pictures are under the licence of the code."""


def terms_of(name: str) -> str:
    """Return the terms of the pictures of a dataset, in words that end a sentence."""
    if name in FREE:
        return "made by drf, depicts nobody, under the licence of its code (MIT)"
    origin = ORIGINS.get(name)
    return origin.terms if origin else "under terms that drf does not know: ask whoever made it"


ENTRY_POINTS = "drf.datasets"
"""Group of entry points under which other packages name their datasets."""


def datasets() -> dict[str, str]:
    """Return all datasets, those of other packages too: name -> "module:class"."""
    others = {found.name: found.value for found in metadata.entry_points(group=ENTRY_POINTS)}
    return others | DATASETS


def open_dataset(
    name: str, root: Path | None = None, *, seed: int = 0, size: int | None = None
) -> Dataset:
    """Return a dataset by name. The arguments are those of `Source`.

    Raises UsageError for an unknown name and where no root is named, DataError for a folder that
    does not hold the dataset.
    """
    known = datasets()
    if name not in known:
        raise UsageError(f"unknown dataset {name!r}: use one of {', '.join(known)}")
    module, _, cls = known[name].partition(":")
    opened: Dataset = getattr(import_module(module), cls).open(Source(root, seed, size))
    return opened
