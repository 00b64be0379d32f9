"""`drf ablate`: the effect of a configuration key, all others being equal."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.output import cell, line, note, print_json, table, tables
from db.file import DEFAULT_PATH
from drf.text import json_as_written, latex_escaped, signed

if TYPE_CHECKING:
    from db.analysis.ablation import Ablation


def ablate(
    factor: Annotated[
        list[str],
        typer.Option(metavar="KEY", help="Configuration key that varies. Repeat for several."),
    ],
    baseline: options.Baseline = None,
    sweep: Annotated[
        str | None, typer.Option(metavar="SWEEP", help="Only runs of this sweep.")
    ] = None,
    dataset: Annotated[str | None, typer.Option(metavar="NAME", help="Only this dataset.")] = None,
    subset: Annotated[
        str | None, typer.Option(metavar="NAME", help="Only this subset, e.g. val.")
    ] = None,
    landmarks: Annotated[
        str, typer.Option(metavar="NAME", help="Only this landmark subset.")
    ] = "all",
    box: Annotated[str | None, typer.Option(metavar="NAME", help="Only this box protocol.")] = None,
    norm: options.Norm = None,
    as_latex: options.Latex = False,
    as_json: options.Json = False,
    output: options.OldOutput = "text",
    db: options.Db = DEFAULT_PATH,
) -> None:
    """Show the effect of configuration keys on the error, all others being equal.

    Intervals are paired, over faces and seeds, as on the page Ablations of the app.
    """
    from db.analysis import ablation
    from db.connection import open_reader
    from db.recording import sweeps

    form = options.form(as_json, as_latex, output)
    board = {"dataset": dataset, "subset": subset, "landmarks": landmarks, "box": box}
    with closing(open_reader(db)) as con:
        only = None if sweep is None else sweeps.runs_of(con, sweeps.find_sweep(con, sweep))
        found = ablation.find(con, board, factor, baseline, norm, only=only)
    show(found, form)


def show(found: Ablation, form: str) -> None:
    """Print an ablation as text, json or latex."""
    from db.analysis import ablation
    from db.boards.entries import records

    if form == "json":
        rows = records(found.rows.drop(columns=["each"]))
        print_json(
            {"board": found.board, "norm": found.norm, "faces": found.faces, "keys": found.keys}
            | {"over": ablation.over(found.rows), "rows": rows}
        )
        return
    if form == "latex":
        for one in latex(found).splitlines():
            line(one)
        return
    columns = (*found.keys, "NME %", "sd", "seeds", "difference", "95 % interval", "verdict",
               "M params", "min")  # fmt: skip
    lines = [
        (*values, cell(row["nme"], 2), cell(row["sd"], 2), row["seeds"],
         cell(signed(row["difference"])), interval, row["verdict"], cell(row["params_m"], 2),
         cell(row["wall_min"], 1))
        for row, values, interval in _rows(found)
    ]  # fmt: skip
    board = found.board
    title = f"{board['dataset']} / {board['subset']}: {found.faces} faces, {found.norm} NME"
    tables().print(table(columns, lines, title))
    note(found.explanation())


def latex(found: Ablation) -> str:
    """Return the rows as a table of LaTeX (booktabs), with what the intervals are in a comment."""
    heads = [*map(latex_escaped, found.keys), r"NME (\%)", "seeds", r"$\Delta$", r"95\,\% interval"]
    lines = [f"% {found.explanation()}", rf"\begin{{tabular}}{{{'l' * len(found.keys)}rrrr}}"]
    lines += [r"\toprule", " & ".join(heads) + r" \\", r"\midrule"]
    for row, values, interval in _rows(found):
        sd = "" if row["sd"] != row["sd"] else rf" $\pm$ {row['sd']:.2f}"
        change = "baseline" if row["difference"] != row["difference"] else signed(row["difference"])
        cells = [*values, f"{row['nme']:.2f}", str(row["seeds"]), change, interval]
        cells = [latex_escaped(str(one)) for one in cells]
        cells[len(values)] += sd
        lines.append(" & ".join(cells) + r" \\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}"])


def _rows(found: Ablation) -> Iterator[tuple[dict[Any, Any], list[str], str]]:
    """Yield every row with the values of its factors, as a person writes them, and its interval as
    text."""
    from db.analysis import ablation

    columns = [f"value_{place}" for place in range(len(found.keys))]
    records = found.rows.to_dict("records")
    for row, interval in zip(records, ablation.intervals(found.rows), strict=True):
        yield row, [json_as_written(row[column]) for column in columns], interval
