"""`drf data`: check a dataset, look at it, convert its boxes, and pack face crops ahead of time."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from cli import options
from cli.output import cell, line, note, print_json, table, tables
from drf.config import DataConfig
from drf.errors import CheckFailed, DataError, UsageError
from drf.files import replacing_file, user_path
from experiments.progress import bar

if TYPE_CHECKING:
    from drf.data.check import Report, SubsetReport

app = typer.Typer(no_args_is_help=True)

_EXAMPLES = 5
"""Number of faults of each kind that are listed below the table; --json has all of them."""

_HEADINGS = (
    "faces",
    "missing",
    "bad picture",
    "bad landmarks",
    "odd landmarks",
    "landmarks missing",
    "landmarks outside",
    "copied from train",
    "photo in train",
    "smallest box",
)


_Dataset = Annotated[
    str,
    typer.Option("--dataset", metavar="NAME", help="Dataset: 300w, wflw, cofw, folder or another."),
]


@app.command()
def check(
    root: Annotated[
        Path, typer.Argument(metavar="ROOT", parser=user_path, help="Folder of the dataset.")
    ],
    dataset: _Dataset = "300w",
    as_json: options.Json = False,
) -> None:
    """Read every face of a dataset and report the faults of each subset.

    The report counts missing files, pictures that cannot be decoded, malformed landmarks, faces
    whose landmarks do not form a face as they stand (mirrored, x and y exchanged, in another order,
    in 0..1), faces with missing landmarks or with landmarks outside their picture, faces whose file
    or photo is in the training set too, and mirror pairs of a folder's description that do not fit
    its faces. The smallest box is given in pixels. Four things are not faults: an absent folder,
    missing landmarks, landmarks outside a picture (300-W has some), and one photo in two versions
    (LFPW has some). Exits with 4 if there is a fault.
    """
    from drf.data.check import check_dataset, check_files
    from drf.data.dataset import open_dataset
    from drf.data.file_dataset import FileDataset

    source = None if dataset == "300w" else open_dataset(dataset, root)
    if source is not None and not isinstance(source, FileDataset):
        raise UsageError(f"{dataset} has no files to check")
    with bar("checking") as advance:
        report = check_files(source, advance) if source else check_dataset(root, advance)
    if as_json:
        print_json(report.as_json())
    else:
        _print(report, source.name if source else "300-W")
    faulty = ["its markup"] if report.markup else []
    if faulty := faulty + [subset.subset for subset in report.subsets if subset.n_faults]:
        hint = "" if as_json else "; --json names every face"
        raise CheckFailed(f"{root} has faults in {', '.join(faulty)}{hint}")


@app.command()
def prepare(
    name: Annotated[str, typer.Argument(metavar="NAME", help="Dataset: 300w, wflw or cofw.")],
    archives: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FILE",
            parser=user_path,
            help="Archive (zip or tar) that you have; repeat the option for several.",
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", parser=user_path, show_default="data/NAME", help="New folder to fill."
        ),
    ] = None,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Unpack the archives of a dataset that you have, check every face, and pack the crops.

    Without --from it says where the archives are to be had, and under which terms: drf downloads
    none. Paths that lead out of the folder, links, and archives that unpack to far more than they
    hold are refused before anything is written. Exits with 4 if the check finds a fault.
    """
    from dataclasses import asdict

    from drf.data.dataset import ORIGINS
    from drf.data.prepare import prepare

    origin = ORIGINS.get(name)
    if origin is not None:
        note(f"{name} is to be had at {origin.page}: {origin.archives}. Terms: {origin.terms}.")
    if origin is not None and not archives:
        if as_json:
            print_json(asdict(origin))
        return
    with bar("checking") as advance:
        prepared = prepare(name, archives or [], out or Path("data") / name, advance)
    for file, digest in prepared.digests.items():
        note(f"{file}: SHA-256 {digest}")
    manifests = _packed(name, prepared.root, cache)
    if as_json:
        print_json(prepared.report.as_json() | {"sha256": prepared.digests, "packed": manifests})
    else:
        _print(prepared.report, name)
    if faulty := [one.subset for one in prepared.report.subsets if one.n_faults]:
        raise CheckFailed(f"{prepared.root} has faults in {', '.join(faulty)}")
    root = shlex.quote(str(prepared.root))
    note(f"Next: drf train cascade-forest --dataset {name} --data-root {root}")


def _packed(name: str, root: Path, cache: Path | None) -> list[dict[str, object]]:
    """Pack what a training and its evaluation use, as far as it is there; return the manifests."""
    from drf.data import packs
    from drf.data.dataset import open_dataset

    dataset = open_dataset(name, root)
    manifests = []
    for subset in ("train", "val", None):
        try:
            chosen = subset or dataset.default_test_subset()
            with bar(f"packing {chosen}") as advance:
                packed = packs.pack(dataset, chosen, cache_dir=cache, progress=advance)
        except DataError as error:
            note(f"Not packed: {error}")
            continue
        manifests.append(packed.manifest)
        note(f"Packed {name} {chosen}: {packed.manifest['faces']} faces")
    return manifests


@app.command(context_settings=options.old_names("data pack"))
def pack(
    dataset: Annotated[str, typer.Option(metavar="NAME", help="Dataset to pack.")] = "synthetic",
    data_root: options.DataRoot = None,
    subset: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME",
            show_default="train and val",
            help="Subset to pack; repeat the option for several.",
        ),
    ] = None,
    box: Annotated[
        str,
        typer.Option(metavar=options.choices("data.box"), help="Box protocol of the face crops."),
    ] = "gt",
    box_file: options.BoxFile = None,
    max_faces: Annotated[
        int | None,
        typer.Option(show_default="all", help="Pack at most this many faces of each subset."),
    ] = None,
    synthetic_train_size: Annotated[
        int, options.of_key("data.synthetic_train_size")
    ] = DataConfig.synthetic_train_size,
    synthetic_seed: Annotated[
        int, options.of_key("data.synthetic_seed")
    ] = DataConfig.synthetic_seed,
    cache: options.Cache = None,
    as_json: options.Json = False,
) -> None:
    """Crop the faces of subsets into the cache now, instead of when they are first used."""
    from drf.data import packs
    from drf.data.dataset import open_dataset

    source = open_dataset(dataset, data_root, seed=synthetic_seed, size=synthetic_train_size)
    manifests = []
    for name in subset or ["train", "val"]:
        with bar(f"packing {name}") as advance:
            packed = packs.pack(
                source, name, box, cache, box_file=box_file, limit=max_faces, progress=advance
            )
        manifests.append(packed.manifest)
    if as_json:
        print_json(manifests)
        return
    for manifest in manifests:
        note(
            f"Packed {manifest['dataset']} {manifest['subset']}, box {manifest['box']}: "
            f"{manifest['faces']} faces in {cache or packs.default_cache_dir()}"
        )


@app.command()
def sheet(
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            parser=user_path,
            help="PNG file to write; an existing one is replaced.",
        ),
    ],
    dataset: _Dataset = "300w",
    data_root: options.DataRoot = None,
    subset: Annotated[str, typer.Option(metavar="NAME", help="Subset to show.")] = "train",
    max_faces: Annotated[
        int, typer.Option(min=1, max=400, help="Show at most this many faces of the subset.")
    ] = 36,
) -> None:
    """Write a contact sheet: faces of a subset with their landmarks, to look at before a training.

    Which faces are shown follows from their names, so that a sheet of the same faces is the same.
    """
    import cv2

    from drf.data.dataset import open_dataset
    from drf.data.sheet import chosen, contact_sheet

    if out.suffix.lower() != ".png":
        raise UsageError(f"--out is {out.name}: a contact sheet is a .png file")
    source = open_dataset(dataset, data_root)
    faces = chosen(source.subset(subset).faces, max_faces)
    _, png = cv2.imencode(".png", contact_sheet(source, faces)[..., ::-1])
    with replacing_file(out) as path:
        path.write_bytes(png.tobytes())
    note(f"Wrote {len(faces)} faces of {source.name} {subset} to {out}")


@app.command()
def boxes(
    out: Annotated[
        Path,
        typer.Option(
            metavar="FILE",
            parser=user_path,
            help="CSV file to write; an existing one is replaced.",
        ),
    ],
    files: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="[FILE]...",
            parser=user_path,
            show_default=False,
            help="Files of 300-W called bounding_boxes_*.mat, one or several.",
        ),
    ] = None,
    kind: Annotated[
        str,
        typer.Option(
            metavar="detector|ground-truth",
            help="Which of the two boxes of each face to take from a .mat file.",
        ),
    ] = "detector",
    folder: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="from the names of the files",
            help="Folder of the faces in 300-W, e.g. helen/testset.",
        ),
    ] = None,
    dataset: Annotated[
        str | None,
        typer.Option(
            metavar="NAME",
            show_default="300w, by the files",
            help="Dataset whose own boxes are taken in place of files: wflw, cofw, or folder.",
        ),
    ] = None,
    data_root: options.DataRoot = None,
) -> None:
    """Write the official boxes of a dataset as a box file, for --box file --box-file FILE.

    Those of 300-W are bounding_boxes_*.mat of iBUG, several of which become one box file. Those of
    WFLW and COFW, and of a folder whose labels are XML, are in the dataset itself: name it with
    --dataset.
    """
    import csv

    from drf.data.boxes import BOX_FILE_HEADER

    if bool(files) == bool(dataset):
        raise UsageError("name either files called bounding_boxes_*.mat, or a --dataset")
    found = _boxes_in(dataset, data_root) if dataset else _boxes_of_mat(files or [], kind, folder)
    with replacing_file(out) as path, path.open("w", encoding="utf-8", newline="") as text:
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(BOX_FILE_HEADER)
        writer.writerows([name, *(f"{value:.4f}" for value in box)] for name, box in found.items())
    note(f"Wrote {len(found)} boxes to {out}")


def _boxes_in(name: str, data_root: Path | None) -> dict[str, Sequence[float]]:
    from drf.data.dataset import open_dataset
    from drf.data.file_dataset import FileDataset

    dataset = open_dataset(name, data_root)
    entries = dataset.entries if isinstance(dataset, FileDataset) else {}
    if found := {face: entry.box for face, entry in entries.items() if entry.box is not None}:
        return dict(found)
    raise UsageError(f"the files of {name} give no boxes of faces")


def _boxes_of_mat(
    files: Sequence[Path], kind: str, folder: str | None
) -> dict[str, Sequence[float]]:
    from drf.data.mat_boxes import KINDS, read_mat_boxes, short_of
    from drf.data.w300 import FOLDERS

    if kind not in KINDS:
        raise UsageError(f"--kind is {kind!r}: use one of {', '.join(KINDS)}")
    if folder is not None and folder not in FOLDERS:
        raise UsageError(f"--folder is {folder!r}: use one of {', '.join(FOLDERS)}")
    found: dict[str, Sequence[float]] = {}
    for file in files:
        of_file = read_mat_boxes(file, kind, folder)
        if twice := sorted(of_file.keys() & found.keys()):
            raise UsageError(f"{file.name} has a second box for {twice[0]!r}")
        found |= of_file
    for lack in short_of(found):
        note(f"WARNING: {lack}")
    return found


def _print(report: Report, name: str) -> None:
    rows = []
    for found in report.subsets:
        faults = (found.missing, found.unreadable, found.malformed, found.odd_labels)
        counts = (*faults, found.incomplete, found.outside)
        twice = (found.copies, found.same_photo)
        numbers = (found.faces, *map(len, counts), *map(len, twice))
        rows.append((found.subset, found.state, *numbers, cell(found.smallest_box_px, digits=0)))
    shown = table(("subset", "state", *_HEADINGS), rows, f"{name} in {report.root}")
    for column in shown.columns[2:]:
        column.justify = "right"
    tables().print(shown)
    if absent := dict.fromkeys(folder for found in report.subsets for folder in found.absent):
        line(f"folders not found: {', '.join(absent)}")
    if report.markup:
        line(f"markup: {report.markup}")
    for found in report.subsets:
        for footnote in _footnotes(found):
            line(footnote)


def _footnotes(found: SubsetReport) -> list[str]:
    """Return lines that name the first faults of each kind."""
    lines = []
    faults = [
        found.missing,
        *(
            [f"{name}: {reason}" for name, reason in reasons.items()]
            for reasons in (found.unreadable | found.malformed, found.odd_labels)
        ),
        [f"{pair.name} is the same file as {pair.other}" for pair in found.copies],
    ]
    for kind in faults:
        lines += [f"{found.subset}: {fault}" for fault in kind[:_EXAMPLES]]
        if len(kind) > _EXAMPLES:
            lines.append(f"{found.subset}: and {len(kind) - _EXAMPLES} more of this kind")
    return lines
