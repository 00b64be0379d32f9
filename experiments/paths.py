"""Where an experiment reads and writes: its dataset, packs of faces, checkpoints of its runs."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from db import reads, status
from db.connection import open_store
from db.recording.record import find_record, recover
from drf import checkpoint
from drf.checkpoint import Checkpoint
from drf.config import RunConfig
from drf.data.dataset import Dataset, open_dataset
from drf.data.packs import Pack, default_cache_dir, pack
from drf.errors import UsageError
from drf.files import replacing_file
from drf.text import is_utf8, printable
from experiments.progress import bar

ORIGIN = "origin.json"
"""Name of the file in a run's folder that keeps the user's paths."""


@dataclass(frozen=True)
class Paths:
    """Where a session reads and writes.

    box_file, box_name: the boxes of protocol `file`, and what the board calls them; their digest is
    part of the result, which names it. training_box_file: those that the run was trained on, used
    where the user names none. Nothing else here decides the result.

    Raises UsageError for a store in a folder whose name is not UTF-8: safetensors opens no file
    there.
    """

    db: Path
    data_root: Path | None
    box_file: Path | None
    cache: Path | None
    box_name: str | None = None
    training_box_file: Path | None = None

    def absolute(self) -> Paths:
        """Return the same for a process that works in another folder."""
        return replace(
            self,
            db=self.db.absolute(),
            data_root=self.data_root and self.data_root.absolute(),
            box_file=self.box_file and self.box_file.absolute(),
            cache=(self.cache or default_cache_dir()).absolute(),
        )

    def boxes_for(self, protocol: str) -> Path | None:
        """Return the box file for a protocol; that of the training only where a file is needed."""
        return self.box_file or (self.training_box_file if protocol == "file" else None)

    def name_of_boxes(self) -> str | None:
        """Return what the board calls the box file: the name given, else that of the file."""
        return self.box_name or (self.box_file.stem if self.box_file else None)

    def __post_init__(self) -> None:
        if not is_utf8(str(self.db)):
            raise UsageError(
                f"the path of the store, {printable(self.db)}, is not UTF-8: rename the folder, or"
                " name another store with --db"
            )


def origin(folder: Path, paths: Paths) -> Paths:
    """Return paths, with what the run was trained on where the user named nothing else."""
    try:
        known = json.loads((folder / ORIGIN).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return paths
    root, box_file = known.get("data_root"), known.get("box_file")
    of_training = Path(box_file) if box_file else None
    name = known.get("box_name") or (of_training.stem if of_training else None)
    return replace(
        paths,
        data_root=paths.data_root or (Path(root) if root else None),
        training_box_file=of_training,
        box_name=paths.box_name or (None if paths.box_file else name),
    )


def write_origin(folder: Path, paths: Paths) -> None:
    """Keep the user's paths beside the checkpoints: the store is for sharing and holds none."""
    known = {"data_root": paths.data_root, "box_file": paths.box_file}
    resolved = {key: path and str(path.resolve()) for key, path in known.items()}
    text = json.dumps(resolved | {"box_name": paths.box_name})
    folder.mkdir(parents=True, exist_ok=True)
    with replacing_file(folder / ORIGIN) as unfinished:
        unfinished.write_text(text, encoding="utf-8")


def dataset_of(config: RunConfig, paths: Paths) -> Dataset:
    """Return the dataset of a configuration. Raises as `open_dataset`."""
    data = config.data
    return open_dataset(
        data.dataset, paths.data_root, seed=data.synthetic_seed, size=data.synthetic_train_size
    )


def load_packs(
    config: RunConfig, subsets: Sequence[str], paths: Paths, box: str | None = None
) -> list[Pack]:
    """Return packs of subsets of the run's dataset, made now where the cache has none.

    data.max_train_faces limits `train` alone. box: in place of the run's own protocol.
    """
    dataset, most = dataset_of(config, paths), config.data.max_train_faces or None
    return [
        load_pack(
            dataset, subset, box or config.data.box, paths, most if subset == "train" else None
        )
        for subset in subsets
    ]


def load_pack(
    dataset: Dataset, subset: str, box: str, paths: Paths, limit: int | None = None
) -> Pack:
    """Return the pack of one subset, made now if the cache has none. Raises as `pack`."""
    with bar(f"packing {subset}") as advance:
        packed = pack(
            dataset,
            subset,
            box,
            paths.cache,
            box_file=paths.boxes_for(box),
            limit=limit,
            progress=advance,
        )
    if packed.manifest["box"] == "file":
        packed = replace(packed, manifest=packed.manifest | {"box_name": paths.name_of_boxes()})
    return packed


def checkpoint_of(stored: Mapping[str, Any], path: Path) -> Checkpoint:
    """Read a checkpoint of a run.

    stored: what `reads.run` returns of it. Raises NotFoundError without the file, DrfError if it is
    damaged or of another run.
    """
    status.refuse_without_model(stored)
    saved = checkpoint.load(path)
    config = {key: value for key, value, _ in stored["config"]}
    saved.require_run(stored["id"], stored["family"], config)
    return saved


def recover_run(folder: Path, db: Path) -> str:
    """Bring the run whose folder is named into a store, and return its id. May be repeated.

    Raises as `record.find_record` and `record.recover`, and DrfError where the checkpoints beside
    the record are of another run; the store then stays as it is.
    """
    record, run = find_record(folder)
    with contextlib.closing(record):
        stored = reads.run(record.conn, run)
        for path in (folder / checkpoint.BEST, folder / checkpoint.LAST):
            if path.is_file():
                checkpoint_of(stored, path)
        with contextlib.closing(open_store(db)) as store:
            recover(record, store, run)
    return run
