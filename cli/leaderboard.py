"""`drf leaderboard`: every board of the store, as many scores as the terminal is wide."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Db, Json, choices, named
from cli.output import UNRANKED, caption, cell, note, print_json, tables, title
from db.file import DEFAULT_PATH
from drf.text import FLOOR, printable

if TYPE_CHECKING:
    import numpy as np
    import pandas as pd
    from rich.table import Table
    from rich.text import Text

_OTHER_KEYS = ("name", "params", "macs", "latency_ms")
_MEASURED_BESIDE_OTHERS = "ms_per_face"
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
        str | None,
        typer.Option(
            metavar=f"{choices('data.box')}|NAME",
            help="Show only this box protocol, or only these boxes by the name that the board has.",
        ),
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
            help="Rank by this column, e.g. ocular_nme, box_auc8, params, macs or latency_ms; with"
            " --methods or --baseline the rows are in its order, and # stays the place by NME.",
        ),
    ] = None,
    methods: Annotated[
        bool,
        typer.Option(
            "--methods",
            help="Show a row for each method: means over its seeds, with 95 % intervals.",
        ),
    ] = False,
    baseline: Annotated[
        str | None,
        typer.Option(
            metavar="RUN",
            help="Show the difference to this run, or its method, with 95 % intervals: name or id.",
        ),
    ] = None,
    since: Annotated[
        str | None,
        typer.Option(
            metavar="REVISION|DATE",
            help="Show what is new on the boards instead: rows added, changed or deleted since a"
            " revision of the store, or since a day, e.g. 2026-11-23 (UTC).",
        ),
    ] = None,
    as_json: Json = False,
) -> None:
    """Rank the newest evaluation of every run; errors are in percent.

    Below the title stands the verdict on the methods of the board: which is best, by how much, with
    the 95 % interval. The best value of a column is bold. The mean shape marks the floor: a model
    that is not better has learned nothing. Runs that have not finished, or learned nothing, come
    last and have no rank; the word behind their name says why. A wider terminal shows more scores;
    --json has every one.
    """
    from db import reads, status
    from db.boards.entries import entry
    from db.connection import open_reader
    from db.recording import latencies
    from drf.scoring import scores
    from experiments.boards import is_meant

    if since is not None:
        wanted = named(dataset=dataset, subset=subset, landmarks=landmarks, box=box)
        _show_new(db, since, wanted, norm, sort or baseline, methods, as_json)
        return
    if sort == _MEASURED_BESIDE_OTHERS:
        note(
            f"{sort} was measured during each evaluation, beside whatever else ran, so it ranks"
            " nothing: rows are ranked by NME. `drf bench RUN` measures a run by itself, for --sort"
            " latency_ms."
        )
        sort = None
    if norm is not None:
        scores.normaliser(norm)
        sort = sort or scores.column(norm, scores.SCORE_KEYS[0])
    _check_sort(sort)
    con = open_reader(db)
    rows = reads.leaderboard(con, dataset=dataset, subset=subset, landmarks=landmarks)
    rows = latencies.on_boards(con, rows)
    boards = reads.board_filters(con)
    _check_landmarks(landmarks, boards)
    if box is not None:
        _check_box(box, boards)
        meant = [is_meant(board, {"box": box}) for board in _boards(rows)]
        rows = rows[meant].reset_index(drop=True)
    if methods or baseline is not None:
        from cli import method_table

        found = method_table.boards(con, rows, norm, sort, methods=methods, baseline=baseline)
        con.close()
        method_table.show(found, as_json=as_json)
        if rows.empty:
            note(_nothing(boards))
        return
    verdicts = []
    if len(rows) and not as_json:
        from cli import method_table

        verdicts = method_table.verdicts(con, rows, norm)
    con.close()
    if sort is not None:
        rows = rows.sort_values(sort, ascending=not scores.descends(sort), kind="stable")
        rows = rows.iloc[(~status.ranked(rows)).argsort(kind="stable")]
    if rows.empty:
        note(_nothing(boards))
    if as_json:
        print_json([entry(row) for row in rows.to_dict("records")])
        return
    console = tables()
    of_boards = rows.groupby(list(reads.BOARD), sort=True)
    for (board, group), said in zip(of_boards, verdicts, strict=True):
        name = dict(zip(reads.BOARD, board, strict=True))
        console.print(board_table(name, group, console.width, norm, sort, said))


def _show_new(
    db: Path,
    since: str,
    wanted: Mapping[str, str],
    norm: str | None,
    other: str | None,
    methods: bool,
    as_json: bool,
) -> None:
    """Print what is new on the boards that are wanted (`experiments.boards.is_meant`). other: an
    option that cannot stand beside --since."""
    from cli import whats_new
    from db import reads
    from db.connection import open_reader
    from drf.errors import UsageError
    from drf.scoring import scores
    from experiments.boards import is_meant

    if other is not None:
        raise UsageError("--since lists what is new and no board: leave out --sort and --baseline")
    if norm is not None:
        scores.normaliser(norm)

    def keep(name: dict[str, str]) -> bool:
        return is_meant(tuple(name[column] for column in reads.BOARD), wanted)

    with contextlib.closing(open_reader(db)) as con:
        boards = reads.board_filters(con)
        _check_landmarks(wanted["landmarks"], boards)
        if "box" in wanted:
            _check_box(wanted["box"], boards)
        whats_new.show(con, since, keep, norm=norm, methods=methods, as_json=as_json)


def board_table(
    board: dict[str, Any],
    rows: pd.DataFrame,
    width: int,
    norm: str | None = None,
    sort: str | None = None,
    verdict: str = "",
) -> Table:
    """Return the table of one board, rows in the order given, columns as many as the width holds.

    width: characters · norm: key of the only normaliser to show · sort: column that ranks the
    rows, None for what ranks the board · verdict: sentence below the title
    """
    from rich import box
    from rich.cells import cell_len
    from rich.table import Table

    from db.recording import box_labels

    everything = _columns(rows, norm)
    places = _places(rows, sort)
    names = [printable(_name(row)) for row in rows.to_dict("records")]
    name_width = min(max(map(cell_len, names)), max(_NAME_WIDTH, width // 4))
    fixed = (len(FLOOR), name_width, len("12345678"))
    shown = _that_fit(everything, width - 1 - sum(fixed) - _PADDING * len(fixed))
    faces = ", ".join(str(n) for n in sorted(set(rows["n"])))
    table = Table(
        title=title(
            f"{board['dataset']} / {board['subset']}: {faces} faces, landmarks"
            f" {board['landmarks']}, box {box_labels.title(board['box'])}, errors in percent",
            verdict,
        ),
        box=box.HORIZONTALS,
        padding=(0, 1, 0, 0),
        title_justify="left",
        caption_justify="left",
        caption=caption(_remarks(rows, hidden=len(shown) < len(everything))),
    )
    table.add_column("#", no_wrap=True)
    table.add_column("name", overflow="fold")
    table.add_column("run", no_wrap=True)
    for column in shown:
        table.add_column(column.heading, justify="right", no_wrap=True)
    for i, (place, name, run) in enumerate(zip(places, names, rows["run"], strict=True)):
        floor = place == FLOOR
        if floor or (place == UNRANKED and i and places[i - 1] != UNRANKED):
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
    from db import status
    from db.recording import latencies
    from drf.scoring import scores

    ranked = status.ranked(rows)
    norms = [n.key for n in scores.NORMALISERS if norm in (None, n.key)]
    columns: list[_Column] = []
    for i, key in enumerate(norms):
        for j, score in enumerate(scores.SCORES):
            name = scores.column(key, score.key)
            if rows[name].isna().all():
                continue  # the landmarks of this board do not define the normaliser
            importance = 0 if j == 0 else 1 if i == 0 else 3
            cells = _score_cells(rows[name], ranked, higher=score.better == "higher")
            heading = f"{key}\n{score.heading}"
            columns.append(_Column(len(columns), importance, heading, cells))
    costs = {
        "params": [_count(value) for value in rows["params"]],
        "MACs": [_count(value) for value in rows["macs"]],
        "epochs": [cell(value, 0) for value in rows["epochs_trained"]],
    }
    if rows["latency_ms"].notna().any():
        costs[latencies.HEADING] = [cell(value, 2) for value in rows["latency_ms"]]
    columns += [_Column(len(columns) + k, 2, *cost) for k, cost in enumerate(costs.items())]
    return sorted(columns, key=lambda column: column.importance)


def _count(number: float) -> Text:
    """Return a cell with a number, "—" where an external method has none."""
    import pandas as pd

    from drf import text

    return cell(None if pd.isna(number) else text.count(number))


def _that_fit(columns: Sequence[_Column], width: int) -> list[_Column]:
    """Return the most important columns that fit into a width together, in the table's order."""
    shown = []
    for column in columns:
        width -= column.width
        if width < 0:
            break
        shown.append(column)
    return sorted(shown, key=lambda column: column.place)


def _score_cells(values: pd.Series, ranked: np.ndarray, *, higher: bool) -> list[Text]:
    """Return cells of one score; the best of what is ranked are bold, and so is what looks the
    same there."""
    of_ranked = values[ranked]
    best = round(of_ranked.max() if higher else of_ranked.min(), 2)
    cells = [cell(value, 2) for value in values]
    for shown, value, counts in zip(cells, values, ranked, strict=True):
        if counts and round(value, 2) == best:
            shown.stylize("bold")
    return cells


def _places(rows: pd.DataFrame, sort: str | None) -> list[str]:
    """Return the place of each row, shared by those that read the same; the floor takes none, nor
    does what is not ranked."""
    from db import status
    from db.reads import ranked_by
    from drf.scoring.ranking import places
    from drf.scoring.scores import descends

    ranked, takes_one = status.ranked(rows), status.takes_place(rows)
    by = rows.loc[takes_one, sort or ranked_by(rows)]
    left = iter(range(1, len(by) + 1))
    if by.dtype.kind in "if":
        left = iter(places(by, "higher" if sort and descends(sort) else "lower").tolist())
    return [
        UNRANKED if not has_rank else _place(next(left)) if takes else FLOOR
        for has_rank, takes in zip(ranked, takes_one, strict=True)
    ]


def _place(place: float) -> str:
    return UNRANKED if place != place else str(int(place))


def _name(row: dict[str, Any]) -> str:
    from db import status
    from db.analysis import comparability

    untrained = row["family"] in status.WITHOUT_MODEL
    marks = [row["family"]] if untrained else []
    marks += comparability.origin(row["dataset"], row["trained_on"], row["started_from"])
    if row["seed"] or not untrained:
        marks.append(f"seed {row['seed']}")
    if not row["flip_test"] and row["family"] != status.EXTERNAL:
        marks.append("no flip test")
    if row["condition"] != "finished":
        marks.append(row["condition"])
    return f"{row['name']} ({', '.join(marks)})"


def _remarks(rows: pd.DataFrame, *, hidden: bool) -> list[str]:
    """Return the sentences below the table. hidden: whether it has not all columns."""
    from db import status
    from db.analysis import comparability
    from db.recording import latencies
    from drf.data.floor import FAMILY

    remarks = []
    if FAMILY not in set(rows["family"]):
        remarks.append(f"This board has no floor: train and evaluate {FAMILY} to add it.")
    if not status.ranked(rows).all():
        remarks.append("Runs without a place are not ranked, for the reason behind their name.")
    remarks.append(latencies.explanation(rows))
    if hidden:
        remarks.append("More scores: a wider terminal, --norm, or --json.")
    return remarks + comparability.remarks(rows)


def _check_sort(sort: str | None) -> None:
    from drf.config import nearest
    from drf.errors import UsageError
    from drf.scoring import scores

    keys = (*scores.COLUMNS, *_OTHER_KEYS)
    if sort is not None and sort not in keys:
        raise UsageError(f"there is no column {sort!r} to rank by{nearest(sort, keys)}")


def _check_box(box: str, boards: pd.DataFrame) -> None:
    from drf.config import nearest
    from drf.data.boxes import BOX_PROTOCOLS
    from drf.errors import UsageError

    known = dict.fromkeys([*BOX_PROTOCOLS, *boards["box"]])
    if box not in known:
        raise UsageError(f"there is no box {box!r}{nearest(box, known)}")


def _check_landmarks(landmarks: str, boards: pd.DataFrame) -> None:
    from drf.config import nearest
    from drf.errors import UsageError
    from drf.landmarks.markup import IBUG68

    known = dict.fromkeys([*IBUG68.subset_names, *boards["landmarks"]])
    if landmarks not in known:
        raise UsageError(f"there is no landmark subset {landmarks!r}{nearest(landmarks, known)}")


def _nothing(boards: pd.DataFrame) -> str:
    if boards.empty:
        return "The store has no evaluations yet: run `drf train`, then `drf eval`."
    from experiments.boards import as_text

    return f"No evaluation matches; the store has {', '.join(map(as_text, _boards(boards)))}."


def _boards(rows: pd.DataFrame) -> list[tuple[str, ...]]:
    """Return the board of each row: values of `reads.BOARD`."""
    from db import reads

    return list(rows[[*reads.BOARD]].itertuples(index=False, name=None))
