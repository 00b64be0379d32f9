"""Text for people: names shown as they are, numbers with units.

Streamlit reads most strings as Markdown. What comes from the store (names, tags, configuration) was
written by anybody, so it passes through `plain` wherever Markdown is understood; `st.dataframe`,
`st.code`, options of a selectbox and alt texts take it as it is.
"""

from __future__ import annotations

import html
import json
import re
from datetime import UTC, datetime

import pandas as pd

from drf.text import duration as duration

_PUNCTUATION = re.compile(r"([!-/:-@\[-`{-~])")
# Backslashes do not stop bare addresses from becoming links, nor "->" from becoming an arrow; an
# invisible, zero-width word joiner inside them does.
_JOINED = re.compile(r"(?i)(?<=:)(?=//)|(?<=www)(?=\.)|(?<=@)|(?<=[<>=~-])(?=[<>=~-])")


def plain(text: object) -> str:
    """Return Markdown that shows the text as it is: no links, no markup, on one line."""
    joined = _JOINED.sub("\u2060", " ".join(str(text).split()))
    return _PUNCTUATION.sub(r"\\\1", joined)


def in_chart(text: object, length: int = 40) -> str:
    """Return text for Plotly that it shows as it is, on one line, at most so many characters.

    Plotly reads a little HTML in titles, legends and hovers; escaped, none of it is left.
    """
    line = " ".join(str(text).split())
    return html.escape(line if len(line) <= length else f"{line[: length - 1]}…", quote=False)


def percent(value: float) -> str:
    """Return a value in percent with two decimals, as NMEs are published: 3.41 %."""
    return f"{value:.2f} %"


def decimals(value: float) -> str:
    """Return a value with two decimals, – for NaN: 3.41."""
    return "–" if value != value else f"{value:.2f}"


def signed(value: float) -> str:
    """Return a difference with two decimals, its sign and a true minus, – for NaN: −0.24. A zero
    has no sign."""
    if value != value:
        return "–"
    rounded = round(value, 2) + 0.0  # no minus before a zero
    return f"{rounded:+.2f}".replace("-", "−") if rounded else "0.00"


def underlined(value: float) -> str:
    """Return `decimals` with a line below it, for cells of `st.dataframe`, whose canvas has no
    underline. U+035F is a line below two characters; the app's font has it."""
    return "\u035f".join(decimals(value))


def as_written(value: object) -> str:
    """Return a value of a configuration as a user would write it, – for None."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def count(value: float | None) -> str:
    """Return a large number in three digits: 1.23 M; – where it is not known."""
    if value is None or pd.isna(value):
        return "–"
    for size, unit in ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:.3g} {unit}"
    return f"{value:.0f}"


def format_time(stored: str) -> str:
    """Return a stored time (ISO 8601) to the minute: 2026-11-23 18:50 UTC."""
    return datetime.fromisoformat(stored).astimezone(UTC).strftime("%Y-%m-%d %H:%M UTC")


def no_formula(value: object) -> object:
    """Stop a spreadsheet from running a name such as =HYPERLINK(...): a quote makes it text."""
    risky = isinstance(value, str) and value.startswith(("=", "+", "-", "@"))
    return f"'{value}" if risky else value
