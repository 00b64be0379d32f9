"""Where an experiment reads and writes: the store, the faces, the packed crops."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from pathlib import Path

from drf.errors import UsageError
from drf.files import replacing_file
from drf.text import is_utf8, printable

ORIGIN = "origin.json"
"""Name of the file in a run's folder that keeps the user's paths."""


@dataclass(frozen=True)
class Paths:
    """Where a session reads and writes.

    box_file, box_name: the boxes of protocol `file`, and what the board calls them; their digest is
    part of the result, which names it. Nothing else here decides the result.

    Raises UsageError for a store in a folder whose name is not UTF-8: safetensors opens no file
    there.
    """

    db: Path
    data_root: Path | None
    box_file: Path | None
    cache: Path | None
    box_name: str | None = None
    trained_on: Path | None = None  # a box file, used where the user names none

    def boxes_for(self, protocol: str) -> Path | None:
        """Return the box file for a protocol; that of the training only where a file is needed."""
        return self.box_file or (self.trained_on if protocol == "file" else None)

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
    trained_on = Path(box_file) if box_file else None
    name = known.get("box_name") or (trained_on.stem if trained_on else None)
    return replace(
        paths,
        data_root=paths.data_root or (Path(root) if root else None),
        trained_on=trained_on,
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
