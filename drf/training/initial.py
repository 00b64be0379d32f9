"""Weights that a run starts from: the backbone of another run."""

from __future__ import annotations

from torch import Tensor

from drf import registry
from drf.errors import UsageError
from drf.models.backbones import Backbone
from drf.models.base import LandmarkModel
from drf.training.checkpoint import Checkpoint, stored_config


def adopt_backbone(model: LandmarkModel, family: str, saved: Checkpoint, run: str) -> None:
    """Give a model the backbone of another run's `best.safetensors`, batch-norm statistics too.

    family: of the model · run: id of the other run, for messages. The other's family, landmark
    subset and input size may differ. Raises UsageError, and changes nothing, unless the names and
    shapes of all tensors of both backbones agree.
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
    if odd is not None:
        other = _backbone(registry.build(stored_config(saved.header)))
        raise UsageError(
            f"the backbone of run {run[:8]} ({other and other.recipe}) does not fit this model's"
            f" ({ours.recipe}), first in {odd}: choose the same kind and width, or another run"
        )
    ours.load_state_dict(theirs)


def _backbone(model: LandmarkModel) -> Backbone | None:
    backbone = getattr(model, "backbone", None)
    return backbone if isinstance(backbone, Backbone) else None


def _first_difference(ours: dict[str, Tensor], theirs: dict[str, Tensor]) -> str | None:
    """Return the name of a tensor that only one side has or that differs in shape, if any does."""
    for name in dict.fromkeys([*ours, *theirs]):
        if name not in ours or name not in theirs or ours[name].shape != theirs[name].shape:
            return name
    return None
