"""`drf demo`: train, evaluate and compare three methods on synthetic faces in a few minutes."""

from __future__ import annotations

import shlex
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.output import note
from db.file import DEFAULT_PATH
from drf.config import check_key
from drf.errors import UsageError

if TYPE_CHECKING:
    from experiments.request import Request

FACES = 1000
MINUTES = 1.25  # installation included, `make demo` takes less than five minutes on two cores

METHODS = {"mean-shape": 0.0, "hourglass": 0.5, "cascade-forest-small": 0.5}
"""Preset -> its share of the minutes; 0 for a method that is not trained by gradient descent. The
last one is a forest: only forests have leaves, covariances and diagnostics to look at."""


def demo(
    minutes: Annotated[
        float, typer.Option(help="Training time of all methods together, in minutes.")
    ] = MINUTES,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
    open_app: Annotated[
        bool | None,
        typer.Option(
            "--open/--no-open",
            show_default="open at a terminal",
            help="Open the app in a browser at the end.",
        ),
    ] = None,
) -> None:
    """Train the mean shape, a network and a small forest on synthetic faces, and rank them."""
    from cli.leaderboard import leaderboard
    from experiments.evaluate import EvaluationSpec, evaluate_run
    from experiments.paths import Paths
    from experiments.train import train_new_run

    check_key("training.max_minutes", minutes, "option")
    if not minutes:
        raise UsageError("--minutes takes a number above 0: the demo has no other end")
    paths = Paths(db, data_root=None, box_file=None, cache=cache)
    for preset, share in METHODS.items():
        request = demo_request(preset, share * minutes)
        note(f"Training {preset} on {FACES} synthetic faces …")
        result = train_new_run(request, paths, name=preset)
        if result.outcome.state == "interrupted":
            raise typer.Exit(130)
        evaluate_run(result.run, EvaluationSpec(subset="common"), paths)
    leaderboard(dataset="synthetic", subset="common", db=db)
    note(
        f"The leaves, covariances and diagnostics of the forest are on the page of its run"
        f" {result.run[:8]} in the app: tabs Leaves, Faces and Forest."
    )
    _show_app(db, open_app)


def demo_request(preset: str, minutes: float) -> Request:
    """Return the request for one method of the demo; minutes: 0 keeps the preset's epochs."""
    from experiments.request import Request

    wanted: dict[str, object] = {"data.dataset": "synthetic", "data.synthetic_train_size": FACES}
    if minutes:
        wanted |= {"training.max_minutes": minutes, "training.epochs": 0}
    return Request(preset, options=wanted)


def _show_app(db: Path, wanted: bool | None) -> None:
    if wanted or (wanted is None and sys.stdin.isatty() and sys.stdout.isatty()):
        from cli.web import web

        web(db=db)
    else:
        note(f"Everything is stored in {db}. Next: drf web --db {shlex.quote(str(db))}")
