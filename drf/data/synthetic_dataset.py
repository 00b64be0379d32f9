"""The synthetic faces as a dataset: there on every machine, without a download."""

from __future__ import annotations

import math
import multiprocessing
import signal
from collections.abc import Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass

import cv2
import numpy as np

from drf.data.dataset import Face, Source, Subset, prefetch_map
from drf.data.synthetic import GENERATOR_VERSION, face_points, render_face
from drf.data.synthetic.face import SIZE
from drf.errors import DataError, DrfError, UsageError, quoted
from drf.landmarks.markup import IBUG68
from drf.processes import end_with_parent

SIZES = {"train": 2000, "val": 200, "common": 330, "challenging": 135}
"""Faces per subset; common and challenging as many as Helen's test set and iBUG hold."""

MOST_FACES = 10**6
LARGEST_SEED = 2**31 - 1

_PROCESSES = 2
_CHUNK = 16
_AHEAD = 2 * _PROCESSES
_SHAPE = (_AHEAD + 1, _CHUNK, SIZE, SIZE, 3)
"""Slots for pictures in memory that processes share. A result of megabytes would go through a pipe
in many pieces: of a process that was killed between two of them, the pool waits for the rest for
ever."""


class SyntheticDataset:
    """Faces made by `drf.data.synthetic`. A face's name is SUBSET/NUMBER, e.g. "val/00012".

    seed: 0 or more, another set of faces for each; size: faces in `train` (default 2000). Test
    subsets never change their size. Raises UsageError for a size below 1 or a negative seed, and
    for more than MOST_FACES and LARGEST_SEED.
    """

    name = "synthetic"
    markup = IBUG68

    def __init__(self, seed: int = 0, size: int | None = None) -> None:
        if not (0 <= seed <= LARGEST_SEED and (size is None or 1 <= size <= MOST_FACES)):
            raise UsageError(
                f"synthetic faces need seed >= 0 and size >= 1, at most {LARGEST_SEED} and"
                f" {MOST_FACES}, not {quoted(seed)} and {quoted(size)}"
            )
        self.seed = seed
        self.sizes = SIZES if size is None else SIZES | {"train": size}
        self.origin = f"seed {seed}"

    @classmethod
    def open(cls, source: Source) -> SyntheticDataset:
        """Return the dataset of a source's seed and size."""
        return cls(source.seed, source.size)

    def subset_names(self) -> tuple[str, ...]:
        """Return the names that `subset` knows."""
        return tuple(self.sizes)

    def default_test_subset(self) -> str:
        """Return "common", the test subset drawn like the training faces."""
        return "common"

    def subset(self, name: str) -> Subset:
        """Return a subset: the points of its faces, without their pictures. About 2 ms a face."""
        faces = []
        for index in range(self._size(name)):
            face_name = f"{name}/{index:05d}"
            faces.append(Face(face_name, face_name, face_points(name, index, self.seed)))
        return Subset(self.name, name, tuple(faces))

    def fingerprint(self, name: str) -> str:
        """Return the recipe of a subset: version of the generator, seed, name and size."""
        return f"version {GENERATOR_VERSION} seed {self.seed} {name} {self._size(name)}"

    def picture(self, face: Face) -> np.ndarray:
        """Render a face again: (256, 256, 3) uint8 RGB."""
        return render_face(*_number(face), self.seed).picture

    def pictures(self, faces: Sequence[Face]) -> Iterator[np.ndarray | DataError]:
        """Yield the picture of each face, in order, rendered in two processes.

        As ever with processes that Python starts afresh, a script that gets here must have its
        `if __name__ == "__main__"`.
        """
        if len(faces) < 2 * _CHUNK:  # sooner done than a process is started
            yield from map(self.picture, faces)
            return
        numbers = [(*_number(face), self.seed) for face in faces]
        chunks = [numbers[i : i + _CHUNK] for i in range(0, len(numbers), _CHUNK)]
        # Started afresh, not forked: the threads of OpenCV and torch do not survive a fork.
        spawn = multiprocessing.get_context("spawn")
        memory = spawn.RawArray("B", math.prod(_SHAPE))
        slots = _as_pictures(memory)
        tasks = [_Task(i % len(slots), chunk) for i, chunk in enumerate(chunks)]
        with ProcessPoolExecutor(_PROCESSES, spawn, _start_worker, (memory,)) as pool:
            try:
                for task in prefetch_map(pool, _render, tasks, ahead=_AHEAD):
                    yield from slots[task.slot, : len(task.numbers)].copy()
            except BrokenProcessPool:
                raise DrfError(
                    "a process that renders faces has ended, by a signal or for want of memory:"
                    " run the command again"
                ) from None
            finally:
                pool.shutdown(wait=False, cancel_futures=True)

    def source(self, face: Face) -> bytes:
        """Return the recipe of a face: version of the generator, seed and name."""
        return f"version {GENERATOR_VERSION} seed {self.seed} {face.name}".encode()

    def has_face(self, name: str) -> bool:
        """Return whether a face of this name is in one of the subsets."""
        subset, _, number = name.partition("/")
        size = self.sizes.get(subset, 0)
        return len(number) == 5 and number.isdecimal() and int(number) < size

    def _size(self, name: str) -> int:
        if name not in self.sizes:
            raise DataError(
                f"the synthetic faces have no subset {name!r}: use one of {', '.join(self.sizes)}"
            )
        return self.sizes[name]


def _number(face: Face) -> tuple[str, int]:
    subset, _, index = face.name.partition("/")
    return subset, int(index)


@dataclass(frozen=True)
class _Task:
    """Faces to render, (subset, index, seed) each, and the slot that their pictures go to."""

    slot: int
    numbers: list[tuple[str, int, int]]


def _as_pictures(memory: object) -> np.ndarray:
    return np.frombuffer(memory, dtype=np.uint8).reshape(_SHAPE)  # type: ignore[call-overload]


_slots: np.ndarray
"""Of a process that renders: `_SHAPE`."""


def _start_worker(memory: object) -> None:
    global _slots
    _slots = _as_pictures(memory)
    end_with_parent()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which ends the pool
    cv2.setNumThreads(1)


def _render(task: _Task) -> _Task:
    for place, number in zip(_slots[task.slot], task.numbers, strict=False):
        place[:] = render_face(*number).picture
    return task
