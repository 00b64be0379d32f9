"""Competition tracks: every entry has the same time budget, training data and box protocol."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drf.config import current_names, nearest
from drf.errors import UsageError


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
        },
        "helen",
    )
}


def get(name: str) -> Track:
    """Return a track. Raises UsageError for an unknown name, with the nearest."""
    if name not in TRACKS:
        raise UsageError(f"there is no track {name!r}{nearest(name, TRACKS)}")
    return TRACKS[name]


def refuse_changes(track: Track, source: str, layer: Mapping[str, object]) -> None:
    """Raise UsageError where a layer would break the rules of a track, by any name of a key."""
    for key, value in current_names(layer).items():
        if key in track.values and value != track.values[key]:
            raise UsageError(
                f"the track {track.name} fixes {key} = {track.values[key]!r}: remove"
                f" {value!r} ({source}), or train without the track"
            )
