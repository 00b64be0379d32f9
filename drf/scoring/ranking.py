"""Places in a ranking, as tables print them, and who is beaten by nobody in two things at once."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from drf.scoring.scores import Better

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


def pareto_front(costs: np.ndarray, errors: np.ndarray) -> np.ndarray:
    """Return which of n options are on the Pareto front: no other one costs at most as much and
    errs at most as much, and is below it in one of the two. (n,), (n,) -> (n,) bool; where either
    is NaN an option is not on it.
    """
    costs, errors = np.asarray(costs, dtype=np.float64), np.asarray(errors, dtype=np.float64)
    no_more = (costs[:, None] <= costs) & (errors[:, None] <= errors)
    less = (costs[:, None] < costs) | (errors[:, None] < errors)
    beaten = (no_more & less).any(axis=0)
    return ~beaten & ~np.isnan(costs) & ~np.isnan(errors)
