"""Milliseconds per face on one thread: from the crop, and from the picture."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np

from drf.inference.alignment import Aligner

Faces = Sequence[tuple[np.ndarray, np.ndarray]]
"""(picture, box): (H, W, 3) uint8 RGB and (3,) cx, cy, side in picture px."""


class TimedModel(Protocol):
    """Something that aligns faces, in the two parts that are timed."""

    def prepare(self, picture: np.ndarray, box: np.ndarray) -> Any:
        """Return what the model takes."""

    def locate(self, prepared: Sequence[Any], boxes: np.ndarray) -> np.ndarray:
        """Return (B, K, 2) picture px."""


class Network:
    """A trained network as a timed model."""

    def __init__(self, aligner: Aligner) -> None:
        self._aligner = aligner
        self.prepare = aligner.prepare

    def locate(self, prepared: Sequence[np.ndarray], boxes: np.ndarray) -> np.ndarray:
        return self._aligner.locate(prepared, boxes)[0]


@dataclass(frozen=True)
class Latency:
    """model_ms_*     per face at batch 1, from the prepared crop to picture px
    whole_ms_*     the same with the preparation: from the picture and its box
    batch_faces_per_s  of the model alone, BATCH faces at once
    """

    model_ms_p50: float
    model_ms_p95: float
    whole_ms_p50: float
    whole_ms_p95: float
    batch_faces_per_s: float


BATCH = 32


def measure(models: dict[str, TimedModel], faces: Faces, rounds: int = 3) -> dict[str, Latency]:
    """Time all models face by face in turn, so that a noisy machine slows all alike.

    Of `rounds` passes over the faces the quickest of each face counts: what other processes take
    is not the model's. The caller measures within `one_thread`.
    """
    shape = (len(models), len(faces), rounds)
    prepared_s, model_s = np.empty(shape), np.empty(shape)
    for model in models.values():
        for picture, box in faces[:3]:
            model.locate([model.prepare(picture, box)], box[None])
    for turn in range(rounds):
        for i, (picture, box) in enumerate(faces):
            for j, model in enumerate(models.values()):
                began = time.perf_counter()
                prepared = model.prepare(picture, box)
                ready = time.perf_counter()
                model.locate([prepared], box[None])
                model_s[j, i, turn] = time.perf_counter() - ready
                prepared_s[j, i, turn] = ready - began
    model_ms = 1e3 * model_s.min(axis=2)
    whole_ms = model_ms + 1e3 * prepared_s.min(axis=2)
    throughput = _throughput(models, faces, rounds)
    return {
        name: Latency(
            *np.percentile(model_ms[j], [50, 95]).tolist(),
            *np.percentile(whole_ms[j], [50, 95]).tolist(),
            throughput[name],
        )
        for j, name in enumerate(models)
    }


def _throughput(models: dict[str, TimedModel], faces: Faces, rounds: int) -> dict[str, float]:
    chosen = [faces[i % len(faces)] for i in range(BATCH)]
    boxes = np.stack([box for _, box in chosen])
    best: dict[str, float] = {}
    steps: dict[str, Callable[[], object]] = {}
    for name, model in models.items():
        prepared = [model.prepare(*face) for face in chosen]
        steps[name] = lambda c=model, p=prepared: c.locate(p, boxes)
        steps[name]()
    for _ in range(rounds):
        for name, step in steps.items():
            began = time.perf_counter()
            step()
            best[name] = min(best.get(name, np.inf), time.perf_counter() - began)
    return {name: BATCH / seconds for name, seconds in best.items()}
