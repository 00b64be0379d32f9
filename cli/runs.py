"""`drf runs`: list, show, compare and delete runs."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Db, Json, Run
from cli.output import cell, confirm, note, print_json, table, tables
from db.file import DEFAULT_PATH, refuse_link, run_folder

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
        note("The store has no runs yet: `drf train` adds one.")
        return
    columns = ("run", "name", "dataset", "seed", "status", "epochs", "done %", "val NME % (kept)")
    lines = [
        (
            *(row["id"][:8], row["name"], row["dataset"], row["seed"], row["condition"]),
            row["epoch"],
            *(cell(100 * row["progress"], 0), _percent(row["kept_val_nme"])),
            *(cell(row["faces_per_s"], 0), row["started_at"][:16].replace("T", " ")),
        )
        for row in rows
    ]
    tables().print(table((*columns, "faces/s", "started (UTC)"), lines, "runs"))


@app.command()
def show(run: Run, db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """Show a run: status, provenance, training data, evaluations, and where each key was set.

    Of a run that was cut off, the last line is the command that goes on with it.
    """
    from db import next_step, reads
    from db.connection import open_reader
    from db.entries import records

    con = open_reader(db)
    run_id = reads.find_run(con, run)
    facts, evaluations = reads.run(con, run_id), reads.evaluations(con, run_id)
    con.close()
    way_on = next_step.after(facts, db)
    config, provenance, manifest = (facts.pop(key) for key in ("config", "provenance", "manifest"))
    if as_json:
        named = {key: {"value": value, "source": source} for key, value, source in config}
        nested = {"config": named, "provenance": provenance, "manifest": manifest}
        nested["next_step"] = way_on and way_on.text()
        print_json(facts | nested | {"evaluations": records(evaluations)})
        return
    console = tables()
    console.print(_pairs("run", facts))
    console.print(_pairs("provenance", provenance))
    console.print(_pairs("training data", manifest))
    console.print(table(("key", "value", "set by"), config, "configuration"))
    console.print(_evaluations(records(evaluations)))
    if way_on:
        note(way_on.text())


@app.command()
def diff(
    a: Annotated[str, typer.Argument(metavar="RUN_A", help="Name or id of the first run.")],
    b: Annotated[str, typer.Argument(metavar="RUN_B", help="Name or id of the second run.")],
    everything: Annotated[bool, typer.Option("--all", help="Show identical settings too.")] = False,
    db: Db = DEFAULT_PATH,
    as_json: Json = False,
) -> None:
    """Show the settings in which two runs differ, and their results side by side."""
    from db import comparability, configs, reads
    from db.connection import open_reader
    from db.entries import records

    con = open_reader(db)
    run_a, run_b = reads.find_run(con, a), reads.find_run(con, b)
    settings = configs.differences(con, run_a, run_b, same=everything)
    compared = configs.results(con, run_a, run_b)
    spent = reads.spent(con, [run_a, run_b])
    compared_runs = [reads.run(con, run) for run in (run_a, run_b)]
    con.close()
    remark = comparability.budget(spent)
    if as_json:
        print_json(
            {"a": run_a, "b": run_b, "settings": records(settings), "scores": records(compared)}
            | {"spent": records(spent.reset_index(names="run")), "remark": remark}
        )
        return
    console = tables()
    columns = ("key", run_a[:8], run_b[:8])
    console.print(table(columns, settings[["key", "a", "b"]].to_numpy().tolist(), "settings"))
    console.print(_spent(spent, run_a, run_b))
    console.print(_side_by_side(compared, run_a, run_b))
    if remark:
        console.print(remark, markup=False)
    for facts in compared_runs:
        if facts["condition"] != "finished":
            note(f"Run {facts['id'][:8]} is not ranked ({facts['condition']}): compare with care.")


@app.command()
def delete(
    run: Run,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Delete without asking.")] = False,
    checkpoints: Annotated[
        bool, typer.Option("--checkpoints", help="Delete the folder with its checkpoints too.")
    ] = False,
    db: Db = DEFAULT_PATH,
) -> None:
    """Delete a run with its training curves and evaluations."""
    from db import reads
    from db.connection import open_reader, open_store
    from db.runs import delete_run

    con = open_reader(db)
    run_id = reads.find_run(con, run)
    name, evaluations = reads.name_of_run(con, run_id)
    con.close()
    folder = run_folder(db, run_id)
    what = f"run {run_id[:8]} ({name}, evaluations: {evaluations})"
    if checkpoints:
        refuse_link(folder)
    with_folder = checkpoints and folder.exists()
    confirm(f"delete {what}" + (f", and the folder {folder}" if with_folder else ""), yes)
    store = open_store(db)
    delete_run(store, run_id)
    store.close()
    if with_folder:
        shutil.rmtree(folder)
    note(f"Deleted {what}." + (f" {folder} remains." if folder.exists() else ""))


@app.command()
def reap(db: Db = DEFAULT_PATH) -> None:
    """Record runs as failed whose process died without a word; they can be resumed as before."""
    from db import runs
    from db.connection import open_store

    store = open_store(db)
    dead = runs.reap(store)
    store.close()
    for run in dead:
        note(f"Run {run[:8]} is recorded as failed: {runs.DIED}.")
    note(f"{len(dead)} runs were dead." if dead else "No run is dead.")


@app.command()
def recover(
    folders: Annotated[
        list[Path],
        typer.Argument(
            metavar="DIR...",
            help="Folders of runs, which hold record.db beside the checkpoints.",
        ),
    ],
    db: Db = DEFAULT_PATH,
) -> None:
    """Bring runs that the store lost back into it, from the records beside their checkpoints.

    What the store has stays; the command may be repeated.
    """
    from experiments.paths import recover_run

    for folder in folders:
        run = recover_run(folder, db)
        note(f"Run {run[:8]} is in {db}.")
        place = run_folder(db, run)
        if place.resolve() != folder.resolve():
            note(f"Move {folder} to {place}: there `drf eval` looks for its checkpoints.")


def _percent(fraction: float | None) -> Any:
    return cell(None if fraction is None else 100 * fraction, 2)


def _evaluations(found: list[dict[Any, Any]]) -> Table:
    """One line per evaluation and normaliser, one column per score."""
    from drf import scores

    rows = []
    for row in found:
        facts = [row[key] for key in _EVALUATION]
        for norm in scores.NORMALISERS:
            values = [row[scores.column(norm.key, key)] for key in scores.SCORE_KEYS]
            if values[0] is not None:
                rows.append([*facts, norm.title, *(cell(value, 2) for value in values)])
                facts = [""] * len(facts)
    headings = [score.heading for score in scores.SCORES]
    columns = [*_EVALUATION, "normaliser", *headings]
    return table(columns, rows, "evaluations, percent")


_EVALUATION = ("subset", "landmarks", "box", "n", "checkpoint", "created_at")


def _pairs(title: str, values: dict[str, Any]) -> Table:
    return table(("key", "value"), [(key, _short(v)) for key, v in values.items()], title)


def _short(value: Any) -> Any:
    """Return the value, or the number of its lines where it has several; --json prints them."""
    if isinstance(value, str) and "\n" in value:
        return f"{len(value.splitlines())} lines; --json prints them"
    return value


def _spent(spent: pd.DataFrame, run_a: str, run_b: str) -> Table:
    """Return what two runs spent, a line a measure."""
    from db import comparability

    rows = [(one.title, *(cell(spent.loc[run, one.key], 0) for run in (run_a, run_b)))
            for one in comparability.SPENT]  # fmt: skip
    minutes = [cell(seconds / 60, 1) for seconds in spent.loc[[run_a, run_b], "wall_s"]]
    machine = spent.loc[[run_a, run_b], "hardware"]
    lines = [*rows, ("Minutes", *minutes), ("Hardware", *machine)]
    return table(("budget", run_a[:8], run_b[:8]), lines, "budget spent")


def _side_by_side(compared: pd.DataFrame, run_a: str, run_b: str) -> Table:
    from db import reads
    from drf import scores
    from drf.text import signed

    rows = []
    for row in compared.to_dict("records"):
        board = " / ".join(str(row[column]) for column in reads.BOARD)
        for norm in scores.NORMALISERS:
            for score in scores.SCORES:
                column = scores.column(norm.key, score.key)
                a, b = row[f"{column}_a"], row[f"{column}_b"]
                if a == a and b == b:  # NaN where the landmarks do not define the normaliser
                    values = (cell(a, 2), cell(b, 2), signed(b - a))
                    rows.append((board, norm.title, score.heading, *values))
                    board = ""
    columns = ("board", "normaliser", "percent", run_a[:8], run_b[:8], "difference")
    title = "results of these two runs; with intervals: drf leaderboard --baseline RUN"
    return table(columns, rows, title)
