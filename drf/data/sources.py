"""The datasets by name."""

from __future__ import annotations

import os
from pathlib import Path

from drf.data.dataset import Dataset
from drf.data.synthetic_dataset import SyntheticDataset
from drf.data.w300 import W300
from drf.errors import UsageError

DATASETS = ("synthetic", "300w")


def open_dataset(
    name: str, root: Path | None = None, *, seed: int = 0, size: int | None = None
) -> Dataset:
    """Return a dataset by name.

    root: the folder of 300-W, else that of the variable DRF_DATA. seed, size: of the synthetic
    faces; size is that of `train`. Raises UsageError for an unknown name and where no root is
    named, DataError where there is no 300-W.
    """
    if name == "synthetic":
        return SyntheticDataset(seed, size)
    if name != "300w":
        raise UsageError(f"unknown dataset {name!r}: use one of {', '.join(DATASETS)}")
    if root is None and not os.environ.get("DRF_DATA"):
        raise UsageError(
            "300w needs the folder of its files: name it with --data-root, "
            "or set the variable DRF_DATA"
        )
    return W300(root or Path(os.environ["DRF_DATA"]))
