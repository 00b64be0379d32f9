"""What the tests of faults share: a command in this process, limits, and what lies in a folder."""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import signal
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

import cli.main

CPU_S = 5.0
"""A command or page that computes for longer hangs."""

WALL_S = 60.0
"""It hangs too if it takes so long, waiting included; other work on the machine may slow it."""


class Hangs(BaseException):
    """Raised in what takes too long. No `except Exception` of the code under test stops it."""


@dataclass(frozen=True)
class Answer:
    """What a command printed, and its exit code."""

    code: int
    out: str
    err: str


@contextlib.contextmanager
def limited() -> Iterator[None]:
    """Raise Hangs where a block takes longer than CPU_S or WALL_S."""

    def stop(signum: int, frame: FrameType | None) -> None:
        raise Hangs(f"still at work after {WALL_S} s")

    former = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, WALL_S)
    began = time.process_time()
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, former)
    if (used := time.process_time() - began) > CPU_S:
        raise Hangs(f"computed for {used:.1f} s")


def drf(*words: object) -> Answer:
    """Run `drf WORDS` in this process, limited. A traceback is raised as what it is."""
    out, err = io.StringIO(), io.StringIO()
    former, sys.argv = sys.argv, ["drf", *map(str, words)]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err), limited():
            cli.main.main()
        code: object = 0
    except SystemExit as ended:
        code = ended.code
    finally:
        sys.argv = former
    return Answer(code if isinstance(code, int) else 0, out.getvalue(), err.getvalue())


def held_in(folder: Path) -> dict[str, str]:
    """Return every path below a folder with a digest of its content; links are not followed."""
    found = {}
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            path = Path(place, name)
            content = b"" if path.is_dir() or path.is_symlink() else path.read_bytes()
            found[str(path.relative_to(folder))] = hashlib.sha256(content).hexdigest()
    return found


def number_of_faults(default: int) -> int:
    """Return how many faults the long part makes."""
    return int(os.environ.get("DRF_FAULTS") or default)


def first_seed() -> int:
    """Return the seed of the first fault of the long part; the others count on from it."""
    return int(os.environ.get("DRF_FAULT_SEED") or 0)
