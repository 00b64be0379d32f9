"""What the ellipses of a stored evaluation hold, by region of the face."""

from __future__ import annotations

import math
import sqlite3
from typing import Any

from db import predictions
from drf.landmarks.markup import Markup
from drf.scoring import ellipses, scores
from drf.scoring.ellipses import RegionEllipses


def of_evaluation(
    con: sqlite3.Connection, evaluation: int, markup: Markup, landmarks: str, norm: str
) -> dict[str, RegionEllipses] | None:
    """Return `ellipses.by_region` of an evaluation; None where its model predicts no covariances.

    landmarks: the subset of the markup that was evaluated · norm: key of the normaliser of the radii
    """
    covariances = predictions.covariances_of_evaluation(con, evaluation)
    if covariances is None:
        return None
    _, truth, predicted = predictions.predictions(con, evaluation)
    distances = scores.distances(truth, norm, markup)
    offsets = (predicted - truth).astype("float64")
    return ellipses.by_region(offsets, covariances.astype("float64"), distances, markup, landmarks)


def document(
    con: sqlite3.Connection, evaluation: int, markup: Markup, landmarks: str
) -> dict[str, Any] | None:
    """Return the same as plain values in percent, radii by the first normaliser of the markup:
    {"level", "normaliser", "regions": {region: {"inside", "low", "high", "radius"}}}."""
    norm = scores.defined_for(markup)[0]
    found = of_evaluation(con, evaluation, markup, landmarks, norm)
    if found is None:
        return None
    regions = {
        region: {
            "inside": 100 * of.inside.estimate,
            "low": 100 * of.inside.low,
            "high": 100 * of.inside.high,
            "radius": None if math.isnan(of.radius) else 100 * of.radius,
        }
        for region, of in found.items()
    }
    return {"level": 100 * ellipses.LEVEL, "normaliser": norm, "regions": regions}
