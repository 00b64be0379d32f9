"""Tables of runs side by side: scores with paired intervals, cost, and configurations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from pandas.io.formats.style import Styler

from db.analysis import comparability
from db.recording import latencies
from drf.scoring import scores, statistics
from drf.scoring.scores import Score
from drf.scoring.statistics import Interval
from drf.text import json_as_written
from webapp.ui import theme
from webapp.ui.text import count, duration, signed, signed_ends

BETTER, WORSE = "✓", "✗"
IMPROVED = "Faces improved"
VALIDATION, TRAINING = "Validation NME", "Training loss"


@dataclass(frozen=True)
class Comparison:
    """Scores of one run, and how they differ from the first one's.

    scores       by key of `drf.scoring.scores.SCORES`, as fractions
    differences  of those that are means over faces, this run's minus the first one's; None for the
                 first run
    improved     share of the faces with a smaller error than the first run's; None for it
    sound        whether both runs are finished and sound: else no difference is a verdict
    """

    scores: dict[str, float]
    differences: dict[str, Interval] | None = None
    improved: float | None = None
    sound: bool = True


def compare(errors: np.ndarray, sound: Sequence[bool] | None = None) -> list[Comparison]:
    """Compare runs with the first one on the faces that they share. (r, n) fractions -> r.

    sound: which of the runs are finished and sound, None for all.

    Intervals are at 95 %, by a paired bootstrap over faces: of these runs, not of other seeds. A
    score that is no mean over faces has none.
    """
    means = [score for score in scores.SCORES if score.faces is not None]
    values = np.stack([score.faces(errors) for score in means if score.faces])  # (s, r, n)
    apart = values[:, 1:] - values[:, :1]
    intervals = statistics.mean_intervals(apart.reshape(-1, errors.shape[1]))
    by_key = np.array(intervals, dtype=object).reshape(len(means), -1)
    found = [Comparison(scores.summary(errors[0]))]
    for run in range(1, len(errors)):
        of_run = dict(zip((score.key for score in means), by_key[:, run - 1], strict=True))
        improved = statistics.share_improved(errors[run], errors[0])
        both = sound is None or (sound[0] and sound[run])
        found.append(Comparison(scores.summary(errors[run]), of_run, improved, both))
    return found


def verdict(score: Score, difference: Interval) -> str:
    """Return BETTER or WORSE where the interval excludes 0, else nothing."""
    if not difference.excludes(0):
        return ""
    return BETTER if (difference.estimate < 0) == (score.better == "lower") else WORSE


def sentences(found: Sequence[Comparison], labels: Sequence[str]) -> list[str]:
    """Return what every other run's NME is to the first one's, a line each; untrusted names."""
    nme = scores.score("nme")
    lines = []
    for label, one in zip(labels[1:], found[1:], strict=True):
        gap = one.differences["nme"] if one.differences else None
        if gap is None:
            continue
        apart = f"{signed(100 * gap.estimate)} {signed_ends(100 * gap.low, 100 * gap.high)}"
        mark = verdict(nme, gap)
        words = {BETTER: f"{BETTER} better", WORSE: f"{WORSE} worse"}
        said = words.get(mark, "no significant difference") if one.sound else "no verdict"
        lines.append(f"{label} {100 * one.scores['nme']:.2f} %: {apart}, {said}")
    return lines


def score_table(found: Sequence[Comparison], labels: Sequence[str]) -> pd.DataFrame:
    """Return one row per score and one column per run: value, difference and interval in %."""
    columns = {}
    for label, one in zip(labels, found, strict=True):
        cells = [_cell(score, one) for score in scores.SCORES]
        improved = "baseline" if one.improved is None else f"{100 * one.improved:.1f} %"
        columns[label] = [*cells, improved]
    return pd.DataFrame(columns, index=[*(score.heading for score in scores.SCORES), IMPROVED])


def _cell(score: Score, one: Comparison) -> str:
    value = f"{100 * one.scores[score.key]:.2f}"
    if one.differences is None or score.key not in one.differences:
        return value
    difference = one.differences[score.key]
    ends = signed_ends(100 * difference.low, 100 * difference.high)
    said = f"{value}  ({signed(100 * difference.estimate)}  {ends})"
    return f"{said} {verdict(score, difference) if one.sound else ''}".rstrip()


def styled(table: pd.DataFrame) -> Styler:
    """Return the table with better and worse cells in colour."""
    colours = {BETTER: theme.GREEN, WORSE: theme.VERMILLION}
    return table.style.map(
        lambda cell: f"color: {colours[cell[-1]]}" if str(cell)[-1:] in colours else ""
    )


def cost_table(rows: pd.DataFrame, labels: Sequence[str]) -> pd.DataFrame:
    """Return family, size and cost of runs, a column each. rows: of `selection.entries`."""
    shown = {
        "Family": rows["family"],
        "Preset": rows["preset"].fillna("–"),
        "Parameters": rows["params"].astype("float64").map(count),
        "MACs": rows["macs"].astype("float64").map(count),
        "Milliseconds": [_latency(row) for row in rows[[*latencies.COLUMNS]].to_dict("records")],
        "Training time": rows["wall_s"].map(duration),
        **{one.title: comparability.spans(rows, one.key) for one in comparability.SPENT},
        "Hardware": rows["hardware"].fillna("–"),
        "Seed": rows["seed"].map(str),
        "Flip test": rows["flip_test"].map({True: "yes", False: "no"}),
    }
    return pd.DataFrame(shown, index=rows.index).set_axis(list(labels)).T


def _latency(row: Mapping[Any, Any]) -> str:
    """Return the milliseconds for one face with the hardware they were measured on, if any."""
    if pd.isna(row["latency_ms"]):
        on = row["latency_on"]
        return f"on {on} alone" if isinstance(on, str) else "–"
    return f"{row['latency_ms']:.2f} on {row['latency_on']}"


def curves_on_offer(frames: Sequence[pd.DataFrame], norm: str) -> dict[str, str]:
    """Return title -> metric of what runs recorded: VALIDATION (under the page's norm if it was
    recorded), TRAINING, then the others under their own names, those of most runs first.

    frames: (epoch, metric, value) of each run.
    """
    held = pd.concat([frame["metric"].drop_duplicates() for frame in frames]).value_counts()
    held = held.drop(labels=[*comparability.COUNTED], errors="ignore")
    ordered = sorted(held.index, key=lambda name: (name != "loss", -held[name], name))
    measured = [name for name in ordered if name.startswith("val_nme")]
    measured.sort(key=lambda name: name != f"val_nme_{norm}")
    validation = {VALIDATION: measured[0]} if measured else {}
    return validation | {TRAINING if name == "loss" else name: name for name in ordered}


def settings_tables(
    settings: pd.DataFrame, labels: Sequence[str], *, everything: bool
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return settings (rows) of runs (columns): those of all their families, and those that belong
    to some of the families alone; of both what differs, or all.

    settings: a row per run, cells are JSON text or None where a run has no such key. A key that the
    runs of another family lack says no more than that the families differ.
    """
    shown = settings.map(json_as_written).set_axis(list(labels)).T
    differing = np.array([len(set(settings[key])) > 1 for key in settings], dtype=bool)
    kept = differing | everything
    alone = np.array([_of_families_alone(settings, key) for key in settings], dtype=bool)
    return shown[kept & ~alone], shown[kept & alone]


def _of_families_alone(settings: pd.DataFrame, key: str) -> bool:
    """Return whether some families have a key in all their runs, and the others in none."""
    if "family" not in settings:
        return False
    has = settings[key].notna()
    families = [set(of) for _, of in has.groupby(settings["family"].fillna(""))]
    return all(len(of) == 1 for of in families) and len(set().union(*families)) == 2
