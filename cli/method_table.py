"""The tables of `drf leaderboard --methods` and `--baseline`: means over seeds, with intervals.

The same rows and intervals as in the app (`db.boards.board`, `db.analysis.intervals`).
"""

from __future__ import annotations

import contextlib
import functools
import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import pandas as pd

from cli.output import UNRANKED, caption, cell, print_json, table, tables, title
from db import method_ids, reads
from db.analysis import comparability, intervals
from db.boards import board, entries, verdict
from db.boards.board import SD, seeds_text
from db.recording import box_labels, latencies
from drf.data import floor
from drf.errors import NotFoundError
from drf.scoring import ranking, scores, statistics
from drf.text import FLOOR, signed, signed_ends

if TYPE_CHECKING:
    from rich.table import Table

MARK = "*"
"""Marks a difference whose interval excludes 0."""

_WIDE = 160  # characters from which the scores beside the NME fit
_FACTS = (
    "id",
    "name",
    "family",
    "preset",
    "track",
    "method",
    "n",
    "flip_test",
    "params",
    "macs",
    *latencies.COLUMNS,
    "condition",
)
_LISTS = ("seeds", "statuses", "runs", "evaluations", "checkpoints")


@dataclass(frozen=True)
class RankedBoard:
    """rows: of `db.boards.board` with intervals, in order, and `rank`; norm: the key of what ranks
    them; baseline: the name of the row that the others are compared with, None without one;
    verdict: that of the methods."""

    name: dict[str, str]
    rows: pd.DataFrame
    norm: str
    baseline: str | None
    verdict: str


def boards(
    con: sqlite3.Connection,
    found: pd.DataFrame,
    norm: str | None,
    sort: str | None,
    *,
    methods: bool,
    baseline: str | None,
) -> list[RankedBoard]:
    """Return the boards of entries (columns of `reads.leaderboard`), rows a method or a run each.

    norm: that ranks, None for the first that the board has; sort: a column that orders the rows
    baseline: name or id of a run, name or id of a method. Raises NotFoundError for one that is on
    none of the boards.
    """
    of_run = method_ids.method_of_runs(con)
    made = [
        _board(con, dict(zip(reads.BOARD, key, strict=True)), rows, of_run, norm, methods, baseline)
        for key, rows in found.groupby(list(reads.BOARD), sort=True)
    ]
    if baseline is not None and made and all(one.baseline is None for one in made):
        reads.find_run(con, baseline)  # raises for a name that the store does not know
        raise NotFoundError(f"{baseline!r} was not evaluated on the boards that were asked for")
    if sort is None:
        return made
    ascending = [False, not scores.descends(sort)]
    order = {"by": ["ranked", sort], "ascending": ascending, "kind": "stable"}
    return [replace(one, rows=one.rows.sort_values(**order)) for one in made]


def verdicts(con: sqlite3.Connection, found: pd.DataFrame, norm: str | None) -> list[str]:
    """Return the verdict on the methods of each board, boards in the order of their names.

    found, norm: as in `boards`
    """
    of_run = method_ids.method_of_runs(con)
    groups = found.groupby(list(reads.BOARD), sort=True)
    return [_verdict(con, board.by_method(rows, of_run), norm, None) for _, rows in groups]


def _verdict(
    con: sqlite3.Connection, methods: pd.DataFrame, norm: str | None, baseline: str | None
) -> str:
    norm = norm or reads.ranked_by(methods).removesuffix("_nme")
    chosen = None if baseline is None else _row(con, methods, baseline)
    compare = functools.partial(intervals.of_board, con)
    return verdict.of_board(methods, norm, compare, chosen).text


def show(found: Sequence[RankedBoard], *, as_json: bool) -> None:
    """Print the boards: tables, or one JSON list of all rows."""
    if as_json:
        print_json([_record(one, row) for one in found for row in entries.records(one.rows)])
        return
    console = tables()
    for one in found:
        console.print(_table(one, console.width))


def _board(
    con: sqlite3.Connection,
    name: dict[str, str],
    found: pd.DataFrame,
    of_run: pd.Series,
    norm: str | None,
    methods: bool,
    baseline: str | None,
) -> RankedBoard:
    of_methods = board.by_method(found, of_run)
    rows = of_methods if methods else board.by_run(found, of_run)
    norm = norm or reads.ranked_by(rows).removesuffix("_nme")
    base = None if baseline is None else _row(con, rows, baseline)
    compared = rows["ranked"] & (base is None or bool(base["ranked"]))
    rows = intervals.of_board(con, rows, [norm], base).assign(compared=compared)
    nme = scores.column(norm, "nme")
    rows = rows.assign(rank=board.places(rows, nme))
    rows = rows.sort_values(["ranked", nme, "id"], ascending=[False, True, True])
    said = _verdict(con, of_methods, norm, baseline)
    return RankedBoard(name, rows, norm, None if base is None else str(base["name"]), said)


def _row(con: sqlite3.Connection, rows: pd.DataFrame, text: str) -> pd.Series | None:
    """Return the row that a text names, None where there is none."""
    wanted = [text]
    with contextlib.suppress(NotFoundError):
        wanted.append(reads.find_run(con, text))
    for _, row in rows.iterrows():
        if row["name"] in wanted or set(wanted) & set(row["runs"]) or row["id"].startswith(text):
            return row
    return None


def _table(of: RankedBoard, width: int) -> Table:
    rows, nme = of.rows, scores.column(of.norm, "nme")
    over, over_pairs = (
        statistics.over_all(rows[column]) if column in rows else ""
        for column in ("interval_over", "difference_over")
    )
    bold = {
        key: ranking.places(rows[key].where(rows["ranked"]), better) == 1
        for key, better in _scored(of.norm).items()
    }
    headings = ["#", "name", "id", "seeds", f"{of.norm} NME ↓", "± sd", f"95 % over {over}"]
    if of.baseline is not None:
        headings.append(f"Δ, 95 % over {over_pairs}")
    others = [key for key in bold if key != nme] if width >= _WIDE else []
    headings += [scores.score(key.removeprefix(f"{of.norm}_")).heading for key in others]
    timed = bool(rows["latency_ms"].notna().any())
    headings += [latencies.HEADING] * timed
    lines = []
    for place, row in enumerate(rows.to_dict("records")):
        line = [
            *(_place(row), _name(row), row["id"][:8], seeds_text(row["seeds"])),
            *(_score(row[nme], bold[nme][place]), cell(row[f"{nme}{SD}"], 2)),
            cell(_interval(row, of.norm, over)),
        ]
        if of.baseline is not None:
            line.append(cell(_difference(row, of.norm, over_pairs)))
        line += [_score(row[key], bold[key][place]) for key in others]
        lines.append(line + [cell(row["latency_ms"], 2)] * timed)
    names = of.name | {"box": box_labels.title(of.name["box"])}
    made = table(headings, lines)
    made.title = title(f"{' / '.join(names.values())}, errors in percent", of.verdict)
    made.caption, made.caption_justify = caption(_remarks(of, over)), "left"
    return made


def _place(row: dict[Any, Any]) -> Any:
    """Return the rank, or what stands in its place, as in the table of runs."""
    if pd.notna(row["rank"]):
        return row["rank"]
    return FLOOR if row["ranked"] and row["family"] == floor.FAMILY else UNRANKED


def _name(row: dict[Any, Any]) -> str:
    """Return the name, with the reason why a row has no rank."""
    return str(row["name"]) if row["ranked"] else f"{row['name']} ({row['condition']})"


def _scored(norm: str) -> dict[str, scores.Better]:
    return {scores.column(norm, score.key): score.better for score in scores.SCORES}


def _score(value: float, best: bool) -> Any:
    shown = cell(value, ranking.DIGITS)
    if best:
        shown.stylize("bold")
    return shown


def _interval(row: dict[Any, Any], norm: str, header: str) -> str | None:
    low, high = row[f"{norm}_low"], row[f"{norm}_high"]
    if pd.isna(low):
        return None
    return statistics.with_exception(f"{low:.2f} – {high:.2f}", row["interval_over"], header)


def _difference(row: dict[Any, Any], norm: str, header: str) -> str | None:
    value, low, high = (row[f"{norm}_difference{end}"] for end in ("", "_low", "_high"))
    if pd.isna(value):
        return None
    mark = f" {MARK}" if row["compared"] and not low <= 0 <= high else ""
    text = f"{signed(value)} {signed_ends(low, high)}{mark}"
    return statistics.with_exception(text, row["difference_over"], header)


def _remarks(of: RankedBoard, over: str) -> list[str]:
    """Return the sentences below the table. over: what the intervals are over"""
    said = [statistics.explanation(over, {len(set(seeds)) for seeds in of.rows["seeds"]})]
    if of.baseline is not None:
        said.append(f"Δ: difference to {of.baseline}; {MARK} its interval excludes 0.")
    return [*said, latencies.explanation(of.rows), *comparability.remarks(of.rows)]


def _record(of: RankedBoard, row: dict[Any, Any]) -> dict[str, Any]:
    """Return a row as JSON; scores in percent, as `drf leaderboard --json`."""
    found: dict[str, Any] = {"rank": row["rank"], **of.name, **{key: row[key] for key in _FACTS}}
    found |= {key: list(row[key]) for key in _LISTS} | {"n_seeds": len(set(row["seeds"]))}
    found["scores"] = {
        norm: {key: row[scores.column(norm, key)] for key in scores.SCORE_KEYS}
        for norm in scores.NORMALISER_KEYS
    }
    found["ranked_by"] = scores.column(of.norm, "nme")
    found["sd"] = row[f"{found['ranked_by']}{SD}"]
    found["interval"] = {
        "low": row[f"{of.norm}_low"],
        "high": row[f"{of.norm}_high"],
        "over": row["interval_over"],
    }
    if of.baseline is not None and row[f"{of.norm}_difference"] is not None:
        low, high = row[f"{of.norm}_difference_low"], row[f"{of.norm}_difference_high"]
        found["difference"] = {
            "to": of.baseline,
            "estimate": row[f"{of.norm}_difference"],
            "low": low,
            "high": high,
            "over": row["difference_over"],
            "excludes_0": not low <= 0 <= high,
        }
    return found
