"""`drf views`: short names for links of the app. The app never writes, so they are set here."""

from __future__ import annotations

from typing import Annotated

import typer

from cli.options import By, Db, Json
from cli.output import note, print_json, table, tables
from db.file import DEFAULT_PATH

app = typer.Typer(no_args_is_help=True)

Name = Annotated[
    str, typer.Argument(metavar="NAME", help="Name of the view, as the short link has it.")
]
Link = Annotated[
    str, typer.Argument(metavar="LINK", help="Link of the app, copied from “Link to this view”.")
]


@app.command()
def add(
    name: Name,
    link: Link,
    title: Annotated[
        str | None, typer.Option(metavar="TEXT", help="Title, shown above the page.")
    ] = None,
    by: By = None,
    said: Annotated[
        str | None,
        typer.Option("--note", metavar="TEXT", help="Sentence, shown below the title."),
    ] = None,
    db: Db = DEFAULT_PATH,
) -> None:
    """Save a link under a name: the address of the app with `?view=NAME` opens it.

    Title, author and sentence tell the reader why it was sent.
    """
    from db.connection import open_reader, open_store
    from db.recording.saved_links import VIEW_KEY, add_view
    from db.recording.words import author_here

    open_reader(db).close()  # a mistyped --db must not create an empty store
    store = open_store(db)
    try:
        add_view(store, name, link, title=title, author=by or author_here(), note=said)
    finally:
        store.close()
    note(f"Saved: ?{VIEW_KEY}={name} after the address of the app opens the view.")


@app.command("list")
def list_views(db: Db = DEFAULT_PATH, as_json: Json = False) -> None:
    """List the named views and their links."""
    from db.connection import open_reader
    from db.recording.saved_links import views

    con = open_reader(db)
    found = views(con)
    con.close()
    if as_json:
        keys = ("name", "link", "title", "author", "note", "created_at", "fault")
        print_json([{key: getattr(view, key) for key in keys} for view in found])
    elif not found:
        note("The store has no named views yet: `drf views add NAME LINK` adds one.")
    else:
        rows = [
            (
                *(v.name, v.title, v.author, v.note),
                *(v.created_at[:16].replace("T", " "), v.fault or v.link),
            )
            for v in found
        ]
        columns = ("name", "title", "by", "note", "created (UTC)", "link")
        tables().print(table(columns, rows))


@app.command()
def remove(name: Name, db: Db = DEFAULT_PATH) -> None:
    """Delete a named view; a link to it then opens the app with a notice."""
    from db.connection import open_reader, open_store
    from db.recording.saved_links import remove_view

    open_reader(db).close()
    store = open_store(db)
    try:
        remove_view(store, name)
    finally:
        store.close()
    note(f"Removed the view {name}.")
