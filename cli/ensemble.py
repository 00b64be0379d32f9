"""`drf ensemble`: the mean of several runs' predictions as a row of the leaderboard."""

from __future__ import annotations

from typing import Annotated

import typer

from cli import options
from cli.eval import show_evaluation
from cli.output import print_json
from db.file import DEFAULT_PATH

_SHARED = "the only one that all runs were evaluated on"


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
            show_default=_SHARED,
            help="Subset whose stored predictions are averaged, e.g. helen.",
        ),
    ] = None,
    dataset: Annotated[str | None, options.of_board("dataset", _SHARED)] = None,
    box: Annotated[
        str | None, options.of_board("box", "the only one that all runs were evaluated with")
    ] = None,
    landmarks: Annotated[str | None, options.of_board("landmarks", _SHARED)] = None,
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

    board = options.named(dataset=dataset, subset=subset, landmarks=landmarks, box=box)
    entry = make_ensemble(EnsembleSpec(tuple(runs), name, board), db)
    if as_json:
        print_json(entry)
        return
    show_evaluation(entry, f"{entry['name']} (mean of {len(runs)} runs)", db)
