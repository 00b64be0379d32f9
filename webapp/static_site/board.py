"""The exported leaderboard: rows of runs and of methods, verdicts and charts, as the page's script
reads them."""

from __future__ import annotations

import functools
import sqlite3
from collections.abc import Hashable, Mapping
from typing import Any

import pandas as pd

from db import reads, status
from db.analysis import comparability, intervals, paired
from db.boards import verdict
from db.boards.board import SD, by_method
from db.boards.entries import records
from db.boards.verdict import Verdict
from db.recording import box_labels, latencies, words
from db.recording.words import Words
from drf.scoring import scores, statistics
from drf.text import FLOOR
from webapp.leaderboard import figures
from webapp.scores import RANK, board_label, known_norms, offered_order
from webapp.ui import badges
from webapp.ui.charts import Chart

_OF_RUN = (
    *("run", "name", "label", "family", "preset", "track", "seed", "status", "condition", "ranked"),
    *("takes_place", "method", "tags"),
)
_COST = ("params", "macs", "wall_s", *latencies.COLUMNS)
_SPENT = tuple(one.key for one in comparability.SPENT)
_SHARED = (
    *("name", "label", "family", "preset", "track", "method", "manifest_digest", "flip_test", "n"),
    *("condition", "ranked", "takes_place"),
    *_COST,
)
_TRACE = ("evaluation", "checkpoint", "manifest_digest", "created_at")


EXPLANATION = (
    f"95 % intervals: {statistics.ESTIMATE}; of a single seed over faces alone, so that another"
    " seed may differ."
)


def boards(
    con: sqlite3.Connection, entries: pd.DataFrame, methods: pd.Series
) -> list[dict[str, Any]]:
    """Return the boards in the order in which the app offers them.

    con      a reader, for the intervals
    entries  columns of `reads.leaderboard`, of any number of boards, and `page`: the address of the
             run's page
    methods  `db.method_ids.method_of_runs`

    Each board has an id, a title, `norms` (keys of the normalisers that it has), `verdicts` (by
    normaliser: `db.boards.verdict`), `charts` (by normaliser), `remarks` (what
    differs between its runs beside the method, see `db.analysis.comparability`, and on which
    hardware latencies were measured), `runs` (one row
    per evaluation) and `methods` (one row per row of `db.boards.board.by_method`, with means and,
    in `sd`, the standard deviation of each NME; None for one seed), both with
    `db.analysis.intervals`. Scores are in percent; the best NME under the first normaliser comes
    first, and what is not `ranked` (`db.status`) last.
    """
    groups = dict(iter(entries.groupby(list(reads.BOARD), sort=True)))
    ordered = offered_order({key: len(rows) for key, rows in groups.items()})
    return [
        _board(con, dict(zip(reads.BOARD, key, strict=True)), groups[key], methods)
        for key in ordered
    ]


def tables() -> dict[str, Any]:
    """Return the scores and normalisers of `drf.scoring.scores`, the title of the latency, what
    ranks are, and the names of what intervals are over, as the page's script reads them."""
    return {
        "latency": " ".join(latencies.HEADING.split()),
        "rank": RANK,
        "floor": FLOOR,
        "scores": [
            {"key": score.key, "title": score.heading, "low": score.better == "lower"}
            for score in scores.SCORES
        ],
        "norms": [
            {"key": normaliser.key, "title": normaliser.title} for normaliser in scores.NORMALISERS
        ],
        "over": {"seeds": statistics.FACES_AND_SEEDS, "mixed": statistics.MIXED},
    }


def _board(
    con: sqlite3.Connection, key: dict[str, str], entries: pd.DataFrame, methods: pd.Series
) -> dict[str, Any]:
    said = words.of_runs(con)
    faces = " or ".join(str(n) for n in sorted(set(entries["n"])))
    landmarks = "" if key["landmarks"] == "all" else f", {key['landmarks']} only"
    norms = list(known_norms(entries).values())
    scored = [scores.column(norm, score) for norm in norms for score in scores.SCORE_KEYS]
    runs = entries.assign(
        method=entries["run"].map(methods),
        ranked=status.ranked(entries),
        tags=[said.get(run, words.NOTHING).short() for run in entries["run"]],
    ).sort_values(["ranked", reads.ranked_by(entries)], ascending=[False, True])
    compare = functools.partial(intervals.of_board, con)
    by_methods = by_method(entries, methods)
    verdicts = {norm: verdict.of_board(by_methods, norm, compare) for norm in norms}
    runs, of_methods = (compare(rows, norms) for rows in (_as_rows(runs), by_methods))
    for rows in (runs, of_methods):
        rows["label"] = badges.marked_names(rows)
        rows["epochs"] = comparability.spans(rows, "epochs_trained")
        rows["takes_place"] = status.takes_place(rows)
    ends = [*(f"{norm}_{end}" for norm in norms for end in ("low", "high")), "interval_over"]
    spent = [*_SPENT, "epochs", "hardware"]
    columns = [
        *_OF_RUN,
        *scored,
        *ends,
        *_COST,
        *spent,
        *_TRACE,
        "markup",
        "flip_test",
        "n",
        "page",
    ]
    return {
        "id": board_label(key),
        "title": f"{key['dataset']} {key['subset']}{landmarks}, "
        f"box {box_labels.title(key['box'])}: {faces} faces",
        **key,
        "norms": norms,
        "verdicts": {norm: of.record() for norm, of in verdicts.items()},
        "charts": {norm: _charts(con, by_methods, of) for norm, of in verdicts.items()},
        "remarks": [*comparability.remarks(runs), *filter(None, [latencies.explanation(runs)])],
        "runs": records(runs[columns]),
        "methods": [
            _method(row, runs, norms, [*scored, *ends], said) for row in records(of_methods)
        ],
    }


def _charts(con: sqlite3.Connection, methods: pd.DataFrame, of: Verdict) -> list[Chart]:
    """Return the charts of the leading methods, as the app shows them."""
    norm, leading = of.norm, figures.leading(methods)
    shown = []
    for row in leading.to_dict("records"):
        errors = paired.errors(con, row["evaluations"], [norm])[norm]
        if errors.size:
            seeds = statistics.Method.of_runs(errors, row["seeds"]).errors
            shown.append(figures.RowErrors(row["name"], seeds))
    made = [figures.ced(shown, norm)] if shown else []
    if of.other is not None:
        found = intervals.of_board(con, leading, [norm], of.other)
        if apart := figures.differences(found, norm):
            over = statistics.over_all(found["difference_over"])
            made.append(figures.forest_plot(apart, str(of.other["name"]), norm, over))
    return made


def _as_rows(entries: pd.DataFrame) -> pd.DataFrame:
    """Return entries with what `db.analysis.intervals` asks of rows of `db.boards.board`."""
    columns = {"runs": "run", "evaluations": "evaluation", "seeds": "seed"}
    tuples = {name: [(value,) for value in entries[of]] for name, of in columns.items()}
    return entries.assign(id=entries["run"], **tuples)


def _method(
    row: dict[Hashable, Any],
    runs: pd.DataFrame,
    norms: list[str],
    shown: list[str],
    said: Mapping[str, Words],
) -> dict[str, Any]:
    """Return a row of `by_method` as the page reads it. It links to the best of its runs, which are
    among `runs`, best first."""
    best = runs[runs["evaluation"].isin(row["evaluations"])].iloc[0]
    sd = {norm: row[f"{norm}_nme{SD}"] for norm in norms}
    return {
        **{key: best[key] for key in ("run", "page")},
        **{key: row[key] for key in _SHARED},
        **{key: row[f"{key}{comparability.LOW}"] for key in _SPENT},
        "epochs": row["epochs"],
        **{column: row[column] for column in shown},
        "seed": ", ".join(str(seed) for seed in sorted(set(row["seeds"]))),
        "status": row["condition"],
        "tags": words.together(said.get(run, words.NOTHING) for run in row["runs"]).short(),
        "seeds": len(set(row["seeds"])),
        "sd": sd,
    }
