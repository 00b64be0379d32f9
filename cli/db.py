"""`drf db`: check, copy and migrate the file of the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli.options import Db, Json
from cli.output import cell, note, print_json, tables
from db.location import DEFAULT_PATH
from drf.errors import CheckFailed

app = typer.Typer(no_args_is_help=True)


@app.command()
def path(db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """Print the path of the store."""
    if as_json:
        print_json({"path": str(db.resolve()), "exists": db.exists()})
    else:
        print(db.resolve())


@app.command()
def check(db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """Check the file, its references, and every score against the stored predictions.

    Exits with 4 if there is a fault.
    """
    from dataclasses import asdict

    from rich.table import Table

    from db.connection import open_reader
    from db.integrity import faults

    con = open_reader(db)
    found = faults(con)
    con.close()
    if as_json:
        print_json({"path": str(db.resolve()), "ok": not found, "faults": list(map(asdict, found))})
    elif found:
        table = Table("check", "where", "problem")
        for fault in found:
            table.add_row(cell(fault.check), cell(fault.subject), cell(fault.problem))
        tables().print(table)
    else:
        print(f"{db} has no faults")
    if found:
        raise CheckFailed(
            f"{db} has {len(found)} faults; restore a backup, or delete the faulty runs"
        )


@app.command()
def backup(
    target: Annotated[
        Path,
        typer.Argument(metavar="FILE", help="File to write the copy to; it must be new."),
    ],
    db: Db = DEFAULT_PATH,
) -> None:
    """Write a compact, consistent copy of the store, even while runs write to it."""
    from db.backup import back_up
    from db.connection import open_as_it_is

    con, _ = open_as_it_is(db)
    try:
        back_up(con, target)
    finally:
        con.close()
    note(f"Copied {db} to {target} ({target.stat().st_size / 1e6:.1f} MB).")


@app.command()
def migrate(db: Db = DEFAULT_PATH) -> None:
    """Bring a store of an older drf up to date; a backup before is a good idea."""
    from db.connection import open_as_it_is, open_store

    con, pending = open_as_it_is(db)
    con.close()
    open_store(db).close()
    note(f"{db}: " + (f"applied {', '.join(pending)}" if pending else "nothing to migrate"))
