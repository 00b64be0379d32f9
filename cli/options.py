"""Options and arguments that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Db = Annotated[
    Path, typer.Option("--db", envvar="DRF_DB", help="The store, one SQLite file.", metavar="FILE")
]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document instead of tables.")]
Run = Annotated[
    str, typer.Argument(metavar="RUN", help="The first characters of a run's id, or its name.")
]
