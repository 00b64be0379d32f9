"""The datasets by name. A new one is a class like those here (see `dataset.Dataset`) and a line."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from drf.data.dataset import Dataset
from drf.data.synthetic_dataset import SyntheticDataset
from drf.data.w300 import W300
from drf.errors import UsageError


@dataclass(frozen=True)
class Source:
    """What a dataset is opened on; each takes what it needs.

    root  folder of its files, None where the user named none
    seed  of generated faces
    size  number of generated training faces, None for the usual number
    """

    root: Path | None
    seed: int
    size: int | None

    def required_root(self, name: str) -> Path:
        """Return the folder, else that of the variable DRF_DATA. Raises UsageError without one."""
        if self.root is not None:
            return self.root
        if folder := os.environ.get("DRF_DATA"):
            return Path(folder)
        raise UsageError(
            f"{name} needs the folder of its files: name it with --data-root, "
            "or set the variable DRF_DATA"
        )


DATASETS: dict[str, Callable[[Source], Dataset]] = {
    "synthetic": lambda source: SyntheticDataset(source.seed, source.size),
    "300w": lambda source: W300(source.required_root("300w")),
}


def open_dataset(
    name: str, root: Path | None = None, *, seed: int = 0, size: int | None = None
) -> Dataset:
    """Return a dataset by name. The arguments are those of `Source`.

    Raises UsageError for an unknown name and where no root is named, DataError where there is no
    300-W.
    """
    if name not in DATASETS:
        raise UsageError(f"unknown dataset {name!r}: use one of {', '.join(DATASETS)}")
    return DATASETS[name](Source(root, seed, size))
