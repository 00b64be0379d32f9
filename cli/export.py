"""`drf export`: runs to send, as a folder of pages or as a store of their own."""

from __future__ import annotations

import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Db
from cli.output import note
from db.file import DEFAULT_PATH
from drf.errors import UsageError

if TYPE_CHECKING:
    from db.bundle import Selection


def export(
    static: Annotated[
        Path | None,
        typer.Option(metavar="DIR", help="Write pages that need no server and no network."),
    ] = None,
    bundle: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write a store with these runs alone.")
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run", metavar="RUN", help="Id or name; repeat for more. Default: finished."
        ),
    ] = None,
    subset: Annotated[
        str | None, typer.Option(help="Only evaluations on this subset, and runs that have one.")
    ] = None,
    faces: Annotated[
        int, typer.Option(min=0, help="Of each run, so many worst and best faces (--static).")
    ] = 6,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Whether pictures of faces go along.")
    ] = True,
    db: Db = DEFAULT_PATH,
) -> None:
    """Write runs to send or to put on a web server, with configuration, curves and errors.

    A folder is replaced only if an earlier export wrote all that is in it; a file never is. Pages
    hold host, command line and uncommitted changes of a run: read them before you publish.
    """
    from db.bundle import select
    from db.connection import open_reader

    if static is None and bundle is None:
        raise UsageError("say what to write: --static DIR, or --bundle FILE, or both")
    con = open_reader(db)
    try:
        chosen = select(con, runs=runs or (), subset=subset)
        if bundle is not None:
            _bundle(con, bundle, chosen, images)
        if static is not None:
            _static(con, static, chosen, faces, images)
    finally:
        con.close()


def _bundle(con: sqlite3.Connection, target: Path, chosen: Selection, images: bool) -> None:
    from db.bundle import pictures, write_bundle
    from db.connection import open_reader

    write_bundle(con, target, chosen, images=images)
    written = open_reader(target)
    shown = pictures(written)
    written.close()
    note(f"{len(chosen.runs)} runs in {target}, {target.stat().st_size / 1e6:.1f} MB; to see them:")
    note(f"DRF_DB={target} streamlit run webapp/app.py")
    _terms(target, shown)


def _static(
    con: sqlite3.Connection, target: Path, chosen: Selection, faces: int, images: bool
) -> None:
    from webapp.static_site.site import write_site

    site = write_site(con, target, chosen, faces=faces, images=images)
    note(f"{site.runs} runs in {target}, {site.size_bytes / 1e6:.1f} MB; open {target}/index.html")
    _terms(target, site.pictures)


def _terms(target: Path, pictures: Mapping[str, int]) -> None:
    from db.bundle import restricted

    for dataset, number in restricted(pictures).items():
        note(
            f"WARNING: {target} holds {number} pictures of {dataset}, a dataset for research only: "
            "its terms forbid to pass them on. --no-images leaves all pictures out."
        )
