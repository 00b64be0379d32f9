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
DataRoot = Annotated[
    Path | None,
    typer.Option(envvar="DRF_DATA", help="Folder of the dataset, e.g. data/300w.", metavar="DIR"),
]
BoxFile = Annotated[
    Path | None, typer.Option(help="CSV name,x,y,w,h for the box protocol `file`.", metavar="FILE")
]
Cache = Annotated[
    Path | None,
    typer.Option(envvar="DRF_CACHE", help="Packed faces; default runs/cache.", metavar="DIR"),
]
