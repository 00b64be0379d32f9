"""The effect of configuration keys, all others being equal: one row per setting, with its
difference to the baseline, the verdict and the cost.

One verdict for the app, `drf ablate` and `drf sweep table`. NMEs and their differences are in
percent here, as they are shown.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from db import reads, status
from db.analysis import comparability, configs, paired
from db.analysis.factors import Settings, chosen, compare, factors, in_order, natural_baseline
from db.recording import sweeps
from drf.config import nearest
from drf.errors import NotFoundError, UsageError, quoted
from drf.scoring import scores, statistics
from drf.scoring.statistics import Method
from drf.text import signed_ends

BETTER, WORSE, OPEN, BASELINE = "↓ better", "↑ worse", "≈ not significant", "baseline"
UNSOUND = "↯ "
"""Begins what stands in place of a verdict where a run is not sound: its condition."""


@dataclass(frozen=True)
class Ablation:
    """What a key, or several, do on one board.

    board  values of `reads.BOARD` · norm: key of the normaliser · keys: that vary
    faces  how many all settings share · rows: of `results`
    """

    board: Mapping[str, str]
    norm: str
    keys: Sequence[str]
    faces: int
    rows: pd.DataFrame

    def explanation(self) -> str:
        """Return what the intervals are, for the place below the table."""
        return statistics.explanation(over(self.rows), set(self.rows["seeds"]))


def find(
    con: sqlite3.Connection,
    board: Mapping[str, str | None],
    keys: Sequence[str],
    baseline: str | None = None,
    norm: str | None = None,
    *,
    only: Collection[str] | None = None,
) -> Ablation:
    """Return the effect of keys on a board: of those that fit, the one with most runs.

    board     values of `reads.BOARD`, None for any
    baseline  name or id of a run; None takes `factors.natural_baseline`
    norm      key of a normaliser; None takes the first that the board has
    only      ids of the runs that take part; None takes all
    Raises NotFoundError without such a run, and where the runs share no face that has the
    normaliser; UsageError for a key that is no factor there.
    """
    rows = _of_one_board(con, board, baseline, only)
    settings = compare(rows, configs.settings(con, rows["run"].tolist()))
    base = _base(con, settings, baseline)
    known = factors(settings, base)
    for place, key in enumerate(keys):
        if key not in known + factors(settings, base, given=keys[place - 1]):
            hint = nearest(key, known) if known else "; no key does"
            raise UsageError(f"no run differs from the baseline in {quoted(key)} alone{hint}")
    return _ablation(con, settings, base, keys, norm)


def of_sweep(
    con: sqlite3.Connection, sweep: str, baseline: str | None = None, norm: str | None = None
) -> Ablation:
    """Return what came of a sweep: a setting for each combination of its factors.

    Its factors, not the configurations, tell the settings apart: a preset may be one. Of the boards
    on its subset, with the flip test or without, the one that most jobs are on counts; jobs without
    an evaluation there are left out. Raises NotFoundError where none of its runs is evaluated, for
    another baseline than one of them, and where they share no face that has the normaliser.
    """
    jobs = sweeps.jobs(con, sweep).set_index("job")
    keys = list(jobs["factors"].iloc[0])
    made = jobs["factors"].map(lambda held: tuple(json.dumps(held[key]) for key in keys))
    rows = reads.leaderboard(con, subset=sweeps.subset_of(con, sweep), landmarks=None)
    rows = rows[rows["run"].isin(jobs.index[jobs["condition"].isin(sweeps.DONE)])]
    if rows.empty:
        raise NotFoundError(f"no job of the sweep {sweep} is done yet: `drf sweep status {sweep}`")
    rows = _most_shared(rows, jobs["evaluation"].tolist())
    distinct = list(dict.fromkeys(made[rows["run"]]))
    numbers = {values: number for number, values in enumerate(distinct)}
    runs = rows.assign(setting=made[rows["run"]].map(numbers).to_numpy())
    table = pd.DataFrame(distinct, columns=keys, index=range(len(distinct)), dtype=object)
    settings = Settings(table=table, runs=runs, left_out=rows.iloc[:0])
    return _ablation(con, settings, _base(con, settings, baseline), keys, norm)


def _most_shared(rows: pd.DataFrame, own: Sequence[float]) -> pd.DataFrame:
    """Return the rows (of `reads.leaderboard`) of the one board, with the flip test or without,
    that most runs are on; of several one with evaluations of the sweep itself (their ids), and
    rather with the flip test, as it evaluates."""
    columns = list(reads.BOARD)
    of_sweep = rows.loc[rows["evaluation"].isin(own), columns]
    boards = set(of_sweep.itertuples(index=False, name=None))
    groups = [
        ((len(of), key[:-1] in boards, key[-1]), of)
        for key, of in rows.groupby([*columns, "flip_test"])
    ]
    return max(groups, key=lambda one: one[0])[1]


def _of_one_board(
    con: sqlite3.Connection,
    board: Mapping[str, str | None],
    baseline: str | None,
    only: Collection[str] | None,
) -> pd.DataFrame:
    dataset, subset, landmarks, box = (board[column] for column in reads.BOARD)
    rows = reads.leaderboard(con, dataset=dataset, subset=subset, landmarks=landmarks, box=box)
    if only is not None:
        rows = rows[rows["run"].isin(only)]
    groups = [of_board for _, of_board in rows.groupby(list(reads.BOARD))]
    if baseline is not None:
        run = reads.find_run(con, baseline)
        groups = [of_board for of_board in groups if (of_board["run"] == run).any()]
    if not groups:
        what = "no run was" if baseline is None else f"run {baseline} was not"
        raise NotFoundError(f"{what} evaluated on the board that was asked for: `drf eval RUN`")
    return max(groups, key=len)


def _base(con: sqlite3.Connection, settings: Settings, baseline: str | None) -> int:
    if settings.runs.empty:
        raise NotFoundError("no run on this board ran to its end")
    if baseline is None:
        return natural_baseline(settings)
    run = reads.find_run(con, baseline)
    found = settings.runs.loc[settings.runs["run"] == run, "setting"]
    if found.empty:
        raise NotFoundError(f"run {run[:8]} did not run to its end, or is none of those compared")
    return int(found.iloc[0])


def _ablation(
    con: sqlite3.Connection, settings: Settings, base: int, keys: Sequence[str], norm: str | None
) -> Ablation:
    runs = compared(settings, base, keys)
    norm = norm or reads.ranked_by(runs).removesuffix("_nme")
    scores.normaliser(norm)
    both = paired.errors(con, runs["evaluation"].tolist(), [norm]).under(norm)
    if not len(both.faces):
        raise NotFoundError(
            f"these runs have no face in common that has the {norm} distance: name another one with"
            " --norm, or evaluate the runs on the same faces"
        )
    board = {column: str(runs[column].iloc[0]) for column in reads.BOARD}
    frame = results(settings, base, keys, both.errors[norm])
    return Ablation(board, norm, list(keys), len(both.faces), frame)


def results(
    settings: Settings,
    base: int,
    keys: Sequence[str],
    errors: np.ndarray,
) -> pd.DataFrame:
    """Return one row per setting that `keys` let vary, in the order of their values; in percent.

    errors  (e, n) image errors as fractions of the runs of `compared`, in that order
    Columns: value_0 (value_1) as stored; seeds, nme, sd (NaN for one seed), each (list of the NMEs
    by seed); difference, low, high (NaN for the baseline), over (what the interval is over, see
    `drf.scoring.statistics.over`), improved (share of faces, 0..1), verdict; params_m, macs_g,
    wall_min (means over seeds); those of `comparability.SPENT` (texts, from – to where seeds
    differ); unsound (conditions of its runs that learned nothing, "" without one); ids (of the
    runs), name. A setting with such a run has no interval and no verdict; where the baseline is
    one, no setting has.
    """
    runs = compared(settings, base, keys)
    percent = 100 * errors
    rows_of = {
        number: np.flatnonzero(runs["setting"] == number) for number in runs["setting"].unique()
    }
    others = [number for number in rows_of if number != base]
    by_setting = {
        number: Method.of_runs(percent[rows], runs["seed"].iloc[rows].tolist())
        for number, rows in rows_of.items()
    }
    unsound = {number: _unsound(runs.iloc[rows]) for number, rows in rows_of.items()}
    judged = [number for number in others if not unsound[number] and not unsound[base]]
    intervals = (
        statistics.differences([by_setting[number] for number in judged], by_setting[base])
        if judged
        else []
    )
    frame = pd.DataFrame(
        [
            _values(settings, number, keys)
            | _scores(by_setting[number])
            | _cost(runs.iloc[rows])
            | {"unsound": unsound[number]}
            for number, rows in rows_of.items()
        ],
        index=list(rows_of),
    )
    frame["verdict"], frame["over"] = BASELINE, None
    mine = by_setting[base].errors.mean(axis=0)
    for number in others:
        theirs = by_setting[number].errors.mean(axis=0)
        frame.loc[number, "difference"] = (theirs - mine).mean()
        frame.loc[number, "improved"] = statistics.share_improved(theirs, mine)
        frame.loc[number, "verdict"] = UNSOUND + (unsound[number] or "baseline not sound")
    for number, interval in zip(judged, intervals, strict=True):
        ends = (interval.estimate, interval.low, interval.high)
        frame.loc[number, ["difference", "low", "high"]] = ends
        frame.loc[number, "over"] = interval.over
        frame.loc[number, "verdict"] = _verdict(interval)
    return _ordered(frame, len(keys))


def compared(settings: Settings, base: int, keys: Sequence[str]) -> pd.DataFrame:
    """Return the runs whose errors `results` needs, in the order in which it needs them."""
    return settings.runs_of(chosen(settings, base, keys)).sort_values(["setting", "seed"])


def _unsound(runs: pd.DataFrame) -> str:
    """Return the conditions of the runs of a setting that are not ranked, "" where all are."""
    return ", ".join(dict.fromkeys(runs.loc[~status.ranked(runs), "condition"]))


def _values(settings: Settings, number: int, keys: Sequence[str]) -> dict[str, Any]:
    return {f"value_{place}": settings.table.loc[number, key] for place, key in enumerate(keys)}


def _scores(method: Method) -> dict[str, Any]:
    seeds = statistics.over_seeds(method.nmes)
    unknown = dict.fromkeys(("difference", "low", "high", "improved"), float("nan"))
    each = {"each": method.nmes.tolist()}
    return {"seeds": seeds.n, "nme": seeds.mean, "sd": seeds.sd} | each | unknown


def _cost(runs: pd.DataFrame) -> dict[str, Any]:
    return {
        "params_m": runs["params"].mean() / 1e6,
        "macs_g": runs["macs"].mean() / 1e9,
        "wall_min": runs["wall_s"].mean() / 60,
        **{one.key: _span(runs, one.key) for one in comparability.SPENT},
        "name": runs["name"].iloc[0],
        "ids": " ".join(runs["run"].str[:8]),
    }


def _span(runs: pd.DataFrame, key: str) -> str:
    """Return what the runs of a setting spent, as text, from – to where that differs."""
    ends = pd.DataFrame({f"{key}{comparability.LOW}": [runs[key].min(skipna=False)],
                         f"{key}{comparability.HIGH}": [runs[key].max(skipna=False)]})  # fmt: skip
    return comparability.spans(ends, key)[0]


def _verdict(interval: statistics.Interval) -> str:
    if not interval.excludes(0):
        return OPEN
    return BETTER if interval.estimate < 0 else WORSE


def _ordered(frame: pd.DataFrame, n_keys: int) -> pd.DataFrame:
    if n_keys == 0:
        return frame.rename_axis("setting").reset_index()
    places = {}
    for place in range(n_keys):
        values = frame[f"value_{place}"]
        ranks = {value: rank for rank, value in enumerate(in_order(set(values)))}
        places[place] = [ranks[value] for value in values]
    order = np.lexsort([places[place] for place in reversed(range(n_keys))])
    return frame.iloc[order].rename_axis("setting").reset_index()


def intervals(frame: pd.DataFrame) -> list[str]:
    """Return the intervals of results as text, "" where a row has none; with a word where the
    header (`over`) does not say what one is over."""
    header = over(frame)
    return [
        "" if pd.isna(low) else statistics.with_exception(signed_ends(low, high), said, header)
        for low, high, said in zip(frame["low"], frame["high"], frame["over"], strict=True)
    ]


def over(frame: pd.DataFrame) -> str:
    """Return what the intervals of results are over, see `drf.scoring.statistics.over`."""
    return statistics.over_all(frame["over"].dropna())
