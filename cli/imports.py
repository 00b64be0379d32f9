"""`drf import`: bring results that were made elsewhere into the store."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from cli import options
from cli.eval import show_scores
from cli.output import advise, line, note, print_json
from db.file import DEFAULT_PATH
from drf.files import user_path

app = typer.Typer(no_args_is_help=True)


@app.command()
def predictions(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            parser=user_path,
            help="A .csv, .json or .npz file, or a folder of .pts files.",
        ),
    ],
    name: Annotated[str, typer.Option(metavar="NAME", help="Name of the method on the board.")],
    dataset: Annotated[str, typer.Option(metavar="NAME", help="Dataset of the faces, e.g. 300w.")],
    subset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="the dataset's default test subset",
            help="Subset that the method is evaluated on, e.g. helen.",
        ),
    ] = None,
    data_root: options.DataRoot = None,
    landmarks: Annotated[
        str,
        typer.Option(metavar="NAME", help="Landmark subset that the method predicts."),
    ] = "all",
    first_pixel: Annotated[
        int,
        typer.Option(
            min=0,
            max=1,
            help="Coordinates of the centre of the first pixel in the file: 1 where it counts from"
            " 1, as the annotations of 300-W do.",
        ),
    ] = 0,
    seed: Annotated[
        int,
        typer.Option(
            min=0,
            max=2**31 - 1,
            help="Number of this result among those of several trainings of the method.",
        ),
    ] = 0,
    paper: Annotated[
        str | None, typer.Option(metavar="URL", help="Address of the paper of the method.")
    ] = None,
    note_text: Annotated[
        str | None,
        typer.Option(
            "--note",
            metavar="TEXT",
            help="What else is known of the method, e.g. its training data.",
        ),
    ] = None,
    box: Annotated[
        str,
        typer.Option(
            metavar=options.choices("data.box"),
            help="Box protocol of the board that the method is listed on.",
        ),
    ] = "gt",
    box_file: options.BoxFile = None,
    box_name: options.BoxName = None,
    db: options.Db = DEFAULT_PATH,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Evaluate the predictions of any method and list it on the board, marked as external.

    A .csv file begins with name,x0,y0,x1,y1,...; a .json file is an object {name: [[x, y], ...]};
    an .npz file has the arrays names and predictions. Coordinates are 0-based pixels of the
    dataset's pictures (see --first-pixel); those of .pts files are 1-based. Every face of the
    subset must be there once; nothing is stored if the file is refused.
    """
    from experiments.import_predictions import ImportSpec, import_predictions
    from experiments.paths import Paths

    spec = ImportSpec(name, dataset, subset, landmarks, box, seed, paper, note_text, first_pixel)
    imported = import_predictions(file, spec, Paths(db, data_root, box_file, cache, box_name))
    entry = imported.entry
    for remark in imported.remarks:
        note(f"WARNING: {remark}")
    if as_json:
        print_json(entry | {"remarks": imported.remarks})
        return
    line(
        f"{entry['name']} (external) on {entry['dataset']} {entry['subset']}: {entry['n']} faces,"
        f" landmarks {entry['landmarks']}, errors in percent"
    )
    show_scores(entry, db)


@app.command()
def bundle(
    file: Annotated[
        Path,
        typer.Argument(
            metavar="FILE",
            parser=user_path,
            help="A bundle that `drf export` wrote, or the file of another store.",
        ),
    ],
    db: options.Db = DEFAULT_PATH,
    as_json: options.Json = False,
) -> None:
    """Bring all runs of another store into this one, by their ids.

    The file is checked first: its schema, its contents, and every score against its predictions.
    Runs that are here already stay, so that the same file may be imported again; one that was
    trained further in the other store is continued. Rows of other faces or boxes stand on boards of
    their own; a sweep or a saved link whose name is known here stays as it is. If a run of the file
    has the id of a run here but other contents, nothing is imported. Checkpoints are files beside a
    store and do not come along.
    """
    from dataclasses import asdict

    from db.maintenance.merge import merge

    merged = merge(db, file)
    if as_json:
        print_json(asdict(merged))
        return
    if merged.is_empty and not merged.sweeps:
        line(f"{file.name} has nothing new for {db}")
    else:
        line(
            f"{db} got {len(merged.runs)} new runs and {len(merged.evaluations)} evaluations;"
            f" {len(merged.continued)} known runs had been trained further"
        )
    if merged.superseded:
        note(f"{merged.superseded} evaluations were left out: newer ones of the same runs are here")
    if merged.kept_views:
        note(f"Saved links of these names stay as they are here: {', '.join(merged.kept_views)}")
    if merged.sweeps:
        note(f"Sweeps that are new here: {', '.join(merged.sweeps)}")
    if merged.kept_sweeps:
        note(f"Sweeps of these names keep the jobs they have here: {', '.join(merged.kept_sweeps)}")
    if not merged.is_empty:
        advise("drf leaderboard", "drf web", store=db)
