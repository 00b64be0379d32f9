"""`drf runs`: what was trained, how, and what differs."""

from __future__ import annotations

import shutil
import sys
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Db, Json, Run
from cli.output import cell, note, print_json, tables
from db.file import DEFAULT_PATH, run_folder
from drf.errors import UsageError

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_runs(db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """List every run, newest first."""
    from db import reads
    from db.connection import open_reader
    from db.entries import records

    con = open_reader(db)
    rows = records(reads.runs(con))
    con.close()
    if as_json:
        print_json(rows)
        return
    if not rows:
        note("no runs yet: `drf train` makes one")
        return
    columns = ("run", "name", "dataset", "seed", "status", "done %", "val NME %", "faces/s")
    lines = [
        (
            *(row["id"][:8], row["name"], row["dataset"], row["seed"], row["status"]),
            *(cell(100 * row["progress"], 0), _percent(row["kept_val_nme"])),
            *(cell(row["faces_per_s"], 0), row["started_at"][:16].replace("T", " ")),
        )
        for row in rows
    ]
    tables().print(_table("runs", (*columns, "started (UTC)"), lines))


@app.command()
def show(run: Run, db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """Show a run: where it stands, its configuration and its source, provenance, results."""
    from db import reads
    from db.connection import open_reader
    from db.entries import records

    con = open_reader(db)
    run_id = reads.find_run(con, run)
    facts, evaluations = reads.run(con, run_id), reads.evaluations(con, run_id)
    con.close()
    config, provenance, manifest = (facts.pop(key) for key in ("config", "provenance", "manifest"))
    if as_json:
        named = {key: {"value": value, "source": source} for key, value, source in config}
        nested = {"config": named, "provenance": provenance, "manifest": manifest}
        print_json(facts | nested | {"evaluations": records(evaluations)})
        return
    console = tables()
    console.print(_pairs("run", facts))
    console.print(_pairs("provenance", provenance))
    console.print(_pairs("training data", manifest))
    console.print(_table("configuration", ("key", "value", "from"), config))
    columns = ["subset", "points", "box", "n", *_headline(), "checkpoint", "created_at"]
    results = [[row[column] for column in columns] for row in records(evaluations.round(2))]
    console.print(_table("evaluations (percent)", columns, results))


@app.command()
def diff(
    a: Run,
    b: Run,
    everything: Annotated[bool, typer.Option("--all", help="Also what is the same.")] = False,
    db: Db = DEFAULT_PATH,
    as_json: Json = False,
) -> None:
    """Show what differs between two runs, and their results side by side."""
    from db import configs, reads
    from db.connection import open_reader
    from db.entries import records

    con = open_reader(db)
    run_a, run_b = reads.find_run(con, a), reads.find_run(con, b)
    settings = configs.differences(con, run_a, run_b, same=everything)
    scores = configs.results(con, run_a, run_b)
    con.close()
    if as_json:
        print_json(
            {"a": run_a, "b": run_b, "settings": records(settings), "scores": records(scores)}
        )
        return
    console = tables()
    columns = ("key", run_a[:8], run_b[:8])
    console.print(_table("settings", columns, settings[["key", "a", "b"]].to_numpy().tolist()))
    console.print(_side_by_side(scores, run_a, run_b))


@app.command()
def delete(
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Also delete the folder of its checkpoints.")
    ] = False,
    db: Db = DEFAULT_PATH,
) -> None:
    """Delete a run with its curves and evaluations."""
    from db import reads
    from db.connection import open_reader, open_store
    from db.runs import delete_run

    con = open_reader(db)
    run_id = reads.find_run(con, run)
    facts, evaluations = reads.run(con, run_id), reads.evaluations(con, run_id)
    con.close()
    folder = run_folder(db, run_id)
    what = f"run {run_id[:8]} ({facts['name']}, evaluations: {len(evaluations)})"
    with_folder = checkpoints and folder.exists()
    _confirm(what + (f", and the folder {folder}" if with_folder else ""), yes)
    store = open_store(db)
    delete_run(store, run_id)
    store.close()
    if with_folder:
        shutil.rmtree(folder)
    note(f"deleted {what}" + (f"; {folder} remains" if folder.exists() else ""))


def _confirm(what: str, yes: bool) -> None:
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"would delete {what}; say --yes where nobody can be asked")
    typer.confirm(f"Delete {what}?", abort=True, err=True)


def _percent(fraction: float | None) -> Any:
    return cell(None if fraction is None else 100 * fraction, 2)


def _headline() -> list[str]:
    return ["ocular_nme", "ocular_fr8", "ocular_auc8", "pupil_nme", "pupil_fr8", "pupil_auc8"]


def _pairs(title: str, values: dict[str, Any]) -> Table:
    return _table(title, ("key", "value"), [(key, _short(value)) for key, value in values.items()])


def _short(value: Any) -> Any:
    """What fits a line: a diff or a long dict is counted here and printed whole by --json."""
    if isinstance(value, str) and "\n" in value:
        return f"{len(value.splitlines())} lines, whole with --json"
    return value


def _table(title: str, columns: Any, rows: Any) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(*columns, title=title, title_justify="left", box=box.HORIZONTALS)
    for row in rows:
        table.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return table


def _side_by_side(scores: pd.DataFrame, run_a: str, run_b: str) -> Table:
    from db import reads

    rows = []
    for row in scores.to_dict("records"):
        board = " / ".join(str(row[column]) for column in reads.BOARD)
        for score in reads.SCORES:
            a, b = row[f"{score}_a"], row[f"{score}_b"]
            rows.append((board, score, f"{a:.2f}", f"{b:.2f}", f"{b - a:+.2f}"))
            board = ""
    columns = ("board", "percent", run_a[:8], run_b[:8], "difference")
    return _table("results", columns, rows)
