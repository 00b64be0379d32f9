"""Configuration: frozen dataclasses, resolved as default < preset < file < track < --set < option.

Each key is declared once: with type, range, default and a sentence, in the class of its section.
`describe_keys` reads these declarations for checks, `drf train --keys` and docs/configuration.md.
The layer that set a key is stored with the run. Keys are flat and dotted ("training.lr"); an
unknown one is an error that names the nearest.
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import Field, dataclass, fields
from typing import Annotated, Any, Literal, get_args, get_origin, get_type_hints

from drf.errors import UsageError, quoted

Source = str


@dataclass(frozen=True)
class Range:
    """low <= value <= high."""

    low: float
    high: float

    def __contains__(self, value: float) -> bool:
        return self.low <= value <= self.high

    def __str__(self) -> str:
        return f"{_number(self.low)}..{_number(self.high)}"


def _number(value: float) -> str:
    return str(int(value)) if value == int(value) else f"{value:g}"


@dataclass(frozen=True)
class DataConfig:
    """Faces and crops."""

    dataset: Annotated[str, "Dataset to train on: one of the names in drf.data.dataset."] = (
        "synthetic"
    )
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
    device: Annotated[
        Literal["auto", "cpu", "cuda", "mps"],
        "Device to train on; auto takes cuda where there is one, else the CPU.",
    ] = "auto"
    precision: Annotated[
        Literal["auto", "fp32", "bf16"],
        "Number format of matrix products; auto takes bf16 where the hardware multiplies it.",
    ] = "auto"
    deterministic: Annotated[
        bool, "Repeat a run to the last digit on the same machine with the same seed."
    ] = False
    init_from: Annotated[
        str, "Run whose weights this run starts from; empty for random weights."
    ] = ""
    init_weights: Annotated[
        Literal["backbone", "all"],
        "Weights to take over from the run init_from: those of the backbone, also of another "
        "method or markup, or those of the whole model.",
    ] = "backbone"
    pretrained: Annotated[
        Literal["", "imagenet", "widerface"],
        "Data on which published weights of the backbone were learned, for the run to start from; "
        "empty for random weights.",
    ] = ""
    pretrained_lr_factor: Annotated[
        float,
        Range(0, 1),
        "Factor on the learning rate of layers that start from published weights.",
    ] = 0.05


@dataclass(frozen=True)
class RunConfig:
    """All settings of a run. `model` is an instance of the family's configuration class."""

    family: str
    data: DataConfig
    augment: AugmentConfig
    training: TrainingConfig
    model: Any

    def flat(self) -> dict[str, object]:
        """Return {"training.lr": 0.001, …} in the order of the classes."""
        return {
            f"{section}.{f.name}": getattr(getattr(self, section), f.name)
            for section, cls in sections_of(type(self.model)).items()
            for f in fields(cls)
        }


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

NEW_KEYS: Mapping[str, object] = {"model.aligned_members": 0}
"""Keys that stored runs lack which are older -> the value that says what these do. So a run with
this value is made as one without the key. Who adds a key to a family adds it here."""

FROM_CODE = "default"


@dataclass(frozen=True)
class Resolved:
    """A configuration, and for every flat key the layer that set it."""

    config: RunConfig
    sources: dict[str, Source]


@dataclass(frozen=True)
class KeyInfo:
    """One configuration key, as its class declares it.

    name      with its section: "training.lr"
    type      int, float, bool or str
    range     least and largest number, or None
    choices   values that a text can take; empty where any will do
    default   value where no layer sets the key
    sentence  what the key means
    """

    name: str
    type: type
    range: Range | None
    choices: tuple[str, ...]
    default: object
    sentence: str

    @property
    def values(self) -> str:
        """What the key takes: "float, 0..10", "adamw, muon", "true, false" or "text"."""
        if self.choices:
            return ", ".join(self.choices)
        if self.range is not None:
            return f"{self.type.__name__}, {self.range}"
        return {bool: "true, false", str: "text"}.get(self.type, self.type.__name__)


def shown(value: object) -> str:
    """Return a value for a table: 0.003, true, adamw, "" for an empty text."""
    if isinstance(value, bool):
        return str(value).lower()
    return '""' if value == "" else str(value)


def sections_of(model: Any) -> dict[str, Any]:
    """Return the configuration classes of a family by section.

    model: the family's own class; None leaves its section out
    """
    own = {} if model is None else {"model": model}
    return {"data": DataConfig, **own, "training": TrainingConfig, "augment": AugmentConfig}


def describe_keys(sections: Mapping[str, Any]) -> list[KeyInfo]:
    """Return every key of configuration classes, in the order of their declaration.

    Raises TypeError for a hint that configurations do not use, such as a union.
    """
    return [
        _key_info(f"{section}.{f.name}", hint, f.default)
        for section, cls in sections.items()
        for f, hint in _hinted_fields(cls)
    ]


def _hinted_fields(cls: Any) -> list[tuple[Field[Any], Any]]:
    hints = get_type_hints(cls, include_extras=True)
    return [(f, hints[f.name]) for f in fields(cls)]


def _key_info(name: str, hint: Any, default: object) -> KeyInfo:
    kind, *extras = get_args(hint) if get_origin(hint) is Annotated else (hint,)
    choices = get_args(kind) if get_origin(kind) is Literal else ()
    kind = str if choices else kind
    if kind not in _WORDS:
        raise TypeError(f"{name}: configurations do not use the type {kind}")
    bounds = next((extra for extra in extras if isinstance(extra, Range)), None)
    sentence = next((extra for extra in extras if isinstance(extra, str)), "")
    return KeyInfo(name, kind, bounds, choices, default, sentence)


def current_names(layer: Mapping[str, object]) -> dict[str, object]:
    """Return a layer with the keys of OLD_KEYS under the names that they have today."""
    return {OLD_KEYS.get(key, key): value for key, value in layer.items()}


def comparable(layer: Mapping[str, object]) -> dict[str, object]:
    """Return what is equal for two configurations that make the same run, though an older drf
    stored one of them: today's names, without keys of NEW_KEYS that have the value there."""
    named = current_names(layer)
    return {
        key: value for key, value in named.items() if key not in NEW_KEYS or NEW_KEYS[key] != value
    }


def parse_toml(text: str) -> dict[str, Any]:
    """Read TOML. Raises ValueError for whatever else the parser raises too: numbers of more digits
    than Python reads, brackets in brackets a thousand times."""
    try:
        return tomllib.loads(text)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    except tomllib.TOMLDecodeError as error:
        raise ValueError(_first_of(str(error))) from error
    except ValueError as error:
        raise ValueError(f"a number has too many digits ({_first_of(str(error))})") from error


def _first_of(message: str) -> str:
    return message if len(message) <= 200 else f"{message[:200]}…"


_DEEPEST = 8


def flatten(document: Mapping[str, Any], prefix: str = "") -> dict[str, object]:
    """{"training": {"lr": 1e-3}} -> {"training.lr": 1e-3}. Raises UsageError for deeper tables than
    any key has."""
    if prefix.count(".") > _DEEPEST:
        raise UsageError(f"the table {prefix[:80]}… is nested too deeply: keys are SECTION.NAME")
    flat: dict[str, object] = {}
    for key, value in document.items():
        if isinstance(value, Mapping):
            flat |= flatten(value, f"{prefix}{key}.")
        else:
            flat[prefix + key] = value
    return flat


def parse_assignments(assignments: Iterable[str]) -> dict[str, object]:
    """Read --set words: "training.lr=1e-3" -> {"training.lr": 0.001}; a value that is not TOML is
    read as text.

    Raises UsageError for a word without "=".
    """
    values: dict[str, object] = {}
    for word in assignments:
        key, equals, text = word.partition("=")
        if not equals or not key.strip():
            raise UsageError(f"--set takes KEY=VALUE, not {quoted(word)}")
        try:
            values[key.strip()] = parse_toml(f"value = {text.strip()}")["value"]
        except ValueError:
            values[key.strip()] = text.strip()
    return values


def resolve(
    family: str, model: type, layers: Iterable[tuple[Source, Mapping[str, object]]]
) -> Resolved:
    """Merge layers, the later over the earlier, and build the configuration.

    model: the family's configuration class. Raises UsageError for an unknown key (naming the
    nearest), a wrong type or a value out of range, each with the layer it came from.
    """
    sections = sections_of(model)
    known = {info.name: info for info in describe_keys(sections)}
    arguments: dict[str, dict[str, object]] = {section: {} for section in sections}
    sources = dict.fromkeys(sorted(known), FROM_CODE)
    for source, layer in layers:
        for given, value in layer.items():
            key = OLD_KEYS.get(given, given)
            if key not in known:
                raise UsageError(
                    f"unknown key {quoted(given)} ({source}){_nearest_key(given, known)}"
                )
            section, _, name = key.partition(".")
            arguments[section][name] = value
            sources[key] = source
    built = {}
    for section, cls in sections.items():
        checked = {
            name: _checked(known[f"{section}.{name}"], value, sources[f"{section}.{name}"])
            for name, value in arguments[section].items()
        }
        built[section] = cls(**checked)
    return Resolved(RunConfig(family=family, **built), sources)


def from_flat(family: str, model: type, flat: Mapping[str, object]) -> RunConfig:
    """Return the configuration of a flat mapping that `RunConfig.flat` returned."""
    return resolve(family, model, [("the stored run", flat)]).config


def check_key(name: str, value: object, source: str) -> object:
    """Return a value as the type of a key that every family has, for what is no configuration but
    takes the same values. source: how the user named it. Raises UsageError."""
    known = {info.name: info for info in describe_keys(sections_of(None))}
    return _checked(known[name], value, source)


def _checked(info: KeyInfo, value: object, source: str) -> object:
    """Return value as the type of the key, or raise UsageError with the values that it takes."""
    given = f"not {quoted(value)} ({source})"
    if info.choices:
        if value not in info.choices:
            hint = _one_of_several_gpus(value) if info.name == "training.device" else ""
            raise UsageError(f"{info.name} takes one of {', '.join(info.choices)}, {given}{hint}")
        return value
    if isinstance(value, int | float) and not isinstance(value, bool) and info.type is not bool:
        if info.range is not None and value not in info.range:  # before float() of a huge integer
            raise UsageError(f"{info.name} takes a value in {info.range}, {given}")
        value = float(value) if info.type is float else value
    if type(value) is not info.type:
        raise UsageError(f"{info.name} takes {_WORDS[info.type]}, {given}")
    return value


def _one_of_several_gpus(device: object) -> str:
    """Return how a GPU is chosen by its number, where a device has one: a run that is stored must
    not depend on how many GPUs there are."""
    found = re.fullmatch(r"(?:cuda|gpu)?:?(\d{1,3})", str(device).strip().lower())
    return f"; CUDA_VISIBLE_DEVICES={found[1]} with --device cuda chooses that GPU" if found else ""


_WORDS: dict[type, str] = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
}


def _nearest_key(key: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'training.lr'?", or else where all keys are listed: they are many."""
    matches = difflib.get_close_matches(key, known, n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else "; `drf train --keys` lists all keys"


def nearest(name: str, known: Iterable[str]) -> str:
    """Return "; did you mean 'training.lr'?" for the closest known name, else all of them."""
    known = list(known)
    matches = difflib.get_close_matches(name, known, n=1, cutoff=0.5)
    return f"; did you mean {matches[0]!r}?" if matches else f"; known: {', '.join(sorted(known))}"
