"""Leaves that cannot fit are refused with the bytes they need, on Linux and elsewhere."""

import os
from pathlib import Path

import psutil
import pytest

from drf.errors import UsageError
from drf.forest.routing import require_memory


def absent(path: Path) -> str:
    raise FileNotFoundError(path)


def test_more_than_is_free_is_refused() -> None:
    total = psutil.virtual_memory().total
    require_memory(2**20, "8 leaves")
    with pytest.raises(UsageError, match=rf"8 leaves need .* \({total:,} bytes\), and .* are free"):
        require_memory(total, "8 leaves")


def test_without_proc_physical_memory_is_the_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Path, "read_text", absent)
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    require_memory(physical, "8 leaves")
    with pytest.raises(UsageError, match="are free"):
        require_memory(physical + 1, "8 leaves")
