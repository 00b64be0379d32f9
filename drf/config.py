"""Configuration: frozen dataclasses, resolved as default < preset < file < track < --set < option.

Every key keeps the name of the layer that set it, so that a stored run tells where each value came
from. Keys are flat and dotted ("training.lr"); an unknown one is an error that names the nearest.
"""

from __future__ import annotations

import difflib
import tomllib
import types
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Literal, Union, get_args, get_origin, get_type_hints

from drf.errors import UsageError

Source = str


@dataclass(frozen=True)
class DataConfig:
    """limit: use only so many training faces (0: all) · size: of the synthetic training set."""

    dataset: Literal["synthetic", "300w"] = "synthetic"
    box: Literal["gt", "gt_jitter", "file"] = "gt"
    points: Literal["all", "eyes", "brows", "nose", "mouth", "jaw"] = "all"
    input_size: Annotated[int, Range(32, 512)] = 128
    limit: Annotated[int, Range(0, 10**6)] = 0
    size: Annotated[int, Range(10, 10**6)] = 2000
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0


@dataclass(frozen=True)
class AugmentConfig:
    """rotation: degrees, uniform in +- · scale, shift: standard deviations, fractions of the box
    colour, blur: strengths in 0..1 · flip, occlusion: probabilities
    """

    flip: Annotated[float, Range(0, 1)] = 0.5
    rotation: Annotated[float, Range(0, 180)] = 30.0
    scale: Annotated[float, Range(0, 0.5)] = 0.08
    shift: Annotated[float, Range(0, 0.5)] = 0.03
    colour: Annotated[float, Range(0, 1)] = 0.25
    blur: Annotated[float, Range(0, 1)] = 0.5
    occlusion: Annotated[float, Range(0, 1)] = 0.3


@dataclass(frozen=True)
class TrainingConfig:
    """epochs: 0 means as many as max_minutes holds · max_minutes: 0 means no budget
    optimiser: adamw, or muon for the backbone's convolutions and adamw for the rest
    warmup: share of the run over which lr rises · ema: decay of the averaged weights per step
    passes: over the training faces in an epoch, which ends with a validation; more for few faces
    keep: what is evaluated later: the epoch that is best on val, or the last one
    clip: largest gradient norm, 0 for none · deterministic: same seed, same machine, same digits
    init_from: run whose backbone this one starts from, "" for random weights
    """

    epochs: Annotated[int, Range(0, 100_000)] = 30
    max_minutes: Annotated[float, Range(0, 100_000)] = 0.0
    batch_size: Annotated[int, Range(1, 4096)] = 16
    optimiser: Literal["adamw", "muon"] = "adamw"
    lr: Annotated[float, Range(0, 10)] = 1e-3
    weight_decay: Annotated[float, Range(0, 10)] = 1e-2
    warmup: Annotated[float, Range(0, 0.5)] = 0.05
    ema: Annotated[float, Range(0, 0.99999)] = 0.998
    clip: Annotated[float, Range(0, 1e6)] = 0.0
    passes: Annotated[int, Range(1, 10_000)] = 1
    keep: Literal["best", "last"] = "best"
    seed: Annotated[int, Range(0, 2**31 - 1)] = 0
    device: Literal["auto", "cpu", "cuda"] = "auto"
    precision: Literal["auto", "fp32", "bf16"] = "auto"
    deterministic: bool = False
    init_from: str = ""


@dataclass(frozen=True)
class RunConfig:
    """All that decides a run. `model` is the configuration class of the family."""

    family: str
    data: DataConfig
    augment: AugmentConfig
    training: TrainingConfig
    model: Any

    def flat(self) -> dict[str, object]:
        """Return {"training.lr": 0.001, …} in the order of the classes."""
        return {
            f"{section}.{f.name}": getattr(getattr(self, section), f.name)
            for section in _SECTIONS
            for f in fields(getattr(self, section))
        }


_SECTIONS = ("data", "model", "training", "augment")

FROM_CODE = "default"


@dataclass(frozen=True)
class Resolved:
    """A configuration, and for every flat key the layer that set it."""

    config: RunConfig
    sources: dict[str, Source]


def read_toml(path: Path) -> dict[str, Any]:
    """Read a TOML file. Raises UsageError where it is missing or malformed."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read the configuration {path}: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}") from error


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """{"training": {"lr": 1e-3}} -> {"training.lr": 1e-3}."""
    flat: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def parse_assignments(assignments: Iterable[str]) -> dict[str, object]:
    """Read --set words: "training.lr=1e-3" -> {"training.lr": 0.001}; what is not TOML is text.

    Raises UsageError for a word without "=".
    """
    values: dict[str, object] = {}
    for word in assignments:
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set takes KEY=VALUE, not {word!r}")
        try:
            values[key.strip()] = tomllib.loads(f"value = {text.strip()}")["value"]
        except tomllib.TOMLDecodeError:
            values[key.strip()] = text.strip()
    return values


def resolve(
    family: str, model: type, layers: Iterable[tuple[Source, Mapping[str, object]]]
) -> Resolved:
    """Merge layers, the later over the earlier, and build the configuration.

    model: the family's configuration class. Raises UsageError for an unknown key (naming the
    nearest), a wrong type or a value out of range, each with the layer it came from.
    """
    sections: dict[str, Any] = {
        "data": DataConfig,
        "model": model,
        "training": TrainingConfig,
        "augment": AugmentConfig,
    }
    known = {f"{name}.{f.name}" for name, cls in sections.items() for f in fields(cls)}
    values: dict[str, object] = {}
    sources = dict.fromkeys(sorted(known), FROM_CODE)
    for source, layer in layers:
        for key, value in layer.items():
            if key not in known:
                raise UsageError(f"unknown key {key!r} ({source}){nearest(key, known)}")
            values[key], sources[key] = value, source
    built = {name: _build(cls, name, values, sources) for name, cls in sections.items()}
    return Resolved(RunConfig(family=family, **built), sources)


def from_flat(family: str, model: type, flat: Mapping[str, object]) -> RunConfig:
    """Rebuild the configuration that `RunConfig.flat` wrote down."""
    return resolve(family, model, [("the stored run", flat)]).config


def _build(cls: Any, section: str, values: Mapping[str, object], sources: Mapping[str, str]) -> Any:
    hints = get_type_hints(cls, include_extras=True)
    arguments = {}
    for f in fields(cls):
        key = f"{section}.{f.name}"
        if key in values:
            arguments[f.name] = _checked(key, values[key], hints[f.name], sources[key])
    return cls(**arguments)


def _checked(key: str, value: object, hint: Any, source: str) -> object:
    """Return value as the type of the hint, or raise UsageError that says what the key takes."""
    bounds = [extra for extra in getattr(hint, "__metadata__", ()) if isinstance(extra, Range)]
    kind = get_args(hint)[0] if get_origin(hint) is Annotated else hint
    if get_origin(kind) in (Union, types.UnionType):
        raise TypeError(f"{key}: union types are not used in configurations")
    if get_origin(kind) is Literal:
        choices = get_args(kind)
        if value not in choices:
            raise UsageError(f"{key} takes one of {', '.join(choices)}, not {value!r} ({source})")
        return value
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if type(value) is not kind:
        raise UsageError(f"{key} takes {_WORDS[kind]}, not {value!r} ({source})")
    if bounds and isinstance(value, int | float) and value not in bounds[0]:
        raise UsageError(f"{key} takes a value in {bounds[0]}, not {value!r} ({source})")
    return value


_WORDS = {int: "a whole number", float: "a number", bool: "true or false", str: "text"}


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'training.lr'?" for the closest known name, else all of them."""
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else f"; known: {', '.join(sorted(known))}"


# ---- from drf.config


@dataclass(frozen=True)
class Range:
    """low <= value <= high."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"
