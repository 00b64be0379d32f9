"""From the archives that a user has to a dataset that is ready: unpacked, checked, packed."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from drf.data import archives
from drf.data.check import Report, check_dataset, check_files
from drf.data.dataset import ORIGINS, open_dataset
from drf.data.file_dataset import FileDataset
from drf.data.w300 import FOLDERS, PRIVATE_ARCHIVE
from drf.errors import DataError, UsageError
from drf.files import replacing_folder

_LAYOUTS = {"300w": (*FOLDERS, PRIVATE_ARCHIVE)}
"""Dataset -> folders that an archive may be the content of, named as the folder is."""


@dataclass(frozen=True)
class Prepared:
    """root: folder of the dataset · digests: archive -> its SHA-256 · report: what was found."""

    root: Path
    digests: dict[str, str]
    report: Report


def prepare(
    name: str,
    files: Sequence[Path],
    root: Path,
    progress: Callable[[int, int], None] | None = None,
) -> Prepared:
    """Unpack the archives of a dataset into a new folder and read every face of it.

    The folder appears when all is unpacked and the dataset opens, else not at all. Raises
    UsageError for a dataset that has no archives and for a folder that exists, DataError as
    `archives.unpack`, for an archive that has not its published digest, and where the archives do
    not hold the dataset.
    """
    if name not in ORIGINS:
        raise UsageError(f"{name} has no archives to unpack: use one of {', '.join(ORIGINS)}")
    if root.exists() and (not root.is_dir() or any(root.iterdir())):
        raise UsageError(f"{root} exists and is not empty: name a new folder with --out")
    root.parent.mkdir(parents=True, exist_ok=True)
    for file in files:
        _refuse_other(file, ORIGINS[name].md5.get(file.name))
    digests = {}
    with replacing_folder(root, keep=lambda there: any(there.iterdir())) as folder:
        for file in files:
            inside = archives.folder_for(file, archives.members(file), _LAYOUTS.get(name, ()))
            archives.unpack(file, folder, inside)
            digests[file.name] = archives.digest(file, "sha256")
        try:
            open_dataset(name, folder)
        except DataError as error:
            said = str(error).replace(str(folder), "what they unpack to")
            raise DataError(f"the archives do not hold {name}: {said}") from None
    return Prepared(root, digests, _report(name, root, progress))


def _refuse_other(file: Path, published: str | None) -> None:
    """Raise DataError for an archive whose MD5 is not the one that is published for its name."""
    if published and file.is_file() and archives.digest(file, "md5") != published:
        raise DataError(
            f"{file.name} is not the file that is published under this name: its MD5 is not"
            f" {published}; get it again"
        )


def _report(name: str, root: Path, progress: Callable[[int, int], None] | None) -> Report:
    dataset = open_dataset(name, root)
    if isinstance(dataset, FileDataset):
        return check_files(dataset, progress)
    return check_dataset(root, progress)
