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
class Range:
    """low <= value <= high."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{self.low:g}..{self.high:g}"


@dataclass(frozen=True)
class DataConfig:
    """Faces and crops. Each key is described where it is declared, as in every class of options."""

    dataset: Annotated[Literal["synthetic", "300w"], "Dataset to train on."] = "synthetic"
    box: Annotated[
        Literal["gt", "gt_jitter", "file"],
        "Box protocol: which square of the picture the model is shown.",
    ] = "gt"
    landmarks: Annotated[
        str, "Landmark subset of the dataset's markup, e.g. all, eyes or mouth."
    ] = "all"
    input_size: Annotated[int, Range(32, 512), "Side of the network's square input, px."] = 128
    max_train_faces: Annotated[
        int, Range(0, 10**6), "Use at most this many training faces; 0 uses all of them."
    ] = 0
    synthetic_train_size: Annotated[
        int, Range(10, 10**6), "Number of training faces of the synthetic dataset."
    ] = 2000
    synthetic_seed: Annotated[int, Range(0, 2**31 - 1), "Random seed of the synthetic faces."] = 0


@dataclass(frozen=True)
class AugmentConfig:
    """Random changes of each training picture, drawn anew in every epoch."""

    flip: Annotated[float, Range(0, 1), "Probability of mirroring a face."] = 0.5
    rotation: Annotated[
        float, Range(0, 180), "Largest rotation, degrees; uniform in ±rotation."
    ] = 20.0
    scale: Annotated[
        float, Range(0, 0.5), "Standard deviation of the logarithm of the scale factor."
    ] = 0.06
    shift: Annotated[
        float, Range(0, 0.5), "Standard deviation of the shift, as a share of the box side."
    ] = 0.03
    colour: Annotated[
        float, Range(0, 1), "Strength of random brightness, contrast, saturation and tint."
    ] = 0.2
    blur: Annotated[float, Range(0, 1), "Largest share of a 3x3 mean mixed into the picture."] = 0.3
    occlusion: Annotated[
        float, Range(0, 1), "Probability of covering a rectangle with a part of another face."
    ] = 0.15


@dataclass(frozen=True)
class TrainingConfig:
    """Optimisation, budget, and what is kept."""

    epochs: Annotated[
        int, Range(0, 100_000), "Number of epochs; 0 trains until training.max_minutes is used up."
    ] = 30
    max_minutes: Annotated[
        float, Range(0, 100_000), "Time budget of the training in minutes; 0 sets no budget."
    ] = 0.0
    batch_size: Annotated[int, Range(1, 4096), "Faces in one optimiser step."] = 16
    optimiser: Annotated[
        Literal["adamw", "muon"],
        "adamw, or muon for the backbone's convolutions and adamw for all other weights.",
    ] = "adamw"
    lr: Annotated[float, Range(0, 10), "Peak learning rate."] = 3e-3
    weight_decay: Annotated[float, Range(0, 10), "Decoupled weight decay."] = 1e-2
    lr_warmup: Annotated[
        float, Range(0, 0.5), "Share of the run over which the learning rate rises from 0."
    ] = 0.05
    ema_decay: Annotated[
        float, Range(0, 0.99999), "Decay per step of the moving average of the weights."
    ] = 0.998
    grad_clip: Annotated[float, Range(0, 1e6), "Largest norm of the gradient; 0 does not clip."] = (
        0.0
    )
    passes_per_epoch: Annotated[
        int,
        Range(1, 10_000),
        "Passes over the training faces in one epoch; raise it where faces are few.",
    ] = 1
    checkpoint: Annotated[
        Literal["best", "last"],
        "Epoch that is evaluated later: the one with the lowest validation NME, or the last.",
    ] = "best"
    seed: Annotated[
        int, Range(0, 2**31 - 1), "Random seed for weights, data order and augmentation."
    ] = 0
    device: Annotated[Literal["auto", "cpu", "cuda"], "Device to train on."] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        "Number format of matrix products; auto takes bf16 where the hardware multiplies it.",
    ] = "auto"
    deterministic: Annotated[
        bool, "Repeat a run to the last digit on the same machine with the same seed."
    ] = False
    init_from: Annotated[
        str, "Run whose backbone weights this run starts from; empty for random weights."
    ] = ""


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

OLD_KEYS = {
    "data.points": "data.landmarks",
    "data.limit": "data.max_train_faces",
    "data.size": "data.synthetic_train_size",
    "data.seed": "data.synthetic_seed",
    "model.coordinate": "model.coordinate_loss_weight",
    "model.likelihood": "model.nll_weight",
    "model.balance": "model.mutual_information_weight",
    "model.reach": "model.window_half_width",
    "model.top": "model.top_k",
    "model.exchange": "model.global_context_dim",
    "model.detail": "model.detail_channels",
    "model.context": "model.context_channels",
    "model.warmup": "model.routing_warmup",
    "model.sigma": "model.label_sigma",
    "model.mask": "model.label_threshold",
    "model.leaf": "model.label_kind",
    "model.metric": "model.kmeans_exponent",
    "model.leaf_start": "model.leaf_init",
    "model.start_iterations": "model.init_iterations",
    "model.expect": "model.expected_shape",
    "training.warmup": "training.lr_warmup",
    "training.ema": "training.ema_decay",
    "training.clip": "training.grad_clip",
    "training.passes": "training.passes_per_epoch",
    "training.keep": "training.checkpoint",
}
"""Keys of version 0.1.0 -> what they are called today. Configuration files, --set, checkpoints and
stored runs may use either."""

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
        for given, value in layer.items():
            key = OLD_KEYS.get(given, given)
            if key not in known:
                raise UsageError(f"unknown key {given!r} ({source}){nearest(given, known)}")
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
