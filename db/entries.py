"""One leaderboard entry as the JSON that `drf leaderboard --json` and `drf eval --json` print."""

from __future__ import annotations

from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

_IDENTITY = ("run", "name", "family", "preset", "track", "seed", "status")
_BOARD = ("dataset", "subset", "points", "n", "box", "flip_test")
_COST = ("params", "macs", "ms_per_face")
_TRACE = ("evaluation", "checkpoint", "manifest_digest", "created_at")
_NORMS = ("ocular", "pupil")
_SCORES = ("nme", "fr8", "auc8", "fr10", "auc10")


def entry(row: Mapping[Any, Any] | pd.Series) -> dict[str, Any]:
    """Turn a row of `reads.leaderboard` into plain Python values; scores in percent.

    {"run", "name", "family", ..., "params", "macs", "ocular": {"nme", "fr8", "auc8", "fr10",
    "auc10"}, "pupil": {...}}; what is not known is None.
    """
    plain = {key: _plain(row[key]) for key in (*_IDENTITY, *_BOARD, *_COST, *_TRACE)}
    return plain | {
        norm: {score: _plain(row[f"{norm}_{score}"]) for score in _SCORES} for norm in _NORMS
    }


def records(frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Turn any DataFrame of `reads` into a list of dicts of plain Python values, NaN as None."""
    return [{key: _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if value is None or value is pd.NA or value != value:  # NaN alone differs from itself
        return None
    return value.item() if hasattr(value, "item") else value
