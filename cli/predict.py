"""`drf predict`: the landmarks of the faces of photos."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.options import Db, Json
from cli.output import cell, line, note, print_json, table, tables
from db.file import DEFAULT_PATH
from drf.errors import DrfError, NotFoundError, UsageError
from drf.files import user_path

if TYPE_CHECKING:
    from drf.inference.alignment import Aligner
    from drf.inference.photos import Located, Photo


def predict(
    photos: Annotated[
        list[str],
        typer.Argument(metavar="PHOTO…", help="Pictures, folders of pictures, or patterns."),
    ],
    model: Annotated[
        str,
        typer.Option(
            metavar="NAME|RUN|FILE.onnx",
            help="A released model, a run of the store, or a file that drf export onnx wrote.",
        ),
    ] = "cascade-forest-small",
    box: Annotated[
        str | None,
        typer.Option(
            metavar="x,y,w,h",
            show_default="faces are found",
            help="Box of the face in a single photo, in pixels: the bounding box of its landmarks,"
            " enlarged by a quarter.",
        ),
    ] = None,
    boxes: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            parser=user_path,
            show_default="faces are found",
            help="CSV file with the columns name, x, y, w, h; a row for each face.",
        ),
    ] = None,
    reject_above: Annotated[
        float | None,
        typer.Option(
            metavar="PERCENT",
            min=0,
            show_default="the limit in the model's file for faces that are found; none for given"
            " boxes",
            help="Leave out faces whose expected error is larger, in percent of the box's side.",
        ),
    ] = None,
    overlay: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=user_path,
            help="Folder for the photos with landmarks and 2-sigma ellipses drawn on them.",
        ),
    ] = None,
    pts: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            parser=user_path,
            help="Folder for landmarks as .pts files, 1-based as 300-W's.",
        ),
    ] = None,
    as_csv: Annotated[
        bool, typer.Option("--csv", help="Print a line of CSV for every landmark.")
    ] = False,
    as_json: Json = False,
    db: Db = DEFAULT_PATH,
) -> None:
    """Find the faces of photos and print their landmarks with standard deviations.

    Coordinates are 0-based pixels of the photo as a viewer shows it, turned as its EXIF orientation
    says. Faces are numbered by the detector's certainty, or as the boxes are given; those that
    --reject-above leaves out have no number. A photo that cannot be read, or in which no face is
    found, is named on stderr, and the others are predicted. Exits with 3 if there is no face in any
    photo, with 2 if a photo cannot be read.
    """
    from drf.inference import photos as files

    if as_csv and as_json:
        raise UsageError("--csv and --json exclude each other: standard output is one of them")
    if box is not None and boxes is not None:
        raise UsageError("--box and --boxes exclude each other: use a file for several faces")
    paths = files.find_photos(photos)
    wanted = [files.Photo(path) for path in paths]
    if boxes is not None:
        wanted = files.with_boxes(paths, boxes)
    if box is not None:
        if len(paths) != 1:
            raise UsageError(f"--box is for a single photo, not {len(paths)}: use --boxes FILE")
        wanted = [files.Photo(paths[0], files.parse_box(box))]
    aligner = _load(model, db)
    overlays = files.planned_files(paths, overlay, ".jpg") if overlay else {}
    points = files.planned_files(paths, pts, ".pts") if pts else {}

    documents: list[dict[str, Any]] = []
    faces, failed = 0, []
    if as_csv:
        print(",".join(files.COLUMNS))
    largest = None if reject_above is None else reject_above / 100
    limited = "" if reject_above is None else f" (--reject-above {reject_above:g})"
    for photo, located in _each(aligner, wanted, largest, points):
        if isinstance(located, DrfError):
            failed.append(located)
            documents.append({"photo": str(photo.path), "error": str(located)})
            continue
        faces += len(located.faces)
        asked = 0 if photo.boxes is None else len(photo.boxes)
        if len(located.faces) < asked:
            note(
                f"{photo.path}: {asked - len(located.faces)} of {asked} faces left out, whose"
                f" expected error is above {reject_above:g} % of the box's side"
            )
        elif not located.faces and len(wanted) > 1:
            note(f"no face found in {photo.path}{limited}")
        if photo.path in overlays:
            files.write_overlay(located, overlays[photo.path], aligner.markup)
        if as_json:
            documents.append(files.as_document(located))
        elif as_csv:
            print(files.csv_lines(located, aligner.markup), end="")
        else:
            _print_tables(located, aligner, brief=bool(overlay or pts))
    if as_json:
        print_json({"model": model, "markup": aligner.markup.name, "photos": documents})
    if len(failed) == len(wanted) == 1:
        raise failed[0]
    for error in failed:
        note(f"drf: {error}")
    if failed:
        raise typer.Exit(failed[0].exit_code)
    if not faces:
        raise NotFoundError(_nothing(wanted))


def _nothing(photos: list[Photo]) -> str:
    """Return what to say where no photo has a face."""
    if any(photo.boxes is not None for photo in photos):
        return "every face was left out: raise --reject-above, or leave it out"
    if len(photos) > 1:
        return f"no face found in {len(photos)} photos"
    return f"no face found in {photos[0].path}: if there is one, give its box with --box x,y,w,h"


def _load(model: str, db: Path) -> Aligner:
    """Return the model; a run is looked for in the store that the command names."""
    from drf import loading

    if model.lower().endswith(".onnx") or model in loading.released():
        return loading.load(model)
    if not db.exists():
        raise NotFoundError(
            f"there is no released model {model!r} (there is {', '.join(loading.released())}), and"
            f" no store {db} that could have a run of that name"
        )
    return loading.load(model, db=db)


def _each(
    aligner: Aligner, photos: list[Photo], largest_error: float | None, points: dict[Path, Path]
) -> Iterator[tuple[Photo, Located | DrfError]]:
    """Yield every photo with its faces, whose landmarks are written to its file of `points` if it
    has one; or with the error of a photo that cannot be read or written."""
    from drf.inference.photos import locate, write_pts
    from experiments.progress import bar

    written: dict[Path, Path] = {}
    with bar("Photos") as progress:
        for done, photo in enumerate(photos):
            progress(done, len(photos))
            try:
                located = locate(aligner, photo, largest_error)
                if photo.path in points:
                    write_pts(located, points[photo.path], written)
                yield photo, located
            except DrfError as error:
                yield photo, error


def _print_tables(located: Located, aligner: Aligner, *, brief: bool) -> None:
    from drf.inference.photos import rows

    console = tables()
    for number, face in enumerate(located.faces, start=1):
        x, y, side, _ = face.box.tolist()
        error = face.expected_error * side
        doubt = "" if error != error else f", expected error {error:.1f} px"
        line(
            f"{located.photo.path}, face {number}: square of {side:.0f} px at {x:.0f}, {y:.0f},"
            f" score {face.score:.2f}{doubt}"
        )
        if brief:
            continue
        lines = [
            (title, *(cell(value, 2) for value in values))
            for _, of, _, title, *values, _ in rows(located, aligner.markup)
            if of == number
        ]
        console.print(table(("landmark", "x", "y", "std x", "std y"), lines))
