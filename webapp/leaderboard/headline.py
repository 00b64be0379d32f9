"""What stands around the table of a board: the verdict, where the best method fails, and the charts
of its rows."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import pandas as pd
import streamlit as st

from db.boards import verdict as of_rows
from db.boards.board import stand_in
from db.boards.verdict import Verdict
from drf.scoring import scores, statistics
from drf.scoring.statistics import Method
from webapp import store
from webapp.faces import landmark_errors
from webapp.leaderboard import figures, intervals
from webapp.leaderboard.figures import RowErrors
from webapp.leaderboard.rows import arrange, load_rows
from webapp.scores import ORDERS
from webapp.store import StoreVersion
from webapp.ui.charts import Chart


def verdict(
    current: StoreVersion,
    where: Mapping[str, str],
    norm: str,
    chosen: pd.Series | None,
    at_revision: int | None,
) -> Verdict:
    """Return the verdict on the methods of a board, whatever its rows are.

    where: dataset, subset, landmarks, box; chosen: the row that was chosen as baseline
    """
    baseline = None if chosen is None else tuple(chosen["runs"])
    return _verdict(current, tuple(where.items()), norm, baseline, at_revision)


@st.cache_resource(max_entries=64, show_spinner=False)
def _verdict(
    current: StoreVersion,
    where: tuple[tuple[str, str], ...],
    norm: str,
    chosen: tuple[str, ...] | None,
    at_revision: int | None,
) -> Verdict:
    methods = arrange(
        load_rows(current, as_runs=False, at_revision=at_revision, **dict(where)),
        norm=scores.normaliser(norm).title,
        sort="NME",
        order=ORDERS[0],
    )
    baseline = None
    if chosen is not None:
        mine = methods[[set(chosen) <= set(runs) for runs in methods["runs"]]]
        baseline = None if mine.empty else mine.iloc[0]

    def compare(rows: pd.DataFrame, norms: Sequence[str], base: pd.Series) -> pd.DataFrame:
        return intervals.of_some(current, methods, rows.index, norms, base)

    return of_rows.of_board(methods, norm, compare, baseline)


def prepare(
    current: StoreVersion, where: Mapping[str, str], norm: str, at_revision: int | None
) -> None:
    """Work out what a board without a chosen baseline shows first. Call before anything of it is
    sent: the browser then draws the board once, and not part by part while it waits for the rest.
    """
    found = verdict(current, where, norm, None, at_revision)
    if found.best is not None:
        worst_region(current, found.best, norm)


def worst_region(current: StoreVersion, row: pd.Series, norm: str) -> tuple[str, float] | None:
    """Return the region of the face with the largest mean error, and this error in percent, of the
    run that stands for a row."""
    run = stand_in(row)
    evaluation = int(row["evaluations"][row["runs"].index(run)])
    found = landmark_errors.of_evaluation(
        current.path, run, evaluation, row["markup"], row["landmarks"], norm
    )
    means = landmark_errors.region_means(found)
    if not means:
        return None
    region = max(means, key=lambda name: means[name])
    return region, 100 * means[region]


@dataclass(frozen=True)
class ChartsOfRows:
    """What charts of a board show.

    rows: of the view; shown: those of them that have a curve; baseline: of the differences, or None
    """

    rows: pd.DataFrame
    shown: pd.DataFrame
    norm: str
    baseline: pd.Series | None

    @property
    def key(self) -> str:
        """Return what identifies the charts: names, runs and evaluations that they show. Run ids,
        because evaluations are counted from 1 again where a file is replaced; NMEs, because older
        stores can get them later."""
        columns = ["name", "runs", "evaluations", "seeds", scores.column(self.norm, "nme")]
        named = self.shown[columns].to_numpy().tolist()
        base = None if self.baseline is None else self.baseline[columns].tolist()
        return hashlib.sha256(repr((named, self.norm, base)).encode()).hexdigest()[:16]


def charts(current: StoreVersion, asked: ChartsOfRows) -> tuple[Chart, ...]:
    """Return the CED of the rows that are shown, and their differences to the baseline; nothing
    where none of them has errors. They are shared: change nothing in them."""
    return _charts(current, current.path, asked.key, asked)


@st.cache_resource(max_entries=32, show_spinner=False)
def _charts(_current: StoreVersion, path: str, key: str, _asked: ChartsOfRows) -> tuple[Chart, ...]:
    asked, norm = _asked, _asked.norm
    errors = _errors_of_rows(_current, asked.shown, norm)
    if not errors:
        return ()
    curves = figures.ced(errors, norm)
    if asked.baseline is None:
        return (curves,)
    compared = intervals.of_some(_current, asked.rows, asked.shown.index, [norm], asked.baseline)
    if not (found := figures.differences(compared, norm)):
        return (curves,)
    over = statistics.over_all(compared["difference_over"])
    return curves, figures.forest_plot(found, str(asked.baseline["name"]), norm, over)


def _errors_of_rows(current: StoreVersion, rows: pd.DataFrame, norm: str) -> list[RowErrors]:
    """Return the errors of the seeds of each row on its faces; of rows that have some."""
    found = []
    for row in rows.to_dict("records"):
        pairs = list(zip(row["runs"], row["evaluations"], strict=True))
        errors = store.paired_errors(current, pairs, norm)[norm]
        if errors.size:
            found.append(RowErrors(row["name"], Method.of_runs(errors, row["seeds"]).errors))
    return found
