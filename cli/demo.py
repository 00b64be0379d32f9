"""`drf demo`: the whole product in a few minutes, on faces that are made up on the spot."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.output import note
from db.file import DEFAULT_PATH

FACES = 1000
METHODS = ("mean-shape", "hourglass")


def demo(
    minutes: Annotated[float, typer.Option(help="Training budget of the hourglass.")] = 1.25,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
    open_app: Annotated[
        bool | None, typer.Option("--open/--no-open", help="Open the app at the end.")
    ] = None,
) -> None:
    """Train the mean shape and the hourglass on synthetic faces, evaluate both, show the board."""
    from cli.leaderboard import leaderboard
    from experiments.evaluate import EvaluationSpec, evaluate_run
    from experiments.paths import Paths
    from experiments.request import Request
    from experiments.train import train_new_run

    places = Paths(db, data_root=None, box_file=None, cache=cache)
    for method in METHODS:
        wanted = {"data.dataset": "synthetic", "data.synthetic_train_size": FACES}
        if method == "hourglass":
            wanted |= {"training.max_minutes": minutes, "training.epochs": 0}
        note(f"Training {method} on {FACES} synthetic faces …")
        result = train_new_run(Request(method, options=wanted), places, name=method)
        if result.outcome.state == "interrupted":
            raise typer.Exit(130)
        evaluate_run(result.run, EvaluationSpec(subset="common"), places)
    leaderboard(dataset="synthetic", subset="common", db=db)
    _show_app(db, open_app)


def _show_app(db: Path, wanted: bool | None) -> None:
    if wanted or (wanted is None and sys.stdin.isatty() and sys.stdout.isatty()):
        from cli.web import web

        web(db=db)
    else:
        note(f"Everything is in {db}. Open the app on it with: drf web --db {db}")
