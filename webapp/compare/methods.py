"""What the methods of compared runs are to each other over their seeds: the leaderboard's verdict.

A comparison of two runs is over faces alone. Where their methods have more seeds, the same methods
may compare otherwise, so the page says both.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import pandas as pd

from db.analysis.intervals import n_seeds
from drf.scoring import scores
from webapp.compare.tables import BETTER, WORSE
from webapp.leaderboard import intervals
from webapp.leaderboard.rows import load_rows
from webapp.store import StoreVersion
from webapp.ui.text import signed, signed_ends


@dataclass(frozen=True)
class MethodVerdict:
    """A method against the first run's, as the leaderboard shows it with this baseline.

    sentence  with untrusted names
    name      of the method, with its number of seeds
    difference, low, high   of its NME to the first one's, with the ends of the interval, percent
    baseline  id of the first run's method
    """

    sentence: str
    name: str
    difference: float
    low: float
    high: float
    baseline: str


def verdicts(
    current: StoreVersion, where: dict[str, str], evaluations: Sequence[int], norm: str
) -> list[MethodVerdict]:
    """Return the verdict of every other method than the first run's, where one of the two has
    several seeds.

    where: the board, see `load_rows`; evaluations: of the runs, the first is the reference
    """
    rows = load_rows(current, as_runs=False, at_revision=None, **where)
    of_evaluation = {number: place for place in rows.index for number in rows["evaluations"][place]}
    places = dict.fromkeys(of_evaluation[number] for number in evaluations)
    first, *others = (rows.loc[place] for place in places)
    several = [row.name for row in others if max(n_seeds(row), n_seeds(first)) > 1]
    if not several or pd.isna(first[scores.column(norm, "nme")]):
        return []
    found = intervals.with_intervals(current, rows.loc[several], [norm], first)
    return [
        MethodVerdict(_sentence(row, first, norm), _named(row), *_ends(row, norm), first["id"])
        for _, row in found.iterrows()
        if pd.notna(row[f"{norm}_difference"])
    ]


def _sentence(row: pd.Series, first: pd.Series, norm: str) -> str:
    value, low, high = _ends(row, norm)
    verdict = "no significant difference"
    unsound = [of["condition"] for of in (row, first) if not of["ranked"]]
    if unsound:
        verdict = f"no verdict, {unsound[0]}"
    elif not low <= 0 <= high:
        verdict = f"{BETTER} better" if value < 0 else f"{WORSE} worse"
    return (
        f"{_named(row)} − {_named(first)}: {signed(value)} {signed_ends(low, high)}"
        f" over {row['difference_over']}: {verdict}"
    )


def _ends(row: pd.Series, norm: str) -> tuple[float, float, float]:
    value, low, high = (float(row[f"{norm}_difference{end}"]) for end in ("", "_low", "_high"))
    return value, low, high


def _named(row: pd.Series) -> str:
    n = n_seeds(row)
    return f"{row['name']} ({n} {'seed' if n == 1 else 'seeds'})"
