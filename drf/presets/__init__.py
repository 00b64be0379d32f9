"""Named configurations. A preset is a method: a TOML file with the family, one sentence, the keys
it sets, and what its card says (docs/methods.md). A track is a competition: time budget, training
data and box protocol of every entry.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from drf.config import current_names, flatten, nearest, parse_toml, shown
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


@dataclass(frozen=True)
class Track:
    """The rules of a competition.

    summary  one sentence
    values   configuration keys that the track fixes, and their values
    subset   subset of the dataset on which entries are evaluated
    """

    name: str
    summary: str
    values: Mapping[str, object]
    subset: str


TRACKS = {
    "ten-minutes": Track(
        "ten-minutes",
        "Train on the CPU for ten minutes, on 300-W with box protocol gt; evaluate on helen.",
        {
            "data.dataset": "300w",
            "data.box": "gt",
            "data.landmarks": "all",
            "data.max_train_faces": 0,
            "training.epochs": 0,
            "training.max_minutes": 10.0,
            "training.device": "cpu",
            "training.deterministic": False,
            "training.init_from": "",  # the minutes of the other run would not be counted
            "training.pretrained": "",  # nor those of published weights
        },
        "helen",
    )
}


def track(name: str) -> Track:
    """Return a track. Raises UsageError for an unknown name, with the nearest."""
    if name not in TRACKS:
        raise UsageError(f"there is no track {name!r}{nearest(name, TRACKS)}")
    return TRACKS[name]


def refuse_changes(rules: Track, source: str, layer: Mapping[str, object]) -> None:
    """Raise UsageError where a layer would break the rules of a track, by any name of a key."""
    for key, value in current_names(layer).items():
        if key in rules.values and value != rules.values[key]:
            raise UsageError(
                f"the track {rules.name} fixes {key} = {rules.values[key]!r}: remove"
                f" {value!r} ({source}), or train without the track"
            )
