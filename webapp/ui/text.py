"""Text for people: names shown as they are, numbers with units.

Streamlit reads most strings as Markdown. What comes from the store (names, tags, configuration) was
written by anybody, so it passes through `plain` wherever Markdown is understood; `st.dataframe`,
`st.code`, options of a selectbox and alt texts take it as it is.
"""

from __future__ import annotations

import html
import re
from datetime import UTC, datetime

from drf.text import as_written as as_written
from drf.text import count as count
from drf.text import decimals as decimals
from drf.text import duration as duration
from drf.text import no_formula as no_formula
from drf.text import percent as percent
from drf.text import signed as signed
from drf.text import signed_ends as signed_ends

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# Backslashes do not stop bare addresses from becoming links, nor "->" from becoming an arrow; an
# invisible, zero-width word joiner inside them does.
_JOINED = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)|(?<=[<>=~-])(?=[<>=~-])")


def plain(text: object) -> str:
    """Return Markdown that shows the text as it is: no links, no markup, on one line."""
    joined = _JOINED.sub("\u2060", " ".join(str(text).split()))
    return _PUNCTUATION.sub(r"\\\1", joined)


def readable(region: str) -> str:
    """Return the name of a region or group of landmarks as people read it: right brow."""
    return region.replace("_", " ")


def in_chart(text: object, length: int = 40) -> str:
    """Return text for Plotly that it shows as it is, on one line, at most so many characters. A
    longer one loses its middle: names of a sweep's runs, and what is added to names, differ at the
    end.

    Plotly reads a little HTML in titles, legends and hovers; escaped, none of it is left.
    """
    line = " ".join(str(text).split())
    if len(line) > length:
        line = f"{line[: (length - 1) // 2]}…{line[-(length // 2) :]}"
    return html.escape(line, quote=False)


def underlined(value: float) -> str:
    """Return `decimals` with a line below it, for cells of `st.dataframe`, whose canvas has no
    underline. U+035F is a line below two characters; the app's font has it."""
    return "\u035f".join(decimals(value))


def format_time(stored: str) -> str:
    """Return a stored time (ISO 8601) to the minute: 2026-11-23 18:50 UTC."""
    return datetime.fromisoformat(stored).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")
