"""What a link calls runs and methods by: the beginning of an id, or a name, whatever its case."""

from __future__ import annotations

from collections.abc import Mapping


def matching(wanted: str, names: Mapping[str, str]) -> list[str]:
    """Return the ids that a link means, in their order. names: id -> name"""
    text = wanted.strip().casefold()
    if not text:
        return []
    return [one for one, name in names.items() if one.startswith(text) or name.casefold() == text]
