"""What a dataset is to the rest of the code: named subsets of faces, a picture for each face."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass, field
from typing import Protocol, TypeVar

import numpy as np

from drf.errors import DataError
from drf.markup import MISSING, Markup


@dataclass(frozen=True)
class Face:
    """One annotated face.

    name    unique in its dataset, e.g. "helen/testset/232194_1"
    photo   the photograph it was cut from; two faces of one photo never stand in train and val
    points  (K, 2) float32, 0-based picture px, pixel centres at integers; NaN where missing
    visibility  (K,) uint8, see `drf.markup`; None where all landmarks are visible

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
