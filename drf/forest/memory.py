"""Whether leaves fit into memory, asked before they are made."""

from __future__ import annotations

import psutil

from drf.errors import UsageError


def require(bytes_needed: int, what: str) -> None:
    """Raise UsageError, naming the bytes, where more is needed than is free."""
    free = psutil.virtual_memory().available
    if bytes_needed > free:
        raise UsageError(
            f"{what} need {_size(bytes_needed)}, and {_size(free)} are free: use fewer trees, a"
            " smaller depth, fewer bins or a shared pool"
        )


def _size(n: int) -> str:
    return f"{n / 2**30:.1f} GiB ({n:,} bytes)"
