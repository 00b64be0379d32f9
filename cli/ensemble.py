"""`drf ensemble`: the mean of several runs' predictions as a row of the leaderboard."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options
from cli.eval import show_evaluation
from cli.output import print_json
from db.file import DEFAULT_PATH


def ensemble(
    runs: Annotated[
        list[str],
        typer.Argument(
            metavar="RUN...", help="Names of runs, or the first characters of their ids."
        ),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the ensemble on the board.")],
    subset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the only one that all runs were evaluated on",
            help="Subset whose stored predictions are averaged, e.g. helen.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the only one that all runs were evaluated on",
            help="Dataset of the subset.",
        ),
    ] = None,
    box: Annotated[
        str | None,
        typer.Option(
            metavar=f"{options.choices('data.box')}|NAME",
            show_default="the only one that all runs were evaluated with",
            help="Box protocol of the predictions, or boxes by the name that the board has.",
        ),
    ] = None,
    landmarks: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the only one that all runs were evaluated on",
            help="Landmark subset of the predictions, e.g. all or eyes.",
        ),
    ] = None,
    db: options.Db = DEFAULT_PATH,
    as_json: options.Json = False,
) -> None:
    """Store the mean of several runs' predictions as a row of the board, marked as ensemble.

    The newest evaluations that the store has of these runs are averaged; `drf eval` makes missing
    ones. They must be of the same faces and boxes, and all with the flip test or all without.
    Covariances are those of the mean (law of total variance), where all runs predict some.
    Parameters, MACs and minutes of the row are the sums over the runs; it names the data that any
    of them learned from, and keeps no track. The same runs on another subset, under the same name,
    are the same ensemble.
    """
    from experiments.ensemble import EnsembleSpec, make_ensemble

    asked = {"dataset": dataset, "subset": subset, "landmarks": landmarks, "box": box}
    board = {column: value for column, value in asked.items() if value is not None}
    entry = make_ensemble(EnsembleSpec(tuple(runs), name, board), db)
    if as_json:
        print_json(entry)
        return
    show_evaluation(entry, f"{entry['name']} (mean of {len(runs)} runs)")
