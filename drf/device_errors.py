"""What a device could not do, as one sentence that says what to change: too little memory, of the
machine or its GPU, or an operation that torch does not have for it.

torch, numpy, OpenCV and SQLite each say it in their own way, and torch is not imported to ask.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from drf.errors import DrfError

_SAID = (
    *("can't allocate memory", "out of memory", "insufficient memory", "std::bad_alloc"),
    *("cublas_status_alloc_failed", "cudnn_status_alloc_failed", "failed to allocate"),
)
"""How libraries say it that have no exception of their own for it, in lower case."""


class NotEnoughMemory(DrfError):
    """An allocation failed."""


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
    """Return the error to show for an operation that torch does not have for a device, or None."""
    said = str(error)
    if "MPS" in said and isinstance(error, NotImplementedError | TypeError):
        return DrfError("torch cannot compute this on mps: use --device cpu")
    if "no kernel image is available" in said:
        return DrfError("this torch was not built for this GPU: use --device cpu")
    return None


@contextmanager
def explained(what: str, remedy: str) -> Iterator[None]:
    """Raise NotEnoughMemory where an allocation fails within, `refusal` where it applies. The
    arguments are those of `not_enough`."""
    try:
        yield
    except Exception as error:
        if is_out_of_memory(error):
            raise not_enough(what, remedy) from error
        if refused := refusal(error):
            raise refused from error
        raise
