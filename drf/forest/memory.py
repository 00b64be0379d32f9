"""Whether leaves fit into memory, asked before they are made."""

from __future__ import annotations

import os
import re
from pathlib import Path

from drf.errors import UsageError


def require(bytes_needed: int, what: str) -> None:
    """Raise UsageError, naming the bytes, where more is needed than is free."""
    free = _free()
    if bytes_needed > free:
        raise UsageError(
            f"{what} need {_size(bytes_needed)}, and {_size(free)} are free: use fewer trees, a"
            " smaller depth, fewer bins or a shared pool"
        )


def _free() -> int:
    """Return the bytes that Linux can give without swapping; elsewhere all of physical memory.

    Without psutil: models are also built where only torch, numpy and OpenCV are installed.
    """
    try:
        found = re.search(r"MemAvailable:\s+(\d+) kB", Path("/proc/meminfo").read_text())
    except OSError:
        found = None
    if found:
        return 1024 * int(found[1])
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _size(n: int) -> str:
    return f"{n / 2**30:.1f} GiB ({n:,} bytes)"
