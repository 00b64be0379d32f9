"""Predictions of a method that drf did not run: from a file into the store, and back.

An imported method is a run of the family `external` (`db.status`). Its predictions are evaluated
on the faces, in the coordinates and by the scores of `drf eval`.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlite_utils import Database

from db import predictions, reads, status
from db.boards.entries import entry_of
from db.connection import open_reader, open_store
from db.recording.evaluations import record_evaluation
from db.recording.runs import NewRun
from db.recording.words import checked_name
from db.transactions import writing
from drf import __version__
from drf.config import check_key
from drf.data.dataset import Dataset, open_dataset
from drf.data.packs import Pack, evaluation_on
from drf.data.prediction_check import check
from drf.data.prediction_files import of_faces, read_predictions, write_predictions
from drf.data.user_files import printable
from drf.errors import DataError, NotFoundError, UsageError
from drf.inference import prediction
from drf.scoring.results import Evaluation
from drf.text import is_utf8
from experiments import boards
from experiments.paths import Paths, load_pack
from experiments.provenance import command
from experiments.untrained import record_untrained, refuse_twice

NAME_KEY = "external.name"
"""Configuration key of an imported run. Runs of the same name are one method."""

_LONGEST = {"paper": 500, "note": 2000}  # characters
_ADDRESS = re.compile(r"https?://[^\s/]+\S*")


@dataclass(frozen=True)
class ImportSpec:
    """What is imported.

    name       of the method
    dataset    its name; subset: None for its `default_test_subset`
    landmarks  landmark subset that errors average over
    box        box protocol of the board, and of the crops that are shown
    first_pixel  coordinates of the centre of the first pixel in the file, 0 or 1
    seed       number of this result among those of several trainings of the method
    paper      address of its paper; note: what else is known of it
    """

    name: str
    dataset: str
    subset: str | None = None
    landmarks: str = "all"
    box: str = "gt"
    seed: int = 0
    paper: str | None = None
    note: str | None = None
    first_pixel: int = 0

    def check(self) -> None:
        """Raise UsageError for what cannot be stored or shown."""
        checked_name(self.name)
        check_key("data.box", self.box, "option")
        for what, most in _LONGEST.items():
            text = getattr(self, what)
            if text is not None and not (is_utf8(text) and 0 < len(text.strip()) <= most):
                raise UsageError(f"--{what} takes 1 to {most} characters in UTF-8")
        if self.paper is not None and not _ADDRESS.fullmatch(self.paper):
            raise UsageError("--paper takes an address that begins with https:// or http://")


@dataclass(frozen=True)
class Imported:
    """entry: as JSON of the leaderboard; remarks: what is said of the file, a sentence each."""

    entry: dict[str, Any]
    remarks: list[str]


def import_predictions(file: Path, spec: ImportSpec, paths: Paths) -> Imported:
    """Evaluate the predictions in a file and store them, in one transaction.

    Raises UsageError and DataError for what cannot be imported: see `ImportSpec.check`,
    `read_predictions`, `of_faces`, `prediction_check.check`; UsageError also where the store has
    predictions of that name on the same board.
    """
    spec.check()
    if spec.first_pixel and file.is_dir():
        raise UsageError("--first-pixel is for a file: .pts files always count from 1")
    rows = read_predictions(file)
    dataset = open_dataset(spec.dataset, paths.data_root)
    dataset.markup.indices(spec.landmarks)
    subset = spec.subset or dataset.default_test_subset()
    pack = load_pack(dataset, subset, spec.box, paths)
    given, others = of_faces(rows, pack.names, _finder(dataset), pack.markup, spec.landmarks)
    result = _evaluation(pack, given - spec.first_pixel, spec, file)
    first_pixel = None if file.is_dir() else spec.first_pixel
    remarks = check(pack.names, result.predictions, pack.picture_points, first_pixel)
    if others:
        remarks.insert(0, f"{others} faces of the file are in other subsets, and were left out.")
    store = open_store(paths.db)
    try:
        with writing(store):
            run = _run_of(store, spec, pack)
            refuse_twice(store, run, result, "--name or --seed")
            crops = list(prediction.face_crops(pack))
            identity = record_evaluation(store, run, result, crops)
    finally:
        store.close()
    with contextlib.closing(open_reader(paths.db)) as reader:
        return Imported(entry_of(reader, identity, result), remarks)


def _finder(dataset: Dataset) -> Callable[[str], bool]:
    """Return a function that says whether a dataset has a face of a name, or of a last part of a
    name."""

    @functools.cache
    def last_parts() -> frozenset[str]:
        found: set[str] = set()
        for subset in dataset.subset_names():
            with contextlib.suppress(DataError):  # a part of the dataset that is not there
                found |= {face.name.rpartition("/")[2] for face in dataset.subset(subset).faces}
        return frozenset(found)

    return lambda name: dataset.has_face(name) or ("/" not in name and name in last_parts())


def _evaluation(pack: Pack, given: np.ndarray, spec: ImportSpec, file: Path) -> Evaluation:
    points = np.full_like(pack.picture_points, np.nan, dtype=np.float32)
    points[:, pack.markup.indices(spec.landmarks)] = given
    origin = {
        "file": printable(file.name),
        "sha256": hashlib.sha256(given.astype("<f4").tobytes()).hexdigest(),
    }
    return evaluation_on(
        replace(pack, manifest=pack.manifest | {"predictions": origin}),
        points,
        landmarks=spec.landmarks,
        flip_test=False,
        ms_per_face=status.NOT_MEASURED,
    )


def _run_of(store: Database, spec: ImportSpec, pack: Pack) -> str:
    """Return the run of the method, which has its evaluations on other subsets, else a new one."""
    name = checked_name(spec.name)
    said = {key: getattr(spec, key) for key in _LONGEST}
    found = store.execute(
        "SELECT id, provenance FROM runs WHERE family = ? AND name = ? AND dataset = ?"
        " AND markup = ? AND landmarks = ? AND seed = ?",
        [status.EXTERNAL, name, spec.dataset, pack.markup.name, spec.landmarks, spec.seed],
    ).fetchone()
    if found is not None:
        run, known = str(found[0]), json.loads(found[1])
        for key, text in said.items():
            if text is not None and text != known.get(key):
                raise UsageError(
                    f"{name!r} was imported before (run {run[:8]}) with another --{key}: leave it"
                    " out, or give another --name"
                )
        return run
    return record_untrained(
        store,
        NewRun(
            name=name,
            family=status.EXTERNAL,
            preset=None,
            dataset=spec.dataset,
            track=None,
            landmarks=spec.landmarks,
            markup=pack.markup,
            seed=spec.seed,
            epochs=None,
            config={NAME_KEY: name},
            sources={NAME_KEY: "option"},
            provenance={"drf": __version__, "command": command(), **said},
            manifest={},
            params=0,
            macs=0,
        ),
    )


@dataclass(frozen=True)
class Exported:
    """Facts of the evaluation that was written; n: its faces."""

    dataset: str
    subset: str
    landmarks: str
    box: str
    flip_test: bool
    n: int


def export_predictions(
    text: str, target: Path, kind: str, db: Path, wanted: Mapping[str, str] | None = None
) -> Exported:
    """Write the predictions of a run's newest evaluation on a board to a file or folder.

    wanted: values of `reads.BOARD` as far as the user names them, see `boards.is_meant`. Where no
    dataset is named, boards of the run's own dataset are preferred.

    Written are the landmarks of the run's landmark subset, which `import_predictions` takes back.
    Raises NotFoundError for no such run or evaluation, UsageError where it was evaluated on several
    such boards, and as `write_predictions`.
    """
    with contextlib.closing(open_reader(db)) as reader:
        run = reads.find_run(reader, text)
        own = reads.run(reader, run)["dataset"]
        row = _chosen(reads.evaluations(reader, run), run, own, wanted or {})
        number = int(row["evaluation"])
        _, _, points = predictions.predictions(reader, number)
        names = predictions.image_errors(reader, number)["name"].tolist()
        markup = reads.markup(reader, row["markup"])
    known = points[:, markup.indices(row["landmarks"])]
    order = sorted(range(len(names)), key=names.__getitem__)
    write_predictions(target, kind, [names[i] for i in order], known[order])
    return Exported(
        dataset=row["dataset"],
        subset=row["subset"],
        landmarks=row["landmarks"],
        box=row["box"],
        flip_test=row["flip_test"],
        n=len(names),
    )


def _chosen(found: pd.DataFrame, run: str, own: str, wanted: Mapping[str, str]) -> dict[Any, Any]:
    """Return the newest evaluation (a row of `reads.evaluations`) on the one board that is meant.

    own: the dataset of the run
    """
    if found.empty:
        raise NotFoundError(f"run {run[:8]} was not evaluated: there are no predictions to export")
    of_rows = list(found[[*reads.BOARD]].itertuples(index=False, name=None))
    there = dict.fromkeys(of_rows)
    meant = [board for board in there if boards.is_meant(board, wanted)]
    if not meant:
        raise NotFoundError(
            f"run {run[:8]} has no predictions{boards.asked(wanted)}, but for"
            f" {'; '.join(map(boards.as_text, there))}"
        )
    if "dataset" not in wanted:
        meant = [board for board in meant if boards.is_meant(board, {"dataset": own})] or meant
    if len(meant) > 1:
        raise UsageError(
            f"run {run[:8]} has predictions for several boards {boards.what_to_add(meant)}"
        )
    return found.to_dict("records")[of_rows.index(meant[0])]
