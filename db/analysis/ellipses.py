"""What the ellipses of a stored evaluation hold, by region of the face."""

from __future__ import annotations

import sqlite3
from typing import Any

from db import predictions
from drf.landmarks.markup import Markup
from drf.scoring import ellipses, uncertainty
from drf.scoring.ellipses import RegionEllipses


def of_evaluation(
    con: sqlite3.Connection, evaluation: int, markup: Markup, landmarks: str
) -> dict[str, RegionEllipses] | None:
    """Return `ellipses.by_region` of an evaluation; None where its model predicts no covariances.

    landmarks: the subset of the markup that was evaluated
    """
    covariances = predictions.covariances_of_evaluation(con, evaluation)
    if covariances is None:
        return None
    _, truth, predicted = predictions.predictions(con, evaluation)
    return ellipses.by_region(predicted, truth, covariances, markup, landmarks)


def document(
    con: sqlite3.Connection, evaluation: int, markup: Markup, landmarks: str
) -> dict[str, Any] | None:
    """Return the same as plain values in percent: {"level", "regions": {region: {"inside", "low",
    "high", "radius": {normaliser: radius}}}}."""
    found = of_evaluation(con, evaluation, markup, landmarks)
    if found is None:
        return None
    regions = {
        region: {
            "inside": 100 * of.inside.estimate,
            "low": 100 * of.inside.low,
            "high": 100 * of.inside.high,
            "radius": {norm: 100 * radius for norm, radius in of.radius.items()},
        }
        for region, of in found.items()
    }
    return {"level": 100 * uncertainty.LEVEL, "regions": regions}
