"""Named methods: one TOML file each, holding the family, one sentence, and the keys it sets."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drf.config import flatten, nearest, parse_toml
from drf.errors import UsageError

FOLDER = Path(__file__).parent

OLD_FOLDERS = {"notes/": "historical/"}
"""Folders of presets in version 0.1.0 -> what they are called today."""


@dataclass(frozen=True)
class Preset:
    """values: flat keys that differ from the defaults of the code."""

    name: str
    family: str
    summary: str
    values: dict[str, object]


def names() -> list[str]:
    """Return the names of all presets; "historical/eyes-2000" for one in a folder."""
    return sorted(p.relative_to(FOLDER).with_suffix("").as_posix() for p in FOLDER.rglob("*.toml"))


def load(name: str) -> Preset:
    """Read a preset. Raises UsageError for an unknown name, with the nearest."""
    for old, new in OLD_FOLDERS.items():
        if name.startswith(old):
            name = new + name.removeprefix(old)
    if name not in names():
        raise UsageError(f"there is no preset {name!r}{nearest(name, names())}")
    document = parse_toml((FOLDER / f"{name}.toml").read_text(encoding="utf-8"))
    family, summary = document.pop("family"), document.pop("summary")
    return Preset(name, family, summary, flatten(document))
