"""Named methods: one TOML file each, with the family, one sentence, the keys it sets, and what its
card says (docs/methods.md)."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from drf.config import flatten, nearest, parse_toml, shown
from drf.errors import UsageError

FOLDER = Path(__file__).parent

OLD_FOLDERS = {"notes/": "historical/"}
"""Folders of presets in version 0.1.0 -> what they are called today."""


@dataclass(frozen=True)
class Preset:
    """values: flat keys that differ from the defaults of the code.

    Of its card, each None where there is nothing to say: description, what the method is, and
    weakness, what is known against it, some sentences each; paper, author, title, venue and year of
    the one that the design follows, and paper_url, where that is.
    """

    name: str
    family: str
    summary: str
    values: dict[str, object]
    description: str | None = None
    weakness: str | None = None
    paper: str | None = None
    paper_url: str | None = None

    def settings(self) -> list[str]:
        """Return the keys that it sets, as `--set` takes them: ["model.stages = 2"]."""
        return [f"{key} = {shown(value)}" for key, value in self.values.items()]


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
    card = {key: " ".join(document.pop(key).split()) for key in CARD if key in document}
    return Preset(name, family, summary, flatten(document), **card)


CARD = ("description", "weakness", "paper", "paper_url")
"""Keys of a preset that describe it and set nothing."""
