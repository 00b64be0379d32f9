"""The datasets by name. A new one is a class like those here (see `dataset.Dataset`) and a line."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module, metadata
from pathlib import Path

from drf.data.dataset import Dataset
from drf.errors import UsageError
from drf.files import path_of_variable


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
        if folder := path_of_variable("DRF_DATA"):
            return folder
        raise UsageError(
            f"{name} needs the folder of its files: name it with --data-root, "
            "or set the variable DRF_DATA"
        )


DATASETS = {
    "synthetic": "drf.data.synthetic_dataset:SyntheticDataset",
    "300w": "drf.data.w300:W300",
    "wflw": "drf.data.wflw:WFLW",
    "cofw": "drf.data.cofw:COFW",
    "folder": "drf.data.folder:FolderDataset",
}
"""Name -> "module:class", imported when it is opened: its class method `open` takes a Source.
`folder` is any folder with a description; its dataset is called by the name that stands there."""


@dataclass(frozen=True)
class Origin:
    """Where a dataset comes from: the address of its page, and the terms that it states.

    archives  what is to be had there, and `drf data prepare` unpacks
    md5       of those archives whose digest the page publishes
    """

    page: str
    archives: str
    terms: str
    md5: Mapping[str, str] = field(default_factory=dict)


ORIGINS = {
    "300w": Origin(
        "https://ibug.doc.ic.ac.uk/resources/300-W/",
        "afw.zip, helen.zip, ibug.zip, lfpw.zip, and 300w.zip (in parts: join them first) with the"
        " test set of the challenge",
        "for research only, not for commercial use; the pictures belong to their owners",
    ),
    "wflw": Origin(
        "https://wywu.github.io/projects/LAB/WFLW.html",
        "WFLW_images.tar.gz and WFLW_annotations.tar.gz",
        "for research only, not for commercial use; the pictures belong to their owners",
    ),
    "cofw": Origin(
        "https://data.caltech.edu/records/bc0bf-nc666",
        "COFW_color.zip, or COFW.zip with grey pictures",
        "CC BY 4.0, by Burgos-Artizzu, Perona and Dollár; the pictures belong to their owners",
        {
            "COFW.zip": "e092eeab9d0790674f86047880410e5a",
            "COFW_color.zip": "8b21d126c4e1fb307cb463578eef0511",
        },
    ),
}
"""Name -> where its files are to be had. drf downloads none of them."""

ENTRY_POINTS = "drf.datasets"
"""Group of entry points under which other packages name their datasets."""


def datasets() -> dict[str, str]:
    """Return all datasets, those of other packages too: name -> "module:class"."""
    others = {found.name: found.value for found in metadata.entry_points(group=ENTRY_POINTS)}
    return others | DATASETS


def open_dataset(
    name: str, root: Path | None = None, *, seed: int = 0, size: int | None = None
) -> Dataset:
    """Return a dataset by name. The arguments are those of `Source`.

    Raises UsageError for an unknown name and where no root is named, DataError for a folder that
    does not hold the dataset.
    """
    known = datasets()
    if name not in known:
        raise UsageError(f"unknown dataset {name!r}: use one of {', '.join(known)}")
    module, _, cls = known[name].partition(":")
    opened: Dataset = getattr(import_module(module), cls).open(Source(root, seed, size))
    return opened
