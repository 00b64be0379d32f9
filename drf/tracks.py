"""Tracks: rules under which results compete, the same budget, data and box for all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from drf.config import nearest
from drf.errors import UsageError


@dataclass(frozen=True)
class Track:
    """values: the keys that a track fixes · subset: what its entries are evaluated on."""

    name: str
    summary: str
    values: Mapping[str, object]
    subset: str


TRACKS = {
    "ten-minutes": Track(
        "ten-minutes",
        "Ten minutes of training on the CPU, on the faces of 300-W that are there; helen, box gt.",
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
    """Raise UsageError where a layer would break the rules of a track."""
    for key, value in layer.items():
        if key in track.values and value != track.values[key]:
            raise UsageError(
                f"the track {track.name} fixes {key} = {track.values[key]!r}; leave out"
                f" {value!r} ({source}), or the track"
            )
