"""Whether rows of a board were made alike: what they were shown, and what was spent on them.

What decides which rows stand on one board at all is `reads.BOARD`. This says of rows that do
whether something else differs that may explain a difference between them. Board, Compare,
Ablations, exports and command line show these sentences and decide nothing of it themselves.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import pandas as pd

from db import status
from db.tables.derived import datasets_of

MOST_APART = 1.1
"""Largest over least of what was spent, above which rows did not have the same budget."""

COUNTED = ("steps", "faces_seen")
"""Metrics of an epoch that count what was spent so far: a number beside a score, and no curve."""

OTHER_FACES = (
    "The runs were not all evaluated on the same faces: their manifests differ in faces, pictures"
    " or landmarks. Their scores are only roughly comparable."
)

EXTERNAL = (
    "External methods are predictions that were imported: {names}. What they were trained on, which"
    " boxes they were given and what they cost is not known here."
)

ENSEMBLE = (
    "Ensembles are means of the predictions of several runs: {names}. Their parameters, MACs and"
    " minutes are the sums over these runs."
)

LOW, HIGH = "_low", "_high"
"""Ends of the columns in rows that stand for several runs (`db.boards.board`)."""


@dataclass(frozen=True)
class Spent:
    """One measure of the budget.

    key       column of `reads.leaderboard`
    title     of a column of a table
    noun      in a sentence
    meaning   one sentence
    """

    key: str
    title: str
    noun: str
    meaning: str


SPENT = (
    Spent("epochs_trained", "Epochs", "epochs", "Epochs that the run trained, whichever was kept."),
    Spent("steps", "Steps", "optimiser steps", "Optimiser steps of the training."),
    Spent("faces_seen", "Faces seen", "faces seen", "Training faces seen, each time counted."),
)
"""What decides how much was learned. Minutes are beside them (`wall_s`), but how much is learned in
a minute is the machine's affair."""


def budget(rows: pd.DataFrame) -> str | None:
    """Return a sentence where rows did not have the same budget, None where they had.

    rows: of `reads.leaderboard` or `db.boards.board`. Rows without a trained parameter have no
    budget to compare. What is not known of a row is not compared; see `known`.
    """
    trained = _trained(rows)
    apart = [(one.noun, ends) for one in SPENT if (ends := _apart(trained, one.key))]
    minutes = _apart(trained, "wall_s")
    if apart:
        first, *others = [f"{noun} differ: {_span(*ends)}" for noun, ends in apart]
        also = "".join(f", the {other}" for other in others)
        took = f", the minutes: {_minutes(*minutes)}" if minutes else ""
        return f"The {first}{also}{took}; differences may come from the budget."
    if minutes and minutes[1] > 60:
        return (
            f"The minutes of training differ: {_minutes(*minutes)}"
            f"{', at the same number of epochs' if known(rows) else ''}."
        )
    return None


def origin(dataset: object, trained_on: object, started_from: object) -> list[str]:
    """Return what is said behind the name of a run on a board of a dataset: that it learned from
    other data, and that it started from another run; nothing where neither is so. The columns of
    `reads.leaderboard`."""
    said = []
    if isinstance(trained_on, str) and trained_on != dataset:
        said.append(f"trained on {trained_on}")
    if isinstance(started_from, str):
        said.append(f"started from run {started_from[:8]}")
    return said


def starts(rows: pd.DataFrame) -> str | None:
    """Return a sentence where rows did not start alike: some from random weights, some from those
    of another run or from published ones, whose training is not counted in what they spent. None
    where they did."""
    trained = _trained(rows)
    started = zip(trained["started_from"], trained["trained_on"], strict=True)
    origins = [_start(run, learned) for run, learned in started]
    if len(set(origins)) < 2:
        return None
    names = trained["name"] if "name" in trained else trained.index.str[:8]
    said = dict.fromkeys(f"{n} from {o}" for n, o in zip(names, origins, strict=True) if o)
    return (
        f"Not all started from random weights: {', '.join(said)}. What was spent on those weights"
        " is not counted here."
    )


def _start(started_from: object, trained_on: object) -> str | None:
    """Return the weights that a run started from; None for random ones. One that started from no
    other run learned from its own dataset, and from what published weights were learned from: an
    ensemble from those of several members."""
    if isinstance(started_from, str):
        return f"run {started_from[:8]}"
    further = datasets_of(trained_on)[1:] if isinstance(trained_on, str) else []
    return f"weights of {' and '.join(further)}" if further else None


def equal_budget(rows: pd.DataFrame) -> bool:
    """Return whether rows are known to have started alike and had the same epochs, steps and
    faces."""
    trained = _trained(rows)
    return known(rows) and not starts(rows) and not any(_apart(trained, one.key) for one in SPENT)


def known(rows: pd.DataFrame) -> bool:
    """Return whether epochs, steps and faces seen are known of every row that trained."""
    trained = _trained(rows)
    columns = [f"{one.key}{LOW}" if f"{one.key}{LOW}" in rows else one.key for one in SPENT]
    return bool(trained[columns].notna().all(axis=None))


def inputs(rows: pd.DataFrame) -> list[str]:
    """Return a sentence for everything that rows of one board were not shown alike."""
    said = []
    for family, sentence in ((status.EXTERNAL, EXTERNAL), (status.ENSEMBLE, ENSEMBLE)):
        if names := dict.fromkeys(rows.loc[rows["family"] == family, "name"]):
            said.append(sentence.format(names=", ".join(names)))
    if len(_known(rows["manifest_digest"])) > 1:
        said.append(OTHER_FACES)
    if len(set(rows.loc[rows["family"] != status.EXTERNAL, "flip_test"])) > 1:
        said.append(
            "Some of these evaluations use the flip test (average over a picture and its mirror"
            " image) and some do not; a part of the difference comes from it."
        )
    precisions = sorted(_precisions(rows))
    if len(precisions) > 1:
        said.append(f"These evaluations were computed in {' and '.join(precisions)}.")
    if len(_known(rows["crop_version"])) > 1:
        said.append("These faces were cropped by different versions of drf; evaluate again.")
    return said


def remarks(rows: pd.DataFrame) -> list[str]:
    """Return everything that is to be said of a comparison of rows: `inputs`, then `starts` and
    `budget` of those that are ranked. A run that was cut off had less than the others: its word
    says so."""
    ranked = rows[status.ranked(rows)]
    return [*inputs(rows), *filter(None, (starts(ranked), budget(ranked)))]


def spans(rows: pd.DataFrame, key: str) -> list[str]:
    """Return a measure of SPENT as text for each row: 30, or 7 – 35 where its runs differ, or –."""
    low, high = (rows[f"{key}{end}" if f"{key}{end}" in rows else key] for end in (LOW, HIGH))
    return [
        "–" if math.isnan(one) else _span(one, other, " – ")
        for one, other in zip(low, high, strict=True)
    ]


def _precisions(rows: pd.DataFrame) -> set[str]:
    if "eval_precisions" in rows:
        return {one for of_row in rows["eval_precisions"] for one in of_row if one}
    return _known(rows["eval_precision"])


def _known(values: pd.Series) -> set[Any]:
    return {value for value in values.tolist() if not pd.isna(value)}


def _trained(rows: pd.DataFrame) -> pd.DataFrame:
    return rows[rows["params"] > 0]


def _apart(rows: pd.DataFrame, key: str) -> tuple[float, float] | None:
    """Return the ends of a column whose largest value is more than MOST_APART times its least."""
    low = rows[f"{key}{LOW}" if f"{key}{LOW}" in rows else key].min()
    high = rows[f"{key}{HIGH}" if f"{key}{HIGH}" in rows else key].max()
    if math.isnan(low) or high <= low * MOST_APART:
        return None
    return float(low), float(high)


def _span(low: float, high: float, dash: str = " to ") -> str:
    ends = dict.fromkeys(f"{end:.0f}" for end in (low, high))
    return dash.join(ends)


def _minutes(low: float, high: float) -> str:
    return f"{low / 60:.1f} to {high / 60:.1f}"
