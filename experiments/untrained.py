"""What runs that drf did not train share: imported predictions, and means of other runs'."""

from __future__ import annotations

from sqlite_utils import Database

from db.recording import box_labels
from db.recording.runs import NewRun, end_run, start_run
from drf.errors import UsageError
from drf.scoring.results import Evaluation


def record_untrained(store: Database, new: NewRun, wall_s: float | None = None) -> str:
    """Record a run that has ended as it starts, and return its id. Call in a transaction.

    wall_s: seconds of the trainings that its predictions come from, None where not known
    """
    run = start_run(store, new)
    end_run(
        store, run, "finished", wall_s=wall_s, faces_per_s=None, kept_epoch=None, kept_val_nme=None
    )
    return run


def refuse_twice(store: Database, run: str, result: Evaluation, other: str) -> None:
    """Raise UsageError where a run has an evaluation on the board of a result.

    other: the options that would make it another run
    """
    label = box_labels.label(store.conn, result.box, result.manifest)
    there = store.execute(
        "SELECT 1 FROM evaluations WHERE run = ? AND dataset = ? AND subset = ? AND landmarks = ?"
        " AND box = ?",
        [run, result.dataset, result.subset, result.landmarks, label],
    ).fetchone()
    if there:
        raise UsageError(
            f"run {run[:8]} has predictions for {result.subset} already: give another {other}, or"
            f" delete it first (`drf runs delete {run[:8]}`)"
        )
