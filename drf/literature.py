"""Papers of the methods, and published figures to hold boards against, from `literature.toml`."""

from __future__ import annotations

import functools
import tomllib
from collections.abc import Collection
from dataclasses import dataclass
from importlib.resources import files
from typing import Any

BENCHMARK = "drf"
"""Key of the entry by which this benchmark is cited, as in CITATION.cff."""

_LISTS = ("families", "datasets")


@dataclass(frozen=True)
class Paper:
    """key: of the BibTeX entry · bibtex: the entry · url: where it can be read · families: model
    families that build on it · datasets: those that it describes."""

    key: str
    bibtex: str
    url: str
    families: tuple[str, ...] = ()
    datasets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Figure:
    """What was published of a method, percent. Averaged over all 68 landmarks.

    norm            ocular or pupil
    fr8 auc8        None where not known
    source          where the figure is from; protocol: how it was measured
    training_faces  labelled faces that the method was trained on, None where not known
    pretrained      what its weights were trained on before, "nothing" where they began at random,
                    None where not known
    """

    method: str
    paper: str
    dataset: str
    subset: str
    norm: str
    nme: float
    source: str
    protocol: str
    fr8: float | None = None
    auc8: float | None = None
    training_faces: int | None = None
    pretrained: str | None = None

    @property
    def trained_on(self) -> str:
        """What the method was trained on, as a board says it."""
        faces = (
            f"{self.training_faces} faces" if self.training_faces else "an unknown number of faces"
        )
        before = {"nothing": "not pretrained", None: "pretraining not known"}
        return f"{faces}, {before.get(self.pretrained, f'pretrained on {self.pretrained}')}"


@functools.cache
def papers() -> dict[str, Paper]:
    """Return all papers by key, in the order of the file."""
    return {
        entry["key"]: Paper(**entry | {name: tuple(entry.get(name, ())) for name in _LISTS})
        for entry in _read()["paper"]
    }


@functools.cache
def all_figures() -> tuple[Figure, ...]:
    """Return all published figures, in the order of the file."""
    found = []
    for entry in _read()["method"]:
        shared = {"method": entry["name"]} | {
            key: value for key, value in entry.items() if key not in ("name", "figures")
        }
        found += [Figure(**shared | figure) for figure in entry["figures"]]
    return tuple(found)


def figures(*, dataset: str, subset: str, landmarks: str, norms: Collection[str]) -> list[Figure]:
    """Return the figures that a board may be held against, best first: those of its subset and
    normalisations, and only where errors average over all landmarks."""
    found = [
        figure
        for figure in all_figures()
        if (figure.dataset, figure.subset) == (dataset, subset) and figure.norm in norms
    ]
    return sorted(found, key=lambda figure: figure.nme) if landmarks == "all" else []


def cited(
    families: Collection[str], keys: Collection[str] = (), datasets: Collection[str] = ()
) -> list[Paper]:
    """Return the papers that some model families build on, those of the keys, those that describe
    some datasets, and BENCHMARK."""
    return [
        paper
        for paper in papers().values()
        if paper.key in (*keys, BENCHMARK)
        or not set(families).isdisjoint(paper.families)
        or not set(datasets).isdisjoint(paper.datasets)
    ]


def _read() -> dict[str, list[dict[str, Any]]]:
    return tomllib.loads((files("drf") / "literature.toml").read_text(encoding="utf-8"))
