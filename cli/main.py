"""`drf`, the command line. A command imports its modules when it runs, so that help is instant."""

from __future__ import annotations

import errno
import logging
import os
import sys
from typing import Annotated

import typer

import cli.data
import cli.db
import cli.demo
import cli.doctor
import cli.eval
import cli.export
import cli.leaderboard
import cli.predict
import cli.runs
import cli.train
import cli.views
import cli.web
from cli.options import old_names
from drf import __version__
from drf.errors import DrfError

app = typer.Typer(
    name="drf",
    help="Face alignment with deep regression forests: train, evaluate and compare methods.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # an exception that arrives here is a bug: show all of it
)
app.command("train", context_settings=old_names("train"))(cli.train.train)
app.command("eval", context_settings=old_names("eval"))(cli.eval.evaluate)
app.command("predict")(cli.predict.predict)
app.add_typer(cli.data.app, name="data", help="Check and pack datasets.")
app.command("leaderboard", context_settings=old_names("leaderboard"))(cli.leaderboard.leaderboard)
app.add_typer(cli.runs.app, name="runs", help="List, show, compare and delete runs.")
app.add_typer(cli.db.app, name="db", help="Check, copy and migrate the store.")
app.add_typer(cli.views.app, name="views", help="Give short names to links of the app.")
app.add_typer(cli.export.app, name="export")
app.command("web")(cli.web.web)
app.command("demo")(cli.demo.demo)
app.command("doctor")(cli.doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"drf {__version__}")
        raise typer.Exit


@app.callback()
def _drf(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_version, is_eager=True, help="Print the version and exit."
        ),
    ] = False,
) -> None:
    logging.basicConfig(format="%(levelname)s: %(message)s", level=logging.WARNING)


def main() -> None:
    """Run the command line and exit.

    0 success, 1 failure, 2 usage or configuration, 3 not found, 4 a check failed, 130 interrupted.
    An error that a user can cause is one sentence on stderr; any other keeps its traceback.
    """
    try:
        try:
            app()  # ends in SystemExit: usage errors with 2, Ctrl-C with 130
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone, e.g. `drf runs list | head -1`. Python flushes stdout
        # once more on its way out, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        sys.exit(130)
    except Exception as error:
        explained = _explain(error)
        if explained is None:
            raise
        print(f"drf: {explained}", file=sys.stderr)
        sys.exit(explained.exit_code)


def _explain(error: Exception) -> DrfError | None:
    """Return the error to print for the user, or None for a bug."""
    if isinstance(error, DrfError):
        return error
    import sqlite3

    from db.transactions import as_drf_error, from_os

    if isinstance(error, sqlite3.Error):
        return as_drf_error(error)
    if isinstance(error, OSError) and error.errno != errno.EPIPE:
        return from_os(error)
    return None
