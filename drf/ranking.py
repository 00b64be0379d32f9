"""Places in a ranking, as tables print them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drf.scores import Better

DIGITS = 2
"""Decimals of a score in percent, in every table."""


def places(values: Sequence[float] | np.ndarray, better: Better = "lower") -> np.ndarray:
    """Return the place of each value among all, float; NaN where it is not known. (n,) -> (n,).

    Competition ranking of what is printed: what reads the same shares a place, and the place after
    k values is k + 1. So nobody stands before another for a difference that no table shows, and
    where two are first nobody is second.
    """
    printed = np.round(np.asarray(values, dtype=np.float64), DIGITS)
    known = np.sort(printed[~np.isnan(printed)])
    if better == "lower":
        before = np.searchsorted(known, printed, side="left")
    else:
        before = len(known) - np.searchsorted(known, printed, side="right")
    return np.where(np.isnan(printed), np.nan, before + 1.0)
