"""Where an experiment reads and writes: the store, the faces, the packed crops."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path

from drf.files import replacing_file


@dataclass(frozen=True)
class Paths:
    """Where a session reads and writes; nothing of it decides the result."""

    db: Path
    data_root: Path | None
    box_file: Path | None
    cache: Path | None


def origin(folder: Path, paths: Paths) -> Paths:
    """Return paths, with what the run was trained on where the user named nothing else."""
    try:
        known = json.loads((folder / "origin.json").read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return paths
    root, box_file = known.get("data_root"), known.get("box_file")
    return Paths(
        db=paths.db,
        data_root=paths.data_root or (Path(root) if root else None),
        box_file=paths.box_file or (Path(box_file) if box_file else None),
        cache=paths.cache,
    )


def write_origin(folder: Path, paths: Paths) -> None:
    """Keep the user's paths beside the checkpoints: the store is for sharing and holds none."""
    known = {"data_root": paths.data_root, "box_file": paths.box_file}
    text = json.dumps({key: path and str(path.resolve()) for key, path in known.items()})
    folder.mkdir(parents=True, exist_ok=True)
    with replacing_file(folder / "origin.json") as unfinished:
        unfinished.write_text(text, encoding="utf-8")
