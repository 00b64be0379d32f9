"""Where output goes: data on stdout, everything else on stderr. NO_COLOR is honoured by rich."""

from __future__ import annotations

import json
import math
import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import Console
    from rich.text import Text

_PIPED_WIDTH = 200  # a pipe has no width; 80 columns would cut tables that nobody sees cut


def print_json(document: Any) -> None:
    """Print one JSON document on stdout; percent and fractions with all their digits."""
    sys.stdout.write(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def tables() -> Console:
    """Return a console on stdout for tables."""
    from rich.console import Console

    console = Console(highlight=False)
    return console if console.is_terminal else Console(highlight=False, width=_PIPED_WIDTH)


def note(sentence: str) -> None:
    """Say something on stderr that is not data."""
    print(sentence, file=sys.stderr)


def cell(value: Any, digits: int | None = None) -> Text:
    """Return a table cell: — for what is not known; text as it is, brackets and all.

    digits  decimals of a number
    """
    from rich.text import Text

    if value is None or value != value:  # NaN alone differs from itself
        return Text("—", style="dim")
    if digits is not None and math.isfinite(value):
        return Text(f"{value:.{digits}f}")
    return Text(str(value))


def count(value: float) -> str:
    """Return a count in three digits: 1234567 -> 1.23M."""
    for factor, unit in ((1e9, "G"), (1e6, "M"), (1e3, "k")):
        if abs(value) >= factor:
            return f"{value / factor:.3g}{unit}"
    return f"{value:.3g}"
