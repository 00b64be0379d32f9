"""The verdict of a board, one sentence to quote: which method is best, by how much, how sure.

Errors and differences are in percent and percentage points, as tables print them.
"""

from __future__ import annotations

from dataclasses import dataclass

from drf.text import percent, signed

NOTHING_RANKED = (
    "Nothing is ranked on this board yet: no run is finished and better than one shape for every"
    " face."
)


@dataclass(frozen=True)
class Entrant:
    """A method in a verdict: name, NME in percent, and how many seeds that is the mean of."""

    name: str
    nme: float
    seeds: int


@dataclass(frozen=True)
class Gap:
    """NME(best) - NME(other) with the ends of its 95 % interval, over so many paired faces."""

    estimate: float
    low: float
    high: float
    faces: int

    @property
    def excludes_0(self) -> bool:
        return not self.low <= 0 <= self.high


def sentence(
    best: Entrant | None,
    other: Entrant | None,
    gap: Gap | None,
    *,
    norm: str,
    faces: int,
    chosen: bool = False,
) -> str:
    """Return the verdict.

    best     the ranked method with the lowest NME, None where nothing is ranked
    other    what it is compared with: the next one, or a baseline that was chosen
    gap      None where the two share no face
    norm     title of the normaliser
    faces    that the best was evaluated on
    chosen   whether `other` is not the next one, so that nothing is said of the rows between
    """
    if best is None:
        return NOTHING_RANKED
    measure = f"{norm.lower()} NME"
    if other is None:
        return (
            f"{best.name} is the only ranked method: {percent(best.nme)} ({measure} over {faces}"
            f" faces), {_seeds(best.seeds)}."
        )
    if gap is None:
        return (
            f"{best.name} has the lowest error, {percent(best.nme)} ({measure}), but shares no face"
            f" with {other.name} ({percent(other.nme)}), so the two are not compared."
        )
    how = f"({measure}, paired over {gap.faces} faces), {_both(best.seeds, other.seeds)}"
    if gap.excludes_0 and gap.estimate < 0:
        verb = "leads" if chosen else "is best"
        return (
            f"{best.name} {verb}: {percent(best.nme)}, {-gap.estimate:.2f} below {other.name}"
            f" [{_end(-gap.high)}, {_end(-gap.low)}] {how}."
        )
    return (
        f"{best.name} and {other.name} cannot be told apart: {percent(best.nme)} and"
        f" {percent(other.nme)}, difference {signed(gap.estimate)}"
        f" [{signed(gap.low)}, {signed(gap.high)}] {how}."
    )


def _end(value: float) -> str:
    """Return an end of an interval of a distance "below": no sign where it is positive."""
    return signed(value).removeprefix("+")


def _seeds(n: int) -> str:
    return f"{n} {'seed' if n == 1 else 'seeds'}"


def _both(one: int, other: int) -> str:
    return f"{_seeds(one)} each" if one == other else f"{_seeds(one)} against {other}"
