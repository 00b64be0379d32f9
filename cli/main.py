"""`drf`, the command line. A command imports its modules when it runs, so that help is instant."""

from __future__ import annotations

import errno
import os
import signal
import sys
from typing import Annotated, Any, NoReturn

import typer

import cli.ablate
import cli.bench
import cli.data
import cli.db
import cli.demo
import cli.doctor
import cli.ensemble
import cli.eval
import cli.export
import cli.imports
import cli.leaderboard
import cli.predict
import cli.repro
import cli.runs
import cli.sweep
import cli.train
import cli.views
import cli.web
from cli import output
from cli.options import old_names
from drf.errors import DrfError, UsageError, explain_os_error, is_out_of_memory, not_enough
from drf.processes import ending_signals
from drf.version import VERSION

INTERRUPTED = 130
"""Exit code of a command that was interrupted, by Ctrl-C or another signal."""

app = typer.Typer(
    name="drf",
    help="Face alignment with deep regression forests: train, evaluate and compare methods.",
    no_args_is_help=True,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,  # an exception that arrives here is a bug: show all of it
)
app.command("train", context_settings=old_names("train"))(cli.train.train)
app.command("eval", context_settings=old_names("eval"))(cli.eval.evaluate)
app.command("bench")(cli.bench.bench)
app.command("ensemble")(cli.ensemble.ensemble)
app.command("predict")(cli.predict.predict)
app.add_typer(cli.data.app, name="data", help="Check and pack datasets.")
app.command("leaderboard", context_settings=old_names("leaderboard"))(cli.leaderboard.leaderboard)
app.add_typer(cli.runs.app, name="runs", help="List, show, compare and delete runs.")
app.add_typer(cli.sweep.app, name="sweep", help="Run grids of experiments.")
app.command("repro")(cli.repro.repro)
app.command("ablate")(cli.ablate.ablate)
app.add_typer(cli.db.app, name="db", help="Check, copy and migrate the store.")
app.add_typer(cli.views.app, name="views", help="Give short names to links of the app.")
app.add_typer(cli.export.app, name="export")
app.add_typer(
    cli.imports.app, name="import", help="Bring results that were made elsewhere into the store."
)
app.command("verify")(cli.db.verify)
app.command("web")(cli.web.web)
app.command("demo")(cli.demo.demo)
app.command("doctor")(cli.doctor.doctor)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"drf {VERSION}")
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
    """Take the options that belong to no command."""


def main() -> None:
    """Run the command line and exit.

    0 success, 1 failure, 2 usage or configuration, 3 not found, 4 a check failed, 130 interrupted.
    An error that a user can cause is one sentence on stderr; any other keeps its traceback.
    """
    output.prepare()
    for number in ending_signals():
        signal.signal(number, signal.default_int_handler)  # it cleans up, as after Ctrl-C
    try:
        try:
            code = app(prog_name="drf", standalone_mode=False) or 0
        finally:
            sys.stdout.flush()
    except BrokenPipeError:
        # The reader of our output has gone, e.g. `drf runs list | head -1`. Python flushes stdout
        # once more on its way out, which must not fail again.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except KeyboardInterrupt:
        code = INTERRUPTED
    except typer.Abort:  # the answer to a question was no
        output.note("drf: nothing was done")
        sys.exit(1)
    except Exception as error:
        explained = _explain(error)
        if explained is None:
            raise
        if str(explained):
            output.note(f"drf: {explained}")
        sys.exit(explained.exit_code)
    if code == INTERRUPTED:
        _exit_interrupted()
    sys.exit(code)


def _exit_interrupted() -> NoReturn:
    """Exit. One more signal ends the process where it is: what Python still tidies up would answer
    it with a traceback."""
    for number in (signal.SIGINT, *ending_signals()):
        signal.signal(number, lambda *_: os._exit(INTERRUPTED))
    sys.exit(INTERRUPTED)


def _explain(error: Exception) -> DrfError | None:
    """Return the error to print for the user, or None for a bug."""
    if isinstance(error, DrfError):
        return error
    if hasattr(error, "format_message"):  # typer's for options; for a command alone it prints help
        return _usage_error(error)
    if is_out_of_memory(error):
        return not_enough("this command", "ask for fewer faces or runs")
    if isinstance(error, UnicodeEncodeError):  # what is printed never raises it
        return UsageError(
            f"{error.object[:80]} is not UTF-8 and cannot be stored: type it in a UTF-8 terminal,"
            " or rename the file"
        )
    import sqlite3

    from db.transactions import as_drf_error

    known = None
    if isinstance(error, sqlite3.Error):
        known = as_drf_error(error)
    elif isinstance(error, OSError) and error.errno != errno.EPIPE:
        known = explain_os_error(error)
    return known or _of_stores()


def _of_stores() -> DrfError | None:
    """Return what is wrong with a store that was opened, None where all are sound."""
    from db.connection import opened
    from db.maintenance.integrity import explain

    return next(filter(None, map(explain, opened())), None)


def _usage_error(error: Any) -> UsageError:
    """Return what typer says of the options, and where they are explained."""
    said = str(error.format_message()).strip(". ")
    if not said:
        return UsageError()
    said = said.replace("Value error, ", "").replace(". Did you", "; did you")
    command = error.ctx.command_path if error.ctx else app.info.name
    return UsageError(f"{said[:1].lower()}{said[1:]} (see `{command} --help`)")
