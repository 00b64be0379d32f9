"""Do ellipses hold what they promise, region by region, and how large are they for it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drf.landmarks.markup import ALL, Markup
from drf.scoring import uncertainty
from drf.scoring.statistics import Interval, mean_intervals

LEVEL = 0.95
"""Share of the true places that the ellipses should contain."""


@dataclass(frozen=True)
class RegionEllipses:
    """The ellipses of the landmarks of one region of the face, over the faces of a subset.

    inside  share of the true places that lie in their ellipse: the mean over faces of each face's
            share, and its interval over faces, whose landmarks err together
    radius  mean radius of circles of the same area, as a fraction of the normaliser; NaN where it
            does not exist on any face
    """

    inside: Interval
    radius: float


def by_region(
    offsets: np.ndarray,
    covariances: np.ndarray,
    distances: np.ndarray,
    markup: Markup,
    landmarks: str = ALL,
) -> dict[str, RegionEllipses]:
    """Return how the ellipses of LEVEL do, by the regions of the markup that have any landmark.

    offsets      (n, K, 2) prediction minus truth, NaN where either is missing
    covariances  (n, K, 2, 2) in the squared unit of the offsets; what is not finite is left out
    distances    (n,) the faces' normaliser, in that unit; NaN where it does not exist
    landmarks    subset of the markup that is looked at
    """
    judged = markup.indices(landmarks)
    known = np.isfinite(offsets).all(axis=-1) & np.isfinite(covariances).all(axis=(-2, -1))
    limit = uncertainty.limit(LEVEL)
    inside = uncertainty.squared_distances(offsets, covariances) <= limit
    # The ellipse d^T S^-1 d = limit has the area pi * limit * sqrt(det S).
    radius = np.sqrt(limit * uncertainty.size(covariances)) / distances[:, None]
    found = {}
    for region, members in markup.regions.items():
        of = np.intersect1d(members, judged)
        faces = known[:, of].any(axis=1)
        if not faces.any():
            continue
        there = known[np.ix_(faces, of)]
        shares = (inside[np.ix_(faces, of)] & there).sum(axis=1) / there.sum(axis=1)
        (interval,) = mean_intervals(shares[None])
        sized = known[:, of] & np.isfinite(distances)[:, None]
        mean = float(radius[:, of][sized].mean()) if sized.any() else float("nan")
        found[region] = RegionEllipses(interval, mean)
    return found
