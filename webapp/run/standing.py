"""Where a run stands on its board: its intervals, its rank, its difference to another method."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd
import streamlit as st

from db import status
from db.boards.board import places
from drf.scoring import scores, statistics
from drf.scoring.statistics import Interval
from webapp import selection, store
from webapp.compare import tables
from webapp.scores import evaluation_label
from webapp.selection import Board
from webapp.store import StoreVersion


@dataclass(frozen=True)
class Standing:
    """A run among the ranked runs of a board, under one normaliser; fractions.

    intervals    of the scores that are means over faces, by their key, over faces alone
    rank         by NME among `ranked` runs; None where the run takes no place (`db.status`) or has
                 its place by another evaluation: with the flip test, or a newer one
    other        name of the best run of another method, None where there is none
    differences  this run's scores minus the other's, on the faces of both, as intervals
    """

    intervals: dict[str, Interval]
    rank: int | None
    ranked: int
    other: str | None = None
    differences: dict[str, Interval] | None = None


def of_evaluation(current: StoreVersion, evaluation: pd.Series, norm: str) -> Standing:
    """Return where an evaluation (a row of `reads.evaluations`) stands."""
    board = Board(
        evaluation_label(evaluation),
        *(evaluation[column] for column in ("dataset", "subset", "landmarks", "box")),
    )
    return _of(current, board, str(evaluation["run"]), int(evaluation["evaluation"]), norm)


@st.cache_data(max_entries=64, show_spinner=False)
def _of(current: StoreVersion, board: Board, run: str, evaluation: int, norm: str) -> Standing:
    rows = selection.entries(current, board)
    errors = store.image_errors(current, run, evaluation)[norm].dropna().to_numpy()
    intervals = _intervals(errors) if len(errors) else {}
    sound = rows[status.ranked(rows)]
    nmes = sound[scores.column(norm, "nme")]
    placed = places(sound, nmes.name)
    ranks = run in placed and int(sound.loc[run, "evaluation"]) == evaluation
    rank = int(placed[run]) if ranks and pd.notna(placed[run]) else None
    ranked = int(placed.notna().sum())
    methods = store.method_of_runs(current)
    others = nmes[methods.reindex(nmes.index) != methods.get(run)].dropna().sort_values()
    if not len(others):
        return Standing(intervals, rank, ranked)
    other = str(others.index[0])
    pair = [(other, int(sound.loc[other, "evaluation"])), (run, evaluation)]
    shared = store.paired_errors(current, pair, norm)[norm]
    gaps = tables.compare(shared)[1].differences if shared.shape[1] else None
    return Standing(intervals, rank, ranked, str(sound.loc[other, "name"]), gaps)


def _intervals(errors: np.ndarray) -> dict[str, Interval]:
    means = [score for score in scores.SCORES if score.faces is not None]
    values = np.stack([score.faces(errors) for score in means if score.faces])
    found = statistics.mean_intervals(values)
    return dict(zip((score.key for score in means), found, strict=True))
