"""Where the store lies by default, and what lies beside it. Imports nothing heavy: the CLI may."""

from __future__ import annotations

from pathlib import Path

DEFAULT_PATH = Path("runs/drf.db")


def run_folder(store: Path, run: str) -> Path:
    """Return the folder of a run's checkpoints: beside the store, named by the full run id."""
    return store.parent / run
