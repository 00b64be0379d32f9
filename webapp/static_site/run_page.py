"""The variables of an exported run page: scores, charts, faces, configuration, provenance."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from db import next_step, predictions, reads
from db.analysis import ellipses as stored_ellipses
from db.boards.entries import records
from db.recording import latencies, words
from drf.files import PATH
from drf.landmarks.markup import Markup
from drf.scoring import scores
from drf.scoring.scores import Normaliser
from webapp.faces import ellipses
from webapp.run import diagnostics, facts
from webapp.scores import board_label, known_norms
from webapp.static_site import face_svg
from webapp.static_site.face_svg import FacePaths
from webapp.ui import badges, charts
from webapp.ui.charts import Chart
from webapp.ui.text import as_written


@dataclass(frozen=True)
class Crop:
    """A picture of the folder. address: from a run page; to_picture: (2, 3), crop px to picture
    px; side_px: of the square."""

    address: str
    to_picture: np.ndarray
    side_px: int


KeepCrop = Callable[[int], Crop | None]
"""Face id -> its picture in the folder, None where the store has none."""


@dataclass(frozen=True)
class Face:
    """A face of the gallery. error: percent, by the key of its normaliser, None where that does not
    exist for the face; picture: address, None without one."""

    name: str
    error: dict[str, float | None]
    picture: str | None
    shape: FacePaths | None


@dataclass(frozen=True)
class Results:
    """One evaluation: its row of `reads.evaluations`, its throughput as text, charts by the key of
    their normaliser, and the faces that are worst and best under the first normaliser that it has.
    """

    label: str
    row: dict[Hashable, Any]
    throughput: str
    charts: dict[str, list[Chart]]
    first: Normaliser
    worst: list[Face]
    best: list[Face]


def page_variables(
    con: sqlite3.Connection,
    run_id: str,
    evaluations: pd.DataFrame,
    *,
    main: str,
    faces: int,
    keep_crop: KeepCrop,
) -> dict[str, Any]:
    """Return the variables of the template `run.html`.

    con: a reader; keep_crop: puts the picture of a face into the folder
    evaluations: those of the run that are shown, as `reads.evaluations`
    main: label of the board that comes first, with faces; else the newest evaluation does
    faces: how many of the worst, and of the best
    """
    run, frame = reads.run(con, run_id), reads.curves(con, run_id)
    kept = None if run["kept_epoch"] is None else int(run["kept_epoch"])
    newest = evaluations.drop_duplicates([*reads.BOARD, "flip_test"])
    preset = facts.preset(run["preset"])
    rows = [(board_label(row), row) for row in records(newest)]
    rows.sort(key=lambda labelled: labelled[0] != main)
    norms = known_norms(evaluations)
    return {
        "norms": [scores.normaliser(key) for key in norms.values()],
        "run": run,
        "look": badges.STATUS_STYLES[run["condition"]],
        "facts": facts.summary(run, latencies.of_runs(con, run_id).get(run_id, ())),
        "words": words.of_run(con, run_id),
        "preset": preset,
        "card": facts.card(preset, run["params"], run["macs"]) if preset else [],
        "throughput_title": facts.THROUGHPUT,
        "results": [
            _results(con, label, row, 0 if number else faces, keep_crop)
            for number, (label, row) in enumerate(rows)
        ],
        "curves": [
            *charts.curves(diagnostics.other_curves(frame), kept),
            *_readings(frame, kept),
        ],
        "command": next_step.repeat(run),
        "path": PATH,
        "config": [(key, as_written(value), source) for key, value, source in run["config"]],
        "provenance": facts.provenance(run),
        "diff": run["provenance"].get(facts.DIFF),
        "training_data": facts.training_data(run),
    }


def _readings(frame: pd.DataFrame, kept: int | None) -> list[Chart]:
    if diagnostics.of_forest(frame):
        return diagnostics.charts(frame, kept)
    return diagnostics.std_ratio(frame, kept)


def _results(
    con: sqlite3.Connection, label: str, row: dict[Hashable, Any], faces: int, keep_crop: KeepCrop
) -> Results:
    errors = predictions.image_errors(con, row["evaluation"])
    known = {norm: errors[norm].dropna().to_numpy() for norm in scores.NORMALISER_KEYS}
    markup = reads.markup(con, row["markup"])
    hold = stored_ellipses.of_evaluation(con, row["evaluation"], markup, row["landmarks"])
    drawn = {
        norm: [
            *(draw(of, norm) for draw in (charts.ced, charts.histogram)),
            *([ellipses.chart(hold, norm)] if hold else []),
        ]
        for norm, of in known.items()
        if of.size
    }
    first = next(iter(drawn), scores.NORMALISER_KEYS[0])
    ordered = errors.dropna(subset=first).sort_values([first, "name"], ascending=[False, True])
    half = (len(ordered) + 1) // 2  # no face in both
    worst = ordered.head(min(faces, half))
    best = ordered.tail(min(faces, len(ordered) - half))[::-1]
    galleries = (
        [_face(con, row["evaluation"], markup, face, keep_crop) for face in records(chosen)]
        for chosen in (worst, best)
    )
    speed = facts.throughput(row)
    return Results(label, row, speed, drawn, scores.normaliser(first), *galleries)


def _face(
    con: sqlite3.Connection,
    evaluation: int,
    markup: Markup,
    row: dict[Hashable, Any],
    keep_crop: KeepCrop,
) -> Face:
    fractions = {norm: row[norm] for norm in scores.NORMALISER_KEYS}
    error = {norm: None if e is None else 100 * e for norm, e in fractions.items()}
    crop = keep_crop(row["face"])
    if crop is None:
        return Face(row["name"], error, None, None)
    shapes = predictions.prediction(con, evaluation, row["face"])
    drawn = face_svg.face_paths(*shapes, markup, crop.to_picture, crop.side_px)
    return Face(row["name"], error, crop.address, drawn)
