"""Where output goes: data to stdout, everything else to stderr. rich honours NO_COLOR."""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_PIPED_WIDTH = 200  # a pipe has no width, and nobody would see what 80 columns cut off


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; numbers keep all their digits."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def tables() -> Console:
    """Return a console that writes tables to stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def note(sentence: str) -> None:
    """Print a sentence on stderr: what happened, or what to do next."""
    print(sentence, file=sys.stderr)


def cell(value: Any, digits: int | None = None) -> Text:
    """Return a table cell: "—" for an unknown value, and text without reading its brackets.

    digits: decimals of a number
    """
    from rich.text import Text

    if value is None or value != value:  # NaN alone differs from itself
        return Text("—", style="dim")
    if digits is not None and math.isfinite(value):
        return Text(f"{value:.{digits}f}")
    return Text(str(value))


def table(columns: Iterable[str], rows: Iterable[Iterable[Any]], title: str | None = None) -> Table:
    """Return a table with lines between head and body; values become cells."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    made = Table(*columns, title=title, title_justify="left", box=box.HORIZONTALS)
    for row in rows:
        made.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return made
