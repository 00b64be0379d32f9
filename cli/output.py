"""Where output goes: data to stdout, everything else to stderr. rich honours NO_COLOR.

Names and paths come from files that anybody may have written, so whatever is printed passes through
`drf.text.printable` here: by `cell`, `table`, `title` and `caption`, by `line` and `note`, and in
the log.
"""

from __future__ import annotations

import codecs
import json
import logging
import math
import os
import sys
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from db.file import on_store
from drf.errors import UsageError
from drf.text import UNPRINTABLE, printable

if TYPE_CHECKING:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

_PIPED_WIDTH = 200  # a pipe has no width, and nobody would see what 80 columns cut off

UNRANKED = "–"
"""Stands where a row has no place."""

ERRORS = "drf-substitute"
"""Name of the error handler that writes what an encoding does not have: typographic characters as
ASCII has them, anything else as an escape."""

_SUBSTITUTES = str.maketrans(
    {"—": "-", "–": "-", "−": "-", "…": "...", "·": "|", "×": "x", "±": "+/-", "↓": "v", "↑": "^"}
    | {"“": '"', "”": '"', "‘": "'", "’": "'"}
)


def prepare() -> None:
    """Make stdout, stderr and the log accept any text, whatever the encoding of the terminal."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:  # closed by the caller: `drf leaderboard >&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors=ERRORS)
    handler = logging.StreamHandler()
    handler.setFormatter(_OneLine("%(levelname)s: %(message)s"))
    logging.basicConfig(handlers=[handler], level=logging.WARNING)


def _substitute(error: UnicodeError) -> tuple[str | bytes, int]:
    if not isinstance(error, UnicodeEncodeError):
        raise error
    missing = error.object[error.start : error.end].translate(_SUBSTITUTES)
    return missing.encode("ascii", "backslashreplace").decode("ascii"), error.end


codecs.register_error(ERRORS, _substitute)


class _OneLine(logging.Formatter):
    """Writes each message on one line, without control characters; tracebacks as they are."""

    def formatMessage(self, record: logging.LogRecord) -> str:
        return printable(super().formatMessage(record))


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; numbers keep all their digits. Characters that the
    encoding of stdout lacks, and control characters, are JSON's escapes."""
    unicode = codecs.lookup(_encoding()).name.startswith("utf")
    text = json.dumps(document, indent=2, ensure_ascii=not unicode, allow_nan=False)
    lines = (UNPRINTABLE.sub(lambda c: f"\\u{ord(c[0]):04x}", one) for one in text.split("\n"))
    sys.stdout.write("\n".join(lines) + "\n")


def tables() -> Console:
    """Return a console that writes tables to stdout."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def line(text: object) -> None:
    """Print one line on stdout."""
    print(printable(text))


def note(sentence: object) -> None:
    """Print a sentence on stderr: what happened, or what to do next."""
    print(printable(sentence), file=sys.stderr)


def advise(*commands: str, store: Path) -> None:
    """Print on stderr the commands to type next, one or the other, for the same store."""
    note(f"Next: {', or '.join(on_store(command, store) for command in commands)}")


def confirm(deed: str, yes: bool) -> None:
    """Ask whether to do something, "delete run 3f2a9c1e", unless it was said already. Raises
    UsageError where there is no terminal to ask, and typer.Abort at a no."""
    if yes:
        return
    if not sys.stdin.isatty():
        raise UsageError(f"no terminal to ask whether to {deed}: add --yes")
    import typer

    typer.confirm(printable(f"{deed[:1].upper()}{deed[1:]}?"), abort=True, err=True)


def cell(value: Any, digits: int | None = None) -> Text:
    """Return a table cell: "—" for an unknown value, and text without reading its brackets.

    digits: decimals of a number
    """
    from rich.text import Text

    if value is None or value != value:  # NaN alone differs from itself
        return Text("—", style="dim")
    if digits is not None and math.isfinite(value):
        return Text(f"{value:.{digits}f}")
    return Text(_shown(value))


def _shown(value: object) -> str:
    """Return text as stdout will show it, so that the columns of a table stay in line."""
    encoding = _encoding()
    return printable(value).encode(encoding, ERRORS).decode(encoding)


def _encoding() -> str:
    return getattr(sys.stdout, "encoding", None) or "utf-8"


def title(text: str, sentence: str = "") -> Text:
    """Return the title of a table, without reading its brackets, and a sentence below it."""
    from rich.text import Text

    made = Text(_shown(text), style="table.title")
    return made.append(f"\n{_shown(sentence)}", style="not italic") if sentence else made


def caption(sentences: Iterable[str]) -> Text | None:
    """Return what stands below a table, without reading its brackets: sentences, of which "" is
    left out; None without one."""
    from rich.text import Text

    said = " ".join(filter(None, sentences))
    return Text(_shown(said), style="table.caption") if said else None


def table(
    columns: Iterable[str],
    rows: Iterable[Iterable[Any]] = (),
    named: str | None = None,
    **options: Any,
) -> Table:
    """Return a table with lines between head and body; headings and values become cells.

    named: its title · options: of `rich.table.Table`
    """
    from rich import box
    from rich.table import Table
    from rich.text import Text

    look: dict[str, Any] = {"title_justify": "left", "box": box.HORIZONTALS} | options
    made = Table(title=title(named) if named else None, **look)
    for column in columns:
        made.add_column(cell(column))
    for row in rows:
        made.add_row(*(value if isinstance(value, Text) else cell(value) for value in row))
    return made
