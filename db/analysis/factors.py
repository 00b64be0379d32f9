"""Groups the runs of a board into settings that differ in one or two configuration keys.

A setting is shared by the runs that differ only in their seed. A key is a factor of a baseline
if some setting differs from it in that key alone.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from db import status
from db.analysis.configs import COMPARED
from db.tables.board_rows import SEED
from drf.text import json_as_written

FACES, FLIP = "evaluated faces", "flip test"
_NO_FACTORS = {*COMPARED, FACES, FLIP}
# A collapse is what came of the setting; a crash is not.
_RESULTS = (status.FINISHED, status.WORSE_THAN_FLOOR, *status.FAULTS)
_MOST_SHOWN = 6


@dataclass(frozen=True)
class Settings:
    """The differences between the evaluated runs of one board.

    table     a setting a row (index 0, 1, …), a column for everything that varies between them:
              configuration keys, `db.analysis.configs.COMPARED`, FACES, FLIP; JSON text, None for
              what is not there
    runs      rows of `reads.leaderboard` with `setting`
    left_out  rows that are not the result of a setting, with `reason`
    """

    table: pd.DataFrame
    runs: pd.DataFrame
    left_out: pd.DataFrame

    @property
    def keys(self) -> list[str]:
        """The configuration keys that vary."""
        return [key for key in self.table if key not in _NO_FACTORS]

    def differing(self, base: int) -> pd.DataFrame:
        """Return which values of which setting are not those of `base`, the shape of `table`."""
        mine = self.table.loc[base]
        return (self.table != mine) & ~(self.table.isna() & mine.isna())

    def runs_of(self, settings: Collection[int]) -> pd.DataFrame:
        """Return the runs of some settings."""
        return self.runs[self.runs["setting"].isin(list(settings))]


def compare(rows: pd.DataFrame, settings: pd.DataFrame) -> Settings:
    """Group the runs of a board into settings.

    rows      columns of `reads.leaderboard`
    settings  `db.analysis.configs.settings` of these runs
    """
    rows = rows.sort_values("evaluation", ascending=False)
    untrained = rows["run"].map(_without_model(settings))
    ended = rows["condition"].isin(_RESULTS) & untrained.isna()
    reason = rows["condition"].mask(untrained.notna(), untrained)
    known = settings.reindex(rows["run"]).drop(columns=SEED, errors="ignore")
    known[FACES] = [json.dumps(str(digest)[:8]) for digest in rows["manifest_digest"]]
    known[FLIP] = [json.dumps(bool(flip)) for flip in rows["flip_test"]]
    made = [tuple(row) for row in known.where(known.notna(), None).to_numpy()]
    rows = rows.assign(made=made)
    kept = rows[ended]
    distinct = list(dict.fromkeys(kept["made"]))
    numbers = {setting: number for number, setting in enumerate(distinct)}
    table = pd.DataFrame(distinct, columns=known.columns, dtype=object)
    varying = [key for key in table if len(set(table[key])) > 1]
    return Settings(
        table=table[varying],
        runs=kept.assign(setting=kept["made"].map(numbers)).drop(columns="made"),
        left_out=rows.assign(reason=reason)[~ended].drop(columns="made"),
    )


def _without_model(settings: pd.DataFrame) -> dict[str, str]:
    """Return run -> family of those runs (rows of `db.analysis.configs.settings`) that drf did not
    train."""
    if "family" not in settings:
        return {}
    families = {json.dumps(family): family for family in status.WITHOUT_MODEL}
    known = zip(settings.index, settings["family"], strict=True)
    return {run: families[family] for run, family in known if family in families}


def natural_baseline(settings: Settings) -> int:
    """Return the setting from which most others differ in exactly one key.

    One without a run that is finished and sound is taken only where there is no other. Ties are
    broken by the number of runs, then by age, newest first. Raises ValueError without a setting.
    """
    codes = np.stack(
        [pd.factorize(settings.table[key], use_na_sentinel=False)[0] for key in settings.table]
        or [np.zeros(len(settings.table), dtype=int)],
        axis=1,
    )
    may = np.array([key not in _NO_FACTORS for key in settings.table] or [False])
    runs = settings.runs["setting"].value_counts()
    sound = set(settings.runs.loc[status.ranked(settings.runs), "setting"])

    def rank(base: int) -> tuple[bool, int, int, int]:
        differ = codes != codes[base]
        near = (differ.sum(axis=1) == 1) & (differ @ may)
        return base in sound, int(near.sum()), int(runs[base]), -base

    return max(range(len(codes)), key=rank)


def factors(settings: Settings, base: int, given: str | None = None) -> list[str]:
    """Return the keys that can be a factor, those with most values first.

    given: another factor, whose value is then free as well. A key is offered if at least one
    setting differs from the baseline in it and, but for `given`, in nothing else.
    """
    differ = settings.differing(base)
    free = [given] if given in differ else []
    many = differ.drop(columns=free).sum(axis=1)
    values = {
        key: settings.table.loc[differ[key] & (many == 1), key].nunique(dropna=False)
        for key in settings.keys
        if key != given
    }
    return sorted((key for key in values if values[key]), key=lambda key: (-values[key], key))


def chosen(settings: Settings, base: int, keys: Sequence[str]) -> list[int]:
    """Return the settings that differ from the baseline in these keys at most, itself too."""
    others = settings.differing(base).drop(columns=list(keys))
    return [int(number) for number in others.index[~others.any(axis=1)]]


def left_out(settings: Settings, base: int, keys: Sequence[str]) -> pd.DataFrame:
    """Return (name, run, why) of every run of the board that is not compared, most similar first.

    why: the differences, as "baseline's value → run's value"; for another model family only the
    keys that both have.
    """
    rows = settings.table.to_dict("index")
    said = {number: _differences(rows[base], row, keys) for number, row in rows.items()}
    runs = settings.runs.assign(
        why=[_listed(said[number]) for number in settings.runs["setting"]],
        odd=[len(said[number]) for number in settings.runs["setting"]],
    )
    unfit = settings.left_out.rename(columns={"reason": "why"}).assign(
        odd=len(settings.table.columns) + 1
    )
    frame = pd.concat([runs[runs["odd"] > 0], unfit]).sort_values(["odd", "name", "run"])
    return frame[["name", "run", "why"]].reset_index(drop=True)


def _differences(
    mine: dict[Any, str | None], theirs: dict[Any, str | None], keys: Sequence[str]
) -> list[str]:
    """Return what differs but for `keys`, each as "key: mine → theirs"."""
    other_family = mine.get("family") != theirs.get("family")
    return [
        f"{key}: {json_as_written(value)} → {json_as_written(theirs[key])}"
        for key, value in mine.items()
        if key not in keys
        and value != theirs[key]
        and not (other_family and (value is None or theirs[key] is None))
    ]


def _listed(said: list[str]) -> str:
    more = len(said) - _MOST_SHOWN
    return "; ".join(said[:_MOST_SHOWN]) + (f"; and {more} more" if more > 0 else "")


def is_number(value: str | None) -> bool:
    """Whether a stored value (JSON text) is a number; true and false are none."""
    held = None if value is None else json.loads(value)
    return isinstance(held, int | float) and not isinstance(held, bool)


def in_order(values: Collection[str | None]) -> list[str | None]:
    """Return values (JSON text) once each: numbers as they grow, then text, then None."""

    def rank(value: str | None) -> tuple[int, float, str]:
        if value is None:
            return 2, 0.0, ""
        return (0, float(value), "") if is_number(value) else (1, 0.0, value)

    return sorted(set(values), key=rank)
