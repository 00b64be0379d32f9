"""The exported leaderboard: rows of runs and of methods, as the page's script reads them."""

from __future__ import annotations

from typing import Any

import pandas as pd

from db import reads
from db.entries import records
from drf import statistics
from webapp.scores import offer_order

_OF_RUN = ("run", "name", "family", "preset", "track", "seed", "status", "method")
_COST = ("params", "macs", "ms_per_face", "wall_s")
_TRACE = ("evaluation", "checkpoint", "manifest_digest", "created_at")


def boards(entries: pd.DataFrame) -> list[dict[str, Any]]:
    """Return the boards of `entries` (columns of `reads.leaderboard` and `method`, `page`), in
    the order in which the app offers them.

    Each: id and title, `runs`, one row an evaluation, and `methods`, one row a group of runs that
    differ only in their seed: means, and `sd` of both NMEs; scores in percent. Rows are worst last.
    """
    groups = [
        (dict(zip(reads.BOARD, key, strict=True)), rows)
        for key, rows in entries.groupby(list(reads.BOARD), sort=True)
    ]
    groups.sort(key=lambda group: offer_order(group[0]["subset"], len(group[1])))
    return [_board(key, rows) for key, rows in groups]


def label(row: Any) -> str:
    """Return the id of a board, as it stands in links: 300w/common/gt, and what is unusual."""
    parts = [row["dataset"], row["subset"], row["box"]]
    return "/".join(parts if row["points"] == "all" else [*parts, row["points"]])


def _board(key: dict[str, str], rows: pd.DataFrame) -> dict[str, Any]:
    faces = " or ".join(str(n) for n in sorted(set(rows["n"])))
    points = "" if key["points"] == "all" else f", {key['points']} only"
    columns = [*_OF_RUN, *reads.SCORES, *_COST, *_TRACE, "flip_test", "n", "page"]
    return {
        "id": label(key),
        "title": f"{key['dataset']} {key['subset']}{points}, box {key['box']}: {faces} faces",
        **key,
        "runs": records(rows.sort_values("ocular_nme")[columns]),
        "methods": [_method(group) for _, group in rows.groupby(["method", "flip_test"])],
    }


def _method(rows: pd.DataFrame) -> dict[str, Any]:
    """Return the mean of a method's runs; what cannot be averaged is the best run's."""
    best = records(rows.sort_values("ocular_nme"))[0]
    spread = {norm: statistics.over_seeds(rows[f"{norm}_nme"].to_numpy()) for norm in _NORMS}
    means = {column: float(rows[column].mean()) for column in (*reads.SCORES, *_COST)}
    seeds = ", ".join(str(seed) for seed in sorted(rows["seed"]))
    return {
        **{key: best[key] for key in ("run", "name", "family", "preset", "track", "method")},
        **{key: best[key] for key in ("flip_test", "n", "page")},
        **{key: None if pd.isna(value) else value for key, value in means.items()},
        "seed": seeds,
        "status": best["status"] if len(set(rows["status"])) == 1 else "mixed",
        "seeds": len(rows),
        "sd": {norm: None if len(rows) == 1 else spread[norm].sd for norm in _NORMS},
    }


_NORMS = ("ocular", "pupil")
