"""What all rows of a contest share: where it reads and writes, its budget, its evaluations."""

from __future__ import annotations

from dataclasses import dataclass

from experiments.evaluate import EvaluationSpec
from experiments.paths import Paths


@dataclass(frozen=True)
class Budget:
    """What each training gets.

    dataset   300w or synthetic · minutes: of training · threads: of each training
    epochs    in place of minutes, for a trial of the script itself
    settings  words KEY=VALUE for every row, for the same purpose
    """

    dataset: str
    minutes: float
    threads: int
    epochs: int = 0
    settings: tuple[str, ...] = ()

    @property
    def subset(self) -> str:
        """The test subset."""
        return "helen" if self.dataset == "300w" else "common"


@dataclass(frozen=True)
class ContestSettings:
    """paths: the store, the faces, the packed crops · budget: of each training"""

    paths: Paths
    budget: Budget

    def evaluations(self) -> dict[str, EvaluationSpec]:
        """Return the evaluations of each run by the names that the table uses."""
        subset = self.budget.subset
        return {
            "test": EvaluationSpec(subset, "gt", flip_test=True),
            "single": EvaluationSpec(subset, "gt", flip_test=False),
            "jitter": EvaluationSpec(subset, "gt_jitter", flip_test=True),
            "val": EvaluationSpec("val", "gt", flip_test=True),
        }
