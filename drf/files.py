"""Paths as users type them, and files and folders that appear whole or not at all: written beside
their place, then renamed."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from drf.errors import UsageError

BEST, LAST = "best.safetensors", "last.safetensors"
"""The checkpoints in the folder of a run, see `drf.checkpoint`, which needs torch."""

UNFINISHED = ".drf-unfinished-"
"""What the names of unfinished files and folders begin with. A killed process leaves them."""


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


@contextlib.contextmanager
def replacing_file(path: Path, *, overwrite: bool = True) -> Iterator[Path]:
    """Give a path to write to, which becomes `path` when the block ends well.

    If the block fails, what stood at `path` still does. overwrite: whether a file may be replaced;
    else raises UsageError, before the block and after it, as `refuse_existing`.
    """
    if not overwrite:
        refuse_existing(path)
    unfinished = path.with_name(f"{UNFINISHED}{os.getpid()}-{path.name}")
    _delete(unfinished)
    try:
        yield unfinished
        if not overwrite:
            refuse_existing(path)
        unfinished.replace(path)
    finally:
        _delete(unfinished)


@contextlib.contextmanager
def replacing_folder(
    path: Path, *, keep: Callable[[Path], bool] = lambda there: False
) -> Iterator[Path]:
    """Give an empty folder to fill, which becomes `path` when the block ends well.

    keep: whether a folder that stands at `path` by then stays, and the new one is thrown away: of
    several processes that fill the same folder the first to finish counts. Else it is replaced.
    Folders cannot be exchanged in one step: for a moment there is none, but never half of one.
    """
    with tempfile.TemporaryDirectory(
        prefix=UNFINISHED, dir=path.parent, ignore_cleanup_errors=True
    ) as beside:
        filled, former = Path(beside) / "filled", Path(beside) / "former"
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


def refuse_existing(path: Path) -> None:
    """Raise UsageError if there is a file of that name, or no folder for it."""
    if path.exists():
        raise UsageError(f"{path} exists; exports and backups overwrite nothing, give another name")
    if not path.parent.is_dir():
        raise UsageError(f"the folder {path.parent} does not exist; make it first")


def _delete(unfinished: Path) -> None:
    for suffix in ("", "-wal", "-shm"):  # SQLite leaves these beside a store that it was writing
        unfinished.with_name(unfinished.name + suffix).unlink(missing_ok=True)
