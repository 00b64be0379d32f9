"""Do ellipses hold what they promise, region by region, and how large are they for it?"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from drf.landmarks.markup import ALL, Markup
from drf.scoring import scores, uncertainty
from drf.scoring.statistics import Interval, mean_intervals


@dataclass(frozen=True)
class RegionEllipses:
    """The ellipses of the landmarks of one region of the face, over the faces of a subset.

    inside  share of the true places that lie in their ellipse: the mean over faces of each face's
            share, and its interval over faces, whose landmarks err together
    radius  mean radius of circles of the same area, as a fraction of the normaliser, by its key;
            normalisers that exist on none of the faces are left out
    """

    inside: Interval
    radius: dict[str, float]


def by_region(
    predictions: np.ndarray,
    ground_truth: np.ndarray,
    covariances: np.ndarray,
    markup: Markup,
    landmarks: str = ALL,
) -> dict[str, RegionEllipses]:
    """Return how the ellipses of `uncertainty.LEVEL` do in each region that has any landmark.

    predictions, ground_truth  (n, K, 2), NaN where a landmark is missing
    covariances                (n, K, 2, 2) in the squared unit of these; what is not finite is left
                               out
    landmarks                  subset of the markup that is looked at
    """
    offsets, covariances = (a.astype(np.float64) for a in (predictions - ground_truth, covariances))
    from_centre = uncertainty.known_distances(offsets, covariances)
    known, limit = ~np.isnan(from_centre), uncertainty.limit(uncertainty.LEVEL)
    # The area of the ellipse d^T S^-1 d = limit is pi * limit * sqrt(det S).
    radii = np.full(known.shape, np.nan)
    radii[known] = np.sqrt(limit * uncertainty.size(covariances[known]))
    distances = {
        norm: scores.distances(ground_truth, norm, markup) for norm in scores.defined_for(markup)
    }
    found = {}
    for region, members in markup.regions.items():
        of = np.intersect1d(members, markup.indices(landmarks))
        counts = known[:, of].sum(axis=1)
        if not counts.any():
            continue
        shares = (from_centre[:, of] <= limit).sum(axis=1)[counts > 0] / counts[counts > 0]
        (interval,) = mean_intervals(shares[None])
        relative = {norm: radii[:, of] / d[:, None] for norm, d in distances.items()}
        means = {n: float(np.nanmean(r)) for n, r in relative.items() if not np.isnan(r).all()}
        found[region] = RegionEllipses(interval, means)
    return found
