"""Two runs side by side: what differs in how they were made, and what came of it."""

from __future__ import annotations

import sqlite3
from typing import Any

import pandas as pd

from db import reads

FACTS = ("family", "preset", "dataset", "track", "points", "seed", "params", "macs")
"""Columns of a run that say how it was made, beside its configuration."""


def settings(con: sqlite3.Connection, a: str, b: str, *, same: bool = False) -> pd.DataFrame:
    """Return (key, a, b, same) of two runs: FACTS, then configuration keys; the differing ones.

    same    those that agree as well
    A key that one of them lacks is None there, and differs.
    """
    left, right = (_settings(reads.run(con, run)) for run in (a, b))
    rows = [
        (
            key,
            left.get(key),
            right.get(key),
            key in left and key in right and left[key] == right[key],
        )
        for key in {**left, **right}
    ]
    frame = pd.DataFrame(rows, columns=["key", "a", "b", "same"], dtype=object)
    return frame if same else frame[~frame["same"].astype(bool)].reset_index(drop=True)


def scores(con: sqlite3.Connection, a: str, b: str) -> pd.DataFrame:
    """Return reads.BOARD, flip_test and every score (percent) as columns SCORE_a and SCORE_b.

    One row per board that both were evaluated on, by the newest evaluation of each.
    """
    shared = [*reads.BOARD, "flip_test"]
    left, right = (
        reads.evaluations(con, run).drop_duplicates(shared)[[*shared, "n", *reads.SCORES]]
        for run in (a, b)
    )
    return left.merge(right, on=shared, suffixes=("_a", "_b"))


def _settings(run: dict[str, Any]) -> dict[str, Any]:
    return {key: run[key] for key in FACTS} | {key: value for key, value, _ in run["config"]}
