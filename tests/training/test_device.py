"""No batch waits for its device. On `meta` tensors, which have no values, any call that needs one
(.item(), a branch, a size that depends on data) is an error; copies from the host are caught here.
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from drf import registry
from drf.config import AugmentConfig
from drf.data.augment import augment
from drf.models.base import LandmarkModel
from drf.training.optimiser import MovingAverage
from tests.models.test_families import small

META = torch.device("meta")
TRAINED = [name for name in registry.FAMILIES if name != "mean-shape"]


class _Copies(TorchDispatchMode):
    """Refuses operations that bring values from the host to the device."""

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        if "cpu" in _devices((args, kwargs)) and "meta" in _devices(out):
            raise AssertionError(f"{func} copies from the host")
        return out


class _Constants(TorchFunctionMode):
    """Refuses tensors made of Python's numbers: on a device they are copies from the host."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        assert func not in (torch.tensor, torch.as_tensor, torch.from_numpy), f"{func} copies"
        return func(*args, **(kwargs or {}))


def _devices(tree: Any) -> set[str]:
    return {value.device.type for value in tree_leaves(tree) if isinstance(value, torch.Tensor)}


@contextlib.contextmanager
def without_waiting() -> Iterator[None]:
    with _Copies(), _Constants():
        yield


@pytest.mark.parametrize(
    "wait",
    [
        lambda x: float(x.sum()),
        lambda x: x[x > 0],
        lambda x: x + torch.tensor([1.0, 2.0], device=META),
        lambda x: x + torch.ones(2).to(META),
    ],
)
def test_that_waiting_would_be_seen(wait: Any) -> None:
    x = torch.zeros(2, device=META)
    with pytest.raises((RuntimeError, AssertionError)), without_waiting():
        wait(x)


@pytest.mark.parametrize("family", TRAINED)
def test_a_step_of_every_family(family: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(torch, "autocast", lambda *_, **__: contextlib.nullcontext())  # not on meta
    model: LandmarkModel = small(family).place(META).train()
    average = MovingAverage(model, 0.99)
    images = torch.rand(3, 3, 64, 64, device=META)
    points = torch.rand(3, model.spec.n_points, 2, device=META)
    with without_waiting():
        model.set_progress(0.1)
        outputs = model(images)
        loss, _ = model.loss(outputs, points)
        loss.backward()
        model.leaf_step(outputs, points)
        average.update(model)


def test_augmentation(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("rand", "randn"):  # no generator lives on meta
        draw = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, draw=draw, generator=None, **k: draw(*a, **k))

    class Generator:
        device = META

    crops = torch.empty(3, 256, 256, 3, dtype=torch.uint8, device=META)
    points = torch.rand(3, 68, 2, device=META)
    config = AugmentConfig(flip=0.5, rotation=30, colour=0.2, blur=0.3, occlusion=0.2)
    flip = torch.empty(68, dtype=torch.int64, device=META)
    with without_waiting():
        augment(crops, points, flip, 64, config, Generator())
