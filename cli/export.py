"""`drf export`: write runs as web pages or as a store of their own, a model as an ONNX file, and
predictions."""

from __future__ import annotations

import math
import shlex
import sqlite3
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli.options import Db, Run, named, of_board
from cli.output import note
from db.file import DEFAULT_PATH
from drf.errors import UsageError
from drf.files import user_path

if TYPE_CHECKING:
    from db.maintenance.bundle import Selection

app = typer.Typer(invoke_without_command=True)


@app.callback()
def export(
    context: typer.Context,
    static: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=user_path,
            help="Folder to write web pages to; they need no server or network.",
        ),
    ] = None,
    bundle: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=user_path,
            help="File to write a store with only these runs to.",
        ),
    ] = None,
    runs: Annotated[
        list[str] | None,
        typer.Option(
            "--run",
            metavar="RUN",
            show_default="all finished runs",
            help="Name or id of a run to export; repeat the option for several.",
        ),
    ] = None,
    subset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="all subsets",
            help="Export only evaluations on this subset, and the runs that have one.",
        ),
    ] = None,
    faces: Annotated[
        int, typer.Option(min=0, help="Number of worst and of best faces on each run's page.")
    ] = 6,
    images: Annotated[
        bool, typer.Option("--images/--no-images", help="Include the pictures of faces.")
    ] = True,
    db: Db = DEFAULT_PATH,
) -> None:
    """Write runs as web pages or a store, with curves and errors; a model as ONNX; predictions.

    An existing folder is replaced only if an earlier export wrote everything in it; an existing
    file is never replaced. Pages contain the host name, the command line and the uncommitted
    changes of each run: read them before you publish.
    """
    if context.invoked_subcommand is not None:
        _refuse_options(context, context.invoked_subcommand)
        return
    from db.connection import open_reader
    from db.maintenance.bundle import select

    if static is None and bundle is None:
        raise UsageError(
            "nothing to write: add --static DIR, or --bundle FILE, or both; for a model name the"
            " command: drf export onnx RUN, for predictions: drf export predictions RUN"
        )
    con = open_reader(db)
    try:
        chosen = select(con, runs=runs or (), subset=subset)
        if bundle is not None:
            _bundle(con, bundle, chosen, images)
        if static is not None:
            _static(con, static, chosen, faces, images)
    finally:
        con.close()


def _refuse_options(context: typer.Context, command: str) -> None:
    """Raise UsageError for options before the name of a command, which would not hear of them."""
    given = [
        option.opts[0]
        for option in context.command.params
        if (source := context.get_parameter_source(str(option.name))) is not None
        and source.name == "COMMANDLINE"
    ]
    if given:
        raise UsageError(
            f"{', '.join(given)} before {command} counts for pages and bundles alone: give options"
            f" after {command}; export one at a time"
        )


@app.command()
def onnx(
    run: Run,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=user_path,
            show_default="NAME.onnx in the present folder",
            help="File to write; an existing one is never replaced.",
        ),
    ] = None,
    reject_above: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            show_default="1.2 times the expected error that 99 % of the faces of val stay below;"
            " 5 where the run does not know it",
            help="Largest expected error of a face, in percent of the side of its box: a detection"
            " with a larger one is rejected.",
        ),
    ] = None,
    db: Db = DEFAULT_PATH,
) -> None:
    """Write a run's best checkpoint as an ONNX file, which needs nothing beside itself.

    The graph takes uint8 RGB crops, any number at a time, and returns landmarks and, where the
    model predicts them, covariances. Markup, box and scores are in the file's metadata. It is
    written only if onnxruntime computes the same landmarks as torch, to a thousandth of a pixel.
    Needs the packages of drf's extra `onnx`; using the file does not.
    """
    from experiments.export import export_run

    if reject_above is not None and not 0 < reject_above < math.inf:
        raise UsageError("--reject-above takes a number above 0: every face would be rejected")
    limit = None if reject_above is None else reject_above / 100
    path = export_run(run, out, db, reject_above=limit)
    then = f"drf predict --model {shlex.quote(str(path))} PHOTO"
    note(f"Wrote {path} ({path.stat().st_size / 1e6:.1f} MB). Next: {then}")


@app.command()
def predictions(
    run: Run,
    out: Annotated[
        Path,
        typer.Option(
            metavar="PATH",
            parser=user_path,
            help="File to write, or folder for pts; an existing one is never replaced.",
        ),
    ],
    kind: Annotated[
        str,
        typer.Option(
            "--format", metavar="csv|json|npz|pts", help="Format of the file, see `drf import`."
        ),
    ] = "csv",
    subset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the only one",
            help="Subset whose predictions are written; needed where there are several.",
        ),
    ] = None,
    dataset: Annotated[
        str | None, of_board("dataset", "that of the training, else the only one")
    ] = None,
    box: Annotated[str | None, of_board("box", "the only one")] = None,
    landmarks: Annotated[str | None, of_board("landmarks", "the only one")] = None,
    db: Db = DEFAULT_PATH,
) -> None:
    """Write the predictions of a run with all digits, as `drf import predictions` reads them.

    Of several evaluations on one board (dataset, subset, landmarks, box) the newest is written.
    Coordinates are 0-based pixels of the dataset's pictures; in .pts files they are 1-based.
    """
    from db.recording import box_labels
    from experiments.import_predictions import export_predictions

    wanted = named(dataset=dataset, subset=subset, landmarks=landmarks, box=box)
    written = export_predictions(run, out, kind, db, wanted)
    note(
        f"Wrote the predictions for {written.n} faces of {written.dataset} {written.subset},"
        f" landmarks {written.landmarks}, box"
        f" {box_labels.title(written.box)}{', with the flip test' if written.flip_test else ''}, to"
        f" {out}."
    )


def _bundle(con: sqlite3.Connection, target: Path, chosen: Selection, images: bool) -> None:
    from db.connection import open_reader
    from db.maintenance.bundle import pictures, write_bundle

    write_bundle(con, target, chosen, images=images)
    written = open_reader(target)
    shown = pictures(written)
    written.close()
    size = target.stat().st_size / 1e6
    named = shlex.quote(str(target))
    note(f"Wrote {len(chosen.runs)} runs to {target} ({size:.1f} MB). Next: drf web --db {named}")
    _terms(target, shown)


def _static(
    con: sqlite3.Connection, target: Path, chosen: Selection, faces: int, images: bool
) -> None:
    from webapp.static_site.site import write_site

    site = write_site(con, target, chosen, faces=faces, images=images)
    size = site.size_bytes / 1e6
    note(f"Wrote {site.runs} runs to {target} ({size:.1f} MB). Next: open {target}/index.html")
    _terms(target, site.pictures)


def _terms(target: Path, pictures: Mapping[str, int]) -> None:
    from db.maintenance.bundle import restricted
    from drf.data.dataset import terms_of

    for dataset, number in restricted(pictures).items():
        note(
            f"WARNING: {target} contains {number} pictures of {dataset} ({terms_of(dataset)})."
            " --no-images leaves out all pictures."
        )
