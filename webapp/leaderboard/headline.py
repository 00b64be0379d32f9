"""What stands around the table of a board: the verdict, where the best method fails, and the errors
of the rows whose curves are shown."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pandas as pd

from db.boards import verdict as of_rows
from db.boards.board import stand_in
from db.boards.verdict import Verdict
from drf.scoring import scores
from drf.scoring.statistics import Method
from webapp import store
from webapp.faces import landmark_errors
from webapp.leaderboard import intervals
from webapp.leaderboard.figures import RowErrors
from webapp.leaderboard.rows import arrange, load_rows
from webapp.scores import ORDERS, evaluation_label
from webapp.store import StoreVersion


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
    methods = arrange(
        load_rows(current, as_runs=False, at_revision=at_revision, **where),
        norm=scores.normaliser(norm).title,
        sort="NME",
        order=ORDERS[0],
    )
    baseline = None
    if chosen is not None:
        wanted = set(chosen["runs"])
        mine = methods[[wanted <= set(runs) for runs in methods["runs"]]]
        baseline = None if mine.empty else mine.iloc[0]

    def compare(rows: pd.DataFrame, norms: Sequence[str], base: pd.Series) -> pd.DataFrame:
        return intervals.of_some(current, methods, rows.index, norms, base)

    return of_rows.of_board(methods, norm, compare, baseline)


def board_label(where: Mapping[str, str]) -> str:
    """Return the label of a board in links to other pages."""
    return evaluation_label(pd.Series({**where, "flip_test": True}))


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


def errors_of_rows(current: StoreVersion, rows: pd.DataFrame, norm: str) -> list[RowErrors]:
    """Return the errors of the seeds of each row on its faces; of rows that have some."""
    found = []
    for row in rows.to_dict("records"):
        pairs = list(zip(row["runs"], row["evaluations"], strict=True))
        errors = store.paired_errors(current, pairs, norm)[norm]
        if errors.size:
            found.append(RowErrors(row["name"], Method.of_runs(errors, row["seeds"]).errors))
    return found
