"""`drf eval`: evaluate a run and store the result for the leaderboard."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli import options
from cli.output import advise, cell, line, note, print_json, table, tables
from db.file import DEFAULT_PATH

if TYPE_CHECKING:
    from rich.table import Table


def evaluate(
    run: options.Run,
    subset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the track's subset, or the dataset's default test subset",
            help="Subset of the dataset to evaluate on, e.g. common.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="that of the training",
            help="Another dataset to evaluate on. Its landmarks must be those of the training, or"
            " drf must know which of them correspond.",
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar=options.choices("data.box"),
            show_default="that of the training",
            help="Box protocol of the face crops.",
        ),
    ] = None,
    box_file: options.BoxFile = None,
    box_name: options.BoxName = None,
    data_root: options.DataRoot = None,
    flip_test: Annotated[
        bool | None,
        typer.Option(
            show_default="with it, where the landmarks are their own mirror image",
            help="Average the predictions for the picture and for its mirror image.",
        ),
    ] = None,
    device: Annotated[
        str, typer.Option(metavar=options.choices("training.device"), help="Device to compute on.")
    ] = "auto",
    precision: Annotated[
        str,
        typer.Option(
            metavar=options.choices("training.precision"), help="Number format of matrix products."
        ),
    ] = "auto",
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate the best checkpoint of a run and store the predictions and the scores.

    On a dataset with other landmarks (--dataset), those are judged that mark the same places; the
    row is on a board of its own, whose landmark subset is called shared-MARKUP.
    """
    from experiments.evaluate import EvaluationSpec, evaluate_run
    from experiments.paths import Paths

    paths = Paths(db, data_root, box_file, cache, box_name)
    target = EvaluationSpec(subset, box, flip_test, device, precision, dataset)
    entry = evaluate_run(run, target, paths)
    if as_json:
        print_json(entry)
        return
    show_evaluation(entry, entry["name"], db)


def show_evaluation(entry: dict[str, Any], title: str, store: Path) -> None:
    """Print a leaderboard entry of a store: the board, the scores, and what it learned from, where
    that is not the board's dataset alone."""
    from db.recording import box_labels

    line(
        f"{title} on {entry['dataset']} {entry['subset']}: {entry['n']} faces,"
        f" landmarks {entry['landmarks']}, box {box_labels.title(entry['box'])}, errors in percent"
    )
    show_scores(entry, store)
    if entry["trained_on"] != entry["dataset"]:
        note(f"It was trained on {entry['trained_on']}, which the leaderboard says too.")
    if entry["started_from"]:
        note(f"It started from the weights of run {entry['started_from'][:8]}.")


def show_scores(entry: dict[str, Any], store: Path) -> None:
    """Print the scores of a leaderboard entry of a store, and what its reader may want to know
    next."""
    from drf.landmarks.markup import ALL

    tables().print(scores_table(entry))
    if entry.get("ellipses"):
        tables().print(ellipses_table([([], entry["ellipses"])]))
    if not entry["ranked"]:
        note(f"It is shown without a rank: {entry['condition']}.")
    board = "drf leaderboard"
    if entry["landmarks"] != ALL:
        board += f" --landmarks {shlex.quote(entry['landmarks'])}"
    advise(board, "drf web", store=store)


def scores_table(entry: dict[str, Any]) -> Table:
    """Return one line per normaliser and one column per score of a leaderboard entry."""
    from drf.scoring import scores

    found = entry["scores"]
    rows = [
        [norm.title, *(cell(found[norm.key][score.key], 2) for score in scores.SCORES)]
        for norm in scores.NORMALISERS
        if found[norm.key][scores.SCORE_KEYS[0]] is not None
    ]
    return table(["normaliser", *(score.heading for score in scores.SCORES)], rows)


def ellipses_table(
    found: Sequence[tuple[Sequence[Any], dict[str, Any]]], facts: Sequence[str] = ()
) -> Table:
    """Return a line for each region of each evaluation: the share of true places within the
    ellipses, its interval over faces, and the mean radius of these by each normaliser.

    found: facts of an evaluation, and its `db.analysis.ellipses.document` · facts: their headings
    """
    from drf.scoring import scores

    regions = [of for _, document in found for of in document["regions"].values()]
    norms = [n for n in scores.NORMALISERS if any(n.key in of["radius"] for of in regions)]
    rows = []
    for own, document in found:
        for region, of in document["regions"].items():
            interval = f"{of['low']:.1f} to {of['high']:.1f}"
            radii = [cell(of["radius"].get(norm.key), 2) for norm in norms]
            rows.append([*own, region, cell(of["inside"], 1), interval, *radii])
            own = [""] * len(own)
    headings = (f"radius, {norm.title.lower()}" for norm in norms)
    columns = [*facts, "region", "inside", "interval", *headings]
    return table(columns, rows, f"{found[0][1]['level']:g} % ellipses, percent")
