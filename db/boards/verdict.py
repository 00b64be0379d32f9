"""The verdict of a board (`drf.scoring.verdict`) from its rows: the same on every page, in every
file."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from math import isnan
from typing import Any

import pandas as pd

from db.analysis import comparability
from db.analysis.intervals import n_seeds
from drf.scoring import scores
from drf.scoring.verdict import Entrant, Gap, sentence

Compare = Callable[[pd.DataFrame, Sequence[str], pd.Series], pd.DataFrame]
"""Rows, normalisers and a baseline -> `db.analysis.intervals.with_intervals` of them."""


@dataclass(frozen=True)
class Verdict:
    """sentence: to quote; caveats: what else differs between the two that are compared, see
    `comparability.remarks`; best, other: their rows, None where there is none; gap: between them.
    """

    sentence: str
    caveats: tuple[str, ...]
    norm: str
    best: pd.Series | None = None
    other: pd.Series | None = None
    gap: Gap | None = None

    @property
    def text(self) -> str:
        """The sentence and its caveats."""
        return " ".join([self.sentence, *self.caveats])

    def record(self) -> dict[str, Any]:
        """Return it as JSON; differences are in percentage points, best - compared_with."""
        return {
            "sentence": self.sentence,
            "caveats": list(self.caveats),
            "ranked_by": scores.column(self.norm, "nme"),
            "best": _named(self.best),
            "compared_with": _named(self.other),
            "difference": self.gap
            and {**asdict(self.gap), "level": 0.95, "excludes_0": self.gap.excludes_0},
        }


def of_board(
    rows: pd.DataFrame, norm: str, compare: Compare, baseline: pd.Series | None = None
) -> Verdict:
    """Return the verdict of one board under a normaliser.

    rows: of `db.boards.board.by_method`, all of the board; baseline: one of them that was chosen.
    The best is compared with it, or with `second` where none was chosen, or one that has no rank.
    """
    ordered = _in_order(rows, norm)
    title = scores.normaliser(norm).title
    if not ordered:
        return Verdict(sentence(None, None, None, norm=title, faces=0), (), norm)
    best, following = rows.iloc[ordered[0]], second(rows, norm)
    other = following
    if baseline is not None and baseline["ranked"] and baseline["id"] != best["id"]:
        other = baseline
    gap = None if other is None else _gap(rows.loc[[best.name]], other, norm, compare)
    said = sentence(
        _entrant(best, norm),
        None if other is None else _entrant(other, norm),
        gap,
        norm=title,
        faces=int(best["n"]),
        chosen=other is not None and following is not None and other["id"] != following["id"],
    )
    pair = rows.loc[[best.name] if other is None else [best.name, other.name]]
    return Verdict(said, tuple(comparability.remarks(pair)), norm, best, other, gap)


def second(rows: pd.DataFrame, norm: str) -> pd.Series | None:
    """Return the best row of another method (or run) than the best one: the baseline of a board
    where none was chosen. A method with and without the flip test has two rows, which say nothing
    of each other's rank."""
    ordered = [rows.iloc[place] for place in _in_order(rows, norm)]
    return next((row for row in ordered[1:] if row["id"] != ordered[0]["id"]), None)


def _in_order(rows: pd.DataFrame, norm: str) -> list[int]:
    """Return the positions of the rows that have a rank under a normaliser, the best first."""
    nme = scores.column(norm, "nme")
    facts = zip(rows[nme], rows["id"], range(len(rows)), rows["ranked"], strict=True)
    return [place for _, _, place, _ in sorted(of for of in facts if of[3] and not isnan(of[0]))]


def _gap(best: pd.DataFrame, other: pd.Series, norm: str, compare: Compare) -> Gap | None:
    row = compare(best, [norm], other).iloc[0]
    estimate, low, high = (float(row[f"{norm}_difference{end}"]) for end in ("", "_low", "_high"))
    return None if pd.isna(estimate) else Gap(estimate, low, high, int(row[f"{norm}_faces"]))


def _entrant(row: pd.Series, norm: str) -> Entrant:
    return Entrant(str(row["name"]), float(row[scores.column(norm, "nme")]), n_seeds(row))


def _named(row: pd.Series | None) -> dict[str, Any] | None:
    return None if row is None else {"name": row["name"], "runs": list(row["runs"])}
