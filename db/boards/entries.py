"""One leaderboard entry as the JSON that `drf leaderboard --json` and `drf eval --json` print."""

from __future__ import annotations

import sqlite3
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from db import reads, status
from db.analysis import ellipses
from db.recording import latencies
from drf.scoring import scores
from drf.scoring.results import Evaluation

_IDENTITY = ("run", "name", "family", "preset", "track", "trained_on", "started_from", "seed")
_LIFE = ("status", "condition")
_BOARD = ("dataset", "subset", "markup", "landmarks", "n", "box", "flip_test")
_COST = ("params", "macs", "ms_per_face")
_BUDGET = ("epochs_trained", "steps", "faces_seen", "wall_s", "device", "hardware", "threads")
_COMPUTED = ("eval_precision", "crop_version")
_BESIDE = ("ocular", "pupil")
_TRACE = ("evaluation", "checkpoint", "manifest_digest", "created_at")


def entry(row: Mapping[Any, Any] | pd.Series) -> dict[str, Any]:
    """Turn a row of `reads.leaderboard` into plain Python values; scores in percent.

    {"run", "name", "family", ..., "params", "macs", "scores": {"ocular": {"nme", "median", ...},
    "pupil": {...}, "box": {...}}}, see `drf.scoring.scores`; what is not known is None. "ranked"
    says whether it is finished and sound, "condition" why not (`db.status`). "ocular" and
    "pupil" are there once more beside "scores", where version 0.1.0 had them; "box" beside it is
    the box protocol.
    """
    plain = {
        key: _plain(row[key])
        for key in (*_IDENTITY, *_LIFE, *_BOARD, *_COST, *_BUDGET, *_TRACE, *_COMPUTED)
    }
    found = {
        norm: {key: _plain(row[scores.column(norm, key)]) for key in scores.SCORE_KEYS}
        for norm in scores.NORMALISER_KEYS
    }
    plain |= {key: _plain(row.get(key)) for key in latencies.COLUMNS}
    plain["ranked"] = plain["condition"] == status.FINISHED
    return plain | {"scores": found} | {norm: found[norm] for norm in _BESIDE if norm in found}


def entry_of(con: sqlite3.Connection, identity: int, stored: Evaluation) -> dict[str, Any]:
    """Return the entry of an evaluation that was just stored, with what its ellipses hold by
    "ellipses" (`db.analysis.ellipses.document`)."""
    # As the board was then: another process may have evaluated the run once more since.
    (then,) = con.execute("SELECT revision FROM evaluations WHERE id = ?", [identity]).fetchone()
    board = reads.leaderboard(con, landmarks=stored.landmarks, at_revision=then)
    board = latencies.on_boards(con, board)
    hold = ellipses.document(con, identity, stored.markup, stored.landmarks)
    return entry(board[board["evaluation"] == identity].iloc[0]) | {"ellipses": hold}


def records(frame: pd.DataFrame) -> list[dict[Hashable, Any]]:
    """Turn any DataFrame of `reads` into a list of dicts of plain Python values, NaN as None."""
    return [{key: _plain(value) for key, value in row.items()} for row in frame.to_dict("records")]


def _plain(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(map(_plain, value))
    if value is None or value is pd.NA or value != value:  # NaN alone differs from itself
        return None
    return value.item() if hasattr(value, "item") else value
