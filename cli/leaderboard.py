"""`drf leaderboard`: every board of the store, as many scores as the terminal is wide."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from cli.options import Db, Json, choices
from cli.output import cell, note, print_json, tables, title
from db.file import DEFAULT_PATH
from drf.text import printable

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

FLOOR = "mean-shape"
"""Predicts the same shape for every face: a model that is not better has learned nothing."""

Box = Literal["gt", "gt_jitter", "file"]

_OTHER_KEYS = ("name", "params", "macs", "ms_per_face")
_NAME_WIDTH = 26  # at least; longer names continue on a second line
_PADDING = 2  # beside a column: a space, and the space that the box draws for a line


def leaderboard(
    db: Db = DEFAULT_PATH,
    dataset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show only this dataset.")
    ] = None,
    subset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Show only this subset, e.g. common.")
    ] = None,
    box: Annotated[
        Box | None, typer.Option(metavar=choices("data.box"), help="Show only this box protocol.")
    ] = None,
    landmarks: Annotated[
        str,
        typer.Option(
            metavar="NAME", help="Landmark subset that errors average over, e.g. all or eyes."
        ),
    ] = "all",
    norm: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="all of them",
            help="Show only this normaliser's scores and rank by its NME: ocular, pupil, box.",
        ),
    ] = None,
    sort: Annotated[
        str | None,
        typer.Option(
            metavar="COLUMN",
            show_default="NME of the first normaliser",
            help="Rank by this column, e.g. ocular_nme, box_auc8, params, macs or ms_per_face.",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank the newest evaluation of every run; errors are in percent.

    The best value of a column is bold. The mean shape marks the floor: a model ranked below it has
    learned nothing. A wider terminal shows more scores; --json has every one.
    """
    from db import reads
    from db.connection import open_reader
    from db.entries import entry
    from drf import scores

    if norm is not None:
        scores.normaliser(norm)
        sort = sort or scores.column(norm, scores.SCORE_KEYS[0])
    _check_sort(sort)
    con = open_reader(db)
    rows = reads.leaderboard(con, dataset=dataset, subset=subset, landmarks=landmarks, box=box)
    boards = reads.board_filters(con)
    con.close()
    _check_landmarks(landmarks, boards)
    if sort is not None:
        rows = rows.sort_values(sort, ascending=not _descends(sort), kind="stable")
    if rows.empty:
        note(_nothing(boards))
    if as_json:
        print_json([entry(row) for row in rows.to_dict("records")])
        return
    console = tables()
    for board, group in rows.groupby(list(reads.BOARD), sort=True):
        named = dict(zip(reads.BOARD, board, strict=True))
        console.print(board_table(named, group, console.width, norm))


def board_table(
    board: dict[str, Any], rows: pd.DataFrame, width: int, norm: str | None = None
) -> Table:
    """Return the table of one board, rows in the order given, columns as many as the width holds.

    width: characters · norm: key of the only normaliser to show
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    everything = _columns(rows, norm)
    places = _places(rows)
    names = [printable(_name(row)) for row in rows.to_dict("records")]
    name_width = min(max(map(cell_len, names)), max(_NAME_WIDTH, width // 4))
    fixed = (len("floor"), name_width, len("12345678"))
    shown = _that_fit(everything, width - 1 - sum(fixed) - _PADDING * len(fixed))
    faces = ", ".join(str(n) for n in sorted(set(rows["n"])))
    table = Table(
        title=title(
            f"{board['dataset']} / {board['subset']}: {faces} faces, "
            f"landmarks {board['landmarks']}, box {board['box']}, errors in percent"
        ),
        box=box.HORIZONTALS,
        padding=(0, 1, 0, 0),
        title_justify="left",
        caption_justify="left",
        caption=_caption(rows, hidden=len(shown) < len(everything)),
    )
    table.add_column("#", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("run", no_wrap=True)
    for column in shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for i, (place, name, run) in enumerate(zip(places, names, rows["run"], strict=True)):
        floor = place == "floor"
        if floor:
            table.add_section()
        cells = [cell(place), cell(name), cell(run[:8]), *(column.cells[i] for column in shown)]
        table.add_row(*cells, style="dim" if floor else "", end_section=floor)
    return table


@dataclass(frozen=True)
class _Column:
    """One column beside the names.

    place       where it stands in the table
    importance  0 is shown first, where not all fit
    """

    place: int
    importance: int
    heading: str
    cells: list[Text]

    @property
    def width(self) -> int:
        texts = [*self.heading.split("\n"), *(text.plain for text in self.cells)]
        return max(map(len, texts)) + _PADDING


def _columns(rows: pd.DataFrame, norm: str | None) -> list[_Column]:
    """Return every column there is to show, by importance: the first score of each normaliser, the
    other scores of the first one, what the model costs, the other scores of the others."""
    from drf import scores, text

    norms = [n.key for n in scores.NORMALISERS if norm in (None, n.key)]
    columns: list[_Column] = []
    for i, key in enumerate(norms):
        for j, score in enumerate(scores.SCORES):
            name = scores.column(key, score.key)
            if rows[name].isna().all():
                continue  # the landmarks of this board do not define the normaliser
            importance = 0 if j == 0 else 1 if i == 0 else 3
            cells = _score_cells(rows[name], higher=score.better == "higher")
            heading = f"{key}\n{score.heading}"
            columns.append(_Column(len(columns), importance, heading, cells))
    costs = {
        "params": [cell(text.count(value)) for value in rows["params"]],
        "MACs": [cell(text.count(value)) for value in rows["macs"]],
        "ms/face": [cell(value, 2) for value in rows["ms_per_face"]],
    }
    columns += [_Column(len(columns) + k, 2, *cost) for k, cost in enumerate(costs.items())]
    return sorted(columns, key=lambda column: column.importance)


def _that_fit(columns: Sequence[_Column], width: int) -> list[_Column]:
    """Return the most important columns that fit into a width together, in the table's order."""
    shown = []
    for column in columns:
        width -= column.width
        if width < 0:
            break
        shown.append(column)
    return sorted(shown, key=lambda column: column.place)


def _score_cells(values: pd.Series, *, higher: bool) -> list[Text]:
    """Return cells of one score; the best are bold, and so is what looks the same."""
    best = round(values.max() if higher else values.min(), 2)
    cells = [cell(value, 2) for value in values]
    for shown, value in zip(cells, values, strict=True):
        if round(value, 2) == best:
            shown.stylize("bold")
    return cells


def _places(rows: pd.DataFrame) -> list[str]:
    """Return the place of each row; the floor takes none."""
    places, place = [], 0
    for family in rows["family"]:
        place += family != FLOOR
        places.append("floor" if family == FLOOR else str(place))
    return places


def _name(row: dict[str, Any]) -> str:
    marks = [f"seed {row['seed']}"]
    if not row["flip_test"]:
        marks.append("no flip test")
    if row["status"] != "finished":
        marks.append(row["status"])
    return f"{row['name']} ({', '.join(marks)})"


def _caption(rows: pd.DataFrame, *, hidden: bool) -> str | None:
    remarks = []
    if FLOOR not in set(rows["family"]):
        remarks.append(f"This board has no floor: train and evaluate {FLOOR} to add it.")
    if hidden:
        remarks.append("More scores: a wider terminal, --norm, or --json.")
    if len(set(rows["manifest_digest"].dropna())) > 1:
        remarks.append("The runs were not all evaluated on the same faces: compare with care.")
    return " ".join(remarks) or None


def _descends(sort: str) -> bool:
    from drf import scores

    return any(sort.endswith(f"_{s.key}") for s in scores.SCORES if s.better == "higher")


def _check_sort(sort: str | None) -> None:
    from drf import scores
    from drf.config import nearest
    from drf.errors import UsageError

    keys = (*scores.COLUMNS, *_OTHER_KEYS)
    if sort is not None and sort not in keys:
        raise UsageError(f"there is no column {sort!r} to rank by{nearest(sort, keys)}")


def _check_landmarks(landmarks: str, boards: pd.DataFrame) -> None:
    from drf.config import nearest
    from drf.errors import UsageError
    from drf.markup import IBUG68

    known = dict.fromkeys([*IBUG68.subset_names, *boards["landmarks"]])
    if landmarks not in known:
        raise UsageError(f"there is no landmark subset {landmarks!r}{nearest(landmarks, known)}")


def _nothing(boards: pd.DataFrame) -> str:
    if boards.empty:
        return "The store has no evaluations yet: run `drf train`, then `drf eval`."
    there = (
        f"{board['dataset']} {board['subset']} (landmarks {board['landmarks']}, box {board['box']})"
        for board in boards.to_dict("records")
    )
    return f"No evaluation matches; the store has {', '.join(there)}."
