"""`drf db`: check, copy and migrate the file of the store."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Annotated

import typer

from cli.options import Db, Json
from cli.output import confirm, line, note, print_json, table, tables
from db.file import DEFAULT_PATH
from drf.errors import CheckFailed, UsageError, quoted
from drf.files import user_path

app = typer.Typer(no_args_is_help=True)


@app.command()
def path(db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """Print the path of the store."""
    if as_json:
        print_json({"path": str(db.resolve()), "exists": db.exists()})
    else:
        line(db.resolve())


@app.command()
def check(db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """Check the file, its schema and rows, and every score against the stored predictions.

    Exits with 4 if there is a fault.
    """
    _check(db, as_json)
    if not as_json:
        line(f"{db} has no faults")


def verify(db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """Recompute every error and score of the store from its predictions and ground truth.

    Lists each that differs by more than 1e-9, with both values, and exits with 4. It is `drf db
    check`, so it also lists what in the file cannot be read.
    """
    from db.maintenance.integrity import TOLERANCE

    evaluations, scores = _check(db, as_json)
    if not as_json:
        line(
            f"{db}: {scores} scores of {evaluations} evaluations were recomputed from the"
            f" predictions; none differs by more than {TOLERANCE:g}"
        )


def _check(db: Path, as_json: bool) -> tuple[int, int]:
    """Check a store and print its faults; return how many evaluations and scores were recomputed.

    Raises CheckFailed where there is a fault.
    """
    from dataclasses import asdict

    from db.connection import open_to_check
    from db.maintenance.integrity import faults, recomputed

    con, found = open_to_check(db)
    found = found or faults(con)
    counts = (0, 0) if found else recomputed(con)
    con.close()
    if as_json:
        said = {"path": str(db.resolve()), "ok": not found, "faults": list(map(asdict, found))}
        print_json(said | {"evaluations": counts[0], "scores": counts[1]})
    elif found:
        rows = [(fault.check, fault.subject, fault.problem) for fault in found]
        tables().print(table(("check", "where", "problem"), rows))
    if found:
        raise CheckFailed(
            f"{db} has {len(found)} faults; restore a backup, or delete the faulty runs and remove"
            " what is not drf's"
        )
    return counts


@app.command()
def backup(
    target: Annotated[
        Path,
        typer.Argument(
            metavar="FILE", parser=user_path, help="File to write the copy to; it must be new."
        ),
    ],
    db: Db = DEFAULT_PATH,
) -> None:
    """Write a compact, consistent copy of the store, even while runs write to it."""
    from db.connection import open_as_it_is
    from db.maintenance.backup import back_up

    con, _ = open_as_it_is(db)
    try:
        back_up(con, target)
    finally:
        con.close()
    note(f"Copied {db} to {target} ({target.stat().st_size / 1e6:.1f} MB).")


@app.command()
def prune(
    parts: Annotated[
        list[str],
        typer.Argument(
            metavar="PART...",
            help="What to remove: crops (pictures of faces), epoch-faces (predictions epoch by "
            "epoch), covariances (predicted errors).",
        ),
    ],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Remove without asking.")] = False,
    db: Db = DEFAULT_PATH,
) -> None:
    """Remove parts of a store that take disk space. Scores, predictions and curves stay."""
    from db.connection import open_reader, open_store
    from db.maintenance import prune as pruning
    from drf.config import nearest

    for part in parts:
        if part not in pruning.PARTS:
            raise UsageError(f"there is no part {quoted(part)}{nearest(part, pruning.PARTS)}")
    open_reader(db).close()  # raises where there is no store
    confirm(f"remove {', '.join(parts)} from {db}", yes)
    before = db.stat().st_size
    store = open_store(db)
    removed = pruning.prune(store, parts)
    store.close()
    rows = ", ".join(f"{n} {part}" for part, n in removed.items())
    freed = (before - db.stat().st_size) / 1e6
    note(f"Removed {rows} from {db}; it is {freed:.1f} MB smaller.")


@app.command()
def migrate(db: Db = DEFAULT_PATH) -> None:
    """Bring a store of an older drf up to date; make a backup first (`drf db backup`).

    Computes from the stored predictions what evaluations lack since drf has new scores or
    normalisers. It may be interrupted, and goes on when it is called again.
    """
    from db.connection import open_as_it_is, open_store
    from db.tables import derived, migrations
    from experiments.progress import bar

    con, pending = open_as_it_is(db)
    con.close()
    seconds, began = migrations.seconds_for(pending, db.stat().st_size), time.monotonic()
    if seconds >= 1:
        megabytes = db.stat().st_size / 1e6
        note(f"bringing {megabytes:.0f} MB up to date takes about {seconds:.0f} s")
    with bar("bringing the schema up to date") as advance:

        def tell() -> None:
            advance(round(min(time.monotonic() - began, seconds)), round(seconds))

        store = open_store(db, at_once=0, while_migrating=tell)
    try:
        lacking = derived.lacking(store.conn)
        if pending or not lacking:
            note(f"{db}: applied {', '.join(pending)}" if pending else f"{db}: nothing to migrate")
        seconds = derived.seconds_for(store, lacking)
        if left := derived.lacking(store.conn):
            note(f"computing new scores takes about {seconds:.0f} s for {len(left)} evaluations")
        with bar("computing scores") as advance:
            failed = derived.complete(store, left, advance)
        derived.note_completed(store)
    finally:
        store.close()
    if lacking:
        note(f"computed the new scores of {len(lacking) - len(failed)} evaluations")
    if failed:
        raise CheckFailed(
            f"the arrays of {len(failed)} evaluations are damaged; `drf db check` shows which"
        )
