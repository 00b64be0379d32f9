"""`drf runs`: list, show, describe, compare and delete runs."""

from __future__ import annotations

import contextlib
import shutil
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.eval import ellipses_table
from cli.options import By, Db, Json, Run
from cli.output import cell, confirm, line, note, print_json, table, tables
from db.file import DEFAULT_PATH, refuse_link, run_folder
from drf.errors import DrfError, UsageError
from drf.files import user_path

if TYPE_CHECKING:
    import pandas as pd
    from rich.table import Table
    from sqlite_utils import Database

    from db.recording.words import Words

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_runs(
    tags: Annotated[
        list[str] | None,
        typer.Option(
            "--tag",
            metavar="TAG",
            help="List only runs with this tag. Repeat for several: a run must have all of them.",
        ),
    ] = None,
    starred: Annotated[bool, typer.Option("--starred", help="List only runs with a star.")] = False,
    db: Db = DEFAULT_PATH,
    as_json: Json = False,
) -> None:
    """List the runs, newest first."""
    from db import reads
    from db.boards.entries import records
    from db.connection import open_reader
    from db.recording import words

    con = open_reader(db)
    rows = records(reads.runs(con))
    said = words.of_runs(con)
    con.close()
    of_run = {row["id"]: said.get(row["id"], words.NOTHING) for row in rows}
    if not rows and not as_json:
        note("The store has no runs yet: `drf train` adds one.")
        return
    rows = [row for row in rows if of_run[row["id"]].match(tags or (), starred=starred)]
    if as_json:
        print_json([row | of_run[row["id"]].document() for row in rows])
        return
    if not rows:
        known = sorted({tag for one in said.values() for tag in one.tags}, key=str.casefold)
        note(f"No run matches; the store has the tags {', '.join(known) or '(none)'}.")
        return
    columns = ["run", "name", "dataset", "seed", "status", "epochs", "done %", "val NME % (kept)"]
    lines = [
        (
            *(row["id"][:8], row["name"], row["dataset"], row["seed"], row["condition"]),
            row["epoch"],
            *(cell(100 * row["progress"], 0), _percent(row["kept_val_nme"])),
            *(cell(row["faces_per_s"], 0), row["started_at"][:16].replace("T", " ")),
            *([of_run[row["id"]].short()] if said else []),
        )
        for row in rows
    ]
    columns += ["faces/s", "started (UTC)", *(["tags"] if said else [])]
    tables().print(table(columns, lines, "runs"))


@app.command()
def show(run: Run, db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """Show a run: what people say of it, status, provenance, training data, evaluations, and where
    each key was set.

    Of a run that was cut off, the last line is the command that goes on with it.
    """
    from db import next_step, reads
    from db.analysis import ellipses
    from db.boards.entries import records
    from db.connection import open_reader
    from db.recording import latencies, words

    con = open_reader(db)
    run_id = reads.find_run(con, run)
    facts, evaluations = reads.run(con, run_id), records(reads.evaluations(con, run_id))
    said = words.of_run(con, run_id)
    measured = [asdict(one) for one in latencies.of_runs(con, run_id).get(run_id, ())]
    for row in evaluations:
        markup = reads.markup(con, row["markup"])
        row["ellipses"] = ellipses.document(con, row["evaluation"], markup, row["landmarks"])
    con.close()
    way_on = next_step.after(facts, db)
    config, provenance, manifest = (facts.pop(key) for key in ("config", "provenance", "manifest"))
    if as_json:
        named = {key: {"value": value, "source": source} for key, value, source in config}
        nested = {"config": named, "provenance": provenance, "manifest": manifest}
        nested["latencies"] = measured
        nested["next_step"] = way_on and way_on.text()
        print_json(facts | nested | {"evaluations": evaluations} | said.document())
        return
    console = tables()
    if said != words.NOTHING:
        console.print(_words(said))
    console.print(_pairs("run", facts))
    console.print(_pairs("provenance", provenance))
    console.print(_pairs("training data", manifest))
    console.print(table(("key", "value", "set by"), config, "configuration"))
    console.print(_evaluations(evaluations))
    hold = [
        ([row[key] for key in _EVALUATION], row["ellipses"])
        for row in evaluations
        if row["ellipses"]
    ]
    if hold:
        console.print(ellipses_table(hold, _EVALUATION))
    for one in measured:
        console.print(_pairs("milliseconds for one face", one))
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
    from db import reads
    from db.analysis import comparability, configs
    from db.boards.entries import records
    from db.connection import open_reader

    con = open_reader(db)
    run_a, run_b = reads.find_run(con, a), reads.find_run(con, b)
    settings = configs.differences(con, run_a, run_b, same=everything)
    compared = configs.results(con, run_a, run_b)
    spent = reads.spent(con, [run_a, run_b])
    compared_runs = [reads.run(con, run) for run in (run_a, run_b)]
    con.close()
    said = [comparability.starts(spent), comparability.budget(spent)]
    remark = " ".join(filter(None, said)) or None
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
        line(remark)
    for facts in compared_runs:
        if facts["condition"] != "finished":
            note(f"Run {facts['id'][:8]} is not ranked ({facts['condition']}): compare with care.")


@app.command("note")
def set_note(
    run: Run,
    text: Annotated[
        str | None,
        typer.Argument(metavar="[TEXT]", help="The note, several lines if need be; - reads stdin."),
    ] = None,
    by: By = None,
    remove: Annotated[bool, typer.Option("--remove", help="Remove the note.")] = False,
    db: Db = DEFAULT_PATH,
) -> None:
    """Give a run a note, in place of the one it has; boards, run pages and exports show it.

    A note that is replaced or removed is printed, so that it can be brought back.
    """
    from db.recording import words

    if remove == (text is not None):
        raise UsageError("give a text for the note, - to read it from stdin, or --remove")
    new = None if text is None else _stdin() if text == "-" else text
    with _describing(run, db) as (store, run_id):
        if new is None:
            old: words.Note | None = words.remove_note(store, run_id)
        else:
            author = words.author_here() if by is None else by
            old = words.write_note(store, run_id, new, author)
    if old is not None:
        for one in old.text.split("\n"):
            line(one)
    done = f"Run {run_id[:8]} has {'its' if new else 'no'} note"
    note(f"{done}; the one that it had is on stdout." if old else f"{done}.")


@app.command("tag")
def set_tags(
    run: Run,
    tags: Annotated[
        list[str],
        typer.Argument(metavar="TAG...", help="Tags without spaces and commas, e.g. for-paper."),
    ],
    remove: Annotated[bool, typer.Option("--remove", help="Remove these tags.")] = False,
    db: Db = DEFAULT_PATH,
) -> None:
    """Give a run tags, or remove them; `drf runs list --tag TAG` and the leaderboard filter."""
    from db.recording import words

    with _describing(run, db) as (store, run_id):
        (words.remove_tags if remove else words.add_tags)(store, run_id, tags)
        left = words.of_run(store.conn, run_id).tags
    note(f"Run {run_id[:8]} has the tags {', '.join(left) or '(none)'}.")


@app.command()
def star(
    run: Run,
    remove: Annotated[bool, typer.Option("--remove", help="Take the star away.")] = False,
    db: Db = DEFAULT_PATH,
) -> None:
    """Give a run a star, or take it away; `drf runs list --starred` lists those that have one."""
    from db.recording import words

    with _describing(run, db) as (store, run_id):
        words.set_star(store, run_id, starred=not remove)
    note(f"Run {run_id[:8]} has {'no' if remove else 'a'} star.")


@app.command()
def rename(
    run: Run,
    name: Annotated[str, typer.Argument(metavar="NAME", help="New name, shown on boards.")],
    db: Db = DEFAULT_PATH,
) -> None:
    """Give a run another name; its id, its results and the links by its id stay."""
    from db.recording import words

    with _describing(run, db) as (store, run_id):
        old = words.rename_run(store, run_id, name)
    note(f"Run {run_id[:8]}, formerly {old}, has its new name.")


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
    from db.recording.runs import delete_run

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
    """Record as failed every run whose process is gone; it can still be resumed."""
    from db.connection import open_reader, open_store
    from db.recording import runs

    open_reader(db).close()  # a mistyped --db must not create an empty store
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
            parser=user_path,
            help="Folders of runs, which hold record.db beside the checkpoints.",
        ),
    ],
    db: Db = DEFAULT_PATH,
) -> None:
    """Bring runs that the store lost back into it, from the records beside their checkpoints.

    What the store has stays; the command may be repeated. A folder without a run that can be
    brought is named on stderr, and the others are brought.
    """
    from experiments.paths import recover_run

    failed = []
    for folder in folders:
        try:
            run = recover_run(folder, db)
        except DrfError as error:
            failed.append(error)
            continue
        note(f"Run {run[:8]} is in {db}.")
        place = run_folder(db, run)
        if place.resolve() != folder.resolve():
            note(f"Move {folder} to {place}: there `drf eval` looks for its checkpoints.")
    for fault in failed:
        note(f"drf: {fault}")
    if failed:
        raise typer.Exit(failed[0].exit_code)


@contextmanager
def _describing(run: str, db: Path) -> Iterator[tuple[Database, str]]:
    """Open the store, and find a run in it, to write what is said of the run. The record beside its
    checkpoints gets the same; where it cannot be written the store has it all the same."""
    from db import reads
    from db.connection import open_reader, open_store
    from db.recording import record

    con = open_reader(db)
    run_id = reads.find_run(con, run)
    con.close()
    with contextlib.closing(open_store(db)) as store:
        yield store, run_id
        folder = run_folder(db, run_id)
        with record.where_possible(folder, note):
            record.bring_beside(folder, store, run_id)


def _stdin() -> str:
    """Return all of stdin. Raises UsageError where it is not UTF-8."""
    try:
        return sys.stdin.buffer.read().decode()
    except UnicodeDecodeError as error:
        raise UsageError("the note on stdin is not UTF-8") from error


def _words(said: Words) -> Table:
    written = said.note
    by = f"by {written.author}, " if written and written.author else ""
    rows = [("starred", "yes")] if said.starred else []
    rows += [("tags", ", ".join(said.tags))] if said.tags else []
    if written:
        rows += [("" if i else "note", text) for i, text in enumerate(written.text.split("\n"))]
        rows += [("written", f"{by}{written.created_at[:16].replace('T', ' ')} UTC")]
    return table(("key", "value"), rows, "what people say of it")


def _percent(fraction: float | None) -> Any:
    return cell(None if fraction is None else 100 * fraction, 2)


def _evaluations(found: list[dict[Any, Any]]) -> Table:
    """One line per evaluation and normaliser, one column per score."""
    from drf.scoring import scores

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
    from db.analysis import comparability

    rows = [(one.title, *(cell(spent.loc[run, one.key], 0) for run in (run_a, run_b)))
            for one in comparability.SPENT]  # fmt: skip
    minutes = [cell(seconds / 60, 1) for seconds in spent.loc[[run_a, run_b], "wall_s"]]
    machine = spent.loc[[run_a, run_b], "hardware"]
    lines = [*rows, ("Minutes", *minutes), ("Hardware", *machine)]
    return table(("budget", run_a[:8], run_b[:8]), lines, "budget spent")


def _side_by_side(compared: pd.DataFrame, run_a: str, run_b: str) -> Table:
    from db import reads
    from drf.scoring import scores
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
