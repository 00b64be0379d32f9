"""A grid file: which experiments a sweep consists of.

    preset = "heatmap-forest"
    dataset = "300w"
    epochs = 12                       # or max_minutes = 10
    seeds = [0, 1]

    [factors]                         # configuration key = its values; every combination is a job
    model.trees = [1, 2, 4]
    model.tree_depth = [3, 6]

    [settings]                        # keys that all jobs share
    data.input_size = 64

    [[exclude]]                       # combinations that are left out
    model.trees = 4
    model.tree_depth = 6

`preset` may be a factor as well. `name` is that of the sweep (else that of the file), `subset` what
its runs are evaluated on: val, so that what is chosen by a sweep has not seen the test faces.
"""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any

from db.recording.sweeps import NewJob
from db.recording.words import checked_name
from drf import registry
from drf.config import RunConfig, describe_keys, flatten, nearest, sections_of, shown
from drf.errors import UsageError, quoted
from drf.files import user_path
from experiments.request import Request, configure, read_toml

GRIDS = Path(__file__).parent / "grids"
"""Grids that come with drf, by name."""
PRESET, SEED = "preset", "training.seed"
MOST_JOBS = 10_000
_NOT_OF_THE_RESULT = ("training.device",)


@dataclass(frozen=True)
class Job:
    """One experiment of a sweep.

    id       of the run that it becomes: a digest of family and configuration, without the device
             and without what is the default, so that a key that a later drf adds changes none
    name     of that run; seeds share it
    factors  what differs in the grid, without the seed
    subset   that the run is evaluated on
    """

    id: str
    name: str
    request: Request
    factors: Mapping[str, object]
    seed: int
    subset: str

    def new(self) -> NewJob:
        """Return what the store keeps of it."""
        return NewJob(self.id, self.name, self.seed, self.factors)


@dataclass(frozen=True)
class Grid:
    """What a grid file says."""

    name: str
    preset: str = ""
    dataset: str | None = None
    epochs: int | None = None
    max_minutes: float | None = None
    seeds: Sequence[int] = (0,)
    subset: str = "val"
    summary: str = ""
    settings: Mapping[str, object] = field(default_factory=dict)
    factors: Mapping[str, Sequence[object]] = field(default_factory=dict)
    exclude: Sequence[Mapping[str, object]] = ()

    def jobs(self) -> list[Job]:
        """Return every combination that is not excluded, all of one seed before any of the next.

        Raises UsageError for unknown keys and for values that a key does not take.
        """
        jobs = [
            self._job(combination, seed)
            for seed in self.seeds
            for combination in self._combinations()
        ]
        if not jobs:
            raise UsageError(f"the grid {self.name} has no job: all combinations are excluded")
        return list({job.id: job for job in jobs}.values())

    def _combinations(self) -> list[dict[str, object]]:
        made = [
            dict(zip(self.factors, values, strict=True))
            for values in itertools.product(*self.factors.values())
        ]
        return [
            one for one in made if not any(rule.items() <= one.items() for rule in self.exclude)
        ]

    def _job(self, combination: dict[str, object], seed: int) -> Job:
        keys = {key: value for key, value in combination.items() if key != PRESET}
        options = self._shared() | keys | {SEED: seed}
        request = Request(str(combination.get(PRESET, self.preset)), options=options)
        config = configure(request).config
        if config.data.box == "file":  # whose digest is no key, and so no part of a job's id
            raise UsageError(
                "a grid takes no boxes of a file: leave data.box = 'file', or train these runs with"
                " `drf train --box-file FILE`"
            )
        return Job(
            id=identity(config),
            name=checked_name(self._name_of(combination)),
            request=request,
            factors=combination,
            seed=seed,
            subset=self.subset,
        )

    def _shared(self) -> dict[str, object]:
        given = {
            "data.dataset": self.dataset,
            "training.epochs": 0 if self.epochs is None and self.max_minutes else self.epochs,
            "training.max_minutes": self.max_minutes,
        }
        return {key: value for key, value in given.items() if value is not None} | {**self.settings}

    def _name_of(self, combination: Mapping[str, object]) -> str:
        said = [f"{key.rpartition('.')[2]} {shown(value)}" for key, value in combination.items()]
        return f"{self.name}: {', '.join(said)}" if said else self.name


def identity(config: RunConfig) -> str:
    """Return the id of the job with a configuration: 32 hex digits."""
    known = describe_keys(sections_of(registry.family(config.family).config))
    flat = config.flat()
    decide = {
        key.name: flat[key.name]
        for key in known
        if flat[key.name] != key.default and key.name not in _NOT_OF_THE_RESULT
    }
    text = json.dumps([config.family, decide], sort_keys=True)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def names() -> list[str]:
    """Return the names of the grids that come with drf."""
    return sorted(path.stem for path in GRIDS.glob("*.toml"))


def load(text: str) -> Grid:
    """Read a grid file, or a grid that comes with drf, by its name.

    Raises UsageError for a file that is missing or malformed, and for what it may not say.
    """
    path = user_path(text) if text.endswith(".toml") else GRIDS / f"{text}.toml"
    if path.parent == GRIDS and path.stem not in names():
        raise UsageError(f"there is no grid {quoted(text)}{nearest(text, names())}; a file of your"
                         " own ends in .toml")  # fmt: skip
    return parse(read_toml(path), path.stem)


def parse(document: Mapping[str, Any], name: str) -> Grid:
    """Return the grid of a TOML document. name: that it has where it names none itself."""
    known = {one.name for one in fields(Grid)}
    for key in document:
        if key not in known:
            raise UsageError(f"a grid has no key {quoted(key)}{nearest(key, known)}")
    given = {"name": name} | dict(document)
    checked_name(str(given["name"]))
    for key, kind, meant in _KINDS:
        if key in given and not _is(given[key], kind):
            raise UsageError(f"{key} of a grid takes {meant}, not {quoted(given[key])}")
    given["factors"] = flatten(given.get("factors", {}))
    given["settings"] = flatten(given.get("settings", {}))
    given["exclude"] = [flatten(rule) for rule in given.get("exclude", [])]
    _check(given)
    return Grid(**given)


_KINDS: tuple[tuple[str, Any, str], ...] = (
    ("name", str, "text"),
    ("preset", str, "the name of a preset"),
    ("dataset", str, "the name of a dataset"),
    ("subset", str, "the name of a subset"),
    ("summary", str, "one sentence"),
    ("epochs", int, "a whole number"),
    ("max_minutes", int | float, "a number"),
    ("seeds", [int], "a list of whole numbers"),
    ("settings", Mapping, "a table of configuration keys"),
    ("factors", Mapping, "a table of configuration keys and lists of their values"),
    ("exclude", [Mapping], "a list of tables"),
)


def _is(value: object, kind: Any) -> bool:
    if isinstance(kind, list):
        return isinstance(value, list) and all(_is(one, kind[0]) for one in value)
    return isinstance(value, kind) and not isinstance(value, bool)


def _check(given: Mapping[str, Any]) -> None:
    """Raise UsageError for what is of the right type and makes no grid."""
    factors = given["factors"]
    for key, values in factors.items():
        if not isinstance(values, list) or not values:
            raise UsageError(f"the factor {key} takes a list of values, not {quoted(values)}")
    if SEED in factors or SEED in given["settings"]:
        raise UsageError("a grid names its seeds by the key seeds, not as a factor or a setting")
    if not given.get("preset") and PRESET not in factors:
        raise UsageError("a grid names a preset, or several as a factor: preset = [...]")
    if given.get("epochs") and given.get("max_minutes"):
        raise UsageError("a grid names epochs or max_minutes, not both")
    if "seeds" in given and not given["seeds"]:
        raise UsageError("seeds of a grid takes at least one number")
    for rule in given["exclude"]:
        for key in rule:
            if key not in factors:
                raise UsageError(f"{quoted(key)} is excluded but no factor{nearest(key, factors)}")
    n = math.prod(map(len, factors.values())) * len(given.get("seeds", [0]))
    if n > MOST_JOBS:
        raise UsageError(f"a grid of {n} jobs is too large: at most {MOST_JOBS}")
