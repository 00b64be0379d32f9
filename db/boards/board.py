"""Rows of a leaderboard from its entries: one a method, averaged over its runs, or one a run."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from db import status
from db.analysis.comparability import HIGH, LOW, SPENT
from db.reads import ranked_by
from drf.scoring import ranking, scores

SD = "_sd"
_SPENT = (*(one.key for one in SPENT), "wall_s")
_SHARED = (
    *("family", "preset", "track", "trained_on", "started_from", "precision"),
    *("params", "macs", "n", "manifest_digest"),
    *("dataset", "subset", "landmarks", "markup", "box", "flip_test", "method", "ranked"),
    "crop_version",
)


def by_run(entries: pd.DataFrame, methods: pd.Series) -> pd.DataFrame:
    """Return one row an entry (see `by_method`), whose id is the run's.

    entries: one board, columns of `reads.leaderboard`; methods: `db.method_ids.method_of_runs`.
    """
    return _rows(entries, methods, ["run", "flip_test"], "run")


def by_method(entries: pd.DataFrame, methods: pd.Series) -> pd.DataFrame:
    """Return one row a method: the runs that differ only in their seed.

    Evaluations with and without flip test, or of other faces, stay apart: their mean is of nothing.
    So do runs that are not finished and sound (`db.status`): those of a method are a row of their
    own, which has no rank.

    Columns: id (the method's), name (that of its runs, without the seed where they end in it),
    scores.COLUMNS (percent, means over seeds) and COLUMN_sd (sample standard deviation over them;
    NaN for one seed), wall_s, latency_ms and latency_p90_ms (means over the seeds of which they are
    known), latency_on (see `db.recording.latencies.on_boards`), the ends over runs of what they
    spent (COLUMN_low and COLUMN_high of `comparability.SPENT` and wall_s), family, preset, track,
    trained_on and started_from (see `reads.leaderboard`), precision, params, macs, n,
    manifest_digest, BOARD, markup, flip_test, method, crop_version; and tuples in the order of the
    evaluations: runs, evaluations, names, seeds, statuses (conditions, see `db.status`),
    checkpoints, hardwares, eval_precisions; created_at of the newest; ranked (bool), and condition:
    that of its runs, joined where they differ. Several runs of one seed are averaged first, as in
    `drf.scoring.statistics.Method`. Best first, see `reads.ranked_by`, and what is not ranked last.
    """
    return _rows(entries, methods, ["method", "flip_test", "faces", "ranked"], "method")


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


def places(frame: pd.DataFrame, score: str) -> pd.Series:
    """Return the place of each row of one board by a score of which less is better, a column
    (percent): Int64, NA for a row that takes none (`db.status`) or has no such
    score."""
    found = ranking.places(frame[score].where(status.takes_place(frame)))
    return pd.Series(pd.array(found, dtype="Int64"), frame.index)


def stand_in(row: Mapping[Any, Any] | pd.Series) -> str:
    """Return the run that stands for a row where single runs are shown: that of the lowest seed."""
    return str(min(zip(row["seeds"], row["runs"], strict=True))[1])


def stand_ins(rows: pd.DataFrame) -> list[str]:
    """Return `stand_in` of every row."""
    both = zip(rows["seeds"], rows["runs"], strict=True)
    return [stand_in({"seeds": seeds, "runs": runs}) for seeds, runs in both]


def seeds_text(seeds: Sequence[int]) -> str:
    """Return how many seeds there are, and which: 3 (0, 1, 2)."""
    known = sorted(set(seeds))
    return f"{len(known)} ({', '.join(map(str, known))})"


def _rows(
    entries: pd.DataFrame, methods: pd.Series, keys: list[str], identity: str
) -> pd.DataFrame:
    entries = entries.sort_values("evaluation")
    known = methods.to_dict()  # a run that came between the two reads is not in it: it stands alone
    method = [known.get(run, run[:12]) for run in entries["run"]]
    # Faces of a manifest that has no digest may be any: such a run is averaged with no other.
    faces = entries["manifest_digest"].fillna(entries["run"])
    method_of = pd.Series(method, entries.index, dtype="str")
    entries = entries.assign(method=method_of, faces=faces, ranked=status.ranked(entries))
    number = _numbered(entries, keys)
    rows = _over_seeds(entries, number)
    spent = entries[[*_SPENT]].groupby(number)
    ends = [of.add_suffix(end) for end, of in ((LOW, spent.min()), (HIGH, spent.max()))]
    first = entries.iloc[np.unique(number, return_index=True)[1]].reset_index(drop=True)
    of_rows: dict[str, Any] = {  # at once: to put columns into a frame one by one takes longer
        title: _tuples(_values(entries[column]), number, len(rows))
        for column, title in _TUPLES.items()
    }
    of_rows |= {
        "id": first[identity],
        "created_at": [
            max(of) for of in _tuples(entries["created_at"].tolist(), number, len(rows))
        ],
        "name": [name_of(*both) for both in zip(of_rows["names"], of_rows["seeds"], strict=True)],
        "condition": [", ".join(dict.fromkeys(of)) for of in of_rows["statuses"]],
    }
    if "latency_on" in entries:
        of_rows["latency_on"] = _latency_on(entries, number, len(rows))
    rows = pd.concat([rows, *ends, first[[*_SHARED]], pd.DataFrame(of_rows)], axis=1)
    order = ["ranked", ranked_by(rows), "id"]
    return rows.sort_values(order, ascending=[False, True, True], ignore_index=True)


def _numbered(entries: pd.DataFrame, keys: list[str]) -> np.ndarray:
    """Return the number of the group of each entry, in order of appearance: (n,) int."""
    # Every function of a group by several texts would look for the groups again.
    numbers: dict[tuple[object, ...], int] = {}
    texts = zip(*(entries[key].tolist() for key in keys), strict=True)
    return np.array([numbers.setdefault(text, len(numbers)) for text in texts], dtype=np.int64)


def _over_seeds(entries: pd.DataFrame, number: np.ndarray) -> pd.DataFrame:
    """Return means of scores, wall_s and latencies over the seeds of each group (index: its
    number), and the scores' standard deviations, with SD."""
    means = [name for name in ("wall_s", "latency_ms", "latency_p90_ms") if name in entries]
    values = entries[[*scores.COLUMNS, *means]]
    seeds = entries["seed"].to_numpy()
    if len(set(zip(number, seeds, strict=True))) < len(entries):  # a seed that was run twice
        values = values.groupby([number, seeds]).mean()
        number = values.index.get_level_values(0).to_numpy()
    groups = values.groupby(number)
    return groups.mean().join(groups[[*scores.COLUMNS]].std(ddof=1).add_suffix(SD))


def _latency_on(entries: pd.DataFrame, number: np.ndarray, n: int) -> list[str | None]:
    """Return the hardware of the latency of each group: that of a run which has one that its board
    shows, else that of any."""
    found: list[str | None] = [None] * n
    known = entries["latency_ms"].notna().to_numpy()
    for on, group, shown in zip(entries["latency_on"], number, known, strict=True):
        if isinstance(on, str) and (shown or found[group] is None):
            found[group] = on
    return found


_TUPLES = {
    "run": "runs",
    "evaluation": "evaluations",
    "name": "names",
    "seed": "seeds",
    "condition": "statuses",
    "checkpoint": "checkpoints",
    "hardware": "hardwares",
    "eval_precision": "eval_precisions",
}


def _values(column: pd.Series) -> list[object]:
    """Return the values of a column, None for those that are not known; for pandas they are NaN."""
    known = column.notna()
    return column.tolist() if known.all() else column.astype(object).where(known, None).tolist()


def _tuples(values: list[object], number: np.ndarray, n: int) -> pd.Series:
    collected: list[list[object]] = [[] for _ in range(n)]
    for value, group in zip(values, number, strict=True):
        collected[group].append(value)
    return pd.Series([tuple(group) for group in collected], dtype=object)
