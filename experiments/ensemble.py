"""The mean of several runs' predictions: a row of the board like that of any method.

An ensemble is a run of the family `ensemble` (`db.status`), made from evaluations that the store
has. Nothing is predicted anew, and what it shows stays when a member is deleted.
"""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from sqlite_utils import Database

from db import predictions, reads, status
from db.boards.entries import entry_of
from db.connection import open_reader, open_store
from db.method_ids import method_of_runs
from db.recording import box_labels
from db.recording.evaluations import record_evaluation
from db.recording.runs import NewRun
from db.recording.words import checked_name
from db.tables.derived import joined_trained_on
from db.transactions import writing
from drf import __version__
from drf.errors import NotFoundError, UsageError
from drf.scoring.results import Evaluation
from experiments import boards
from experiments.provenance import command
from experiments.untrained import record_untrained, refuse_twice

NAME_KEY, METHODS_KEY = "ensemble.name", "ensemble.methods"
"""Configuration keys of an ensemble: its name, and the methods of its members. Ensembles that agree
in both are one method: those of the first seed of each member, of the second, ..."""

MEMBERS = "members"
"""Key of the provenance of an ensemble, and of its evaluations' manifests: run -> its facts."""

_MACHINE = ("device", "hardware", "threads", "precision")


@dataclass(frozen=True)
class EnsembleSpec:
    """Which runs are averaged, and on which board.

    runs   names or beginnings of ids, at least two different runs
    name   of the ensemble on the board
    board  values of `reads.BOARD` as far as the user names them; a box protocol stands for the
           boxes of it
    """

    runs: tuple[str, ...]
    name: str
    board: Mapping[str, str]


def combined(
    points: Sequence[np.ndarray], covariances: Sequence[np.ndarray | None]
) -> tuple[np.ndarray, np.ndarray | None]:
    """Return the mean of M members' points and, where all of them predict one, the covariance of
    its error by the law of total variance, as `drf.models.committee` has it:

        y = 1/M sum_m y_m,   C = 1/M sum_m C_m + 1/M sum_m (y_m - y)(y_m - y)^T

    points (n, K, 2) picture px and covariances (n, K, 2, 2) squared picture px of each member, NaN
    at landmarks that it does not know; the same, float32, of the ensemble.
    """
    each = np.stack(points).astype(np.float64)
    mean = each.mean(axis=0)
    known = [one for one in covariances if one is not None]
    if len(known) < len(each):
        return mean.astype(np.float32), None
    apart = each - mean
    between = np.einsum("mnki,mnkj->nkij", apart, apart) / len(each)
    total = np.stack(known).astype(np.float64).mean(axis=0) + between
    return mean.astype(np.float32), total.astype(np.float32)


def make_ensemble(spec: EnsembleSpec, db: Path) -> dict[str, Any]:
    """Store the mean of the newest predictions of runs on one board, in one transaction; return its
    leaderboard entry, with its ellipses (`entries.entry_of`) and the full ids by "members".

    Each member's newest evaluation with the flip test is taken where all have one, else that
    without. Milliseconds for a face are not measured: those of the members are of several machines
    and moments.

    Raises NotFoundError for a run that matches none or several or was not evaluated, and where the
    runs share no such board; UsageError for fewer than two different runs, a run that is not ranked
    or has no model, several boards, evaluations that differ in flip test or faces, and an ensemble
    of that name that has other members or stands on the board already.
    """
    name = checked_name(spec.name)
    with contextlib.closing(open_reader(db)) as reader:
        runs = [reads.find_run(reader, text) for text in spec.runs]
    store = open_store(db)
    try:
        with writing(store):
            members = _members(store.conn, runs)
            rows = _evaluations(store.conn, runs, spec.board)
            result, floor_nme = _result(store.conn, rows)
            run = _run_of(store, name, members)
            refuse_twice(store, run, result, "--name")
            identity = record_evaluation(store, run, result, [], floor_nme=floor_nme)
    finally:
        store.close()
    with contextlib.closing(open_reader(db)) as reader:
        return entry_of(reader, identity, result) | {MEMBERS: runs}


def _members(con: sqlite3.Connection, runs: Sequence[str]) -> list[dict[str, Any]]:
    """Return what the store knows of runs (full ids), as `reads.run`. Raises UsageError for what
    cannot be averaged."""
    if len(runs) < 2:
        raise UsageError("an ensemble is the mean of several runs: name at least two")
    if twice := next((run for run in runs if runs.count(run) > 1), None):
        raise UsageError(f"run {twice[:8]} is named twice: an ensemble takes every run once")
    members = [reads.run(con, run) for run in runs]
    for run in members:
        if run["family"] == status.EXTERNAL:
            raise UsageError(
                f"{_called(run)} was imported: what it learned from and what it cost is not known"
                " here, and a mean with it could not say so"
            )
        if run["family"] == status.ENSEMBLE:
            raise UsageError(f"{_called(run)} is an ensemble itself: name its members instead")
        if run["condition"] != status.FINISHED:
            raise UsageError(
                f"{_called(run)} is {run['condition']}: only runs that are ranked can be members"
            )
    return members


def _called(run: Mapping[str, Any]) -> str:
    return f"run {run['id'][:8]} ({run['name']})"


def _evaluations(
    con: sqlite3.Connection, runs: Sequence[str], wanted: Mapping[str, str]
) -> list[dict[Any, Any]]:
    """Return the newest evaluation of each run on the one board that they share, rows of
    `reads.evaluations`, with the flip test where all have one."""
    columns = [*reads.BOARD]
    of_runs = [reads.evaluations(con, run) for run in runs]
    evaluated = [dict.fromkeys(of[columns].itertuples(index=False, name=None)) for of in of_runs]
    shared = [
        board
        for board in evaluated[0]
        if all(board in of for of in evaluated) and boards.is_meant(board, wanted)
    ]
    if not shared:
        raise NotFoundError(_no_board(runs, evaluated, wanted))
    if len(shared) > 1:
        raise UsageError(f"these runs share several boards {boards.what_to_add(shared)}")
    board = pd.Series(shared[0], columns)
    chosen = [of[(of[columns] == board).all(axis=1)] for of in of_runs]
    for flip_test in (True, False):
        newest = [of[of["flip_test"] == flip_test].head(1) for of in chosen]
        if not any(of.empty for of in newest):
            return [of.to_dict("records")[0] for of in newest]
    without = runs[[of["flip_test"].any() for of in chosen].index(False)]
    raise UsageError(
        f"some of these runs were evaluated with the flip test on {shared[0][1]}, but run"
        f" {without[:8]} was not: run `drf eval` with --flip-test or --no-flip-test, so that all"
        " agree"
    )


def _no_board(
    runs: Sequence[str],
    evaluated: Sequence[Iterable[boards.Board]],
    wanted: Mapping[str, str],
) -> str:
    there = (
        f"run {run[:8]} was evaluated on {'; '.join(map(boards.as_text, of)) or 'nothing'}"
        for run, of in zip(runs, evaluated, strict=True)
    )
    return (
        f"these runs share no board{boards.asked(wanted)}: {', '.join(there)};"
        " `drf eval RUN --subset NAME` evaluates a run"
    )


def _result(
    con: sqlite3.Connection, rows: Sequence[Mapping[Any, Any]]
) -> tuple[Evaluation, float | None]:
    """Return the evaluation of the mean of evaluations on one board, and its floor."""
    numbers, first = [int(row["evaluation"]) for row in rows], rows[0]
    facts = [_facts_of_evaluation(con, number) for number in numbers]
    faces = predictions.face_ids(con, numbers)
    for number, of in zip(numbers, facts, strict=True):
        if not np.array_equal(faces[number], faces[numbers[0]]):
            raise UsageError(
                f"run {of['run'][:8]} was evaluated on other faces of {first['subset']} than run"
                f" {facts[0]['run'][:8]}, or with other ground truth: evaluate both on the same"
                f" data (`drf eval RUN --subset {first['subset']}`)"
            )
    found = [predictions.predictions(con, number) for number in numbers]
    points, covariances = combined(
        [predicted for _, _, predicted in found],
        [predictions.covariances_of_evaluation(con, number) for number in numbers],
    )
    members = {
        of["run"]: {"evaluation": number, "evaluated_at": of["created_at"]}
        for of, number in zip(facts, numbers, strict=True)
    }
    ids, truth, _ = found[0]
    result = Evaluation(
        dataset=first["dataset"],
        subset=first["subset"],
        names=tuple(predictions.image_errors(con, numbers[0])["name"]),
        markup=reads.markup(con, first["markup"]),
        landmarks=first["landmarks"],
        ground_truth=truth,
        predictions=points,
        box=box_labels.protocol(first["box"]),
        flip_test=bool(first["flip_test"]),
        manifest=_shared_items([of["manifest"] for of in facts]) | {MEMBERS: members},
        ms_per_face=status.NOT_MEASURED,
        visibility=predictions.visibilities(con, ids.tolist()),
        covariances=covariances,
        precision=_shared([of["precision"] for of in facts]),
    )
    return result, next((of["floor_nme"] for of in facts if of["floor_nme"] is not None), None)


def _facts_of_evaluation(con: sqlite3.Connection, number: int) -> dict[str, Any]:
    names = ("run", "created_at", "manifest", "precision", "floor_nme")
    found = con.execute(f"SELECT {', '.join(names)} FROM evaluations WHERE id = ?", [number])
    row = dict(zip(names, found.fetchone(), strict=True))
    return row | {"manifest": json.loads(row["manifest"])}


def _run_of(store: Database, name: str, members: Sequence[Mapping[str, Any]]) -> str:
    """Return the run of the ensemble, which has its evaluations on other boards, else a new one.

    Its dataset, markup and landmark subset are those that the first member was trained on, its seed
    is that of all members, and 0 where they differ.
    """
    ids = [one["id"] for one in members]
    seed = _shared([one["seed"] for one in members]) or 0
    found = store.execute(
        "SELECT id, provenance FROM runs WHERE family = ? AND name = ? AND seed = ?",
        [status.ENSEMBLE, name, seed],
    ).fetchone()
    if found is not None:
        run, known = str(found[0]), json.loads(found[1]).get(MEMBERS, {})
        if known.keys() != set(ids):
            theirs = ", ".join(f"{one['name']} ({member[:8]})" for member, one in known.items())
            raise UsageError(
                f"{name!r} is the name of an ensemble of other runs (run {run[:8]}: {theirs}):"
                " give another --name"
            )
        return run
    methods = method_of_runs(store.conn)
    config = {NAME_KEY: name, METHODS_KEY: sorted(methods[run] for run in ids)}
    told = ("name", "seed", "trained_on", "started_from")
    machine = {key: _shared([one["provenance"].get(key) for one in members]) for key in _MACHINE}
    walls = [one["wall_s"] for one in members]
    return record_untrained(
        store,
        NewRun(
            name=name,
            family=status.ENSEMBLE,
            preset=None,
            dataset=members[0]["dataset"],
            track=None,
            landmarks=members[0]["landmarks"],
            markup=reads.markup(store.conn, members[0]["markup"]),
            seed=seed,
            epochs=None,
            config=config,
            sources=dict.fromkeys(config, "option"),
            provenance={
                "drf": __version__,
                "command": command(),
                **machine,
                MEMBERS: {one["id"]: {key: one[key] for key in told} for one in members},
            },
            manifest=_shared_items([one["manifest"] for one in members]),
            params=sum(one["params"] for one in members),
            macs=sum(one["macs"] for one in members),
            trained_on=joined_trained_on([one["trained_on"] for one in members]),
        ),
        None if any(wall is None for wall in walls) else sum(walls),
    )


def _shared(values: Sequence[Any]) -> Any:
    """Return the value that all have, None where they differ."""
    return values[0] if all(value == values[0] for value in values) else None


def _shared_items(dicts: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Return the items that all have."""
    first, *others = dicts
    return {
        key: value
        for key, value in first.items()
        if all(key in other and other[key] == value for other in others)
    }
