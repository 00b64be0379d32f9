"""Errors of parts of a dataset: faces by the attitude of the head, their size, what is hidden.

An attribute gives each face a number, or a name; its bins are the same for every run, so that runs
compare bin by bin. Attributes come from the ground truth alone, never from a prediction.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from drf.landmarks import pose
from drf.landmarks.markup import HIDDEN, Markup
from drf.scoring import scores, statistics
from drf.scoring.statistics import Interval

EQUAL_BINS = 5
"""Bins of an attribute without edges of its own: as many faces in each."""


@dataclass(frozen=True)
class Attribute:
    """A number that every face has.

    key      in links
    title    in the app
    unit     after its values
    meaning  one sentence
    edges    inner edges of the bins, ascending; () for EQUAL_BINS of equal size
    """

    key: str
    title: str
    unit: str
    meaning: str
    edges: tuple[float, ...] = ()


ATTRIBUTES = (
    Attribute(
        "yaw",
        "Yaw",
        "°",
        "Estimated from the ground truth; above 0 the face turns to the picture's right.",
        (-30, -15, -5, 5, 15, 30),
    ),
    Attribute(
        "pitch",
        "Pitch",
        "°",
        "Estimated from the ground truth, roughly; above 0 the chin is lifted.",
        (-20, -10, 0, 10, 20),
    ),
    Attribute(
        "roll",
        "Roll",
        "°",
        "Angle of the line between the eyes; above 0 the head leans clockwise.",
        (-20, -10, -3, 3, 10, 20),
    ),
    Attribute(
        "size",
        "Box size",
        " px",
        "sqrt(w·h) of the landmarks' box in the picture; five bins of as many faces.",
    ),
    Attribute(
        "hidden",
        "Hidden landmarks",
        " %",
        "Share of the landmarks that the annotation marks as hidden.",
        (0.5, 10, 25, 50),
    ),
)
PART = Attribute("part", "Part of the dataset", "", "Folder of the face's name.")


@dataclass(frozen=True)
class Bins:
    """Bins of an attribute: their labels, and the bin of each face, (n,) int, -1 for one that has
    no value."""

    labels: tuple[str, ...]
    place: np.ndarray

    @property
    def counts(self) -> np.ndarray:
        """Faces in each bin, (b,)."""
        return np.bincount(self.place[self.place >= 0], minlength=len(self.labels))


@dataclass(frozen=True)
class Faces:
    """Ground truths that attributes are computed from.

    names       n names: part/…/name
    points      (n, K, 2) picture px, NaN where a landmark is missing
    visibility  (n, K) uint8, see `drf.landmarks.markup`; None where no face has hidden landmarks
    """

    names: Sequence[str]
    markup: Markup
    points: np.ndarray
    visibility: np.ndarray | None = None


def bins_of(faces: Faces) -> dict[Attribute, Bins]:
    """Return the bins of every attribute that tells these faces apart, without empty bins."""
    found = {
        attribute: binned(values, attribute)
        for attribute, values in zip(ATTRIBUTES, _values(faces), strict=True)
    }
    found[PART] = _parts(faces.names)
    return {attribute: bins for attribute, bins in found.items() if len(bins.labels) > 1}


def binned(values: np.ndarray, attribute: Attribute) -> Bins:
    """Return the bins of the values of an attribute: low <= value < high. (n,), NaN has no bin."""
    known = np.isfinite(values)
    edges = np.array(attribute.edges, dtype=np.float64)
    if known.any() and not len(edges):
        inner = np.linspace(0, 1, EQUAL_BINS + 1)[1:-1]
        edges = np.unique(np.quantile(values[known], inner))
    place = np.where(known, np.searchsorted(edges, values, side="right"), -1)
    labels = [_label(edges, k, attribute.unit) for k in range(len(edges) + 1)]
    return _without_empty(labels, place)


def means(errors: np.ndarray, bins: Bins) -> list[list[Interval]]:
    """Return the mean error of every run in every bin, with its interval over the bin's faces.

    (r, n) fractions -> r lists of b.
    """
    by_bin = [
        statistics.mean_intervals(errors[:, bins.place == k]) for k in range(len(bins.labels))
    ]
    return [list(of_run) for of_run in zip(*by_bin, strict=True)]


def _values(faces: Faces) -> list[np.ndarray]:
    """Return the values of ATTRIBUTES, (n,) each."""
    attitude = pose.estimate(faces.points, faces.markup)
    hidden = np.zeros(len(faces.points))
    if faces.visibility is not None:
        hidden = 100 * (np.asarray(faces.visibility) == HIDDEN).mean(axis=1)
    return [attitude.yaw, attitude.pitch, attitude.roll, scores.box_size(faces.points), hidden]


def _parts(names: Sequence[str]) -> Bins:
    parts = [name.rpartition("/")[0] for name in names]
    labels = sorted(set(parts))
    numbers: Mapping[str, int] = {label: k for k, label in enumerate(labels)}
    return Bins(tuple(labels), np.array([numbers[part] for part in parts], dtype=np.int64))


def _without_empty(labels: Sequence[str], place: np.ndarray) -> Bins:
    used = np.unique(place[place >= 0])
    renumbered = np.searchsorted(used, place)
    return Bins(tuple(labels[k] for k in used), np.where(place < 0, -1, renumbered))


def _label(edges: np.ndarray, k: int, unit: str) -> str:
    """Return what a bin is called: "below −30°", "−5 to 5°", "from 30°"."""
    said = [f"{edge:.0f}".replace("-", "−") if unit != " %" else f"{edge:g}" for edge in edges]
    if not said:
        return "all"
    if k == 0:
        return f"below {said[0]}{unit}"
    if k == len(said):
        return f"from {said[-1]}{unit}"
    return f"{said[k - 1]} to {said[k]}{unit}"
