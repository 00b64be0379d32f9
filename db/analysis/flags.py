"""Flags: what the curves of a run say of its health beyond its condition, and since which epoch.

They are hints and rank nothing; whether a run is ranked says `db.status`.
"""

from __future__ import annotations

from dataclasses import dataclass

import pandas as pd

from drf.data import floor
from drf.scoring import scores
from drf.scoring.results import COLLAPSED_STD_RATIO

_FEW_EPOCHS = 5
_RISE = 1.1
_ONE_LEAF = 0.95
_STILL_FALLING = 0.98


@dataclass(frozen=True)
class Flag:
    """name: a few words · epoch: in which it happened, or since which · sentence: what it means"""

    name: str
    epoch: int
    sentence: str


def flags(
    curves: pd.DataFrame, floor_nme: float | None = None, *, ended: bool = True
) -> list[Flag]:
    """Return the flags of a run, by the (epoch, metric, value) of `reads.curves`; none where
    nothing is odd, or there are too few epochs to tell.

    floor_nme: validation NME of one shape for every face, a fraction, see `floor_of`
    ended: whether no epoch will follow
    """
    by_norm = (_values(curves, f"val_nme_{norm}") for norm in scores.NORMALISER_KEYS)
    nme = next((values for values in by_norm if len(values)), pd.Series(dtype=float))
    found = [*_not_finite(curves), *_collapsed(curves), *_one_leaf(curves)]
    if len(nme) >= _FEW_EPOCHS:
        found += _worse_than_floor(nme, floor_nme) or _turning_point(nme, ended)
    return found


def floor_of(run: pd.Series, runs: pd.DataFrame) -> float | None:
    """Return the validation NME of the best mean shape that was trained on the same data as a run,
    a fraction; None where there is none. Rows of `reads.runs`."""
    same = runs["family"] == floor.FAMILY
    for column in ("dataset", "markup", "landmarks"):
        same &= runs[column] == run[column]
    best = runs.loc[same, "kept_val_nme"].min()
    return None if run["family"] == floor.FAMILY or pd.isna(best) else float(best)


def _not_finite(curves: pd.DataFrame) -> list[Flag]:
    """A metric that had a value and lost it: NaN is stored as no value."""
    for metric in ("loss", *(f"val_nme_{norm}" for norm in scores.NORMALISER_KEYS)):
        rows = curves[curves["metric"] == metric].sort_values("epoch")
        lost = rows.loc[rows["value"].isna(), "epoch"]
        if len(lost):
            epoch = int(lost.iloc[0])
            return [Flag("not finite", epoch, f"{metric} is not a finite number in epoch {epoch}.")]
    return []


def _collapsed(curves: pd.DataFrame) -> list[Flag]:
    ratio = _values(curves, "prediction_std_ratio")
    since = _since(ratio < COLLAPSED_STD_RATIO)
    if since is None:
        return []
    said = (
        f"Since epoch {since} the predictions vary less than {COLLAPSED_STD_RATIO:g} times as much"
        " as the labels: every face gets nearly the same shape."
    )
    return [Flag("one shape for every face", since, said)]


def _one_leaf(curves: pd.DataFrame) -> list[Flag]:
    share = _values(curves, "largest_share")
    since = _since(share > _ONE_LEAF)
    if since is None:
        return []
    said = (
        f"{100 * share.iloc[-1]:.0f} % of the routing ends in one leaf of each tree, more than"
        f" {100 * _ONE_LEAF:.0f} % since epoch {since}: the leaf hardly depends on the picture."
    )
    return [Flag("routing collapsed", since, said)]


def _worse_than_floor(nme: pd.Series, floor_nme: float | None) -> list[Flag]:
    since = None if floor_nme is None else _since(nme >= floor_nme)
    if since is None or floor_nme is None:
        return []
    said = (
        f"The validation NME, {100 * nme.iloc[-1]:.2f} %, is since epoch {since} no better than"
        f" that of one shape for every face, {100 * floor_nme:.2f} %."
    )
    return [Flag("worse than the mean shape", since, said)]


def _turning_point(nme: pd.Series, ended: bool) -> list[Flag]:
    best, last = int(nme.idxmin()), int(nme.index[-1])
    if best <= 1:
        said = (
            f"The best epoch is epoch {best}: it did not improve after that. The learning rate may"
            " be too high."
        )
        return [Flag("best epoch is the first", best, said)]
    if nme.iloc[-1] > _RISE * nme[best]:
        said = (
            f"The validation NME rose from {100 * nme[best]:.2f} % (epoch {best}) to"
            f" {100 * nme.iloc[-1]:.2f} % in the last epoch."
        )
        return [Flag("validation rising", best, said)]
    if ended and best == last and nme.iloc[-1] < _STILL_FALLING * nme.iloc[-2]:
        said = f"The NME still fell in the last epoch, {last}: a longer training may be better."
        return [Flag("best epoch is the last", last, said)]
    return []


def _since(holds: pd.Series) -> int | None:
    """Return the epoch since which something has held without a break up to the last one."""
    if not len(holds) or not holds.iloc[-1]:
        return None
    broken = holds.index[~holds.to_numpy(dtype=bool)]
    return int(holds.index[holds.index > broken[-1]][0] if len(broken) else holds.index[0])


def _values(curves: pd.DataFrame, metric: str) -> pd.Series:
    """Return a metric by epoch, without what is not finite."""
    rows = curves[curves["metric"] == metric].dropna(subset=["value"])
    return rows.set_index("epoch")["value"].sort_index()
