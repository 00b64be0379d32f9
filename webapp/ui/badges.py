"""How the status of a run looks: always words and a sign, the colour only helps."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Literal, NamedTuple


class Look(NamedTuple):
    """sign: one character for tables; icon: Material symbol; meaning: one sentence."""

    sign: str
    icon: str
    colour: Literal["green", "orange", "red", "blue"]
    meaning: str


LOOKS: dict[str, Look] = {
    "finished": Look("✓", ":material/check_circle:", "green", "Ran to its end."),
    "running": Look("▶", ":material/play_circle:", "blue", "Heard of within the last minute."),
    "interrupted": Look("■", ":material/pause_circle:", "orange", "Stopped in order, too early."),
    "stale": Look("?", ":material/help:", "orange", "Silent for a minute or longer."),
    "collapsed": Look("↯", ":material/trending_flat:", "red", "Ended: every face got one shape."),
    "failed": Look("✗", ":material/error:", "red", "Ended by an error."),
    "crashed": Look("✗", ":material/dangerous:", "red", "Its process died without a word."),
}


FAULTS = tuple(status for status, look in LOOKS.items() if look.colour == "red")


def fault(statuses: Iterable[str]) -> str | None:
    """Return which state among some is the worst fault, None if none is one."""
    return max(set(FAULTS) & set(statuses), key=FAULTS.index, default=None)


def label(status: str) -> str:
    """Return the words of a table cell: ✓ finished."""
    return f"{LOOKS[status].sign} {status}"
