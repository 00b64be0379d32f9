"""Paths as users type them, and files and folders that appear whole or not at all: written beside
their place, then renamed.

A killed process leaves what it had not finished. Its name tells whose it was, and whoever writes
into the same folder next removes it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import os
import re
import secrets
import shutil
import time
from collections.abc import Callable, Iterator
from pathlib import Path, PurePosixPath, PureWindowsPath

from drf import processes
from drf.errors import UsageError

BEST, LAST = "best.safetensors", "last.safetensors"
"""The checkpoints in the folder of a run, see `drf.checkpoint`, which needs torch."""

PATH = "PATH"
"""What stands for the folders of a machine in a command that is for all machines."""

UNFINISHED = ".drf-unfinished-"
"""What the names of unfinished files and folders begin with: UNFINISHED host-pid-random."""

_OWNER = re.compile(re.escape(UNFINISHED) + r"([0-9a-f]{8})-(\d+)-")
_ABANDONED_AFTER_S = 24 * 3600.0
"""What another machine or version 0.1.0 left is removed when it has not changed for so long."""

_FILLED, _FORMER = "filled", "former"


def file_of_package(package: str, file: str) -> Path | None:
    """Return a file that an installed package contains, without importing it; None where the
    package or the file is not there."""
    found = importlib.util.find_spec(package)
    path = Path(found.origin).parent / file if found and found.origin else None
    return path if path is not None and path.is_file() else None


def user_path(text: str | Path) -> Path:
    """Return the path of an option, an argument or a variable, with `~` as the home folder: a shell
    leaves it as it is in quotes, after `=` and in most variables.

    Raises UsageError for a blank one and for the home of an unknown user.
    """
    if not str(text).strip():
        raise UsageError("a file or folder was named by a blank: give its path, or leave it out")
    try:
        return Path(text).expanduser()
    except RuntimeError:
        raise UsageError(f"{text} begins with the home folder of an unknown user") from None


def path_of_variable(name: str) -> Path | None:
    """Return the path that an environment variable names, as `user_path`; None where it is unset or
    empty."""
    text = os.environ.get(name)
    return user_path(text) if text else None


def without_folders(word: str) -> str:
    """Return a word of a command with PATH in place of the folders of an absolute path in it, as
    of `--data-root=/home/me/300w`: "--data-root=PATH/300w"."""
    option, equals, value = word.rpartition("=")
    for kind in (PurePosixPath, PureWindowsPath):
        if (path := kind(value)).is_absolute() or value.startswith("~"):
            return f"{option}{equals}{PATH}/{path.name}"
    return word


@contextlib.contextmanager
def replacing_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when the block ends well.

    If the block fails, what stood at `path` still does. overwrite: whether a file may be replaced;
    else raises UsageError, before the block and after it, as `refuse_existing`.
    """
    if not overwrite:
        refuse_existing(path)
    sweep(path.parent)
    unfinished = _unfinished(path.parent)
    try:
        yield unfinished
        if not overwrite:
            refuse_existing(path)
        unfinished.replace(path)
    except OSError as error:
        if error.filename == str(unfinished):  # a name that the user has not heard of
            error.filename = str(path)
        raise
    finally:
        for suffix in ("", "-wal", "-shm", "-journal"):  # SQLite's, beside a store that it wrote
            unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)


@contextlib.contextmanager
def replacing_folder(
    path: Path, *, keep: Callable[[Path], bool] = lambda there: False
) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `path` when the block ends well.

    keep: whether a folder that stands at `path` by then stays, and the new one is thrown away: of
    several processes that fill the same folder the first to finish counts. Else it is replaced.
    Folders cannot be exchanged in one step: for a moment there is none, but never half of one, and
    `sweep` puts the former back where a process was killed in that moment.
    """
    sweep(path.parent)
    beside = _unfinished(path.parent)
    filled, former = beside / _FILLED, beside / _FORMER / path.name
    try:
        former.parent.mkdir(parents=True)
        filled.mkdir()
        yield filled
        if path.exists() and not keep(path):
            with contextlib.suppress(FileNotFoundError):  # another process has just done the same
                path.rename(former)
        try:
            filled.rename(path)
        except OSError:
            if path.exists() and keep(path):
                return
            if former.exists():
                former.rename(path)
            raise
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def sweep(folder: Path) -> None:
    """Remove what processes that were killed left unfinished in a folder."""
    for left in folder.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(OSError):  # another process sweeps too
            if not _is_abandoned(left):
                continue
            if not left.is_dir() or left.is_symlink():
                left.unlink()
                continue
            for former in (left / _FORMER).glob("*"):
                if not (folder / former.name).exists():
                    former.rename(folder / former.name)
            shutil.rmtree(left, ignore_errors=True)


def _is_abandoned(left: Path) -> bool:
    """Return whether nobody works on an unfinished file or folder any more.

    Of a process of this machine that is known; what others are at work on changes all the time.
    """
    owner = _OWNER.match(left.name)
    if owner and owner[1] == processes.host() and processes.is_gone(int(owner[2])):
        return True
    newest = max(path.lstat().st_mtime for path in (left, *left.rglob("*")))
    return time.time() - newest > _ABANDONED_AFTER_S


def _unfinished(folder: Path) -> Path:
    """Return a name of this process's own. It does not grow with the name of what is written."""
    owner = f"{processes.host()}-{os.getpid()}"
    return folder / f"{UNFINISHED}{owner}-{secrets.token_hex(4)}"


def refuse_existing(path: Path) -> None:
    """Raise UsageError if there is a file of that name, or no folder for it."""
    if path.exists():
        raise UsageError(f"{path} exists; exports and backups overwrite nothing, give another name")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist; make it first")
