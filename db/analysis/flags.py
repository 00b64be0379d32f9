"""Flags: what the curves of a run say of its health beyond its condition, and since which epoch.

They are hints and rank nothing; whether a run is ranked says `db.status`.
"""

from __future__ import annotations

from collections.abc import Mapping
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
    values = _by_metric(curves)
    nme = next((found for metric in _nmes() if len(found := values[metric].dropna())), _NONE)
    found = [
        *_not_finite(values),
        *_collapsed(values[_RATIO].dropna()),
        *_one_leaf(values[_SHARE].dropna()),
    ]
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


def _not_finite(values: Mapping[str, pd.Series]) -> list[Flag]:
    """A metric that had a value and lost it: NaN is stored as no value."""
    for metric in (_LOSS, *_nmes()):
        lost = values[metric].index[values[metric].isna()]
        if len(lost):
            epoch = int(lost[0])
            return [Flag("not finite", epoch, f"{metric} is not a finite number in epoch {epoch}.")]
    return []


def _collapsed(ratio: pd.Series) -> list[Flag]:
    since = _since(ratio < COLLAPSED_STD_RATIO)
    if since is None:
        return []
    said = (
        f"Since epoch {since} the predictions vary less than {COLLAPSED_STD_RATIO:g} times as much"
        " as the labels: every face gets nearly the same shape."
    )
    return [Flag("one shape for every face", since, said)]


def _one_leaf(share: pd.Series) -> list[Flag]:
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


_LOSS, _RATIO, _SHARE = "loss", "prediction_std_ratio", "largest_share"
_NONE = pd.Series(dtype=float)


def _nmes() -> list[str]:
    return [f"val_nme_{norm}" for norm in scores.NORMALISER_KEYS]


def _by_metric(curves: pd.DataFrame) -> Mapping[str, pd.Series]:
    """Return every metric that flags are about by epoch, NaN where it is not finite; one that was
    not recorded is empty."""
    known = dict.fromkeys((_LOSS, _RATIO, _SHARE, *_nmes()), _NONE)
    wanted = curves[curves["metric"].isin(known)].sort_values("epoch").set_index("epoch")
    return known | dict(iter(wanted.groupby("metric")["value"]))
