"""`drf leaderboard`: every board of the store, both normalisations side by side."""

from __future__ import annotations

import difflib
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.options import Db, Json
from cli.output import cell, count, note, print_json, tables
from db.file import DEFAULT_PATH
from drf.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

FLOOR = "mean-shape"
"""Predicts the same shape for every face: what does not beat it has learnt nothing."""

Box = Literal["gt", "gt_jitter", "file"]

_DESCENDING = ("auc8", "auc10")
_OTHER_KEYS = ("name", "params", "macs", "ms_per_face")
_HEADERS = {"nme": "NME ↓", "fr8": "FR₈ ↓", "auc8": "AUC₈ ↑", "fr10": "FR₁₀ ↓", "auc10": "AUC₁₀ ↑"}
_LAYOUTS = (  # columns of the terminal that a layout needs, scores of each norm, cost of the model
    (155, tuple(_HEADERS), True),
    (115, ("nme", "fr8", "auc8"), True),
    (92, ("nme", "fr8", "auc8"), False),
    (0, ("nme", "auc8"), False),
)


def leaderboard(
    db: Db = DEFAULT_PATH,
    dataset: Annotated[str | None, typer.Option(help="Only this dataset.")] = None,
    subset: Annotated[str | None, typer.Option(help="Only this subset, e.g. common.")] = None,
    box: Annotated[Box | None, typer.Option(help="Only this box protocol.")] = None,
    points: Annotated[str, typer.Option(help="Landmark subset: all, eyes, mouth, ...")] = "all",
    sort: Annotated[
        str, typer.Option(help="ocular_nme, pupil_auc8, ... or name, params, macs, ms_per_face.")
    ] = "ocular_nme",
    as_json: Json = False,
) -> None:
    """Rank the newest evaluation of every run, in percent; the best of a column is bold.

    The mean shape is drawn as the floor: a model below it has learnt nothing.
    """
    from db import reads
    from db.connection import open_reader
    from db.entries import entry

    keys = (*reads.SCORES, *_OTHER_KEYS)
    if sort not in keys:
        near = difflib.get_close_matches(sort, keys, n=1)
        raise UsageError(f"cannot sort by {sort!r}; use {near[0] if near else ', '.join(keys)}")
    _check_points(points)
    con = open_reader(db)
    rows = reads.leaderboard(con, dataset=dataset, subset=subset, points=points, box=box)
    boards = reads.board_filters(con)
    con.close()
    ascending = not sort.endswith(_DESCENDING)
    rows = rows.sort_values(sort, ascending=ascending, kind="stable")
    if rows.empty:
        note(_nothing(boards))
    if as_json:
        print_json([entry(row) for row in rows.to_dict("records")])
        return
    console = tables()
    for board, group in rows.groupby(list(reads.BOARD), sort=True):
        console.print(board_table(dict(zip(reads.BOARD, board, strict=True)), group, console.width))


def board_table(board: dict[str, Any], rows: pd.DataFrame, width: int) -> Table:
    """Return the table of one board, rows in the order given."""
    _, shown, with_cost = next(layout for layout in _LAYOUTS if width >= layout[0])
    columns = [f"{norm}_{score}" for norm in ("ocular", "pupil") for score in shown]
    table = _empty_table(board, rows, columns, with_cost=with_cost)
    table.caption = _caption(rows, shown)
    best = {column: _best(rows[column], column) for column in columns}
    place = 0
    for row in rows.to_dict("records"):
        floor = row["family"] == FLOOR
        place += not floor
        cells = [cell("floor" if floor else place), cell(_name(row)), cell(row["run"][:8])]
        cells += [_score(row[column], best[column]) for column in columns]
        if with_cost:
            cells += [cell(count(row["params"])), cell(count(row["macs"]))]
            cells += [cell(row["ms_per_face"], 2)]
        if floor:
            table.add_section()
        table.add_row(*cells, style="dim" if floor else "", end_section=floor)
    return table


def _empty_table(
    board: dict[str, Any], rows: pd.DataFrame, columns: list[str], *, with_cost: bool
) -> Table:
    from rich import box
    from rich.table import Table

    faces = ", ".join(str(n) for n in sorted(set(rows["n"])))
    table = Table(
        title=f"{board['dataset']} / {board['subset']}: {faces} faces, {board['points']} points, "
        f"box {board['box']}, percent",
        box=box.HORIZONTALS,
        title_justify="left",
        caption_justify="left",
    )
    table.add_column("#", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("run", no_wrap=True)
    for column in columns:
        norm, score = column.split("_")
        table.add_column(f"{norm}\n{_HEADERS[score]}", justify="right", no_wrap=True)
    for header in ("params", "MACs", "ms/face") if with_cost else ():
        table.add_column(header, justify="right", no_wrap=True)
    return table


def _check_points(points: str) -> None:
    from drf.landmarks import SUBSETS

    if points not in SUBSETS:
        near = difflib.get_close_matches(points, SUBSETS, n=1)
        raise UsageError(
            f"there is no landmark subset {points!r}; use {near[0] if near else ', '.join(SUBSETS)}"
        )


def _nothing(boards: pd.DataFrame) -> str:
    if boards.empty:
        return "no evaluations yet: `drf train`, then `drf eval`"
    there = (
        f"{board['dataset']} {board['subset']} (points {board['points']}, box {board['box']})"
        for board in boards.to_dict("records")
    )
    return f"no evaluation matches; the store has {', '.join(there)}"


def _caption(rows: pd.DataFrame, shown: tuple[str, ...]) -> str | None:
    remarks = []
    if FLOOR not in set(rows["family"]):
        remarks.append(f"No floor here: train and evaluate {FLOOR} to see it.")
    if len(shown) < len(_HEADERS):
        remarks.append("A wider terminal, or --json, shows every score.")
    if len(set(rows["manifest_digest"].dropna())) > 1:
        remarks.append("The runs did not all see the same faces: compare with care.")
    return " ".join(remarks) or None


def _name(row: dict[str, Any]) -> str:
    marks = [f"seed {row['seed']}"]
    if not row["flip_test"]:
        marks.append("no flip test")
    if row["status"] != "finished":
        marks.append(row["status"])
    return f"{row['name']} ({', '.join(marks)})"


def _best(values: pd.Series, column: str) -> float:
    """The best value as shown: two that look the same are both bold."""
    return round(values.max() if column.endswith(_DESCENDING) else values.min(), 2)


def _score(value: float, best: float) -> Text:
    shown = cell(value, 2)
    if round(value, 2) == best:
        shown.stylize("bold")
    return shown
