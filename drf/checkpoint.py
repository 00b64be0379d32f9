"""Checkpoints: safetensors with a JSON header, written whole or not at all. No pickle is ever read.

A run's folder holds `best.safetensors` (averaged weights of the epoch that is kept: the one of the
lowest validation NME, or the last one where `training.checkpoint` says so) and `last.safetensors`
(all that a resumed run needs). The JSON travels in the same file as the tensors, so that one rename
publishes both.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from drf import registry
from drf.config import RunConfig, current_names, from_flat
from drf.errors import DrfError, NotFoundError, UsageError, as_os_error, reason_of
from drf.files import BEST as BEST
from drf.files import LAST as LAST
from drf.files import replacing_file
from drf.landmarks.markup import IBUG68, Markup
from drf.models.backbones import Backbone
from drf.models.base import LandmarkModel, Recalibration, Recalibrations

RECALIBRATIONS = "recalibrations"
"""Key of a header for the model's `recalibrations`; a run that was cut off has none. Earlier
checkpoints have one factor for all landmarks, called "covariance_scale" or "spread"."""
_HEADER = "drf"
_UNREADABLE = (
    *(ArithmeticError, AttributeError, LookupError, RuntimeError, TypeError, ValueError),
    *(OSError, SafetensorError),
)
"""What reading a file raises that is not what it should be."""

RESUMABLE = ("training.epochs", "training.max_minutes")
"""What may change when a run goes on; everything else would make it another run."""


@dataclass(frozen=True)
class Checkpoint:
    """tensors by name, and the JSON header they were saved with.

    path: of the file, for messages
    """

    tensors: dict[str, Tensor]
    header: dict[str, Any]
    path: Path = Path("the checkpoint")

    @contextmanager
    def explained(self) -> Iterator[None]:
        """Raise DrfError where a block finds that tensors or header are not what it reads."""
        try:
            yield
        except DrfError as error:
            raise type(error)(f"{self.path} does not fit: {_short(str(error))}") from error
        except _UNREADABLE as error:
            raise DrfError(
                f"{self.path} is damaged, or of another version of drf ({_short(str(error))})"
            ) from error

    def require_run(self, run: str, family: str, config: Mapping[str, object]) -> None:
        """Raise DrfError unless this is a checkpoint of a run: of its family and configuration, and
        with its id. Older checkpoints have no id.

        config: flat, as the store has it. What may change while a run goes on is not compared, nor
        a key that one of the two versions of drf did not have.
        """
        with self.explained():
            theirs = current_names(self.header["config"])
            ours = current_names(config)
            other = [
                f"its {name} is {_short(repr(found))} instead of {expected!r}"
                for name, found, expected in (
                    ("run", self.header.get("run", run), run),
                    ("family", self.header["family"], family),
                    *((key, theirs[key], ours[key]) for key in theirs if key in ours),
                )
                if found != expected and name not in RESUMABLE
            ]
        if other:
            raise DrfError(
                f"{self.path} is not a checkpoint of run {run[:8]}: {other[0]}; put back the run's"
                " own file, or train a new run"
            )

    def under(self, prefix: str) -> dict[str, Tensor]:
        """Return the tensors named `prefix`… without the prefix."""
        return {k.removeprefix(prefix): v for k, v in self.tensors.items() if k.startswith(prefix)}


def save(path: Path, tensors: dict[str, Tensor], header: dict[str, Any]) -> None:
    """Write a checkpoint beside its place and rename it into place.

    Raises DrfError if it cannot be written, for example because the disk is full; the older
    checkpoint then still stands.
    """
    plain = {name: value.detach().cpu().contiguous() for name, value in tensors.items()}
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing_file(path) as unfinished:
            save_file(plain, unfinished, metadata={_HEADER: json.dumps(header)})
    except (OSError, SafetensorError) as error:
        refused = as_os_error(error)
        reason = reason_of(refused, path) if refused else f"{path} failed ({error})"
        goes_on = "; then resume the run" if path.with_name(LAST).is_file() else ""
        raise DrfError(f"cannot write the checkpoint: {reason}{goes_on}") from error


def load(path: Path) -> Checkpoint:
    """Read a checkpoint. Raises NotFoundError if there is none, DrfError if it is not ours."""
    if not path.is_file():
        raise NotFoundError(f"there is no checkpoint {path}; {_instead(path)}")
    try:
        with safe_open(path, framework="pt") as file:
            header = json.loads((file.metadata() or {})[_HEADER])
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except _UNREADABLE as error:
        if refused := as_os_error(error):
            raise DrfError(f"cannot read the checkpoint: {reason_of(refused, path)}") from error
        raise DrfError(
            f"{path} is damaged or no checkpoint of drf ({_short(str(error))})"
        ) from error
    if not isinstance(header, dict):
        raise DrfError(f"{path} is damaged or no checkpoint of drf (its header is no JSON object)")
    return Checkpoint(tensors, header, path)


def _instead(path: Path) -> str:
    """Return what to do where there is no checkpoint."""
    if not path.parent.is_dir():
        return (
            "the folder of a run lies beside the store that it was trained with: copy the folder"
            f" {path.parent.name} to {path.parent.parent}"
        )
    return "the run ended before its first epoch did, or the file was removed: train it again"


def _short(text: str) -> str:
    """Return the beginning of a text, in one line: torch lists every tensor that does not fit."""
    return " ".join(text.split())[:300]


def describe(config: RunConfig, markup: Markup, run: str | None = None) -> dict[str, Any]:
    """Return the part of a header that says what model the tensors belong to, and what run."""
    of = {} if run is None else {"run": run}
    return {"family": config.family, "config": config.flat(), "markup": markup.as_dict()} | of


def stored_config(header: dict[str, Any]) -> RunConfig:
    """Return the configuration that `describe` wrote."""
    return from_flat(header["family"], registry.family(header["family"]).config, header["config"])


def stored_markup(header: dict[str, Any]) -> Markup:
    """Return the markup that `describe` wrote. Checkpoints of version 0.1.0 have none: theirs is
    IBUG68. Raises DrfError for a damaged one."""
    try:
        return Markup.from_dict(header["markup"]) if "markup" in header else IBUG68
    except ValueError as error:
        raise DrfError(f"the header of the checkpoint is damaged: {error}") from error


def load_model(path: Path, device: torch.device | str = "cpu") -> tuple[LandmarkModel, RunConfig]:
    """Rebuild the model of a `best.safetensors`, in evaluation mode. Raises as `load`, DrfError
    also where tensors and header do not fit together."""
    return rebuild(load(path), device)


def rebuild(
    saved: Checkpoint, device: torch.device | str = "cpu"
) -> tuple[LandmarkModel, RunConfig]:
    """Rebuild the model of what `load` returned of a `best.safetensors`; as `load_model`."""
    with saved.explained():
        config, markup = stored_config(saved.header), stored_markup(saved.header)
    model = registry.build(config, markup)
    with saved.explained():
        model.load_state_dict(saved.under("model."))
        model.recalibrations = _recalibrations(saved.header, model.spec.n_points)
    return model.eval().place(device), config


def _recalibrations(header: Mapping[str, Any], k: int) -> Recalibrations:
    """Return those of a header, for a model of k landmarks. Raises as `from_dict`."""
    if RECALIBRATIONS in header:
        return Recalibrations.from_dict(header[RECALIBRATIONS], k)
    of_all = Recalibration([header.get("covariance_scale", header.get("spread", 1.0))] * k)
    of_all.check(k)
    return Recalibrations(of_all, of_all)


def load_backbone(model: LandmarkModel, family: str, saved: Checkpoint, run: str) -> str:
    """Give a model the backbone of another run's `best.safetensors`, batch-norm statistics too, and
    return what was taken over, and what was not, as a sentence.

    family: of the model · run: id of the other run, for messages. The other's family, markup,
    landmark subset and input size may differ. Raises UsageError, and changes nothing, unless the
    kind of both backbones, and names and shapes of all their tensors, agree.
    """
    ours, theirs = _backbone(model), saved.under("model.backbone.")
    if ours is None:
        raise UsageError(
            f"the family {family} has no backbone that could start from another run:"
            " leave out --init-from"
        )
    if not theirs:
        raise UsageError(
            f"run {run[:8]} ({saved.header['family']}) has no backbone to start from:"
            " name another run with --init-from"
        )
    odd = _first_difference(ours.state_dict(), theirs)
    other = _backbone(registry.build(stored_config(saved.header), stored_markup(saved.header)))
    if odd is not None or (other and other.recipe != ours.recipe):
        raise UsageError(
            f"the backbone of run {run[:8]} ({other and other.recipe}) does not fit this model's"
            f" ({ours.recipe}){f', first in {odd}' if odd else ''}: choose the same kind and width,"
            " or another run"
        )
    ours.load_state_dict(theirs)
    markup, landmarks = model.spec.markup, len(model.spec.indices)
    return (
        f"Started from the backbone of run {run[:8]} ({stored_markup(saved.header).name}):"
        f" {len(theirs)} of {len(model.state_dict())} tensors; the rest of the model, for the"
        f" {landmarks} landmarks of {markup.name}, starts anew."
    )


def load_weights(model: LandmarkModel, family: str, saved: Checkpoint, run: str) -> str:
    """Give a model all weights of another run's `best.safetensors`, leaves and their statistics
    too, and return a sentence that says so.

    family: of the model · run: id of the other run, for messages. Raises UsageError, and changes
    nothing, unless the two agree in family, markup, landmarks, and names and shapes of all tensors.
    """
    with saved.explained():
        config, markup = stored_config(saved.header), stored_markup(saved.header)
    spec, data = model.spec, config.data
    for name, here, there in (
        ("family", family, config.family),
        ("markup", spec.markup.name, markup.name),
        ("landmark subset", spec.landmarks, data.landmarks),
        ("input size", spec.input_size, data.input_size),
    ):
        if here != there:
            raise UsageError(
                f"the {name} of run {run[:8]} is {there}, here it is {here}: take over its"
                " backbone alone (--init-weights backbone)"
            )
    tensors = saved.under("model.")
    odd = _first_difference(model.state_dict(), tensors)
    if odd is not None:
        raise UsageError(
            f"the model of run {run[:8]} does not fit this one, first in {odd}: choose the same"
            " settings of the model, or take over its backbone alone (--init-weights backbone)"
        )
    model.load_state_dict(tensors)
    return f"Started from all weights of run {run[:8]}, {len(tensors)} tensors."


def _backbone(model: LandmarkModel) -> Backbone | None:
    backbone = getattr(model, "backbone", None)
    return backbone if isinstance(backbone, Backbone) else None


def _first_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> str | None:
    """Return the name of a tensor that only one side has or that differs in shape, if any does."""
    for name in dict.fromkeys([*ours, *theirs]):
        if name not in ours or name not in theirs or ours[name].shape != theirs[name].shape:
            return name
    return None


@dataclass
class State:
    """What changes while a training goes on; it stands in the header of `last.safetensors`.

    batch_parts: in how many parts a batch is computed, more than 1 where it does not fit
    collapsed: why the run ends here, a sentence
    """

    epoch: int = 0
    step: int = 0
    faces: int = 0
    elapsed_s: float = 0.0
    training_s: float = 0.0
    validation_s: float = 0.0
    kept_epoch: int = 0
    kept_val_nme: float = float("inf")
    batch_parts: int = 1
    collapsed: str | None = None


OLD_STATE = {"best_epoch": "kept_epoch", "best_val_nme": "kept_val_nme"}
"""Fields of State by their names in version 0.1.0, whose runs can be resumed too."""


def stored_state(saved: Checkpoint) -> State:
    """Return the state that a `last.safetensors` holds. Raises DrfError for another header."""
    with saved.explained():
        stored = saved.header["state"].items()
        state = State(**{OLD_STATE.get(name, name): value for name, value in stored})
        counts = (state.epoch, state.step, state.faces, state.kept_epoch, state.batch_parts)
        reals = (state.elapsed_s, state.training_s, state.validation_s, state.kept_val_nme)
        sound = [type(n) is int and n >= 0 for n in counts]
        sound += [type(x) in (int, float) and x >= 0 for x in reals]
        if not all(sound) or not isinstance(state.collapsed, str | None):
            raise ValueError("its state has values of other types")
    return state
