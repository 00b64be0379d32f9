"""A request for a training: a preset, and the settings that override it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from drf import presets, registry
from drf.config import Resolved, flatten, parse_assignments, parse_toml, resolve
from drf.data.user_files import read_text
from drf.errors import DataError, UsageError
from drf.text import printable


@dataclass(frozen=True)
class Request:
    """The method to train: a preset and, in this order, the settings that override it.

    preset       name of a preset
    file         TOML file of configuration keys
    track        name of a track; no later setting may change the keys that it fixes
    assignments  "KEY=VALUE", as `drf train --set` takes them
    options      configuration keys and their values, {"training.seed": 3}; `drf train` puts the
                 keys here that have an option of their own, such as --seed
    """

    preset: str
    file: Path | None = None
    track: str | None = None
    assignments: tuple[str, ...] = ()
    options: Mapping[str, object] = field(default_factory=dict)


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file, with or without a byte order mark. Raises UsageError where it is missing,
    in another encoding or malformed."""
    try:
        return parse_toml(read_text(path))
    except DataError as error:
        raise UsageError(f"cannot read the configuration {path}: {error}") from error
    except ValueError as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def configure(request: Request) -> Resolved:
    """Return the configuration: defaults < preset < file < track < assignments < options.

    A later layer overrides an earlier one. Raises UsageError for unknown names (with the nearest),
    wrong types, values out of range, and for a layer that would break the rules of the track.
    """
    preset = presets.load(request.preset)
    layers: list[tuple[str, Mapping[str, object]]] = [(f"preset {preset.name}", preset.values)]
    if request.file is not None:
        layers.append((f"file {printable(request.file.name)}", flatten(read_toml(request.file))))
    above = [("--set", parse_assignments(request.assignments)), ("option", request.options)]
    if request.track is not None:
        track = presets.track(request.track)
        layers.append((f"track {track.name}", track.values))
        for source, layer in above:
            presets.refuse_changes(track, source, layer)
    family = registry.family(preset.family)
    return resolve(preset.family, family.config, [*layers, *above])
