"""Permissions that hold for tests, whoever runs them."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def without_privileges() -> Iterator[None]:
    """Root may write anywhere; permissions mean something to anybody else."""
    if os.geteuid() != 0:
        yield
        return
    os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(0)


@contextmanager
def permissions(path: Path, mode: int) -> Iterator[None]:
    """Give a path other permissions for a while, and the folders above to everybody."""
    before = path.stat().st_mode
    for parent in path.parents:
        if parent.owner() == path.owner() and "pytest" in str(parent):
            parent.chmod(0o755)
    path.chmod(mode)
    try:
        yield
    finally:
        path.chmod(before)
