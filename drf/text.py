"""Numbers as text, the same in the command line, in the app and in tables of the documentation."""

from __future__ import annotations

UNITS = ((1e12, "T"), (1e9, "G"), (1e6, "M"), (1e3, "k"))


def count(value: float) -> str:
    """Return a number >= 0 in three digits: 1234567 -> "1.23 M"."""
    for size, unit in UNITS:
        if value >= 0.9995 * size:  # 999 600 in three digits is 1 M, not 1000 k
            return f"{value / size:.3g} {unit}"
    return f"{value:.3g}"


def percent(value: float) -> str:
    """Return a value in percent with two decimals, as errors are published: "3.41 %"."""
    return f"{value:.2f} %"


def signed(value: float) -> str:
    """Return a difference with its sign and two decimals: "−0.24", with a true minus, or "0.00"."""
    rounded = round(value, 2)
    return f"{rounded:+.2f}".replace("-", "−") if rounded else "0.00"
