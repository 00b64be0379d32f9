"""The variables of an exported run page: scores, charts, faces, configuration, provenance."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Hashable
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from db import reads
from db.entries import records
from db.evaluations import STORED_NORMS, StoredNorm
from webapp.run import diagnostics, facts
from webapp.static_site import board, face_svg
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
    """A face of the gallery. error: of both norms, percent; picture: address, None without one."""

    name: str
    error: dict[StoredNorm, float]
    picture: str | None
    shape: FacePaths | None


@dataclass(frozen=True)
class Results:
    """One evaluation: its row of `reads.evaluations`, charts by norm, faces worst and best."""

    label: str
    row: dict[Hashable, Any]
    charts: dict[StoredNorm, list[Chart]]
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
    best = None if run["best_epoch"] is None else int(run["best_epoch"])
    newest = evaluations.drop_duplicates([*reads.BOARD, "flip_test"])
    rows = [(board.label(row), row) for row in records(newest)]
    rows.sort(key=lambda labelled: labelled[0] != main)
    return {
        "run": run,
        "look": badges.STATUS_STYLES[run["status"]],
        "facts": facts.summary(run),
        "results": [
            _results(con, label, row, 0 if number else faces, keep_crop)
            for number, (label, row) in enumerate(rows)
        ],
        "curves": [
            *charts.curves(diagnostics.other_curves(frame), best),
            *_readings(frame, best),
        ],
        "command": facts.command(run),
        "config": [(key, as_written(value), source) for key, value, source in run["config"]],
        "provenance": facts.provenance(run),
        "diff": run["provenance"].get(facts.DIFF),
        "training_data": facts.training_data(run),
    }


def _readings(frame: pd.DataFrame, best: int | None) -> list[Chart]:
    if diagnostics.of_forest(frame):
        return diagnostics.charts(frame, best)
    return diagnostics.spread(frame, best)


def _results(
    con: sqlite3.Connection, label: str, row: dict[Hashable, Any], faces: int, keep_crop: KeepCrop
) -> Results:
    errors = reads.image_errors(con, row["evaluation"])
    drawn = {
        norm: [draw(errors[norm].to_numpy(), norm) for draw in (charts.ced, charts.histogram)]
        for norm in STORED_NORMS
    }
    ordered = errors.sort_values(["ocular", "name"], ascending=[False, True])
    half = (len(ordered) + 1) // 2  # no face in both
    worst = ordered.head(min(faces, half))
    best = ordered.tail(min(faces, len(ordered) - half))[::-1]
    galleries = (
        [_face(con, row["evaluation"], face, keep_crop) for face in chosen.to_dict("records")]
        for chosen in (worst, best)
    )
    return Results(label, row, drawn, *galleries)


def _face(
    con: sqlite3.Connection, evaluation: int, row: dict[Hashable, Any], keep_crop: KeepCrop
) -> Face:
    error = {norm: 100 * row[norm] for norm in STORED_NORMS}
    crop = keep_crop(row["face"])
    if crop is None:
        return Face(row["name"], error, None, None)
    shapes = reads.prediction(con, evaluation, row["face"])
    drawn = face_svg.face_paths(*shapes, crop.to_picture, crop.side_px)
    return Face(row["name"], error, crop.address, drawn)
