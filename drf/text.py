"""Numbers and foreign text as text for people, the same in the command line, the app and tables."""

from __future__ import annotations

import json
import math
import re

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float | None) -> str:
    """Return a number >= 0 in three digits, – where it is not known: 1234567 -> "1.23 M"."""
    if value is None or math.isnan(value):
        return "–"
    for size, unit in UNITS:
        if value >= 0.9995 * size:  # 999 600 in three digits is 1 M, not 1000 k
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def percent(value: float) -> str:
    """Return a value in percent with two decimals, as errors are published: "3.41 %"."""
    return f"{value:.2f} %"


def decimals(value: float | None) -> str:
    """Return a value with two decimals, – where it is not known: "3.41"."""
    return "–" if value is None or math.isnan(value) else f"{value:.2f}"


FLOOR = "floor"
"""Stands in place of a rank for the mean shape, one shape for every face, which takes no place."""


def signed(value: float) -> str:
    """Return a difference with its sign and two decimals, – for NaN: "−0.24", with a true minus. A
    zero has no sign."""
    if math.isnan(value):
        return "–"
    rounded = round(value, 2)
    return f"{rounded:+.2f}".replace("-", "−") if rounded else "0.00"


def signed_ends(low: float, high: float) -> str:
    """Return the ends of the interval of a difference: "[−0.31, −0.17]"."""
    return f"[{signed(low)}, {signed(high)}]"


def as_written(value: object) -> str:
    """Return a value of a configuration as a user would write it, – for None."""
    if value is None:
        return "–"
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)


def json_as_written(stored: str | None) -> str:
    """Return a value that is stored as JSON text as a user would write it, – for a key that a run
    does not have."""
    if stored is None:
        return "–"
    value = json.loads(stored)
    return value if isinstance(value, str) else stored


def duration(seconds: float | None) -> str:
    """Return a duration in its two largest units: 9 min 58 s."""
    if seconds is None or not math.isfinite(seconds):
        return "–"
    if seconds < 10:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    for size, unit, rest, small in ((86400, "d", 3600, "h"), (3600, "h", 60, "min")):
        if whole >= size:
            return f"{whole // size} {unit} {whole % size // rest} {small}"
    return f"{whole // 60} min {whole % 60} s" if whole >= 60 else f"{whole} s"


UNPRINTABLE = re.compile(
    "[\x00-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]"
)
"""Characters that steer a terminal or a line (ESC, line breaks, directions of writing), and halves
of characters, which no encoding contains: Python's stand-ins for bytes that are not UTF-8."""


def printable(text: object) -> str:
    """Return text on one line that a terminal shows and does not obey: UNPRINTABLE characters as
    escapes, "\\x1b", "\\n", "\\u202e"; bytes of a name that are not UTF-8 as "\\xe9"."""
    return UNPRINTABLE.sub(lambda found: _escaped(ord(found[0])), str(text))


def no_formula(value: object) -> object:
    """Return a value of a CSV file for people such that no spreadsheet runs it: a text that begins
    as a formula does, =HYPERLINK(...), gets a quote before it. Names in files that drf reads again
    (box files, predictions) do not pass through it: they must be those of the faces."""
    risky = isinstance(value, str) and value.startswith(_FORMULA)
    return f"'{value}" if risky else value


_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def is_utf8(text: str) -> bool:
    """Return whether text, as the system gave it, is UTF-8 and so can be stored."""
    return text.isascii() or not any("\ud800" <= character <= "\udfff" for character in text)


def _escaped(code: int) -> str:
    byte = code - 0xDC00 if 0xDC80 <= code <= 0xDCFF else code
    return chr(byte).encode("unicode_escape").decode("ascii")


def latex_escaped(text: str) -> str:
    """Return text that LaTeX sets as it is, on one line; arrows, signs and Greek in mathematics.
    What pdfLaTeX has no letter for is a question mark."""
    line = _SPECIAL.sub(lambda found: _LATEX[found[0]], " ".join(text.split()))
    return _UNKNOWN.sub("?", line)


_LATEX = {
    **{character: f"\\{character}" for character in "&%$#_{}"},
    **{"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"},
    **{"<": r"\textless{}", ">": r"\textgreater{}", "|": r"\textbar{}", '"': r"\textquotedbl{}"},
    **{"↓": r"$\downarrow$", "↑": r"$\uparrow$", "Δ": r"$\Delta$", "±": r"$\pm$", "−": "$-$"},
    **{"–": "--", "✱": "$^*$", "·": r"$\cdot$", "↳": r"\quad{}"},
    **{"✓": "", "▶": "", "■": "", "?": "?", "↯": r"$\dagger$", "✗": ""},
}
_SPECIAL = re.compile("|".join(re.escape(character) for character in _LATEX))
_UNKNOWN = re.compile(r"[^\x20-\x7e\u00c0-\u00ff]")
