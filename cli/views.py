"""`drf views`: names for links of the app. The app only reads, so names are given here."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import Db, Json
from cli.output import cell, note, print_json, tables
from db.file import DEFAULT_PATH

app = typer.Typer(no_args_is_help=True)

Name = Annotated[str, typer.Argument(metavar="NAME", help="What the short link calls the view.")]
Link = Annotated[
    str, typer.Argument(metavar="LINK", help="A link of the app, as “Link to this view” gives it.")
]


@app.command()
def add(name: Name, link: Link, db: Db = DEFAULT_PATH) -> None:
    """Keep a link under a name: `?view=NAME` after the app's address opens it."""
    from db.connection import open_reader, open_store
    from db.saved_links import VIEW_KEY, add_view

    open_reader(db).close()  # a mistyped --db makes no empty store
    store = open_store(db)
    try:
        add_view(store, name, link)
    finally:
        store.close()
    note(f"the app opens it as ?{VIEW_KEY}={name}")


@app.command("list")
def list_views(db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """List the named views with their links, below the app's address."""
    from rich import box
    from rich.table import Table

    from db.connection import open_reader
    from db.saved_links import views

    con = open_reader(db)
    found = views(con)
    con.close()
    if as_json:
        print_json([{"name": v.name, "link": v.link, "created_at": v.created_at} for v in found])
    elif not found:
        note("no named views yet: `drf views add NAME LINK` makes one")
    else:
        table = Table("name", "link", "made (UTC)", box=box.HORIZONTALS)
        for view in found:
            made = view.created_at[:16].replace("T", " ")
            table.add_row(cell(view.name), cell(view.link), cell(made))
        tables().print(table)


@app.command()
def remove(name: Name, db: Db = DEFAULT_PATH) -> None:
    """Forget a named view; links to it then open the page with a notice."""
    from db.connection import open_reader, open_store
    from db.saved_links import remove_view

    open_reader(db).close()
    store = open_store(db)
    try:
        remove_view(store, name)
    finally:
        store.close()
    note(f"removed view {name}")
