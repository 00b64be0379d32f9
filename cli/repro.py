"""`drf repro`: train a run again and compare."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options
from cli.output import note, print_json, table, tables
from db.file import DEFAULT_PATH
from drf.errors import CheckFailed


def repro(
    run: options.Run,
    only_compare: Annotated[
        bool,
        typer.Option("--only-compare", help="Say what differs here, and do not train."),
    ] = False,
    data_root: options.DataRoot = None,
    box_file: options.BoxFile = None,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Train a run again from its stored configuration, and say whether the result is the same.

    What differs in code, versions, machine and data is listed first. The new run stays in the
    store.
    """
    from dataclasses import asdict

    from experiments import repro as again
    from experiments.paths import Paths

    paths = Paths(db, data_root, box_file, cache)
    found = again.differences(run, paths)
    if not as_json:
        rows = [(one.what, _short(one.then), _short(one.now)) for one in found]
        if rows:
            tables().print(table(("what", "then", "now"), rows, "what differs"))
        else:
            note("Code, versions, machine and data are those of the run.")
    result = None if only_compare else again.repeat(run, paths)
    if as_json:
        document = {"differences": [asdict(one) for one in found]}
        print_json(document | {"repeated": result and asdict(result) | {"same": result.same}})
    if result is None:
        return
    said = (
        f"Run {result.again[:8]} repeats {result.run[:8]}: validation NMEs differ by at most"
        f" {100 * result.difference:.4f} percentage points (tolerance {100 * result.tolerance:g})."
    )
    if not result.same:
        raise CheckFailed(said.replace("repeats", "does not repeat"))
    note(said)


def _short(value: object) -> object:
    """Return a value, of a text of several lines how many there are."""
    if isinstance(value, str) and "\n" in value:
        return f"{len(value.splitlines())} lines"
    return value
