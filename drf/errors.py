"""Errors a user can cause. Each carries one sentence to print and an exit code.

Code inside the packages raises these; only `cli.main` turns them into a message on stderr and an
exit status. Anything else that escapes is a bug and keeps its traceback.
"""

from __future__ import annotations

import errno
import re
from collections.abc import Iterator
from contextlib import contextmanager


class DrfError(Exception):
    """Something failed while working: exit 1."""

    exit_code = 1


class UsageError(DrfError):
    """An option, a configuration key or an input file is wrong: exit 2, before any work starts."""

    exit_code = 2


class DataError(UsageError):
    """A dataset is missing, incomplete or malformed: exit 2."""


class NotFoundError(DrfError):
    """A run, evaluation or picture that was named does not exist, or is ambiguous: exit 3."""

    exit_code = 3


class Diverged(DrfError):
    """Numbers of a model are no longer finite: exit 1. Its argument says which, e.g. "the loss was
    no longer finite"."""

    def __str__(self) -> str:
        return f"{self.args[0]}: the training diverged; train again with a lower training.lr"


class NotEnoughMemory(DrfError):
    """An allocation failed: exit 1."""


class CheckFailed(DrfError):
    """A check ran to its end and found a fault: exit 4."""

    exit_code = 4


class StoreError(UsageError):
    """The database cannot be used as it is (not ours, newer, read-only, network disk): exit 2."""


_OF_SYSTEM = {
    errno.ENOSPC: "no space left on the disk that holds {where}; free some and try again",
    errno.EDQUOT: "the disk quota of {where} is used up; free some space and try again",
    errno.EFBIG: "{where} would be larger than the file system or `ulimit -f` permits;"
    " choose another place",
    errno.EROFS: "{where} lies on a read-only file system; choose another place",
    errno.EACCES: "{where} may not be accessed; change its permissions or name another",
    errno.EPERM: "{where} may not be changed; change its permissions or name another",
    errno.ENOENT: "{where} does not exist; check the name, or make it first",
    errno.ENOTDIR: "{where} leads through a file as if it were a folder; check the path",
    errno.EISDIR: "{where} is a folder; name a file",
    errno.EEXIST: "{where} exists already and is in the way; name another",
    errno.ENAMETOOLONG: "{where} has a name that is too long for its file system;"
    " choose a shorter one",
    errno.EINVAL: "{where} has a name that its file system does not take; choose another",
    errno.ELOOP: "{where} is a link that leads back to itself; name the file itself",
    errno.EIO: "the disk that holds {where} failed to read or write; check the disk",
    errno.EMFILE: "too many files are open for {where}; raise `ulimit -n` and try again",
    errno.ENFILE: "too many files are open on this machine for {where}; close other programs",
    errno.ENOMEM: "not enough memory for {where}; close other programs and try again",
}


def explain_os_error(error: OSError, where: object = None) -> DrfError | None:
    """Return the error to show for what the system refused, or None if it can only be a bug.

    where: the file or folder; by default what the error itself names
    """
    named = where or error.filename
    if named is None and error.errno in (errno.ENOENT, errno.EEXIST, errno.EINVAL):
        return None
    sentence = _OF_SYSTEM.get(error.errno or 0)
    return DrfError(sentence.format(where=_shortened(named))) if sentence else None


def reason_of(error: OSError, where: object) -> str:
    """Return `explain_os_error` as a sentence, for one error of a file that has others too."""
    return str(explain_os_error(error, where) or f"{where} failed ({error.strerror or error})")


def _shortened(where: object) -> str:
    """Return a path with the middle left out where it is longer than a screen is wide."""
    text = "the output" if where is None else str(where)
    return text if len(text) <= 160 else f"{text[:80]}…{text[-60:]}"


def as_os_error(error: Exception) -> OSError | None:
    """Return the error of the system that a library has put into the text of its own, as Rust
    writes it: "… (os error 28)". None where there is none."""
    if isinstance(error, OSError) and error.errno:
        return error
    found = re.search(r"\(os error (\d+)\)", str(error))
    return OSError(int(found[1]), str(error)) if found else None


_SAID = (
    *("can't allocate memory", "out of memory", "insufficient memory", "std::bad_alloc"),
    *("cublas_status_alloc_failed", "cudnn_status_alloc_failed", "failed to allocate"),
    *("could not create a primitive", "could not create a memory"),
)
"""How libraries say that an allocation failed, in lower case: torch, oneDNN, OpenCV and SQLite each
in its own way, and torch is not imported to ask."""


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that an allocation failed."""
    if isinstance(error, MemoryError):  # numpy's and SQLite's too
        return True
    said = str(error).lower()
    return not isinstance(error, DrfError | OSError) and any(words in said for words in _SAID)


def not_enough(what: str, remedy: str) -> NotEnoughMemory:
    """Return the error to show. what: it was needed for · remedy: what to lower"""
    return NotEnoughMemory(f"not enough memory for {what}: {remedy}, or close other programs")


def refusal(error: BaseException) -> DrfError | None:
    """Return the error to show for an operation that torch does not have for a device, or that it
    cannot repeat there to the last digit; None for any other error."""
    said = str(error)
    if "MPS" in said and isinstance(error, NotImplementedError | TypeError):
        return DrfError("torch cannot compute this on mps: use --device cpu")
    if "no kernel image is available" in said:
        return DrfError("this torch was not built for this GPU: use --device cpu")
    if "does not have a deterministic implementation" in said:
        return DrfError(
            "torch cannot repeat this to the last digit on this device: use --device cpu, or leave"
            " out --deterministic"
        )
    return None


@contextmanager
def enough_memory(what: str, remedy: str) -> Iterator[None]:
    """Raise NotEnoughMemory where an allocation fails within, `refusal` where the device lacks an
    operation. The arguments are those of `not_enough`."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise not_enough(what, remedy) from error
        if refused := refusal(error):
            raise refused from error
        raise


_LONGEST = 80


def quoted(value: object) -> str:
    """Return a value as Python writes it, "'adamw'" or "3", for a message that refuses it; of one
    that is longer than a line the beginning."""
    try:
        text = repr(value)
    except (ValueError, RecursionError):  # more digits than Python writes, too deeply nested
        text = f"a value of type {type(value).__name__} that is too long to print"
    return text if len(text) <= _LONGEST else f"{text[: _LONGEST - 1]}…"
