"""Rows of a leaderboard from its entries: one a method, averaged over its runs, or one a run."""

from __future__ import annotations

import re
from collections.abc import Sequence

import numpy as np
import pandas as pd

from db.comparability import HIGH, LOW, SPENT
from db.reads import ranked_by
from drf import scores

SD = "_sd"
_COSTS = ("wall_s", "ms_per_face")
_SPENT = (*(one.key for one in SPENT), "wall_s")
_SHARED = (
    *("family", "preset", "track", "precision", "params", "macs", "n", "manifest_digest"),
    *("dataset", "subset", "landmarks", "markup", "box", "flip_test", "method", "crop_version"),
)


def by_run(entries: pd.DataFrame, methods: pd.Series) -> pd.DataFrame:
    """Return one row an entry (see `by_method`), whose id is the run's.

    entries: one board, columns of `reads.leaderboard`; methods: `db.method_ids.method_of_runs`.
    """
    return _rows(entries, methods, ["run", "flip_test"], "run")


def by_method(entries: pd.DataFrame, methods: pd.Series) -> pd.DataFrame:
    """Return one row a method: the runs that differ only in their seed.

    Evaluations with and without flip test, or of other faces, stay apart: their mean is of nothing.

    Columns: id (the method's), name (that of its runs, without the seed where they end in it),
    scores.COLUMNS (percent, means over runs) and COLUMN_sd (sample standard deviation; NaN for one
    run), wall_s and ms_per_face (means), the ends over runs of what they spent (COLUMN_low and
    COLUMN_high of `comparability.SPENT` and wall_s), family, preset, track, precision, params,
    macs, n, manifest_digest, BOARD, markup, flip_test, method, crop_version; and tuples in the
    order of the evaluations: runs, evaluations, names, seeds, statuses, checkpoints, hardwares,
    eval_precisions; created_at of the newest. Best first, see `reads.ranked_by`.
    """
    return _rows(entries, methods, ["method", "flip_test", "manifest_digest"], "method")


def name_of(names: Sequence[str], seeds: Sequence[int]) -> str:
    """Return what runs of one method are called together: hf for hf-s0 and hf-s1.

    A number at the end is left out only where it is the run's seed; where names still differ it is
    that of the newest, which comes last.
    """
    if len(set(names)) == 1:
        return names[-1]
    bare = [
        re.sub(rf"[\W_]*(seed|s)?[\W_]*0*{seed}$", "", name)
        for name, seed in zip(names, seeds, strict=True)
    ]
    return bare[-1] if len(set(bare)) == 1 and bare[-1] else names[-1]


def _rows(
    entries: pd.DataFrame, methods: pd.Series, keys: list[str], identity: str
) -> pd.DataFrame:
    entries = entries.sort_values("evaluation")
    known = methods.to_dict()  # a run that came between the two reads is not in it: it stands alone
    method = [known.get(run, run[:12]) for run in entries["run"]]
    entries = entries.assign(method=pd.Series(method, entries.index, dtype="str"))
    groups = entries.groupby(keys, sort=False, dropna=False)
    rows = groups[[*scores.COLUMNS, *_COSTS]].mean()
    rows = rows.join(groups[[*scores.COLUMNS]].std(ddof=1).add_suffix(SD))
    spent = groups[[*_SPENT]]
    rows = rows.join(spent.min().add_suffix(LOW)).join(spent.max().add_suffix(HIGH))
    rows = rows.reset_index(drop=True)
    first = entries[groups.cumcount() == 0].reset_index(drop=True)
    rows[[*_SHARED]] = first[[*_SHARED]]
    rows["id"] = first[identity]
    number = groups.ngroup().to_numpy()
    rows["created_at"] = [
        max(of) for of in _tuples(entries["created_at"].tolist(), number, len(rows))
    ]
    for column, title in _TUPLES.items():
        rows[title] = _tuples(entries[column].tolist(), number, len(rows))
    rows["name"] = [name_of(*both) for both in zip(rows["names"], rows["seeds"], strict=True)]
    return rows.sort_values([ranked_by(rows), "id"], ignore_index=True)


_TUPLES = {
    "run": "runs",
    "evaluation": "evaluations",
    "name": "names",
    "seed": "seeds",
    "status": "statuses",
    "checkpoint": "checkpoints",
    "hardware": "hardwares",
    "eval_precision": "eval_precisions",
}


def _tuples(values: list[object], number: np.ndarray, n: int) -> pd.Series:
    collected: list[list[object]] = [[] for _ in range(n)]
    for value, group in zip(values, number, strict=True):
        collected[group].append(value)
    return pd.Series([tuple(group) for group in collected], dtype=object)
