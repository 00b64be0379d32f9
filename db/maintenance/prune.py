"""What a store can lose without losing a result: pictures, epochs' faces, covariances.

Scores, errors, predictions of evaluations, curves, configurations and provenance stay.
"""

from __future__ import annotations

from sqlite_utils import Database

from db.transactions import writing

PARTS = {
    "crops": "UPDATE faces SET crop = NULL, to_picture = NULL WHERE crop IS NOT NULL",
    "epoch-faces": "DELETE FROM epoch_predictions",
    "covariances": "UPDATE predictions SET covariance = NULL WHERE covariance IS NOT NULL",
}
"""Part -> the statement that removes it. What is lost: the app's pictures, the faces of a run epoch
by epoch, ellipses and risk against coverage."""


def prune(db: Database, parts: list[str]) -> dict[str, int]:
    """Remove parts of a store, by their names in PARTS; return how many rows each had. The file
    shrinks."""
    with writing(db):
        removed = {part: db.execute(PARTS[part]).rowcount for part in parts}
    db.vacuum()
    return removed
